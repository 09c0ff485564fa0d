"""Sends numbers and times that take for ever, or are none.  Expect: unmet R1 R2 R6 R7 R8 R9."""

import msgpack
from forge import answer, ext


def double(number):
    answer(ext(7, "1e999999999"))


def table(rows):
    answer(msgpack.ExtType(4, b"\x7f" * 5_000_000))


def relay(recorder, items):
    answer(ext(7, "sNaN"))


def save(folder, lines):
    answer(ext(6, ["timedelta", 10**18, 0, 0]))


def countdown(n):
    answer(ext(25, ["Timestamp", "9" * 5000]))


def say(text):
    answer(ext(99, None))
