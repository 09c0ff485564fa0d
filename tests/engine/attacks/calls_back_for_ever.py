"""Calls a lent object without end, from as many threads as it can have.  Expect: unmet R6."""

import threading


def relay(recorder, items):
    def flood():
        while True:
            recorder.note(1)

    for _ in range(10_000):
        try:
            threading.Thread(target=flood).start()
        except RuntimeError:
            break
    flood()
