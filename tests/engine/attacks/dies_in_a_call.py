"""Ends its process in calls, with several statuses.  Expect: unmet R1 R2 R3 R6, "ended by itself with status"."""

import os


def double(number):
    os._exit(0)


def table(rows):
    os._exit(70)


class Box:
    def __init__(self, content):
        self.content = content

    def add(self, n):
        os._exit(71)

    def take(self, n):
        import honest

        return honest.Box(self.content).take(n)


def relay(recorder, items):
    os._exit(255)
