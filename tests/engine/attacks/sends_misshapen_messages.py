"""Sends messages whose parts are arrays, tables and nothing.  Expect: unmet R1 R2 R6 R7 R8 R9, "not a valid answer"."""

import struct

import forge

WORD = forge.ext(20, ["<i8", [2], 0]), struct.pack("2q", 1, 2)


def sent(message, *buffers):
    forge.send(forge.frame(forge.packed(message), *buffers))
    forge.time.sleep(60)


def double(number):
    sent([WORD[0], 0, 2 * number], WORD[1])


def table(rows):
    sent([forge.ext(40, [1, "Handle"]), 0, 1])


def relay(recorder, items):
    sent([forge.ext(22, [[], [], []]), 0, 1])


def save(folder, lines):
    sent({"ret": 0})


def countdown(n):
    sent(["ret", WORD[0], 1], WORD[1])


def say(text):
    sent([])
