"""R12: a plain function that blocks, on an ordinary loop; and R5, R6, R10 and R11 with a plain function."""

from rounds.testing import requirement


def let_go(run):
    """Check that each call of the model was let go by the loop, which had gone on meanwhile."""
    stuck = [number for number, by_loop in run.model.notes.items() if not by_loop]
    assert run.model.calls, "the model was never called"
    assert not stuck, f"the loop stood still while the plain predict_batch was blocked (call {stuck[0]})"


@requirement("R12")
def test_the_loop_goes_on_while_a_plain_function_blocks(park):
    run = park([*"abc"], max_batch_size=3)
    let_go(run)
    run.served()
    run.sizes(3)


@requirement("R12")
def test_the_loop_goes_on_while_a_lone_item_is_computed(park):
    run = park(["a"])
    let_go(run)
    run.served()


@requirement("R12")
def test_callers_are_accepted_while_a_plain_function_blocks(park):
    run = park([*"ab"], later=[*"cd"], max_batch_size=2)
    let_go(run)
    settled = run.told["settled_while_parked"]
    assert settled == [False] * 4, f"no caller could have an answer while the model was blocked; done were {settled}"
    run.served()


@requirement("R12")
def test_two_plain_functions_run_at_once_where_two_may(park):
    run = park([*"abcd"], at_once=2, max_batch_size=2, max_concurrency=2)
    let_go(run)
    assert run.model.most_running == 2, f"two batches may run at once, and {run.model.most_running} did"
    run.served()


@requirement("R12")
def test_the_exception_of_a_plain_function_reaches_its_caller(park):
    run = park(["a"], guilty={"a": ValueError("bad row")}, max_batch_size=1)
    let_go(run)
    run.failed(0, "Exception")


@requirement("R11")
def test_closing_waits_for_a_plain_function(park):
    run = park([*"ab"], later=["c"], close=True, max_batch_size=2)
    run.served(0, 1)
    assert run.told["closed"]["what"] == "result", f"close() should return, and ended so: {run.told['closed']}"
    early = run.told["closed"]["at"] < run.callers[0]["at"] - 1e-6
    assert not early, "close() returned before the blocked plain function had answered"


@requirement("R10")
def test_no_more_plain_functions_run_than_may(park):
    run = park([*"abcd"], later=[*"efgh"], max_batch_size=2)
    run.at_most_running(1)
    run.served()


@requirement("R5")
def test_a_poison_item_fails_alone_in_a_plain_function(park):
    run = park([*range(8)], at_once=0, guilty={5: ValueError("bad row 5")}, max_batch_size=8)
    run.failed(5, "ValueError", args=["bad row 5"])
    run.served(0, 1, 2, 3, 4, 6, 7)
    calls = len(run.batches)
    assert calls <= 7, f"one poison item among 8 took {calls} calls of a plain function, and 7 are allowed"


@requirement("R6")
def test_a_wrong_length_of_a_plain_function_fails_the_batch(park):
    run = park([*"abc"], at_once=0, returns=lambda items, answers: answers[1:], max_batch_size=3)
    for caller in range(3):
        run.failed(caller, "BatchShapeError")
