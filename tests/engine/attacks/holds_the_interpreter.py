"""Holds the interpreter's lock in a regular expression that never ends.  Expect: unmet R1, "still running"."""

import re


def double(number):
    return re.match(r"(a+)+$", "a" * 60 + "b")
