"""The pytest plugin: fixtures that reach a submission in its sandbox, and a verdict for each hidden test.

`pytest tests/hidden/model_monitor --submission DIR` judges DIR; `--isolation none` runs it in this process, for a
debugger. The grader uses the same plugin and hands in its own workplace.
"""

import asyncio
import contextlib
import inspect
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

TRUSTED_SECONDS = 60.0  # what the judge may take to check one test's answers, on top of the sandbox's limit
MAX_COMPARED = 2000
MAX_OUTPUT = 4000


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rounds", "judging a submission")
    group.addoption("--submission", help="the file or folder of the submission to judge")
    group.addoption("--isolation", default=None, help="a rung of the ladder (A to E), or none: in this process")
    group.addoption("--require-isolation", default=None, help="refuse to judge below this rung")
    group.addoption("--seed", type=int, default=0, help="seed of the tests' own randomness")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(id): the requirement of the brief that a hidden test judges")
    config.addinivalue_line("markers", "limits(seconds=, memory_mb=): what the sandbox of one test may use")
    config.addinivalue_line("markers", "event_loop(kind): 'real' or 'virtual', where coroutines are awaited")
    if config.pluginmanager.has_plugin("rounds-judge"):
        return
    if config.getoption("--submission"):
        config.pluginmanager.register(Judge(config), "rounds-judge")


