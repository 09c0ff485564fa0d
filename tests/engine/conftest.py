"""Zygotes that all tests of the sandbox share: one on the strongest rung of this machine, for each hash seed."""

import pytest

from rounds.bridge.sandbox import Sandbox, Workplace
from rounds.isolation.ladder import climb
from rounds.workplace import Nurseries

MODULES = ("asyncio", "concurrent.futures", "numpy", "pandas", "uvicorn")


@pytest.fixture(scope="session")
def nurseries():
    """The shared zygotes, by hash seed."""
    zygote, _ = climb(MODULES)
    made = Nurseries(zygote, MODULES)
    yield made
    made.close()


@pytest.fixture
def enter(nurseries):
    """Load a submission, given as source, into a fresh process: `enter("def f(): ...", seconds=5)`."""
    made = []

    def enter(source, *, props=None, seconds=20.0, memory_mb=512, **options):
        files = {"answer.py": source.encode()} if isinstance(source, str) else source
        place = Workplace(nurseries, files, "answer", props and props.encode(), seconds, memory_mb)
        made.append(Sandbox(place, **options))
        return made[-1]

    yield enter
    for sandbox in made:
        sandbox.close()
