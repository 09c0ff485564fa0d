"""Searches its heap for traces of tests and other submissions.  Expect: unmet R1, "nothing found"."""

import gc
import sys

CANARY = "the hidden tests of " + "echo"


def double(number):
    gc.unfreeze()
    dicts = [thing for thing in gc.get_objects() if type(thing) is dict and thing is not globals()]
    found = [value for one in dicts for value in one.values() if type(value) is str and CANARY in value]
    found += [name for name in sys.modules if name.startswith(("rounds.", "_pytest", "test_"))]
    assert found, "nothing found"
    return 2 * number
