"""Runs functions in forks of the test's process: for walls that stay up, and to be looked at from outside."""

import contextlib
import os
import pickle
import signal
import traceback

SECONDS = 60


class Ended(Exception):
    """The fork ended without an answer; `status` is that of `os.waitstatus_to_exitcode`."""

    def __init__(self, status):
        super().__init__(f"ended with status {status}")
        self.status = status


def in_fork(function, *arguments):
    """Return what `function` returns in a fork; what it raises is raised here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(function, arguments, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise Ended(os.waitstatus_to_exitcode(status))
    value, error = pickle.loads(answer)
    if error is not None:
        raise error
    return value


def _become(function, arguments, reading, writing):
    try:
        signal.alarm(SECONDS)
        os.close(reading)
        try:
            answer = pickle.dumps((function(*arguments), None))
        except BaseException as error:
            error.add_note(traceback.format_exc())
            answer = pickle.dumps((None, error))
        os.write(writing, answer)
    finally:
        os._exit(1)


def staying(function=lambda: None):
    """Fork, do something, and stay until the parent ends; give the child's pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        kept = function()
        os.write(writing, b"x")
        signal.alarm(60)
        while kept is not staying:
            signal.pause()
    os.read(reading, 1)
    return pid


def end(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
