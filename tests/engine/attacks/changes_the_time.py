"""Changes what time it is for its own process, and sleeps in a call.  Expect: unmet R1, "still running"."""

import time

sleep = time.sleep
time.time = time.monotonic = time.perf_counter = lambda: 0.0


def double(number):
    sleep(60)
