"""Imports the engine, the kit in the installed package, and the tests.  Expect: unmet R1, "nothing found"."""

import importlib
import sys

NAMES = ("rounds", "rounds.kit", "rounds.suite", "tests.hidden.echo.test_hidden", "test_hidden", "solutions.echo.echo")


def double(number):
    found = []
    sys.path[:0] = ["/", "/rounds", "/rounds/inside", "/rounds/site"]
    for name in NAMES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if getattr(module, "__file__", None):
            found.append(module)
    assert found, "nothing found"
    return 2 * number
