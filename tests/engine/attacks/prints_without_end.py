"""Prints without end, in a process that outlives its answer.  Expect: met."""

import os

import honest

if os.fork() == 0:
    while True:
        os.write(1, b"x" * 65536)


double = honest.double
