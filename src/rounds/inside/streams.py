"""Many byte streams over one pair of pipes: frames with a stream's number, a window for each stream, half-closes.

A frame is `!IBI` (stream, kind, length) and `length` bytes. Both ends of the pipes run this loop, over descriptors of
their own. Neither side sends more of a stream than the other said it takes (`WINDOW` at first, then what `CREDIT`
frames add), so a stream that nobody reads holds up no other, and what an end has to keep is bounded. Whatever breaks
these rules raises BrokenRelay, and that is the end of the run.
"""

import contextlib
import enum
import os
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Any

HEAD = struct.Struct("!IBI")
WINDOW = 256 << 10
CHUNK = 64 << 10
MAX_FRAME = 64 << 10
LAST = 1 << 32  # in the order of a turn: after every stream
CONGESTED = 1 << 20  # with so much waiting for the pipe, no stream is read


class Kind(enum.IntEnum):
    """What a frame says."""

    DATA = 0
    END = 1  # no more bytes will come
    STOP = 2  # no more bytes are taken
    CREDIT = 3  # so many more bytes are taken
    SPAWN = 4  # down: a child is wanted
    CONNECT = 5  # down: somebody connected to a child's server
    READY = 6  # up: the zygote's word


class BrokenRelay(Exception):
    """The other end hung up, or broke the rules."""


class Stream:
    """One stream at one end: the descriptor that it is here, and how far each direction has come."""

    def __init__(self, number: int, descriptor: int, *, reads: bool, writes: bool, is_socket: bool) -> None:
        self.number = number
        self.descriptor = descriptor
        self.is_socket = is_socket
        self.reads = reads  # our END is still owed
        self.writes = writes  # the peer's END has not come, or what came before it is not written yet
        self.ending = False  # the peer's END came
        self.stopped = False  # nobody takes what comes; it is thrown away
        self.credit = WINDOW  # how much the peer takes
        self.room = WINDOW  # how much the peer may send
        self.owed = 0  # what was written and not yet given back as credit
        self.pending = bytearray()


