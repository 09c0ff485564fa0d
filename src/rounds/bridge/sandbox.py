"""What a hidden test holds of a submission: its module, the suite's props beside it, a scratch folder, a served app."""

import shutil
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from rounds.bridge.ahead import Ahead
from rounds.bridge.client import http_client
from rounds.bridge.failures import SandboxFailure, SubmissionFailure, SubmissionTimeout, origin_of
from rounds.bridge.session import Nursery, Session

SERVERS = 4
PATIENCE = 3  # time-outs after which a submission's further tests get less time
HURRY = 4
COMPILE_SECONDS = 5.0


class Unloadable(SubmissionFailure):
    """The submission's file could not be imported; the text says why."""


@dataclass
class Workplace:
    """All that is needed to run one submission: where children come from, its files, the suite's props, the limits."""

    nursery: Callable[[int], Nursery]  # by hash seed
    files: Mapping[str, bytes]
    module: str
    props: bytes | None = None
    seconds: float = 10.0
    memory_mb: int = 1024
    unloadable: Unloadable | None = None
    time_outs: int = 0
    ahead: Ahead = field(default_factory=Ahead)
    _compiled: dict[str, bytes] | None = None

    def limits(self, wanted: Mapping[str, float]) -> dict[str, float]:
        """Return the limits of one test. A submission that timed out several times does not get all of it again."""
        seconds = wanted.get("seconds", self.seconds)
        if self.time_outs >= PATIENCE:
            seconds = max(2.0, seconds / HURRY)
        return {"seconds": seconds, "memory_mb": int(wanted.get("memory_mb", self.memory_mb))}

    def code(self) -> dict[str, bytes]:
        """Return the files to load, with their byte code beside them, so that it is made once and not for each test.

        It is made in a process that does nothing else: the submission never ran there.
        """
        if self._compiled is None:
            self._compiled = self._compile()
        return {**self.files, **self._compiled}

    def _compile(self) -> dict[str, bytes]:
        modules = {name: content for name, content in self.files.items() if name.endswith(".py")}
        try:
            session = Session(self.nursery(0), {"seconds": COMPILE_SECONDS, "memory_mb": self.memory_mb})
        except OSError:
            return {}
        try:
            made = session.ask("compiled", modules)
            return {name: content for name, content in made.items() if type(name) is str and type(content) is bytes}
        except (MemoryError, OSError, SandboxFailure, SubmissionFailure):  # each test compiles for itself, and tells
            return {}
        finally:
            session.close()


class Scratch(Protocol):
    """A private folder of the submission's process; `path` is valid inside."""

    @property
    def path(self) -> str: ...
    def write(self, name: str, content: bytes | str) -> None: ...
    def read(self, name: str) -> bytes: ...
    def files(self) -> list[str]: ...


