"""Hands a lent object endless iterables as arguments, and methods that call back again.  Expect: unmet R6."""

import itertools


def relay(recorder, items):
    agent = type(recorder).note.__closure__[0].cell_contents

    def again(*ignored):
        return agent.call_back(recorder._lent_number, "note", itertools.repeat(again), {"item": again})

    return again()
