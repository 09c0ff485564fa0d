"""Raises what ends programs, tests and generators.  Expect: unmet R1 R2 R6 R7 R8 R9."""

import sys

import pytest


def double(number):
    sys.exit(0)


def table(rows):
    raise KeyboardInterrupt


def relay(recorder, items):
    raise GeneratorExit


def save(folder, lines):
    pytest.skip("nothing to see here")


def countdown(n):
    pytest.exit("all done", 0)
    yield n


async def say(text):
    raise pytest.xfail.Exception("as expected")
