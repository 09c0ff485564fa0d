"""Proxies: a submission's objects as a test holds them. Attributes, calls and items go across; judgements don't.

A proxy can't be compared with data and has no truth value: both would hand the verdict to the submission. Fetch data
and compare it here.
"""

import asyncio
import contextlib
from collections.abc import Generator, Iterator
from typing import Any

from rounds.bridge.exceptions import cleaned, without_an_end
from rounds.bridge.failures import OpaqueValue

_ALLOWED = {
    "__name__", "__doc__", "__version__", "__all__", "__annotations__", "__dict__", "__module__", "__qualname__",
    "__mro__", "__bases__", "__notes__", "__cause__", "__wrapped__", "__dataclass_fields__",
}  # fmt: skip
MAX_LENGTH = 1 << 24
_HINT = "is an object of the submission, not data: compare its attributes, or data_of() it"


class Proxy:
    # A handle on one object inside. Reached by name; everything it answers is the submission's word. It has no doc
    # string of its own: an object's is asked for like any attribute.

    __slots__ = ("__weakref__", "_rounds_kind", "_rounds_number", "_rounds_session")
    __doc__ = property(lambda self: _ask(self, "getattr", self, "__doc__"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in _ALLOWED:
            raise AttributeError(name)
        return _ask(self, "getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, "delattr", self, name)

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        return _session(self).request("call", [self, *arguments], keywords)

    def __getitem__(self, key: Any) -> Any:
        return _ask(self, "getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _ask(self, "setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        _ask(self, "delitem", self, key)

    def __len__(self) -> int:
        length = int(_ask(self, "len", self))
        if not 0 <= length <= MAX_LENGTH:  # list() makes room for so many ahead of time
            raise OpaqueValue(f"{self!r} has an impossible length")
        return length

    def __iter__(self) -> Iterator[Any]:
        iterator: Iterator[Any] = _ask(self, "iter", self)
        return iterator

    def __next__(self) -> Any:
        return _ask(self, "next", self)

    def __enter__(self) -> Any:
        return _ask(self, "enter", self)

    def __exit__(self, *exception: object) -> Any:
        return _ask(self, "exit", self)

    def __await__(self) -> Generator[Any, None, Any]:
        return _awaited(_session(self), "run", [self]).__await__()

    def __instancecheck__(self, value: Any) -> bool:
        return is_proxy(value) and _ask(self, "isinstance", value, self) is True

    def __bool__(self) -> bool:
        raise OpaqueValue(f"{self!r} {_HINT}")

    def __eq__(self, other: object) -> bool:
        if not is_proxy(other):
            raise OpaqueValue(f"{self!r} {_HINT}")
        return number_of(self, _session(self)) == number_of(other, _session(self))

    def __hash__(self) -> int:
        return hash((Proxy, object.__getattribute__(self, "_rounds_number")))  # never that of data beside it in a set

    def __repr__(self) -> str:
        return f"<{cleaned(object.__getattribute__(self, '_rounds_kind'))} of the submission>"

    def __del__(self) -> None:
        _session(self).forget(object.__getattribute__(self, "_rounds_number"))


def _session(of: Proxy) -> Any:
    return object.__getattribute__(of, "_rounds_session")


def _ask(of: Proxy, operation: str, /, *arguments: Any) -> Any:
    return _session(of).request(operation, list(arguments), {})


def proxy(session: Any, number: int, kind: str) -> Proxy:
    """Make a proxy of the object that `session` knows by `number`."""
    made = object.__new__(Proxy)
    object.__setattr__(made, "_rounds_session", session)
    object.__setattr__(made, "_rounds_number", number)
    object.__setattr__(made, "_rounds_kind", kind)
    return made


def is_proxy(value: Any) -> bool:
    return type(value) is Proxy


def number_of(value: Any, session: Any) -> int:
    """Return the number under which `session` knows this proxy."""
    if _session(value) is not session:
        raise TypeError("an object of one sandboxed process can't be handed to another")
    number: int = object.__getattribute__(value, "_rounds_number")
    return number


def data_of(value: Any) -> Any:
    """Return the fields of a dataclass, pydantic model or plain object of the submission, by value."""
    if is_proxy(value):
        return _ask(value, "data", value)
    from rounds.inside.agent import as_data

    return as_data(value)


class _Answer:
    """An inbox that hands its one answer to an asyncio future of the test's."""

    def __init__(self, session: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()

    def put(self, message: list[Any] | None) -> None:
        if message is not None and message[0] not in ("ret", "exc"):
            self.session.open_conversation(message)  # the coroutine calls back from the thread that answers
            return
        if message is not None:
            self.session.forget_conversation(message[1])
        with contextlib.suppress(RuntimeError):  # the test's loop may be closed by now
            self.loop.call_soon_threadsafe(self._settle, message)

    def _settle(self, message: list[Any] | None) -> None:
        if self.future.done():
            return
        if message is None:
            self.future.set_exception(self.session.broken)
        elif message[0] == "ret":
            self.future.set_result(message[2])
        else:
            error = self.session.rebuild(message[2])
            self.future.set_exception(without_an_end(error) if isinstance(error, StopIteration) else error)


async def _awaited(session: Any, operation: str, arguments: list[Any]) -> Any:
    answer = _Answer(session, asyncio.get_running_loop())
    session.post(answer, operation, [*arguments, session.loop_kind], {})
    try:
        return await asyncio.wait_for(answer.future, session.seconds_left() or 0.001)
    except TimeoutError:
        if answer.future.cancelled():
            raise session.timed_out() from None
        raise


def gather(*awaitables: Any, delays: tuple[float, ...] | None = None) -> Any:
    """Await several coroutines of the submission on one loop, each started after its delay (seconds)."""
    waits = list(delays or [0.0] * len(awaitables))
    if not all(is_proxy(awaitable) for awaitable in awaitables):
        from rounds.inside.agent import _gather

        return _gather(list(awaitables), waits)
    return _awaited(_session(awaitables[0]), "together", [list(awaitables), waits])
