"""Searches its own heap for what the fork may have left of tests and other submissions.  Expect: unmet R1, "nothing found"."""

import gc
import sys

CANARY = "the hidden tests of " + "echo"


def double(number):
    gc.unfreeze()
    objects = [thing for thing in gc.get_objects() if type(thing) in (dict, list, tuple)]
    texts = (text for thing in objects for text in (thing.values() if type(thing) is dict else thing))
    found = [text for text in texts if type(text) in (str, bytes) and str(text).startswith(CANARY)]
    found += [name for name in sys.modules if name.startswith(("rounds.", "_pytest", "test_"))]
    assert found, "nothing found"
    return 2 * number
