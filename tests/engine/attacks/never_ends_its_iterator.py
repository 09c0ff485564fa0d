"""Hands out megabytes from an iterator that never ends.  Expect: unmet R8."""


def countdown(n):
    while True:
        yield bytes(16_000_000)