class Relay:
    """One end: moves bytes between its descriptors and the pair of pipes until the other end hangs up."""

    def __init__(self, source: int, sink: int) -> None:
        self.streams: dict[int, Stream] = {}
        self.highest = 0  # numbers up to here were given out once
        self._source, self._sink = source, sink
        self._incoming, self._outgoing = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        self.watch(source, self._receive)

    # --- for the two ends

    def order(self, number: int, kind: Kind, payload: bytes) -> None:
        """Take a frame that is about no stream's bytes."""
        raise BrokenRelay(f"a frame of kind {kind.name} has no place here")

    def ended(self, number: int) -> None:
        """Learn that the other end sends nothing more on this stream."""

    def exhausted(self, number: int) -> None:
        """Learn that this end has nothing more to send on this stream."""

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, (LAST, lambda _: callback()))

    def unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def add(self, number: int, end: socket.socket | int, *, reads: bool = True, writes: bool = True) -> None:
        """Take over a descriptor as the stream of this number."""
        if number <= self.highest:
            raise BrokenRelay("a stream's number came twice")
        self.highest = number
        descriptor = end if isinstance(end, int) else end.detach()
        os.set_blocking(descriptor, False)
        stream = Stream(number, descriptor, reads=reads, writes=writes, is_socket=not isinstance(end, int))
        self.streams[number] = stream
        self._update(stream)

    def send(self, number: int, kind: Kind, payload: bytes = b"") -> None:
        self._outgoing += HEAD.pack(number, kind, len(payload)) + payload

    def turn(self) -> None:
        """Wait for something to do and do it.

        Lower streams come first, a child's output before its answers, and any stream's end before a new order.
        """
        ready = self._selector.select()
        for key, mask in sorted(ready, key=lambda pair: pair[0].data[0]):
            number, callback = key.data
            if number == LAST or number in self.streams:
                callback(mask)
        self._flush()

    def close(self) -> None:
        for stream in list(self.streams.values()):
            os.close(stream.descriptor)
        self.streams.clear()
        self._selector.close()

    # --- the pipes

    def _receive(self) -> None:
        try:
            received = os.read(self._source, 4 * CHUNK)
        except BlockingIOError:
            return
        if not received:
            raise BrokenRelay("the other end hung up")
        self._incoming += received
        start = 0
        while len(self._incoming) - start >= HEAD.size:
            number, kind, length = HEAD.unpack_from(self._incoming, start)
            if length > MAX_FRAME or kind > Kind.READY:
                raise BrokenRelay("a frame has the wrong shape")
            body = start + HEAD.size
            if len(self._incoming) < body + length:
                break
            start = body + length
            self._take(number, Kind(kind), bytes(self._incoming[body:start]))
        del self._incoming[:start]

    def _flush(self) -> None:
        was_congested = len(self._outgoing) > CONGESTED
        while self._outgoing:
            try:
                written = os.write(self._sink, self._outgoing[: 4 * CHUNK])
            except BlockingIOError:
                break
            except BrokenPipeError:
                raise BrokenRelay("the other end hung up") from None
            del self._outgoing[:written]
        watched = self._sink in self._selector.get_map()
        if self._outgoing and not watched:
            self._selector.register(self._sink, selectors.EVENT_WRITE, (LAST, lambda _: None))
        elif watched and not self._outgoing:
            self._selector.unregister(self._sink)
        if was_congested or len(self._outgoing) > CONGESTED:
            for stream in self.streams.values():
                self._update(stream)

    def _take(self, number: int, kind: Kind, payload: bytes) -> None:
        if kind >= Kind.SPAWN:
            self.order(number, kind, payload)
            return
        stream = self.streams.get(number)
        if stream is None:
            if 0 < number <= self.highest and kind in (Kind.STOP, Kind.CREDIT):
                return  # it crossed with the end of the stream
            raise BrokenRelay("a frame is for a stream that is not there")
        if kind is Kind.DATA:
            self._take_data(stream, payload)
        elif kind is Kind.END:
            self._take_end(stream)
        elif kind is Kind.STOP:
            self._end_reading(stream)
        else:
            self._take_credit(stream, payload)
        self._settle(stream)

    def _take_data(self, stream: Stream, payload: bytes) -> None:
        if not stream.writes or stream.ending or len(payload) > stream.room:
            raise BrokenRelay("more came on a stream than was allowed")
        stream.room -= len(payload)
        if not stream.stopped:
            stream.pending += payload
            self._write(stream)

    def _take_end(self, stream: Stream) -> None:
        if not stream.writes or stream.ending:
            raise BrokenRelay("a stream ended twice")
        stream.ending = True
        self._finish_writing(stream)
        self.ended(stream.number)

    def _take_credit(self, stream: Stream, payload: bytes) -> None:
        if len(payload) != 4 or stream.credit + int.from_bytes(payload) > WINDOW:
            raise BrokenRelay("more credit came than was spent")
        stream.credit += int.from_bytes(payload)

    # --- the descriptors

    def _act(self, stream: Stream, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._write(stream)
        if mask & selectors.EVENT_READ and stream.reads:
            self._read(stream)
        self._settle(stream)

    def _read(self, stream: Stream) -> None:
        try:
            data = os.read(stream.descriptor, min(CHUNK, stream.credit))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            stream.credit -= len(data)
            self.send(stream.number, Kind.DATA, data)
        else:
            self._end_reading(stream)

    def _end_reading(self, stream: Stream) -> None:
        if stream.reads:
            stream.reads = False
            self.send(stream.number, Kind.END)
            _shut(stream, socket.SHUT_RD)  # whoever writes to it learns at once that nobody reads
            self.exhausted(stream.number)

    def _write(self, stream: Stream) -> None:
        while stream.pending and not stream.stopped:
            try:
                written = os.write(stream.descriptor, stream.pending)
            except BlockingIOError:
                break
            except OSError:
                stream.stopped = True
                stream.pending.clear()
                self.send(stream.number, Kind.STOP)
                break
            del stream.pending[:written]
            stream.owed += written
        if stream.owed >= WINDOW // 4 and not stream.ending:
            self.send(stream.number, Kind.CREDIT, stream.owed.to_bytes(4))
            stream.room += stream.owed
            stream.owed = 0
        self._finish_writing(stream)

    def _finish_writing(self, stream: Stream) -> None:
        if stream.ending and stream.writes and not stream.pending:
            stream.writes = False
            _shut(stream, socket.SHUT_WR)

    def _settle(self, stream: Stream) -> None:
        if stream.number not in self.streams:
            return
        self._update(stream)
        if not stream.reads and not stream.writes:
            del self.streams[stream.number]
            os.close(stream.descriptor)

    def _update(self, stream: Stream) -> None:
        """Wait for what this stream can go on with."""
        wanted = selectors.EVENT_WRITE if stream.pending else 0
        if stream.reads and stream.credit and len(self._outgoing) <= CONGESTED:
            wanted |= selectors.EVENT_READ
        known: Any = self._selector.get_map().get(stream.descriptor)
        data = (stream.number, lambda mask: self._act(stream, mask))
        if known is None and wanted:
            self._selector.register(stream.descriptor, wanted, data)
        elif known is not None and not wanted:
            self._selector.unregister(stream.descriptor)
        elif known is not None and known.events != wanted:
            self._selector.modify(stream.descriptor, wanted, data)


def _shut(stream: Stream, how: int) -> None:
    if stream.is_socket:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(stream.descriptor)) as end:
            end.shutdown(how)
