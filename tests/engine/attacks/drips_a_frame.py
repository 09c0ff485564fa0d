"""Sends a frame a byte at a time, so slowly that it is never whole.  Expect: unmet R1, "still running"."""

import time

import forge


def double(number):
    for byte in forge.frame(forge.packed(["ret", 0, "x" * 1000])):
        forge.send(bytes([byte]))
        time.sleep(0.1)
