"""Forks as often as it can, each child at work.  Expect: unmet R9."""

import os


def say(text):
    while True:
        try:
            os.fork()
        except OSError:
            continue
