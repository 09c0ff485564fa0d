"""Raises StopIteration, which ends a loop over map() unjudged.  Expect: unmet R1, "StopIteration"."""


def double(number):
    raise StopIteration
