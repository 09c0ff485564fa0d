"""A warm suite: a trusted process that has collected a challenge's hidden tests and forks itself for each submission.

Theory of operation
-------------------
`Suite.start` forks the caller. The fork imports pytest, collects the hidden tests and, meanwhile, has a zygote start.
Then it waits for jobs on a socket. A job comes with a stream of its own, on which the submission's files go in and
what each test saw comes out, a line of JSON at a time; for each job the process forks once more, and that fork runs
the tests. So a submission is judged by a process that judged no other, and pays for no import.
"""

import base64
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rounds.challenge import Challenge
from rounds.errors import IsolationUnavailable, JudgeFailure, RoundsError
from rounds.report import IsolationRecord, Sighting, Verdict

SILENCE_SECONDS = 150.0  # without a word from the judging process for so long, it is ended
START_SECONDS = 120.0
ENOUGH = 3  # unmet sightings after which a requirement's other tests are not tried
JUDGE_MEMORY = 4 << 30
PYTEST_OPTIONS = (
    "-c", os.devnull, "--import-mode=importlib", "--capture=no", "-q", "--no-header", "--tb=no", "--color=no",
    "-p", "no:cacheprovider", "-p", "no:junitxml", "-p", "no:doctest", "-p", "no:pastebin", "-p", "no:faulthandler",
    "-p", "no:stepwise", "-p", "no:logging", "-p", "no:warnings", "-p", "no:unraisableexception",
    "-p", "no:threadexception",
)  # fmt: skip


_controls: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


@dataclass
class Judged:
    """What came back of one job: what each test saw, by requirement, and how the job ended."""

    sightings: dict[str, list[Sighting]] = field(default_factory=dict)
    problem: str | None = None
    failure: str | None = None  # of the judge


class Suite:
    """The caller's handle on a warm suite. `judge` may be called from several threads at once."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self.isolation: IsolationRecord | None = None
        self.tests: dict[str, int] = {}
        self.limits: dict[str, float] = {}  # of tests that set their own, by sentence
        self._ready = False
        self._refusal: RoundsError | None = None
        self._waiting = threading.Lock()

    @classmethod
    def start(cls, challenge: Challenge, *, isolation: str | None, require: str | None, seed: int) -> "Suite":
        """Fork the suite's process; it gets ready while the caller goes on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _controls.add(ours)
        pid = os.fork()
        if pid == 0:
            for inherited in list(_controls):  # a suite that held another's line would keep it from ending
                inherited.close()
            _become_suite(theirs, challenge, isolation, require, seed)
        theirs.close()
        return cls(ours, pid)

    def wait_until_ready(self) -> None:
        """Wait until tests are collected and walls stand; raise what kept the suite from it."""
        with self._waiting:  # the word comes once, and is the same for all who wait
            if self._refusal is None and not self._ready:
                try:
                    self._hear()
                except RoundsError as refusal:
                    self._refusal = refusal
            if self._refusal is not None:
                raise self._refusal

    def _hear(self) -> None:
        ready, _, _ = select.select([self._control], [], [], START_SECONDS)
        message = self._control.recv(1 << 20) if ready else b""
        if not message:
            raise JudgeFailure("the hidden tests could not be loaded: their process ended.")
        word = json.loads(message)
        if "unavailable" in word:
            raise IsolationUnavailable(word["unavailable"], hint=word["hint"])
        if "failure" in word:
            raise JudgeFailure(word["failure"])
        record = word["isolation"]
        self.isolation = IsolationRecord(
            **{**record, "protects": tuple(record["protects"]), "exposes": tuple(record["exposes"])}
        )
        self.tests = word["tests"]
        self.limits = word["limits"]
        self._ready = True

    def judge(self, files: Mapping[str, bytes], *, stop_at_unmet: bool = False) -> Judged:
        """Run all hidden tests against these files; never raises for what the submission does.

        With `stop_at_unmet` the first unmet requirement ends the run, for whoever asks only whether there is one.
        """
        self.wait_until_ready()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._control, [b"job"], [theirs.fileno()])
            coded = {name: base64.b64encode(content).decode() for name, content in files.items()}
            job = {"files": coded, "stop": stop_at_unmet}
            ours.sendall(json.dumps(job).encode() + b"\n")
            return _collect(ours)

    def close(self) -> None:
        """Hang up; the suite's process and its zygotes end."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _collect(stream: socket.socket) -> Judged:
    judged, pid = Judged(), 0
    try:
        for word in _words(stream):
            pid = word.get("pid", pid)
            if "seen" in word:
                seen = Sighting(**{**word["seen"], "verdict": Verdict(word["seen"]["verdict"])})
                judged.sightings.setdefault(word["requirement"], []).append(seen)
            if "done" in word:
                judged.problem = word["problem"]
                return judged
            judged.failure = word.get("failure", judged.failure)
        judged.failure = judged.failure or "the judging process ended before it was done"
    except TimeoutError:
        judged.failure = f"the judging process said nothing for {SILENCE_SECONDS:g} s and was ended"
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return judged


def _words(stream: socket.socket) -> Iterator[dict[str, Any]]:
    stream.settimeout(SILENCE_SECONDS)
    with stream.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)


# --- in the suite's process


def _become_suite(
    control: socket.socket, challenge: Challenge, isolation: str | None, require: str | None, seed: int
) -> NoReturn:
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller says when it is over
        _silence()
        _serve(control, challenge, isolation, require, seed)
        status = 0
    except BaseException as error:
        _tell(control, _failure_word(error))
    finally:
        os._exit(status)


def _failure_word(error: BaseException) -> dict[str, str]:
    if isinstance(error, IsolationUnavailable):
        return {"unavailable": error.message, "hint": error.hint}
    if isinstance(error, RoundsError):
        return {"failure": str(error)}
    last = traceback.extract_tb(error.__traceback__)[-1]
    return {"failure": f"the suite failed: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"}


def _silence() -> None:
    """Nothing of the suite's own output reaches the user; ROUNDS_DEBUG keeps it."""
    if os.environ.get("ROUNDS_DEBUG"):
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)


