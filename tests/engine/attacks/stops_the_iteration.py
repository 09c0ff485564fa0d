"""Raises StopIteration from a function that a test maps, so that the loop ends before it judged.  Expect: unmet R1, "StopIteration"."""


def double(number):
    raise StopIteration
