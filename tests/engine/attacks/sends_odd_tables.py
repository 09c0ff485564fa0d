"""Sends zones that name files, and columns that are none.  Expect: unmet R1 R2 R6 R7 R8 R9."""

from forge import answer, ext

NUMBERS = ext(20, ["<i8", [2], 0])
LABELS = ext(24, ["range", 0, 2, 1, None])


def series(column):
    return ext(23, [column, LABELS, None])


def double(number):
    answer(series(["zoned", NUMBERS, "dateutil//etc/passwd", "ns"]), bytes(16))


def table(rows):
    answer(series(["zoned", ext(40, [1, "Handle"]), "UTC", "ns"]), bytes(16))


def relay(recorder, items):
    answer(series(["category", NUMBERS, ext(40, [1, "Handle"]), False]), b"\xff" * 16)


def save(folder, lines):
    answer(ext(20, ["|b1", [16], 0]), b"\x02\xff" * 8)


def countdown(n):
    answer(series(["masked", "object", NUMBERS, NUMBERS]), bytes(16))


def say(text):
    answer(ext(24, ["multi", ext(40, [1, "Handle"]), [None]]))
