"""Answers in many processes at once over copies of the channel.  Expect: unmet R1."""

import os

import forge


def double(number):
    for _ in range(8):
        if os.fork() == 0:
            while True:
                forge.send(forge.frame(forge.packed(["ret", 0, 2 * number]), b"x" * 5000))
    return 2 * number
