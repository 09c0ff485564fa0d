"""Several conversations over one socket, each held by one thread on either side.

A conversation is a stack of questions. Whoever waits for an answer also answers the questions that come back on the
same conversation, so a call that calls back runs in the thread that waits for it, as it would in one process. A
question on a new conversation gets a thread of its own. Conversation 0 belongs to the test's thread and is served by
the sandboxed process's main thread. The judge's side opens even numbers, the sandboxed side odd ones.

Messages are lists: `["do" | "back", conversation, …]` asks, `["ret", conversation, value]` and
`["exc", conversation, description]` answer.
"""

import concurrent.futures
import itertools
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from . import frames
from .codec import Codec
from .frames import WireError

MAX_THREADS = 64
MAX_WAITING = 10_000  # questions that came and found no thread yet


class Inbox(Protocol):
    """Where a conversation's messages are put; None says that the channel is broken."""

    def put(self, message: list[Any] | None, /) -> None: ...


class Later:
    """An answer that is not there yet: the reply is sent when the future is done."""

    def __init__(self, future: "concurrent.futures.Future[Any]") -> None:
        self.future = future


class Channel:
    """One end of the line. Subclasses say how to read, how to wait, how to answer and what an exception looks like."""

    def __init__(self, connection: socket.socket, codec: Codec, *, first: int, asks: str) -> None:
        self.connection = connection
        self.codec = codec
        self.broken: BaseException | None = None
        self._asks = asks
        self._numbers = itertools.count(first, 2)
        self._local = threading.local()
        self._inboxes: dict[int, Inbox] = {}
        self._sending = threading.Lock()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    # --- what a side provides

    def answer(self, message: list[Any]) -> Any:
        raise NotImplementedError

    def describe(self, error: BaseException) -> list[Any]:
        raise NotImplementedError

    def rebuild(self, description: Any) -> BaseException:
        raise NotImplementedError

    def read_exactly(self, count: int) -> bytearray:
        raise NotImplementedError

    def seconds_left(self) -> float | None:
        return None

    def timed_out(self) -> BaseException:
        raise NotImplementedError

    # --- asking

    def request(self, *parts: Any) -> Any:
        """Ask and wait for the answer; questions that come back meanwhile are answered here."""
        current = getattr(self._local, "conversation", None)
        if current is not None:
            return self._converse(current, self._inboxes[current], parts)
        number = self.own_number()
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inboxes[number] = inbox
        self._local.conversation = number
        try:
            return self._converse(number, inbox, parts)
        finally:
            self._local.conversation = None
            self._inboxes.pop(number, None)

    def own_number(self) -> int:
        return next(self._numbers)

    def post(self, inbox: Inbox, *parts: Any) -> None:
        """Ask without waiting: the answer is put into `inbox`."""
        number = next(self._numbers)
        self._inboxes[number] = inbox
        self.send([self._asks, number, *parts])

    def _converse(self, number: int, inbox: Any, parts: tuple[Any, ...]) -> Any:
        self.send([self._asks, number, *parts])
        while True:
            try:
                message = inbox.get(timeout=self.seconds_left())
            except queue.Empty:
                raise self.timed_out() from None
            if message is None:
                raise self.broken or WireError("the channel is closed")
            if message[0] == "ret":
                return message[2]
            if message[0] == "exc":
                raise self.rebuild(message[2])
            self._reply(number, message)

    # --- answering

    def _reply(self, number: int, message: list[Any], done: Callable[[], None] | None = None) -> None:
        try:
            value = self.answer(message)
        except BaseException as error:
            if done is not None:
                done()
            self._send_failure(number, error)
            return
        if done is not None:
            done()
        if isinstance(value, Later):
            value.future.add_done_callback(lambda future: self._send_future(number, future))
        else:
            self._send_value(number, value)

    def _send_value(self, number: int, value: Any) -> None:
        try:
            chunks = self._chunks(["ret", number, value])
        except BaseException as error:
            self._send_failure(number, error)
        else:
            self._send_chunks(chunks)

    def _send_future(self, number: int, future: "concurrent.futures.Future[Any]") -> None:
        try:
            value = future.result()
        except BaseException as error:
            self._send_failure(number, error)
        else:
            self._send_value(number, value)

    def _send_failure(self, number: int, error: BaseException) -> None:
        self.send(["exc", number, self.describe(error)])

    def serve(self, message: list[Any]) -> None:
        """Answer a question that opens a conversation, in this thread."""
        number = message[1]
        posted = self._inboxes.get(number)  # the peer asks back about a question that nobody waits for
        self._inboxes[number] = queue.SimpleQueue()
        self._local.conversation = number

        def done() -> None:  # before the reply is out: the peer may ask on the same number at once
            self._local.conversation = None
            self.forget_conversation(number)
            if posted is not None:
                self._inboxes[number] = posted

        self._reply(number, message, done)

    def forget_conversation(self, number: int) -> None:
        self._inboxes.pop(number, None)

    def open_conversation(self, message: list[Any]) -> None:
        """Find a thread for a question on a new conversation."""
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(MAX_THREADS)
        if self._pool._work_queue.qsize() > MAX_WAITING:
            raise WireError("too many questions at once")
        self._pool.submit(self.serve, message)

    # --- the wire

    def send(self, message: list[Any]) -> None:
        self._send_chunks(self._chunks(message))

    def _chunks(self, message: list[Any]) -> list[bytes | memoryview]:
        return frames.pack(*self.codec.encode(message))

    def _send_chunks(self, chunks: list[bytes | memoryview]) -> None:
        with self._sending:
            for chunk in chunks:
                self.write(chunk)

    def write(self, chunk: bytes | memoryview) -> None:
        self.connection.sendall(chunk)

    def read_messages(self) -> None:
        """Read until the channel breaks, handing each message to whom it concerns. Runs in a thread of its own."""
        try:
            while True:
                self._dispatch(self.codec.decode(*frames.read(self.read_exactly)))
        except BaseException as error:
            self.break_off(error)

    def _dispatch(self, message: Any) -> None:
        if type(message) is not list or len(message) < 3 or (type(message[0]), type(message[1])) != (str, int):
            raise WireError("a message has the wrong shape")
        inbox = self._inboxes.get(message[1])
        if inbox is not None:
            inbox.put(message)
        elif message[0] in ("ret", "exc") or message[0] == self._asks:
            raise WireError("an answer came to no question")
        else:
            self.open_conversation(message)

    def break_off(self, error: BaseException) -> None:
        """Wake everyone who waits: no more answers will come."""
        if self.broken is None:
            self.broken = error
        for inbox in list(self._inboxes.values()):
            inbox.put(None)
