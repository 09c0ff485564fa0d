"""Frames of the channel built by hand, for attacks that send what the agent never would."""

import os
import struct
import time

import msgpack

CHANNEL = 3


def packed(value):
    return msgpack.packb(value, unicode_errors="surrogatepass")


def ext(code, value):
    return msgpack.ExtType(code, packed(value))


def frame(payload, *buffers):
    sizes = [len(buffer) for buffer in buffers]
    return struct.pack(f"!IH{len(sizes)}Q", len(payload), len(sizes), *sizes) + payload + b"".join(buffers)


def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(CHANNEL, view) :]


def answer(value, *buffers):
    """Answer the question under way with this value, and never answer again."""
    send(frame(packed(["ret", 0, value]), *buffers))
    time.sleep(60)


def answer_exception(description):
    send(frame(packed(["exc", 0, description])))
    time.sleep(60)
