"""Writes noise to the channel.  Expect: unmet R1, "not a valid answer"."""

import os
import time


def double(number):
    os.write(3, b"\x00\x00\x01\x00\x00\x01" + b"\xff" * 65536)
    time.sleep(60)
