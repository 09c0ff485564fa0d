"""Fills shared mappings, which no limit of a process counts.  Expect: unmet R1, "memory"."""

import mmap
import time


def double(number):
    held = []
    for _ in range(40):
        held.append(mmap.mmap(-1, 50_000_000))
        held[-1].write(b"x" * 50_000_000)
    time.sleep(60)
