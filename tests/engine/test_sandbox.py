"""A workplace and its sandboxes: byte code that is made once, and a process that is made ahead of its test."""

import time

import pytest

from rounds.bridge.failures import SubmissionDied
from rounds.bridge.sandbox import Sandbox, Unloadable, Workplace

GOOD = b"def double(number):\n    return 2 * number\n"


@pytest.fixture
def place(nurseries):
    return lambda source, seconds=20.0: Workplace(nurseries, {"answer.py": source}, "answer", None, seconds, 512)


def wait_for(happened):
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, "it did not happen within a minute"
        time.sleep(0.01)


def byte_code(place):
    return [name for name in place.code() if name.endswith(".pyc")]


def test_byte_code_is_made_once_and_lies_where_python_looks_for_it(place):
    workplace = place(GOOD)
    (name,) = byte_code(workplace)
    assert name.startswith("__pycache__/answer.")
    assert workplace.code()[name] is workplace.code()[name]
    assert workplace.code()["answer.py"] == GOOD


def test_a_submission_is_loaded_from_its_byte_code(place):
    workplace = place(GOOD)
    (name,) = byte_code(workplace)
    other = place(GOOD.replace(b"2 *", b"3 *"))
    workplace._compiled = {name: other.code()[name]}
    sandbox = Sandbox(workplace)
    assert sandbox.submission.double(2) == 6
    sandbox.close()


def test_making_byte_code_runs_nothing_of_a_submission(place):
    workplace = place(b"import os\nos._exit(3)\n")
    assert len(byte_code(workplace)) == 1
    sandbox = Sandbox(workplace)
    with pytest.raises(Unloadable, match="ended by itself with status 3"):
        _ = sandbox.submission
    sandbox.close()


def test_what_is_no_python_is_left_for_the_import_to_tell(place):
    workplace = place(b"def double(:\n")
    assert byte_code(workplace) == []
    sandbox = Sandbox(workplace)
    with pytest.raises(Unloadable, match="SyntaxError"):
        _ = sandbox.submission
    sandbox.close()


def test_what_loading_ahead_said_is_met_by_the_test(place):
    sandbox = Sandbox(place(b"raise ValueError('no model here')\n"))
    sandbox.try_to_load()
    with pytest.raises(Unloadable, match="ValueError: no model here"):
        _ = sandbox.submission
    sandbox.close()


def test_a_process_that_is_dropped_while_it_loads_says_nothing_of_the_submission(place):
    workplace = place(b"import time\nprint('loading')\ntime.sleep(60)\n")
    workplace.ahead.begin("usual", lambda head_start: Sandbox(workplace, head_start=head_start), load=True)
    wait_for(lambda: workplace.ahead._made is not None and b"loading" in workplace.ahead._made.session.output)
    workplace.ahead.drop()
    assert workplace.unloadable is None
    assert workplace.time_outs == 0


def test_a_process_made_ahead_answers_the_thread_that_takes_it(place):
    workplace = place(GOOD)
    workplace.ahead.begin("usual", lambda head_start: Sandbox(workplace, head_start=head_start), load=True)
    sandbox = workplace.ahead.take("usual")
    assert sandbox.submission.double(21) == 42
    sandbox.close()
    with pytest.raises(SubmissionDied):
        sandbox.submission.double(1)
