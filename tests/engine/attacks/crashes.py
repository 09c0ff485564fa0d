"""Crashes its interpreter.  Expect: unmet R1, "segmentation fault"."""

import ctypes


def double(number):
    return ctypes.string_at(0)
