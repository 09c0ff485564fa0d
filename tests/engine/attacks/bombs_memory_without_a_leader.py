"""Ends its first thread, which makes a process look empty, and fills shared mappings in another.  Expect: unmet R1."""

import ctypes
import mmap
import platform
import threading
import time


def fill():
    held = []
    for _ in range(30):
        held.append(mmap.mmap(-1, 50_000_000))
        held[-1].write(b"x" * 50_000_000)
        time.sleep(0.05)
    time.sleep(60)


def double(number):
    threading.Thread(target=fill).start()
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
