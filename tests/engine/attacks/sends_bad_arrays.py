"""Sends arrays of pointers, wrong sizes, impossible shapes and texts.  Expect: unmet R1 R2 R6 R7 R8 R9."""

from forge import answer, ext


def double(number):
    answer(ext(20, ["|O", [2], 0]), bytes(16))


def table(rows):
    answer(ext(20, ["<i8", [1 << 40, 1 << 40], 0]), bytes(16))


def relay(recorder, items):
    answer(ext(20, ["<U2", [2], 0]), b"\xff" * 16)


def save(folder, lines):
    answer(ext(20, ["|V8", [2], 0]), bytes(16))


def countdown(n):
    answer(ext(20, ["<U0", [1 << 40], 0]), b"")


def say(text):
    answer(ext(20, ["<i8", [0, 1 << 40], 0]), b"")
