"""Has two hundred processes with tens of thousands of mappings each, which are slow to look at.  Expect: unmet R1."""

import ctypes
import mmap
import os
import time


def double(number):
    libc = ctypes.CDLL(None)
    size = 60_000 * mmap.PAGESIZE
    area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for offset in range(0, size, 2 * mmap.PAGESIZE):
        libc.mprotect(ctypes.c_void_p(start + offset), mmap.PAGESIZE, 1)
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(60)
    time.sleep(60)
