"""Stops itself, forks a child that stops too, and ignores every signal.  Expect: unmet R1, "still running"."""

import contextlib
import os
import signal
import time


def double(number):
    for other in range(1, 65):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(other, signal.SIG_IGN)
    if os.fork() == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
