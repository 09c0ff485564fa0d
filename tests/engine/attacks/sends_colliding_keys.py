"""Sends sets and dicts whose keys share one hash.  Expect: unmet R1 R2 R6, "share one hash"."""

from forge import answer, ext, packed

PRIME = (1 << 61) - 1
KEYS = [position * PRIME for position in range(1, 8)]
BIG = [ext_int for ext_int in (((position * PRIME) + 5).to_bytes(12, "big", signed=True) for position in range(1, 40_000))]


def colliding():
    import msgpack

    return [msgpack.ExtType(4, number) for number in BIG]


def double(number):
    answer(ext(2, colliding()))


def table(rows):
    answer(ext(3, colliding()))


def relay(recorder, items):
    import struct

    import forge

    pairs = b"".join(packed(key) + b"\xc0" for key in colliding())
    forge.send(forge.frame(b"\x93\xa3ret\x00\xdf" + struct.pack("!I", len(BIG)) + pairs))
    forge.time.sleep(60)


def save(folder, lines):
    import honest

    return honest.save(folder, lines)
