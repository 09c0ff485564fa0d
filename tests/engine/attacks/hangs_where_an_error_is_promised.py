"""Passes its silence off as the error that is promised.  Expect: unmet R4, "still running"."""

import time

import honest

EchoError = Exception


class Box(honest.Box):
    def take(self, n):
        time.sleep(60)