class RemoteScratch:
    """A scratch folder behind the border: only contents cross, and links are not followed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path = ""

    @property
    def path(self) -> str:
        self._path = self._path or str(self._session.ask("write_files", {}))
        return self._path

    def write(self, name: str, content: bytes | str) -> None:
        self._session.ask("write_files", {name: content.encode() if isinstance(content, str) else content})

    def read(self, name: str) -> bytes:
        found = self._session.ask("read_file", name)
        if type(found) is not bytes:
            raise TypeError("the file's content did not come as bytes")
        return found

    def files(self) -> list[str]:
        return [str(name) for name in self._session.ask("list_files")]


class Sandbox:
    """One fresh process with the submission in it. Nothing is loaded before it is asked for."""

    def __init__(
        self,
        workplace: Workplace,
        *,
        wanted: Mapping[str, float] | None = None,
        loop: str = "real",
        environ: Mapping[str, str] | None = None,
        hash_seed: int = 0,
        files: Mapping[str, bytes] | None = None,
        servers: int = SERVERS,
        head_start: float = 0.0,
    ) -> None:
        self.workplace = workplace
        self.uses_props = False
        self._refused: BaseException | None = None
        self._environ = dict(environ or {})
        self._loaded: Any = None
        self._props: Any = None
        self._clients: list[httpx.Client] = []
        limits = workplace.limits(wanted or {})
        self.session = Session(workplace.nursery(hash_seed), limits, servers, head_start)
        self.session.loop_kind = loop
        self.scratch: Scratch = RemoteScratch(self.session)
        if files:
            self.session.ask("write_files", dict(files))

    @property
    def props(self) -> Any:
        """The suite's support code inside; what it says, the submission could have touched."""
        self.uses_props = True
        return self._prepared()

    def _prepared(self) -> Any:
        if self._props is None and self.workplace.props is not None:
            self._props = self.session.ask("props", self.workplace.props)
        return self._props

    @property
    def submission(self) -> Any:
        """The candidate's module; raises Unloadable when it can't be imported."""
        if self._refused is not None:
            raise self._refused
        if self._loaded is None:
            if self.workplace.unloadable is not None:
                raise self.workplace.unloadable
            self._prepared()
            self._loaded = self._load()
        return self._loaded

    def try_to_load(self) -> None:
        """Load the submission now; what comes of it is raised when a test asks for it."""
        try:
            _ = self.submission
        except BaseException as error:
            self._refused = error

    def belongs_to_this_thread(self) -> None:
        """Take over from the thread that made this sandbox."""
        self.session.belongs_to_this_thread()

    def _load(self) -> Any:
        try:
            return self.session.ask("load", self.workplace.code(), self.workplace.module, self._environ)
        except (Exception, SubmissionFailure) as error:
            sentence = _load_failure(error, self.workplace.module)
            if sentence is None:
                raise
            unloadable = Unloadable(sentence)
            unloadable.__dict__["_rounds_origin"] = origin_of(error)
            if not self._environ and not self.session.closing:
                self.workplace.unloadable = unloadable
            raise unloadable from None

    def serve(self, app: Any) -> httpx.Client:
        """Serve an ASGI app inside, lifespan included, and return a client for it."""
        which = len(self._clients)
        if which >= len(self.session.listeners):
            raise RuntimeError(f"one sandbox serves at most {SERVERS} apps")
        self.session.ask("serve_app", app, which)
        self._clients.append(http_client(self.session.listeners[which], self.session.seconds_left() + 1))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.session.close()
        if self.session.report.get("why") == "time limit" or isinstance(self.session.broken, SubmissionTimeout):
            self.workplace.time_outs += 1


def _load_failure(error: BaseException, module: str) -> str | None:
    origin = origin_of(error)
    if isinstance(error, SubmissionFailure):
        return f"{module}.py could not be imported: {error}"
    if origin is None:
        return None
    if origin.kind == "ModuleNotFoundError":
        return f"{module}.py could not be imported: it needs a library that is not there ({origin.text})"
    return f"{module}.py could not be imported: {origin.kind}: {origin.text}"


# --- the same face for a suite that runs in-process, for debugging


class LocalScratch:
    """A scratch folder on this side."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="rounds-"))

    @property
    def path(self) -> str:
        return str(self._root)

    def write(self, name: str, content: bytes | str) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self._root)) for path in self._root.rglob("*") if path.is_file())

    def remove(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


class LocalSandbox:
    """The submission in this very process: no isolation, no copies, for stepping through with a debugger."""

    def __init__(self, workplace: Workplace, *, environ: Mapping[str, str] | None = None, **ignored: Any) -> None:
        self.workplace = workplace
        self.uses_props = False
        self.scratch = LocalScratch()
        for name, content in (ignored.get("files") or {}).items():
            self.scratch.write(name, content)
        self._environ = dict(environ or {})
        self._code = LocalScratch()
        self._loaded: Any = None
        self._props: Any = None
        self._stops: list[Callable[[], None]] = []

    @property
    def props(self) -> Any:
        if self._props is None and self.workplace.props is not None:
            self._props = types.ModuleType("rounds_props")
            sys.modules["rounds_props"] = self._props
            exec(compile(self.workplace.props, "props.py", "exec", dont_inherit=True), self._props.__dict__)
        return self._props

    @property
    def submission(self) -> Any:
        if self._loaded is None:
            prepare = getattr(self.props, "prepare", None)
            if prepare is not None:
                prepare()
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> Any:
        import importlib
        import os

        for name, content in self.workplace.files.items():
            self._code.write(name, content)
        sys.modules.pop(self.workplace.module, None)
        sys.path.insert(0, self._code.path)
        saved = dict(os.environ)
        os.environ.update(self._environ)
        try:
            importlib.invalidate_caches()
            return importlib.import_module(self.workplace.module)
        finally:
            sys.path.remove(self._code.path)
            os.environ.clear()
            os.environ.update(saved)

    def serve(self, app: Any) -> httpx.Client:
        from rounds.inside.server import serve_app

        path = f"{self._code.path}/socket-{threading.get_ident()}-{len(self._stops)}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(128)
        serve_app(app, listener.detach())
        client = http_client(path, 30)
        self._stops.append(client.close)
        return client

    def close(self) -> None:
        for stop in self._stops:
            stop()
        self.scratch.remove()
        self._code.remove()
