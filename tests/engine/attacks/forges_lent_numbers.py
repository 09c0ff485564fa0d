"""Calls lent objects by numbers that it made up, and lends them to itself.  Expect: unmet R6, "not"."""

from forge import answer, ext


def relay(recorder, items):
    agent = type(recorder).note.__closure__[0].cell_contents
    for number in (0, -1, 1 << 80, recorder._lent_number + 8, "x", None, 1.5):
        try:
            agent.call_back(number, "note", (1,), {})
        except PermissionError:
            continue
        return len(items)
    return answer(ext(41, [recorder._lent_number + 16]))
