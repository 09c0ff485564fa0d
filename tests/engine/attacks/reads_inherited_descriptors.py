"""Reads every descriptor that it was not meant to have.  Expect: unmet R1, "nothing found"."""

import os


def double(number):
    found = []
    for descriptor in range(4, 4096):
        try:
            found.append(os.fstat(descriptor))
        except OSError:
            continue
    assert found, "nothing found"
    return 2 * number
