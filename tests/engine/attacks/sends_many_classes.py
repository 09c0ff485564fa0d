"""Sends ten thousand exception classes in a chain, with hostile names.  Expect: unmet R1 R2."""

from forge import answer, answer_exception, ext


def double(number):
    name, bases = "class" * 50 + "\x1b[2J", [[0, "KeyboardInterrupt", []]]
    answer([ext(42, [position, name, bases]) for position in range(1, 10_000)])


def table(rows):
    body = [0, "SystemExit", []]
    for position in range(1, 200):
        body = [position, "AssertionError", [body, body]]
    answer_exception([ext(42, body), [], "text", {}, "", "", "AssertionError"])
