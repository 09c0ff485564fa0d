"""Frames on a stream socket: a header with sizes, a msgpack payload, and raw buffers beside it.

A frame is `!IH` (payload bytes, number of buffers), one `!Q` per buffer, the payload, the buffers. Every size is
checked before a byte of it is read, so a peer can't make the reader allocate more than the caps below.
"""

import struct
from collections.abc import Callable, Sequence

MAX_PAYLOAD = 16 << 20
MAX_BUFFERS = 512
MAX_BUFFER_BYTES = 256 << 20
_HEAD = struct.Struct("!IH")


class WireError(Exception):
    """The peer broke the protocol, or a value is too large to cross."""


def pack(payload: bytes, buffers: Sequence[memoryview]) -> list[bytes | memoryview]:
    """Return the chunks of one frame, small parts joined, in the order in which they go out."""
    if len(payload) > MAX_PAYLOAD or len(buffers) > MAX_BUFFERS:
        raise WireError("the value is too large to cross the sandbox's border")
    sizes = [buffer.nbytes for buffer in buffers]
    if sum(sizes) > MAX_BUFFER_BYTES:
        raise WireError("the value is too large to cross the sandbox's border")
    return [_HEAD.pack(len(payload), len(buffers)) + struct.pack(f"!{len(sizes)}Q", *sizes) + payload, *buffers]


def read(read_exactly: Callable[[int], bytearray]) -> tuple[bytes, list[bytearray]]:
    """Read one frame; `read_exactly(n)` returns n bytes or raises."""
    length, count = _HEAD.unpack(read_exactly(_HEAD.size))
    if length > MAX_PAYLOAD or count > MAX_BUFFERS:
        raise WireError("a frame is larger than the limit")
    sizes = struct.unpack(f"!{count}Q", read_exactly(8 * count)) if count else ()
    if sum(sizes) > MAX_BUFFER_BYTES:
        raise WireError("a frame is larger than the limit")
    return bytes(read_exactly(length)), [read_exactly(size) for size in sizes]
