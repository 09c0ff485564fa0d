"""Serves the judge's questions itself and says yes to all of them.  Expect: unmet all."""

import socket
import struct

import forge

channel = socket.socket(fileno=forge.CHANNEL)
for _ in range(1000):
    forge.send(forge.frame(forge.packed(["ret", 0, True])))
    head = channel.recv(6, socket.MSG_WAITALL)
    length, count = struct.unpack("!IH", head)
    sizes = struct.unpack(f"!{count}Q", channel.recv(8 * count, socket.MSG_WAITALL))
    channel.recv(length + sum(sizes), socket.MSG_WAITALL)
