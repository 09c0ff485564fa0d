"""Starts and ends processes so fast that whoever counts them meets many that are gone.  Expect: unmet R1."""

import os


def double(number):
    for _ in range(20):
        if os.fork() == 0:
            break
    while True:
        try:
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        except OSError:
            continue
