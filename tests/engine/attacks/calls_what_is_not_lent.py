"""Calls methods of a lent object that were not lent.  Expect: unmet R6, "is not lent"."""

NAMES = ("forget", "secret", "noted", "__class__", "__init__", "__dict__", "__getattribute__", "note.__func__")


def relay(recorder, items):
    agent = type(recorder).note.__closure__[0].cell_contents
    refused = 0
    for name in NAMES:
        try:
            agent.call_back(recorder._lent_number, name, (), {})
        except PermissionError as error:
            refused += 1
            said = str(error)
    for item in items:
        recorder.note(item)
    if refused == len(NAMES):
        raise PermissionError(said)
    return len(items)
