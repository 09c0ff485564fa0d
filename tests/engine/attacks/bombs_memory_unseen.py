"""Hides its memory from those who look at it, and fills shared mappings.  Expect: unmet R1, "memory"."""

import ctypes
import mmap
import time

CHUNK = b"x" * 25_000_000
PR_SET_DUMPABLE, PR_SET_PDEATHSIG = 4, 1


def double(number):
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    held = []
    for _ in range(80):
        held.append(mmap.mmap(-1, len(CHUNK)))
        held[-1].write(CHUNK)
    time.sleep(60)