def _serve(control: socket.socket, challenge: Challenge, isolation: str | None, require: str | None, seed: int) -> None:
    from rounds.isolation.ladder import Climb
    from rounds.workplace import modules_for

    climbing = Climb(modules_for(challenge), want=isolation, require=require)
    import pytest

    for library in ("numpy", "pandas"):  # or the first answer that holds a table would wait for their import
        if library in challenge.warm:
            importlib.import_module(library)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("CI", None)  # with it pytest would write out huge comparisons in full
    os.environ.pop("PYTEST_ADDOPTS", None)
    server = _Server(control, challenge, climbing)
    options = [str(challenge.hidden), f"--rootdir={challenge.hidden}", *PYTEST_OPTIONS, "-p", "rounds.plugin"]
    options += [f"--confcutdir={challenge.hidden}"]  # or every folder above is listed, and its conftest.py is run
    options += [f"--seed={seed}", "--submission=-"]
    code = pytest.main(options, plugins=[server])
    if server.refusal is not None:
        raise server.refusal
    if not server.served:
        why = server.uncollected or f"pytest ended with {int(code)}"
        raise JudgeFailure(f"the hidden tests of {challenge.slug} could not be collected: {why}")


class _Server:
    """A pytest plugin whose run loop waits for jobs and forks for each."""

    def __init__(self, control: socket.socket, challenge: Challenge, climbing: Any) -> None:
        self.control = control
        self.challenge = challenge
        self.climbing = climbing
        self.served = False
        self.refusal: RoundsError | None = None
        self.uncollected = ""

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.uncollected:
            lines = [line.removeprefix("E").strip() for line in str(report.longrepr).splitlines()]
            self.uncollected = f"{report.nodeid}: {next((line for line in reversed(lines) if line), '')}"

    def pytest_runtestloop(self, session: Any) -> bool:
        from rounds.workplace import Nurseries, modules_for

        if session.testsfailed or not session.items:
            return True
        _settle_memory()
        try:
            zygote, record = self.climbing.finish()
        except RoundsError as refusal:  # pytest would make an internal error of it
            self.refusal = refusal
            return True
        nurseries = Nurseries(zygote, modules_for(self.challenge))
        try:
            if any("sandbox" in _arguments(item) for item in session.items):
                nurseries.start(1)
            _tell(
                self.control,
                {
                    "isolation": asdict(record),
                    "tests": _tests_by_requirement(session.items),
                    "limits": _own_limits(session.items),
                },
            )
            self.served = True
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies; nobody here waits for a job
            self._loop(session, nurseries)
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            nurseries.close()
        return True

    def _loop(self, session: Any, nurseries: Any) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.control, 64, 1)
            if not message:
                return
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self.control.close()
                self._do_job(session, nurseries, socket.socket(fileno=descriptors[0]))
            os.close(descriptors[0])

    def _do_job(self, session: Any, nurseries: Any, stream: socket.socket) -> NoReturn:
        try:
            _limit_memory()
            _say(stream, {"pid": os.getpid()})
            with stream.makefile("rb") as lines:
                job = json.loads(lines.readline())
            files = {name: base64.b64decode(content) for name, content in job["files"].items()}
            self._run(session, nurseries, files, stream, stop=job["stop"])
        except BaseException as error:
            with contextlib.suppress(OSError):
                _say(stream, _failure_word(error))
        finally:
            os._exit(0)

    def _run(
        self, session: Any, nurseries: Any, files: Mapping[str, bytes], stream: socket.socket, *, stop: bool
    ) -> None:
        from rounds.workplace import workplace

        judge = session.config.pluginmanager.get_plugin("rounds-judge")
        judge.workplace = workplace(self.challenge, files, nurseries)
        judge.told = lambda requirement, seen: _say(stream, {"requirement": requirement, "seen": asdict(seen)})
        waiting = list(session.items)
        while waiting:
            item = waiting.pop(0)
            if stop and any(_unmet(seen) for seen in judge.sightings.values()):
                break
            waiting = [one for one in waiting if not _settled(one, judge.sightings)]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=waiting[0] if waiting else None)
        unloadable = judge.workplace.unloadable
        _say(stream, {"done": True, "problem": str(unloadable) if unloadable else None})


