"""Passes its own death off as the error that is promised.  Expect: unmet R4."""

import os

EchoError = Exception


class Box:
    def __init__(self, content):
        self.content = content

    def add(self, n):
        return self.content + n

    def take(self, n):
        os._exit(0)
