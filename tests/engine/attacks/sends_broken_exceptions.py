"""Sends descriptions of exceptions that are none.  Expect: unmet R1 R2 R6 R7 R8 R9."""

from forge import answer_exception, ext


def double(number):
    answer_exception(5)


def table(rows):
    answer_exception([None, None, None, None, None, None, None])


def relay(recorder, items):
    answer_exception([ext(42, [0, "ExceptionGroup", []]), [], "", {}, "", "", ""])


def save(folder, lines):
    answer_exception([ext(42, [0, "ValueError", []]), 5, "text", {5: 5}, {}, [], 7])


def countdown(n):
    answer_exception([ext(40, [1, "Handle"]), [], ext(40, [1, "Handle"]), {}, "", "", ""])


def say(text):
    hostile = {"args": 1, "add_note": 2, "with_traceback": 3}
    answer_exception([ext(42, [0, "ValueError", []]), [], "", hostile, "", "", ""])
