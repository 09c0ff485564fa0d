"""The process that runs one submission for one test. Once the submission is loaded, nothing here can be trusted.

The judge asks by name ("getattr", "call", …); what is data goes back by value, anything else stays here and goes
back as a handle, a number under which the judge may ask for more.
"""

import asyncio
import contextlib
import dataclasses
import importlib
import importlib.util
import itertools
import operator
import os
import py_compile
import queue
import socket
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import codec
from .channel import Channel, Later
from .codec import Codec
from .exceptions import describe
from .lent import Lent, lent_object
from .loops import Loops
from .probe import look_around
from .server import serve_app

MAX_SCRATCH_FILES = 2000
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
_exit = os._exit  # a submission may replace the name


class Agent(Channel):
    """The sandboxed end of the channel."""

    def __init__(self, connection: socket.socket, folder: Path, listeners: list[int]) -> None:
        super().__init__(connection, Codec(self.to_reference, self.from_reference), first=1, asks="back")
        self.folder = folder
        self.code = folder / "submission"
        self.scratch = folder / "scratch"
        self.listeners = listeners
        self.loops = Loops()
        self.main_questions: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._objects: dict[int, Any] = {}
        self._numbers_of: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._next = itertools.count(1)
        self._lent: dict[int, Lent] = {}
        self._lock = threading.Lock()
        self.operations = self._table()

    # --- the channel's sides

    def read_exactly(self, count: int) -> bytearray:
        buffer, filled = bytearray(count), 0
        view = memoryview(buffer)
        while filled < count:
            received = self.connection.recv_into(view[filled:])
            if not received:
                _exit(0)  # the judge hung up
            filled += received
        return buffer

    def open_conversation(self, message: list[Any]) -> None:
        if message[1] == 0:
            self.main_questions.put(message)
        else:
            super().open_conversation(message)

    def answer(self, message: list[Any]) -> Any:
        _, _, operation, arguments, keywords = message
        return self.operations[operation](*arguments, **keywords)

    def describe(self, error: BaseException) -> list[Any]:
        return describe(error, self.code, self.codec)

    def rebuild(self, description: Any) -> BaseException:
        kind, arguments = description
        return kind(*arguments) if issubclass(kind, BaseException) else RuntimeError(*arguments)

    # --- objects and their numbers

    def to_reference(self, value: Any) -> codec.Reference:
        if isinstance(value, Lent):
            return codec.LENT, [value._lent_number]
        if isinstance(value, type) and issubclass(value, BaseException):
            return codec.EXCEPTION_CLASS, self._class_parts(value)
        return codec.HANDLE, [self._number(value), type(value).__name__]

    def _class_parts(self, kind: type) -> list[Any]:
        if kind.__module__ == "builtins":
            return [0, kind.__name__, []]
        bases = [base for base in kind.__bases__ if issubclass(base, BaseException)]
        return [self._number(kind), kind.__name__, [self._class_parts(base) for base in bases]]

    def _number(self, value: Any) -> int:
        with self._lock:
            number = self._numbers_of.get(id(value))
            if number is None:
                number = next(self._next)
                self._numbers_of[id(value)] = number
                self._objects[number] = value
            self._uses[number] = self._uses.get(number, 0) + 1
            return number

    def free(self, *numbers: int) -> None:
        with self._lock:
            for number in numbers:
                self._uses[number] -= 1
                if not self._uses[number]:
                    value = self._objects.pop(number)
                    self._numbers_of.pop(id(value), None)

    def from_reference(self, code: int, body: Any) -> Any:
        if code == codec.LENT:
            number, methods, attributes, coroutines = body
            if number not in self._lent:
                self._lent[number] = lent_object(self, number, methods, attributes, coroutines)
            return self._lent[number]
        if code == codec.EXCEPTION_CLASS and not body[0]:
            return getattr(__import__("builtins"), body[1])
        return self._objects[body[0]]

    def call_back(self, number: int, method: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return self.request(number, method, list(arguments), keywords)

    # --- what the judge may ask

    def _table(self) -> dict[str, Callable[..., Any]]:
        simple: dict[str, Callable[..., Any]] = {
            name: getattr(operator, name) for name in ("getitem", "setitem", "delitem", "contains", "eq", "lt")
        }
        builtin: tuple[Callable[..., Any], ...] = (
            getattr, setattr, delattr, len, iter, next, isinstance, bool, callable,
        )  # fmt: skip
        named = {function.__name__: function for function in builtin}
        methods: tuple[Callable[..., Any], ...] = (
            self.compiled, self.load, self.props, self.free, self.write_files, self.read_file, self.list_files,
            self.serve_app, self.run, self.together,
        )  # fmt: skip
        return {
            **simple,
            **named,
            **{method.__name__: method for method in methods},
            "call": _call,
            "enter": lambda value: type(value).__enter__(value),
            "exit": lambda value: type(value).__exit__(value, None, None, None),
            "data": as_data,
            "probe": look_around,
            "repr": lambda value: repr(value)[:4000],
        }

    def compiled(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Compile modules without running them; what is no valid Python is left for the import to tell of."""
        _write_files(self.code, files)
        made: dict[str, bytes] = {}
        for name in files:
            with contextlib.suppress(Exception):
                path = self.code / name
                where = Path(importlib.util.cache_from_source(path))
                py_compile.compile(str(path), doraise=True, invalidation_mode=UNCHECKED)
                made[str(where.relative_to(self.code))] = where.read_bytes()
        return made

    def load(self, files: dict[str, bytes], name: str, environ: dict[str, str]) -> Any:
        os.environ.update(environ)
        _write_files(self.code, files)
        os.chdir(self.code)
        sys.path.insert(0, str(self.code))
        return importlib.import_module(name)

    def props(self, source: bytes) -> Any:
        module = types.ModuleType("rounds_props")
        module.__file__ = "props.py"
        sys.modules["rounds_props"] = module
        exec(compile(source, "<props>", "exec", dont_inherit=True), module.__dict__)
        prepare = module.__dict__.get("prepare")
        if prepare is not None:
            prepare()
        return module

    def write_files(self, files: dict[str, bytes]) -> str:
        _write_files(self.scratch, files)
        return str(self.scratch)

    def read_file(self, name: str) -> bytes:
        descriptor = os.open(self.scratch / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def list_files(self) -> list[str]:
        found = (path for path in self.scratch.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted(str(path.relative_to(self.scratch)) for path in itertools.islice(found, MAX_SCRATCH_FILES))

    def serve_app(self, app: Any, which: int) -> None:
        serve_app(app, self.listeners[which])

    def run(self, awaitable: Any, loop: str) -> Any:
        future = self.loops.start(awaitable, loop)
        return Later(future) if loop == "real" else future.result()

    def together(self, awaitables: list[Any], delays: list[float], loop: str) -> Any:
        return self.run(_gather(awaitables, delays), loop)


async def _gather(awaitables: list[Any], delays: list[float]) -> list[Any]:
    async def one(awaitable: Any, delay: float) -> Any:
        if delay:
            await asyncio.sleep(delay)
        return await awaitable

    return await asyncio.gather(*(one(*pair) for pair in zip(awaitables, delays, strict=True)))


def _call(function: Any, /, *arguments: Any, **keywords: Any) -> Any:
    return function(*arguments, **keywords)


def as_data(value: Any) -> Any:
    """Return a record's fields by value: dataclass, pydantic model, or any object with attributes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else dict(vars(value))


def _write_files(root: Path, files: dict[str, bytes]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def serve(connection: socket.socket, folder: Path, listeners: list[int]) -> None:
    """Answer the judge until it hangs up. The main thread answers conversation 0."""
    agent = Agent(connection, folder, listeners)
    agent.scratch.mkdir()
    threading.Thread(target=agent.read_messages, daemon=True, name="channel").start()
    while agent.broken is None:
        try:
            message = agent.main_questions.get(timeout=3600)
        except queue.Empty:
            break
        agent.serve(message)
    _exit(71)
