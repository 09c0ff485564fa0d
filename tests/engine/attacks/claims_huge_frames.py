"""Announces frames of gigabytes, and nests without end.  Expect: unmet R1 R2 R6 R7 R8, "not a valid answer"."""

import struct
import time

import forge


def raw(data):
    forge.send(data)
    time.sleep(60)


def double(number):
    raw(struct.pack("!IH", 0xFFFFFFFF, 0))


def table(rows):
    raw(struct.pack("!IH", 10, 0xFFFF))


def relay(recorder, items):
    raw(struct.pack("!IHQ", 10, 1, 1 << 62))


def save(folder, lines):
    raw(forge.frame(b"\x91" * 1_000_000))


def countdown(n):
    value = b"\xc0"
    for _ in range(2000):
        value = struct.pack("!BIb", 0xC9, len(value), 1) + value
    raw(forge.frame(b"\x93\xa3ret\x00" + value))
