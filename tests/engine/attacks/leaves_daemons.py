"""Leaves daemons behind: forked twice, in sessions of their own, deaf to signals.  Expect: met."""

import os
import signal
import sys
import time

import honest

for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.stdout = None
        time.sleep(600)
        os._exit(0)


double = honest.double
