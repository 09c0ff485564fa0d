"""Frames: what is packed is read again, and a size is checked before it is believed."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rounds.inside import frames
from rounds.inside.frames import WireError


class Stream:
    """Bytes to read from; remembers the largest amount that was asked for at once."""

    def __init__(self, data):
        self.data = data
        self.largest = 0

    def read_exactly(self, count):
        self.largest = max(self.largest, count)
        taken, self.data = self.data[:count], self.data[count:]
        if len(taken) < count:
            raise EOFError
        return bytearray(taken)


def joined(payload, buffers):
    return b"".join(bytes(chunk) for chunk in frames.pack(payload, [memoryview(buffer) for buffer in buffers]))


@settings(max_examples=50, deadline=None)
@given(st.binary(), st.lists(st.binary(), max_size=6))
def test_a_frame_is_read_as_it_was_packed(payload, buffers):
    stream = Stream(joined(payload, buffers) + b"next")
    assert frames.read(stream.read_exactly) == (payload, buffers)
    assert stream.data == b"next"


def test_buffers_go_out_without_a_copy():
    buffer = memoryview(bytearray(1000))
    assert frames.pack(b"payload", [buffer])[-1] is buffer


@pytest.mark.parametrize("missing", [1, 5, 9, 12])
def test_a_frame_that_is_cut_short_reads_to_the_end_of_the_stream(missing):
    with pytest.raises(EOFError):
        frames.read(Stream(joined(b"abc", [b"defgh"])[:-missing]).read_exactly)


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!IH", frames.MAX_PAYLOAD + 1, 0),
        struct.pack("!IH", 0xFFFFFFFF, 0),
        struct.pack("!IH", 1, frames.MAX_BUFFERS + 1),
        struct.pack("!IHQ", 1, 1, frames.MAX_BUFFER_BYTES + 1),
        struct.pack("!IHQQ", 1, 2, frames.MAX_BUFFER_BYTES, 1),
        struct.pack("!IHQQ", 1, 2, 2**64 - 1, 1),
    ],
    ids=["payload", "largest payload", "number of buffers", "buffer", "buffers together", "sum past 64 bits"],
)
def test_a_size_above_the_limit_is_refused_before_anything_of_that_size_is_read(head):
    stream = Stream(head + b"x" * 100)
    with pytest.raises(WireError, match="larger than the limit"):
        frames.read(stream.read_exactly)
    assert stream.largest <= 8 * frames.MAX_BUFFERS


def test_what_the_peer_would_refuse_is_not_packed():
    one = memoryview(b"x")
    with pytest.raises(WireError, match="too large"):
        frames.pack(b"x" * (frames.MAX_PAYLOAD + 1), [])
    with pytest.raises(WireError, match="too large"):
        frames.pack(b"", [one] * (frames.MAX_BUFFERS + 1))
    with pytest.raises(WireError, match="too large"):
        frames.pack(b"", [memoryview(bytearray(frames.MAX_BUFFER_BYTES)), one])
