"""Has lengths of 10**12 and iterators that never end or hand out gigabytes.  Expect: unmet R6 R8 R9."""

import honest


class Long:
    def __len__(self):
        return 10**12

    def __iter__(self):
        return iter(())


def countdown(n):
    return Long()


def relay(recorder, items):
    honest.relay(recorder, items)
    return float("inf")


class Text(str):
    def __len__(self):
        return 1


def say(text):
    return honest.say(Text("x" * 10_000_000))
