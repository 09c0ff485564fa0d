"""Fills shared mappings, which no limit of a process counts.  Expect: unmet R1, "memory"."""

import mmap
import time

CHUNK = b"x" * 25_000_000


def double(number):
    held = []
    for _ in range(80):
        held.append(mmap.mmap(-1, len(CHUNK)))
        held[-1].write(CHUNK)
    time.sleep(60)