def _settle_memory() -> None:
    """Put aside what is loaded by now, so that forks of this process copy little of it."""
    import gc

    from rounds.inside.pages import gather_memory

    gc.collect()
    gc.freeze()
    gather_memory()


def _limit_memory() -> None:
    """Let the judging process itself fail before a submission's answers take the machine's memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (JUDGE_MEMORY, JUDGE_MEMORY))


def _arguments(item: Any) -> tuple[str, ...]:
    from rounds.plugin import asked

    return tuple(asked(item))


def _settled(item: Any, sightings: Mapping[str, list[Sighting]]) -> bool:
    """Say whether enough was seen of this test's requirement: it is unmet, whatever the rest would show."""
    marker = item.get_closest_marker("requirement")
    seen = sightings.get(marker.args[0], ()) if marker else ()
    return _unmet(seen) >= ENOUGH


def _unmet(seen: Sequence[Sighting]) -> int:
    return sum(one.verdict is Verdict.UNMET for one in seen)


def _tests_by_requirement(items: list[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items:
        marker = item.get_closest_marker("requirement")
        if marker is not None:
            counts[marker.args[0]] = counts.get(marker.args[0], 0) + 1
    return counts


def _own_limits(items: list[Any]) -> dict[str, float]:
    from rounds.plugin import sentence, wanted

    return {sentence(item.name): wanted(item)["seconds"] for item in items if "seconds" in wanted(item)}


def _say(stream: socket.socket, word: Mapping[str, Any]) -> None:
    stream.sendall(json.dumps(word).encode("utf-8", "replace") + b"\n")


def _tell(control: socket.socket, word: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):
        control.send(json.dumps(word).encode("utf-8", "replace"))
