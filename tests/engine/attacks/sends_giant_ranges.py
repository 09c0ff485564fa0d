"""Sends indices of 2**39 numbers that take no room until they are looked at.  Expect: unmet R1 R2 R6 R8."""

import struct

from forge import answer, ext

RANGE = ext(24, ["range", 0, 1 << 39, 1, None])
NAMES = ext(24, ["one", ["string", ["name", "size"]], None])


def double(number):
    answer(ext(1, RANGE))


def table(rows):
    answer(ext(22, [NAMES, RANGE, [["array", 5], ["array", 6]]]))


def relay(recorder, items):
    answer(ext(23, [["array", 1.5], RANGE, None]))


def countdown(n):
    answer(ext(20, ["O", [1 << 39], RANGE]), struct.pack("q", 1))
