"""Signals its parent, its group, everyone and every number.  Expect: met."""

import contextlib
import os
import signal

import honest

for target in (os.getppid(), 0, -1, *range(2, 3000)):
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.kill(target, number)

double = honest.double