class Judge:
    """Holds the workplace of the submission under test, and what each test saw."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.workplace: Any = None
        self.local = config.getoption("--isolation") == "none"
        self.sightings: dict[str, list[Any]] = {}
        self._close: list[Callable[[], None]] = []
        self.told: Callable[[str, Any], None] = lambda requirement, seen: None

    def place_of(self, item: pytest.Item) -> Any:
        """Return the workplace, made from the command line's options when nobody handed one in."""
        if self.workplace is None:
            from rounds.workplace import workplace_for

            self.workplace, close = workplace_for(
                Path(item.path).parent,
                Path(self.config.getoption("--submission")),
                isolation=self.config.getoption("--isolation"),
                require=self.config.getoption("--require-isolation"),
            )
            self._close.append(close)
        return self.workplace

    def pytest_unconfigure(self) -> None:
        for close in self._close:
            close()

    # --- running a test

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        item.stash[SANDBOXES] = []
        item.stash[NEXT] = nextitem
        item.stash[STARTED] = time.perf_counter()
        item.stash[ERROR] = None
        result = yield
        self._note(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        if call.excinfo is not None and item.stash[ERROR] is None:
            item.stash[ERROR] = call.excinfo.value
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        limit = TRUSTED_SECONDS + wanted(item).get("seconds", 0.0)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_alarm(limit))
            return (yield)

    def _note(self, item: pytest.Item) -> None:
        from rounds.verdict import sighting

        marker = item.get_closest_marker("requirement")
        if marker is None:
            return
        sandboxes = item.stash[SANDBOXES]
        seen = sighting(
            sentence(item.name),
            item.stash[ERROR],
            seconds=time.perf_counter() - item.stash[STARTED],
            output="".join(_output_of(sandbox) for sandbox in sandboxes)[:MAX_OUTPUT],
            inside=any(sandbox.uses_props for sandbox in sandboxes),
        )
        self.sightings.setdefault(marker.args[0], []).append(seen)
        self.told(marker.args[0], seen)

    # --- fixtures

    @pytest.fixture
    def sandbox(self, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
        """Make further fresh processes: `sandbox(environ={}, hash_seed=1, files={})`."""
        from rounds.bridge.sandbox import LocalSandbox, Sandbox

        item = request.node
        place = self.place_of(item)
        made = item.stash[SANDBOXES]

        def make(**options: Any) -> Any:
            if self.local:
                made.append(LocalSandbox(place, **options))
                return made[-1]
            found = None if options else place.ahead.take(_needs(item, place))
            made.append(found or Sandbox(place, **_settings(item), **options))
            self._look_ahead(item.stash[NEXT], place)
            return made[-1]

        yield make
        for one in made:
            one.close()

    def _look_ahead(self, item: pytest.Item | None, place: Any) -> None:
        """Have the next test's process made meanwhile, where that test makes only the usual one."""
        from rounds.bridge.sandbox import Sandbox

        if item is None:
            place.ahead.drop()
        elif "_own" in getattr(item, "fixturenames", ()):
            place.ahead.begin(
                _needs(item, place),
                lambda head_start: Sandbox(place, **_settings(item), head_start=head_start),
                load="submission" in asked(item),
            )

    @pytest.fixture
    def _own(self, sandbox: Callable[..., Any]) -> Any:
        return sandbox()

    @pytest.fixture
    def files(self, request: pytest.FixtureRequest) -> dict[str, bytes]:
        """What was handed in, by file name: data, for a suite that reads files instead of loading a module."""
        return dict(self.place_of(request.node).files)

    @pytest.fixture
    def submission(self, _own: Any) -> Any:
        """The candidate's module, in a process of its own."""
        return _own.submission

    @pytest.fixture
    def props(self, _own: Any) -> Any:
        """The suite's support code inside that process."""
        return _own.props

    @pytest.fixture
    def scratch(self, _own: Any) -> Any:
        """A private folder of that process."""
        return _own.scratch

    @pytest.fixture
    def serve(self, _own: Any) -> Callable[[Any], Any]:
        """Serve an app of the submission: `client = serve(submission.app)`."""
        serve: Callable[[Any], Any] = _own.serve
        return serve


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed."""
    return int(request.config.getoption("--seed"))


NEXT: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
SANDBOXES: pytest.StashKey[list[Any]] = pytest.StashKey()
STARTED: pytest.StashKey[float] = pytest.StashKey()
ERROR: pytest.StashKey[BaseException | None] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Keep pytest from diffing what a submission made huge: that alone could take minutes."""
    sizes = [len(side) for side in (left, right) if isinstance(side, (str, bytes, list, tuple, dict, set))]
    if max(sizes, default=0) <= MAX_COMPARED:
        return None
    return [f"{repr(left)[:300]} {op} {repr(right)[:300]} (shortened)"]


def asked(item: pytest.Item) -> list[str]:
    """Return the fixtures that the test itself names."""
    return list(inspect.signature(getattr(item, "obj", lambda: None)).parameters)


def wanted(item: pytest.Item) -> dict[str, float]:
    """Return the limits that a test sets for itself."""
    marker = item.get_closest_marker("limits")
    return dict(marker.kwargs) if marker else {}


def _settings(item: pytest.Item) -> dict[str, Any]:
    """Return what the sandbox of this test is like."""
    from rounds.bridge.sandbox import SERVERS

    loop = item.get_closest_marker("event_loop")
    served = "serve" in getattr(item, "fixturenames", ()) or "sandbox" in asked(item)
    return {"wanted": wanted(item), "loop": loop.args[0] if loop else "real", "servers": SERVERS if served else 0}


def _needs(item: pytest.Item, place: Any) -> object:
    """Return what two tests have in common that may use the same sandbox."""
    settings = _settings(item)
    return place.limits(settings["wanted"]), settings["loop"], settings["servers"], "submission" in asked(item)


def sentence(name: str) -> str:
    """Return a test's name as a sentence."""
    bare, _, parameters = name.removeprefix("test_").partition("[")
    return bare.replace("_", " ") + (f" ({parameters.rstrip(']')})" if parameters else "")


def _output_of(sandbox: Any) -> str:
    session = getattr(sandbox, "session", None)
    if session is None:
        return ""
    from rounds.bridge.exceptions import cleaned

    return cleaned(bytes(session.output[:MAX_OUTPUT]).decode("utf-8", "replace"))


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    from rounds.verdict import JudgeTooSlow

    def ring(number: int, frame: object) -> None:
        raise JudgeTooSlow(f"checking the answer took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
