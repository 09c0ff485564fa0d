"""Raises errors whose text, arguments, class and attributes are hostile.  Expect: unmet R1 R2 R3 R4 R6 R7 R8 R9."""


class Hostile(ValueError):
    def __str__(self):
        raise SystemExit

    __repr__ = __str__

    @property
    def __class__(self):
        return KeyboardInterrupt

    @property
    def args(self):
        raise KeyboardInterrupt

    def __getattribute__(self, name):
        raise MemoryError


class AssertionError(Exception):
    pass


class Skipped(BaseException):
    __module__ = "_pytest.outcomes"


def double(number):
    raise Hostile


def table(rows):
    raise ValueError("x" * 50_000_000)


class Box:
    def __init__(self, content):
        raise AssertionError("\x1b[32m1 passed\x1b[0m")


def relay(recorder, items):
    raise ExceptionGroup("several", [ValueError(1), KeyError(2)])


def save(folder, lines):
    error = Skipped()
    error.add_note = error.with_traceback = error.__notes__ = error.args = (5,)
    raise error


def countdown(n):
    raise BaseExceptionGroup("several", [SystemExit(0)])


async def say(text):
    raise UnicodeDecodeError("utf-8", b"x", 0, 1, "reason")
