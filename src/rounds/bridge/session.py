"""One sandboxed process for one test, as the judge sees it: questions, answers, deadlines, output, and its end."""

import builtins
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rounds.bridge.exceptions import ExceptionClasses, without_an_end
from rounds.bridge.failures import (
    OpaqueValue,
    ProtocolBroken,
    SandboxFailure,
    SubmissionDied,
    SubmissionFailure,
    SubmissionTimeout,
    death,
)
from rounds.bridge.lending import Lend
from rounds.bridge.proxy import Proxy, is_proxy, number_of, proxy
from rounds.inside import codec
from rounds.inside.channel import Channel
from rounds.inside.codec import Codec
from rounds.inside.frames import WireError

GRACE_SECONDS = 2.0
OUTPUT_CAP = 256 << 10
LAST_READS = 32
MAX_RECEIVED = 1 << 30
MAX_CALLBACKS = 500_000
MAX_DEPTH = 20
FREE_EVERY = 200
_CLOSED = object()


class Nursery(Protocol):
    """What makes children: a zygote."""

    def spawn(self, limits: dict[str, float], servers: int = 0) -> Any: ...


class Session(Channel):
    """The judge's end of one child. Use from any thread; `close` ends the child."""

    def __init__(self, nursery: Nursery, limits: dict[str, float], servers: int = 0, head_start: float = 0.0) -> None:
        spawned = nursery.spawn({**limits, "seconds": limits["seconds"] + head_start}, servers)
        super().__init__(spawned.channel, Codec(self.to_reference, self.from_reference), first=2, asks="do")
        self.limits = limits
        self.listeners: tuple[str, ...] = spawned.listeners
        self.deadline = 0.0
        self._set_deadline()
        self.output = bytearray()
        self.output_cut = False
        self.report: dict[str, Any] = {}
        self.loop_kind = "real"
        self.classes = ExceptionClasses()
        self._line: socket.socket = spawned.line
        self._output: int = spawned.output
        self._owner = threading.current_thread()
        self._lent: dict[int, Any] = {}
        self._unused: list[int] = []
        self._callbacks = 0
        self._received = 0
        self.closing = False
        self.connection.setblocking(False)
        os.set_blocking(self._output, False)
        self._reader = threading.Thread(target=self.read_messages, daemon=True, name="session")
        self._reader.start()

    def belongs_to_this_thread(self) -> None:
        """Make the caller's thread the one whose questions the child's main thread answers; time starts anew."""
        self._owner = threading.current_thread()
        self._set_deadline()

    def _set_deadline(self) -> None:
        """Say when the judge gives up by itself: later than the zygote ends a child, which may have queued so long."""
        self.deadline = time.monotonic() + 2 * self.limits["seconds"] + GRACE_SECONDS

    # --- asking

    def request(self, operation: str, *parts: Any) -> Any:
        """Ask for an operation by name: `request("call", [function, 1], {})`."""
        if self.broken is not None:
            raise self.broken
        if len(self._unused) > FREE_EVERY:
            unused, self._unused = self._unused, []
            super().request("free", unused, {})
        try:
            return super().request(operation, *parts)
        except StopIteration as error:
            if operation == "next":
                raise
            raise without_an_end(error) from None

    def ask(self, operation: str, /, *arguments: Any, **keywords: Any) -> Any:
        return self.request(operation, list(arguments), keywords)

    def forget(self, number: int) -> None:
        """Note that a proxy is gone; its object is let go with the next batch."""
        self._unused.append(number)

    def own_number(self) -> int:
        return 0 if threading.current_thread() is self._owner else super().own_number()

    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def timed_out(self) -> SubmissionFailure:
        return SubmissionTimeout(f"it gave no answer within {self.limits['seconds']:g} s, the limit of this test")

    # --- reading and writing

    def read_exactly(self, count: int) -> bytearray:
        self._received += count
        if self._received > MAX_RECEIVED:
            raise WireError("it sent more than a test can hold")
        buffer, filled = bytearray(count), 0
        view = memoryview(buffer)
        while filled < count:
            try:
                received = self.connection.recv_into(view[filled:])
            except BlockingIOError:
                self._wait()
                continue
            except OSError:
                received = 0
            if not received:
                raise self._end()
            filled += received
        return buffer

    def write(self, chunk: bytes | memoryview) -> None:
        view = memoryview(chunk).cast("B")
        while view:
            try:
                view = view[self.connection.send(view, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                if not self.seconds_left():
                    raise self.timed_out() from None
                select.select([], [self.connection], [], min(1.0, self.seconds_left()))
            except OSError:
                self._reader.join(GRACE_SECONDS)  # it knows why the child is gone
                raise self.broken or SubmissionDied("its process ended") from None

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        if self._output >= 0:
            poll.register(self._output, select.POLLIN)
        for descriptor, _ in poll.poll(1000):
            if descriptor == self._output:
                self._drain()

    def _drain(self) -> None:
        try:
            data = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            os.close(self._output)
            self._output = -1
            return
        room = OUTPUT_CAP - len(self.output)
        self.output_cut |= len(data) > room
        self.output += data[: max(0, room)]

    # --- the end

    def _end(self) -> BaseException:
        if self.closing:
            return SubmissionDied("the test is over")
        self.read_report(1.0)
        if not self.report:  # it lives, and has only closed the channel
            self._line.shutdown(socket.SHUT_WR)
            self.read_report()
        return death(self.report, self.limits["seconds"], int(self.limits.get("memory_mb", 0)))

    def read_report(self, wait: float = 3.0) -> None:
        """Take the zygote's word of how the child ended."""
        if self.report or not select.select([self._line], [], [], wait)[0]:
            return
        with contextlib.suppress(OSError, ValueError):
            self.report = json.loads(self._line.recv(4096))

    def break_off(self, error: BaseException) -> None:
        if isinstance(error, WireError):
            error = ProtocolBroken(f"what it sent is not a valid answer: {error}")
        elif not isinstance(error, (SubmissionFailure, SandboxFailure)):
            error = SandboxFailure(f"{type(error).__name__}: {error}")
        super().break_off(error)

    def close(self) -> None:
        """End the child and let everything go. What it wrote before its last answer is kept."""
        if self.closing:
            return
        self.closing = True
        self.deadline = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self._reader.join(GRACE_SECONDS)
        for _ in range(LAST_READS):  # and no more: it may be writing still
            if self._output < 0 or not select.select([self._output], [], [], 0)[0]:
                break
            self._drain()
        self.read_report(0)
        self.connection.close()
        self._line.close()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        for path in self.listeners:
            with contextlib.suppress(OSError):
                Path(path).unlink()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # --- values

    def to_reference(self, value: Any) -> codec.Reference:
        if is_proxy(value):
            return codec.HANDLE, [number_of(value, self)]
        if isinstance(value, type) and issubclass(value, BaseException):
            return codec.EXCEPTION_CLASS, [self.classes.number_of(value), value.__name__, []]
        if isinstance(value, Lend):
            self._lent[id(value)] = value
            return codec.LENT, [id(value), list(value.methods), value.attributes, list(value.coroutines)]
        if callable(value) and not isinstance(value, type):
            self._lent[id(value)] = value
            return codec.LENT, [id(value), ["__call__"], {}, []]
        raise TypeError(f"{type(value).__name__} is no data: lend it, as lend(value, 'method', …)")

    def from_reference(self, code: int, body: Any) -> Any:
        if code == codec.LENT:
            return self._lent[body[0]]
        if code == codec.EXCEPTION_CLASS:
            return self.classes.take(body)
        if type(body[0]) is not int or type(body[1]) is not str:
            raise WireError("a handle has the wrong shape")
        return proxy(self, body[0], body[1][:80])

    # --- answering what the submission asks of lent fakes

    def answer(self, message: list[Any]) -> Any:
        if message[0] != "back" or len(message) != 6:
            raise WireError("a call back has the wrong shape")
        _, _, number, method, arguments, keywords = message
        self._callbacks += 1
        depth = getattr(self._local, "depth", 0)
        if self._callbacks > MAX_CALLBACKS or depth >= MAX_DEPTH:
            raise PermissionError("too many calls back to the test")
        self._local.depth = depth + 1
        try:
            return self._method(number, method)(*arguments, **keywords)
        finally:
            self._local.depth = depth

    def _method(self, number: int, method: str) -> Callable[..., Any]:
        value = self._lent.get(number)
        if isinstance(value, Lend):
            return value.method(method)
        if value is None or method != "__call__":
            raise PermissionError(f"{str(method)[:80]!r} is not lent")
        called: Callable[..., Any] = value
        return called

    def describe(self, error: BaseException) -> list[Any]:
        """Tell the submission of an exception in a fake: the nearest builtin class and the text, nothing else."""
        kind = next(base for base in type(error).__mro__ if base.__module__ == builtins.__name__)
        return [kind if issubclass(kind, Exception) else RuntimeError, [str(error)[:1000]]]

    def rebuild(self, description: Any) -> BaseException:
        try:
            return self.classes.rebuild(description)
        except Exception:
            return self.classes.unreadable()


__all__ = ["OpaqueValue", "Proxy", "Session"]
