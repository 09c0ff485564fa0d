"""Sends frames that are small on the line and gigabytes once they are read.  Expect: unmet R8."""

import struct

import forge

MANY = 12_000_000


def countdown(n):
    payload = b"\x93\xa3ret\x00\xdd" + struct.pack("!I", MANY) + b"\x90" * MANY
    while True:
        forge.send(forge.frame(payload))
