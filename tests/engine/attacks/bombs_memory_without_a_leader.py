"""Ends its first thread, which makes a process look empty, and fills shared mappings in another.  Expect: unmet R1."""

import ctypes
import mmap
import platform
import threading
import time

CHUNK = b"x" * 25_000_000


def fill():
    held = []
    for _ in range(60):
        held.append(mmap.mmap(-1, len(CHUNK)))
        held[-1].write(CHUNK)
        time.sleep(0.02)
    time.sleep(60)


def double(number):
    threading.Thread(target=fill).start()
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
