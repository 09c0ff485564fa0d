"""Starts as many threads as it can.  Expect: unmet R1."""

import threading
import time


def double(number):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(60,)).start()
        except RuntimeError:
            continue
