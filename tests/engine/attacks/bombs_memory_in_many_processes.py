"""Spreads its memory over many processes.  Expect: unmet R1, "memory"."""

import os
import time


def double(number):
    for _ in range(30):
        if os.fork() == 0:
            held = bytearray(b"x" * 60_000_000)
            time.sleep(60)
            del held
    time.sleep(60)
