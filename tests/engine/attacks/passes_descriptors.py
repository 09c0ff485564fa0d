"""Hands the judge hundreds of descriptors over the channel.  Expect: met."""

import contextlib
import os
import socket

CHANNEL = socket.socket(fileno=os.dup(3))
CHANNEL.setblocking(False)

import honest  # noqa: E402


def double(number):
    return honest.double(number)


with contextlib.suppress(OSError):
    for _ in range(100):
        CHANNEL.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\1\0\0\0" * 200)])
