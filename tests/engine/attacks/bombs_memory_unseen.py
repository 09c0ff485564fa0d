"""Hides its memory from those who look at it, and fills shared mappings.  Expect: unmet R1, "memory"."""

import ctypes
import mmap
import time

PR_SET_DUMPABLE, PR_SET_PDEATHSIG = 4, 1


def double(number):
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    held = []
    for _ in range(40):
        held.append(mmap.mmap(-1, 50_000_000))
        held[-1].write(b"x" * 50_000_000)
    time.sleep(60)
