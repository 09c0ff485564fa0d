"""R5 and R6: a model that raises, and one that returns the wrong number of results."""

import math

import pytest

from rounds.testing import requirement

pytestmark = pytest.mark.event_loop("virtual")


# --- R5


@requirement("R5")
@pytest.mark.parametrize("place", [0, 13, 31])
def test_one_poison_item_among_32_fails_alone_in_11_calls(play, place):
    run = play([(0.0, "predict", *range(32))], guilty={place: ValueError(f"bad row {place}")})
    run.failed(place, "ValueError", args=[f"bad row {place}"])
    run.served(*(caller for caller in range(32) if caller != place))
    calls = len(run.batches)
    assert calls <= 11, f"one poison item among 32 took {calls} calls of the model, and 11 are allowed"


@requirement("R5")
@pytest.mark.parametrize(("size", "place"), [(1, 0), (2, 1), (5, 3), (12, 11)])
def test_the_calls_are_bounded_for_every_size(play, size, place):
    run = play([(0.0, "predict", *range(size))], guilty={place: KeyError("no such column")}, max_batch_size=64)
    run.failed(place, "KeyError", args=["no such column"])
    if size > 1:
        run.served(*(caller for caller in range(size) if caller != place))
    allowed = 2 * math.ceil(math.log2(size)) + 1
    calls = len(run.batches)
    assert calls <= allowed, f"one poison item among {size} took {calls} calls, and {allowed} are allowed"


@requirement("R5")
def test_two_poison_items_get_an_exception_each(play):
    guilty = {3: ValueError("bad row 3"), 20: ZeroDivisionError("bad row 20")}
    run = play([(0.0, "predict", *range(32))], guilty=guilty)
    run.failed(3, "ValueError", args=["bad row 3"])
    run.failed(20, "ZeroDivisionError", args=["bad row 20"])
    run.served(*(caller for caller in range(32) if caller not in guilty))


@requirement("R5")
def test_two_poison_items_side_by_side_get_their_own_exceptions(play):
    run = play([(0.0, "predict", *range(6))], guilty={2: ValueError("two"), 3: ValueError("three")}, max_batch_size=6)
    run.failed(2, "ValueError", args=["two"])
    run.failed(3, "ValueError", args=["three"])
    run.served(0, 1, 4, 5)


@requirement("R5")
def test_where_all_are_guilty_each_gets_its_own_exception(play):
    run = play([(0.0, "predict", *range(5))], guilty={i: ValueError(f"row {i}") for i in range(5)})
    for caller in range(5):
        run.failed(caller, "ValueError", args=[f"row {caller}"])


@requirement("R5")
def test_an_exception_keeps_its_type_and_all_its_arguments(play):
    run = play([(0.0, "predict", "a", "b")], guilty={"b": LookupError("column", "age", "is missing")})
    run.failed(1, "LookupError", args=["column", "age", "is missing"])
    run.served(0)


@requirement("R5")
def test_the_batcher_works_on_after_a_failure(play):
    script = [(0.0, "predict", *"abc"), (1.0, "predict", *"def"), (2.0, "predict", "g")]
    run = play(script, seconds=0.01, guilty={"b": ValueError("bad"), "g": ValueError("worse")}, max_batch_size=3)
    run.failed(1, "ValueError", args=["bad"])
    run.failed(6, "ValueError", args=["worse"])
    run.served(0, 2, 3, 4, 5)


@requirement("R5")
def test_a_failure_does_not_touch_a_batch_beside_it(play):
    run = play(
        [(0.0, "predict", *range(8))],
        seconds=0.01,
        guilty={1: ValueError("bad")},
        max_batch_size=4,
        max_concurrency=2,
    )
    run.failed(1, "ValueError", args=["bad"])
    run.served(0, 2, 3, 4, 5, 6, 7)


@requirement("R5")
def test_innocent_items_that_wait_behind_a_failure_are_served(play):
    script = [(0.0, "predict", *range(4)), (0.002, "predict", *range(4, 10))]
    run = play(script, seconds=0.02, guilty={2: OSError("bad"), 9: OSError("bad too")}, max_batch_size=4)
    run.failed(2, "OSError", args=["bad"])
    run.failed(9, "OSError", args=["bad too"])
    run.served(0, 1, 3, 4, 5, 6, 7, 8)


@requirement("R5")
def test_a_caller_cancelled_in_a_batch_that_fails_does_not_disturb_the_others(play):
    script = [(0.0, "predict", *"abcd"), (0.5, "cancel", 1), (0.6, "predict", *"efgh")]
    run = play(script, seconds=1.0, guilty={"b": ValueError("bad b")}, max_batch_size=4)
    run.served(0, 2, 3, 4, 5, 6, 7)


# --- R6


def shape_errors(run, *callers):
    for caller in callers:
        run.failed(caller, "BatchShapeError")


WRONG = {
    "one too few": lambda items, answers: answers[:-1],
    "one too many": lambda items, answers: [*answers, "extra"],
    "none at all": lambda items, answers: [],
    "one for all": lambda items, answers: answers[:1],
    "twice as many": lambda items, answers: answers * 2,
}


@requirement("R6")
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_number_of_results_fails_the_whole_batch(play, what):
    run = play([(0.0, "predict", *"abcd")], returns=WRONG[what], max_batch_size=4)
    shape_errors(run, 0, 1, 2, 3)


@requirement("R6")
@pytest.mark.parametrize("what", ["none at all", "one too many"])
def test_a_wrong_number_of_results_for_a_lone_item(play, what):
    shape_errors(play([(0.0, "predict", "a")], returns=WRONG[what]), 0)


@requirement("R6")
def test_a_wrong_length_is_not_retried(play):
    run = play(
        [(0.0, "predict", *"abcdefgh")],
        returns=lambda items, answers: answers if len(items) < 8 else answers[1:],
        max_batch_size=8,
    )
    shape_errors(run, *range(8))
    run.sizes(8)


@requirement("R6")
def test_the_next_batch_is_served_as_usual(play):
    script = [(0.0, "predict", *"abc"), (0.001, "predict", *"xyz"), (1.0, "predict", *"uvw")]
    run = play(
        script,
        seconds=0.1,
        returns=lambda items, answers: answers[1:] if "a" in items else answers,
        max_batch_size=3,
    )
    shape_errors(run, 0, 1, 2)
    run.served(3, 4, 5, 6, 7, 8)


@requirement("R6")
def test_a_wrong_length_does_not_touch_a_batch_beside_it(play):
    run = play(
        [(0.0, "predict", *"abc"), (0.01, "predict", *"xyz")],
        seconds=0.1,
        returns=lambda items, answers: [*answers, "extra"] if "a" in items else answers,
        max_batch_size=3,
        max_concurrency=2,
    )
    shape_errors(run, 0, 1, 2)
    run.served(3, 4, 5)
