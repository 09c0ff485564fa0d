"""Hands a lent object that remembers everything more than the judge's machine can hold.  Expect: unmet R6."""

import numpy


def relay(recorder, items):
    many = numpy.zeros(8_000_000)
    while True:
        recorder.note(many)
