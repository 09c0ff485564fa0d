"""R11: what close() finishes, what it fails, and what it leaves behind."""

import pytest

from rounds.testing import requirement

pytestmark = pytest.mark.event_loop("virtual")

BUSY = (0.0, "predict", "x", "y")
PAIRS = {"seconds": 1.0, "max_batch_size": 2}


def closed_after(run, *callers):
    """Check that close() returned, and not before these callers had their answers."""
    run.closed()
    ended, last = run.closes[0]["at"], max(run.callers[caller]["at"] for caller in callers)
    assert ended > last - 1e-6, f"close() returned at {ended:.6g} s, and a caller had its answer at {last:.6g} s"


@requirement("R11")
@pytest.mark.parametrize("drain", [[], [True]])
def test_draining_serves_what_waits(play, drain):
    run = play([(0.0, "predict", *"abc"), (0.001, "close", *drain)], seconds=0.1, max_wait_s=0.02)
    run.served()
    closed_after(run, 0, 1, 2)


@requirement("R11")
def test_draining_serves_what_runs_and_what_waits_behind_it(play):
    run = play([BUSY, (0.1, "predict", *"abcde"), (0.2, "close", True)], **PAIRS)
    run.served()
    closed_after(run, *range(7))


@requirement("R11")
def test_draining_serves_two_batches_at_a_time(play):
    run = play([(0.0, "predict", *range(9)), (0.1, "close", True)], **PAIRS, max_concurrency=2)
    run.served()
    closed_after(run, *range(9))


@requirement("R11")
@pytest.mark.parametrize("drain", [True, False])
def test_a_closed_batcher_accepts_nothing(play, drain):
    run = play([(0.0, "predict", *"ab"), (1.0, "close", drain), (2.0, "predict", "c")], max_batch_size=2)
    run.served(0, 1)
    run.failed(2, "BatcherClosed")
    run.never_computed("c")


@requirement("R11")
def test_a_batcher_that_is_draining_accepts_nothing(play):
    run = play([BUSY, (0.1, "predict", "a"), (0.2, "close", True), (0.3, "predict", "b")], **PAIRS)
    run.failed(3, "BatcherClosed")
    run.served(0, 1, 2)
    run.never_computed("b")


@requirement("R11")
def test_closing_without_draining_fails_what_waits(play):
    run = play([(0.0, "predict", *"abc"), (0.001, "close", False)])
    for caller in range(3):
        run.failed(caller, "BatcherClosed")
    run.closed()
    run.never_computed("a", "b", "c")


@requirement("R11")
def test_closing_without_draining_fails_what_waits_behind_a_busy_model(play):
    script = [(0.0, "predict", "x"), (1.0, "predict", *"abc"), (1.1, "close", False)]
    run = play(script, seconds=10.0, max_wait_s=0.5)
    for caller in (1, 2, 3):
        run.failed(caller, "BatcherClosed")
    run.closed()
    run.never_computed("a", "b", "c")


@requirement("R11")
def test_closing_without_draining_fails_what_waits_in_every_lane(play):
    script = [(0.0, "predict", "a1", "b1", "c1"), (0.001, "close", False)]
    run = play(script, key=lambda item: item[0], max_concurrency=3)
    for caller in range(3):
        run.failed(caller, "BatcherClosed")
    run.nothing_left()


SCRIPTS = {
    "draining": [(0.0, "predict", *"abcde"), (0.001, "close", True)],
    "not draining": [(0.0, "predict", "a"), (0.001, "close", False)],
    "never used": [(0.0, "close", True)],
    "never used, not draining": [(0.0, "close", False)],
    "idle after a deadline": [(0.0, "predict", "a"), (3.0, "close", True)],
    "idle after a full batch": [(0.0, "predict", *"abcd"), (3.0, "close", False)],
    "just after a full batch": [(0.0, "predict", "a"), (0.001, "predict", *"bcd"), (0.002, "close", True)],
    "after a cancelled caller": [(0.0, "predict", *"ab"), (0.001, "cancel", 0, 1), (0.002, "close", True)],
}


@requirement("R11")
@pytest.mark.parametrize("what", SCRIPTS)
def test_closing_leaves_no_task_and_no_timer(play, what):
    play(SCRIPTS[what], seconds=0.1, max_batch_size=4, request_timeout_s=30.0).nothing_left()
