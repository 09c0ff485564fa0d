"""Returns subclasses of int, str, list, dict and DataFrame that claim to be equal.  Expect: unmet R1 R2 R6 R8 R9."""

import pandas


def liar(kind):
    always = {"__eq__": lambda self, other: True, "__ne__": lambda self, other: False, "__hash__": lambda self: 0}
    return type("Liar", (kind,), always)


class Frame(pandas.DataFrame):
    @property
    def columns(self):
        return ["name", "size"]

    def to_dict(self, *arguments):
        return liar(list)()


def double(number):
    return liar(int)(5)


def table(rows):
    return Frame({"wrong": [1]})


def relay(recorder, items):
    for item in items:
        recorder.note(liar(int)(item))
    return liar(float)(5.0)


def countdown(n):
    return liar(list)([1, 2])


async def say(text):
    return liar(str)("nothing")
