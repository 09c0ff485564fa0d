"""Fills its heap.  Expect: unmet R1, "emory"."""


def double(number):
    held = []
    while True:
        held.append(bytearray(b"x" * 10_000_000))
