"""Sends sets and dicts whose keys share one hash.  Expect: unmet R1 R2 R6, "share one hash"."""

import struct
import time

import forge
import msgpack
from forge import answer, ext, packed

PRIME = (1 << 61) - 1  # int hashes are taken modulo this
NUMBERS = [(position * PRIME + 5).to_bytes(12, "big", signed=True) for position in range(1, 40_000)]


def colliding():
    return [msgpack.ExtType(4, number) for number in NUMBERS]


def double(number):
    answer(ext(2, colliding()))


def table(rows):
    answer(ext(3, colliding()))


def relay(recorder, items):
    pairs = b"".join(packed(key) + b"\xc0" for key in colliding())
    forge.send(forge.frame(b"\x93\xa3ret\x00\xdf" + struct.pack("!I", len(NUMBERS)) + pairs))
    time.sleep(60)
