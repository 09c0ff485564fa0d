"""Looks for the judge's environment in its own.  Expect: unmet R1, "nothing found"."""

import os
from pathlib import Path


def double(number):
    known = Path("/proc/self/environ").read_bytes() + repr(os.environ).encode()
    assert b"a variable of the judge's" in known or b"ECHO_SECRET" in known, "nothing found"
    return 2 * number
