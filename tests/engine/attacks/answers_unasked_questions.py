"""Sends answers on conversations that nobody holds.  Expect: unmet R1 R6 R8, "came to no question"."""

import time

import forge


def unasked(*message):
    forge.send(forge.frame(forge.packed(list(message))))
    time.sleep(60)


def double(number):
    unasked("ret", 7, 2 * number)


def relay(recorder, items):
    unasked("exc", -1, [])


def countdown(n):
    unasked("do", 1 << 60, "probe", ["/etc/passwd"], {})
