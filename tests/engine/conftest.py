"""What several files of tests use: zygotes on the strongest rung of this machine, and forks to look at."""

import contextlib
import os
import signal

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


@pytest.fixture
def proc():
    descriptor = os.open("/proc", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def forked():
    """Start a process that does something, says a line, and stays: `pid, said = forked(function)`."""
    pids = []

    def forked(function):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.write(writing, function() or b"up")
                signal.pause()
            os._exit(0)
        pids.append(pid)
        os.close(writing)
        said = os.read(reading, 100)
        os.close(reading)
        return pid, said

    yield forked
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
