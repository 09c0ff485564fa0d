"""R7 to R10: what happens to items while they wait: cancelled, refused, too late, held up by a busy model."""

import random

import pytest

from rounds.testing import requirement

pytestmark = pytest.mark.event_loop("virtual")

BUSY = (0.0, "predict", "x", "y")  # with two per batch and one batch at a time, the model is busy for a second
PAIRS = {"seconds": 1.0, "max_batch_size": 2}
SLOW = {"seconds": 10.0, "max_wait_s": 0.5, "max_batch_size": 8}  # an item of time 0 keeps the model from 0.5 to 10.5


# --- R7


@requirement("R7")
def test_a_cancelled_item_never_reaches_the_model(play):
    run = play([(0.0, "predict", *"abc"), (0.002, "cancel", 1)])
    run.cancelled(1, at=0.002)
    run.batched("ac")
    run.served(0, 2)


@requirement("R7")
def test_the_place_of_a_cancelled_item_in_the_batch_is_free(play):
    script = [(0.0, "predict", *"abc"), (0.001, "cancel", 1), (0.002, "predict", "d"), (0.003, "predict", "e")]
    run = play(script, max_batch_size=4)
    run.batched("acde")
    run.served(0, 2, 3, 4)


@requirement("R7")
def test_where_all_are_cancelled_the_model_is_not_called(play):
    run = play([(0.0, "predict", *"ab"), (0.002, "cancel", 0, 1), (1.0, "predict", "c")])
    run.cancelled(0, 1, at=0.002)
    run.batched("c")
    run.served(2)


@requirement("R7")
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_the_place_of_a_cancelled_item_in_a_full_queue_is_free(play, victim):
    script = [(0.0, "predict", *"abc"), (0.1, "cancel", victim), (0.2, "predict", "d")]
    run = play(script, **SLOW, max_queue=3)
    run.cancelled(victim, at=0.1)
    run.served(*{0, 1, 2, 3} - {victim})
    run.batched([item for number, item in enumerate("abcd") if number != victim])


@requirement("R7")
def test_all_that_wait_behind_a_busy_model_may_be_cancelled(play):
    script = [(0.0, "predict", "x"), (1.0, "predict", *"abc"), (1.1, "cancel", 1, 2, 3), (30.0, "predict", *"de")]
    run = play(script, **SLOW)
    run.cancelled(1, 2, 3, at=1.1)
    run.batched("x", "de")
    run.served(0, 4, 5)


@requirement("R7")
def test_an_item_may_be_cancelled_in_its_lane(play):
    script = [(0.0, "predict", "a1", "b1", "a2"), (0.001, "cancel", 0), (0.002, "cancel", 1)]
    run = play(script, key=lambda item: item[0], max_concurrency=2)
    run.cancelled(0, 1)
    run.batched(["a2"])
    run.served(2)


@requirement("R7")
@pytest.mark.parametrize("victim", [0, 2])
def test_a_caller_cancelled_during_the_computation_does_not_disturb_the_others(play, victim):
    script = [(0.0, "predict", *"abcd"), (0.5, "cancel", victim), (0.6, "predict", *"efgh")]
    run = play(script, seconds=1.0, max_batch_size=4)
    run.cancelled(victim)
    run.served(*(caller for caller in range(8) if caller != victim))


@requirement("R7")
def test_all_callers_of_a_running_batch_may_be_cancelled(play):
    script = [(0.0, "predict", *"ab"), (0.5, "cancel", 0, 1), (0.6, "predict", *"cd"), (5.0, "predict", *"ef")]
    run = play(script, **PAIRS)
    run.cancelled(0, 1)
    run.served(2, 3, 4, 5)


# --- R8


@requirement("R8")
def test_a_call_into_a_full_queue_is_refused_at_once(play):
    run = play([(0.0, "predict", "x"), (1.0, "predict", *"abcd"), (1.1, "predict", "e")], **SLOW, max_queue=4)
    run.failed(5, "QueueFullError", at=1.1)
    run.served(*range(5))
    run.never_computed("e")


@requirement("R8")
def test_256_items_may_wait_by_default(play):
    script = [(0.0, "predict", "x"), (1.0, "predict", *range(256)), (1.1, "predict", "y")]
    run = play(script, **{**SLOW, "max_batch_size": 300})
    run.failed(257, "QueueFullError", at=1.1)
    run.served(*range(257))


@requirement("R8")
def test_what_is_being_computed_does_not_count(play):
    script = [(0.0, "predict", *"xy"), (1.0, "predict", "a"), (1.1, "predict", "b"), (1.2, "predict", "c")]
    run = play(script, **SLOW, max_queue=2)
    run.failed(4, "QueueFullError", at=1.2)
    run.served(0, 1, 2, 3)


@requirement("R8")
def test_every_call_beyond_the_bound_is_refused(play):
    script = [(0.0, "predict", "x"), (1.0, "predict", *"abc"), (1.1, "predict", *"de"), (1.4, "predict", "f")]
    run = play(script, **SLOW, max_queue=3)
    for caller, when in ((4, 1.1), (5, 1.1), (6, 1.4)):
        run.failed(caller, "QueueFullError", at=when)
    run.served(0, 1, 2, 3)
    run.never_computed("d", "e", "f")


@requirement("R8")
def test_calls_are_accepted_again_when_there_is_room(play):
    script = [
        (0.0, "predict", "x"),
        (1.0, "predict", *"ab"),
        (1.1, "predict", "c"),
        (15.0, "predict", *"de"),
        (15.1, "predict", "f"),
    ]
    run = play(script, **SLOW, max_queue=2)
    run.failed(3, "QueueFullError", at=1.1)
    run.failed(6, "QueueFullError", at=15.1)
    run.served(0, 1, 2, 4, 5)


@requirement("R8")
def test_a_full_batch_that_waits_behind_a_busy_model_counts(play):
    run = play([BUSY, (0.1, "predict", *"abcd"), (0.2, "predict", "e")], **PAIRS, max_queue=4)
    run.failed(6, "QueueFullError", at=0.2)
    run.served(*range(6))


@requirement("R8")
def test_a_call_is_refused_while_two_batches_are_running(play):
    script = [(0.0, "predict", "x"), (0.6, "predict", "y"), (1.2, "predict", *"abc"), (1.3, "predict", "d")]
    run = play(script, **SLOW, max_queue=3, max_concurrency=2)
    run.failed(5, "QueueFullError", at=1.3)
    run.served(*range(5))


@requirement("R8")
def test_the_queue_is_bounded_over_all_lanes(play):
    script = [
        (0.0, "predict", "a1", "b1"),
        (1.0, "predict", "a2", "b2", "c1"),
        (1.1, "predict", "d1"),
        (1.2, "predict", "e1"),
    ]
    run = play(script, **SLOW, key=lambda item: item[0], max_concurrency=2, max_queue=4)
    run.failed(6, "QueueFullError", at=1.2)
    run.served(*range(6))


# --- R9


@requirement("R9")
def test_an_item_that_waits_too_long_is_timed_out_at_its_limit(play):
    run = play([BUSY, (0.1, "predict", "a")], **PAIRS, request_timeout_s=0.05)
    run.failed(2, "TimeoutError", at=0.15)
    run.never_computed("a")
    run.served(0, 1)


@requirement("R9")
def test_each_item_has_its_own_limit(play):
    script = [BUSY, (0.1, "predict", "a"), (0.12, "predict", "b"), (0.3, "predict", "c")]
    run = play(script, **PAIRS, request_timeout_s=0.05)
    for caller, when in ((2, 0.15), (3, 0.17), (4, 0.35)):
        run.failed(caller, "TimeoutError", at=when)
    run.batched("xy")


@requirement("R9")
def test_items_within_their_limit_are_served(play):
    script = [BUSY, (0.1, "predict", "a"), (0.96, "predict", "b"), (0.97, "predict", "c")]
    run = play(script, **PAIRS, request_timeout_s=0.05)
    run.failed(2, "TimeoutError", at=0.15)
    run.batched("xy", "bc")
    run.served(0, 1, 3, 4)


@requirement("R9")
def test_an_expired_item_takes_no_place_in_the_batch(play):
    script = [BUSY, (0.1, "predict", *"abc"), (0.7, "predict", *"def")]
    run = play(script, seconds=1.0, max_batch_size=2, request_timeout_s=0.5)
    for caller in (2, 3, 4):
        run.failed(caller, "TimeoutError", at=0.6)
    run.never_computed("a", "b", "c")
    run.served(5, 6)


@requirement("R9")
@pytest.mark.parametrize("seconds", [0.06, 5.0])
def test_a_long_computation_is_not_timed_out(play, seconds):
    run = play([(0.0, "predict", "x", "y")], seconds=seconds, max_batch_size=2, request_timeout_s=0.05)
    run.served()


@requirement("R9")
def test_waiting_and_computing_together_may_exceed_the_limit(play):
    run = play([BUSY, (0.6, "predict", *"ab")], **PAIRS, request_timeout_s=0.5)
    run.served()


@requirement("R9")
def test_without_a_limit_an_item_waits_as_long_as_it_takes(play):
    run = play([BUSY, (0.1, "predict", *"ab")], seconds=25.0, max_batch_size=2)
    run.served()


@requirement("R9")
def test_the_batcher_works_on_when_all_that_waited_have_expired(play):
    script = [BUSY, (0.1, "predict", *"abc"), (3.0, "predict", *"de")]
    run = play(script, **PAIRS, request_timeout_s=0.05)
    run.batched("xy", "de")
    run.served(0, 1, 5, 6)


@requirement("R9")
def test_a_cancelled_item_is_not_timed_out(play):
    script = [BUSY, (0.1, "predict", *"ab"), (0.12, "cancel", 2)]
    run = play(script, **PAIRS, request_timeout_s=0.05)
    run.cancelled(2, at=0.12)
    run.failed(3, "TimeoutError", at=0.15)
    run.served(0, 1)


# --- R10


@requirement("R10")
def test_arrivals_during_a_running_batch_leave_together_when_it_ends(play):
    script = [(0.0, "predict", "x"), (0.2, "predict", "a"), (0.5, "predict", "b"), (0.7, "predict", "c")]
    run = play(script, seconds=1.0, max_batch_size=8)
    run.started((0.005, "x"), (1.005, "abc"))
    run.served()


@requirement("R10")
def test_with_two_a_second_batch_starts_while_the_first_is_running(play):
    script = [(0.0, "predict", *"ab"), (0.3, "predict", *"cd"), (0.4, "predict", *"ef")]
    run = play(script, **PAIRS, max_concurrency=2)
    run.started((0.0, "ab"), (0.3, "cd"), (1.0, "ef"))
    run.served()


@requirement("R10")
def test_with_three_a_lone_item_starts_beside_two_running_batches(play):
    script = [(0.0, "predict", *"ab"), (0.3, "predict", *"cd"), (0.4, "predict", "e"), (0.5, "predict", "f")]
    run = play(script, **PAIRS, max_concurrency=3)
    run.started((0.0, "ab"), (0.3, "cd"), (0.405, "e"), (1.0, "f"))


@requirement("R10")
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_under_load_as_many_batches_run_as_may(play, seed, limit):
    chance = random.Random(seed)
    script = [(0.001 * i, "predict", *range(3 * i, 3 * i + 3)) for i in range(40)]
    lengths = [chance.uniform(0.004, 0.02) for _ in range(200)]
    run = play(script, seconds=lambda n: lengths[n], max_batch_size=4, max_concurrency=limit)
    run.at_most_running(limit)
    run.served()
    assert run.model.most_running == limit, f"{limit} batches may run at once, and {run.model.most_running} did"


@requirement("R10")
@pytest.mark.parametrize("limit", [1, 2])
def test_retries_count_as_running(play, limit):
    guilty = {1: ValueError("bad"), 6: ValueError("bad"), 9: ValueError("bad")}
    run = play([(0.0, "predict", *range(16))], seconds=0.01, guilty=guilty, max_batch_size=4, max_concurrency=limit)
    run.at_most_running(limit)


@requirement("R10")
def test_the_place_of_a_batch_that_failed_is_free(play):
    script = [(0.1 * i, "predict", *(f"{name}{i}" for name in "ab")) for i in range(5)]
    guilty = {f"{name}{i}": ValueError("bad") for name in "ab" for i in range(4)}
    run = play(script, seconds=0.005, guilty=guilty, max_batch_size=2, max_concurrency=2)
    run.served(8, 9)
    assert abs(run.callers[8]["at"] - 0.405) < 1e-6, f"after four failed batches, {run.story(8)} instead of 0.405 s"


@requirement("R10")
def test_the_place_of_a_batch_of_the_wrong_length_is_free(play):
    script = [(0.1 * i, "predict", *(f"{name}{i}" for name in "ab")) for i in range(5)]
    returns = lambda items, answers: answers if "a4" in items else answers[1:]  # noqa: E731
    run = play(script, seconds=0.005, returns=returns, max_batch_size=2, max_concurrency=2)
    run.served(8, 9)
    assert abs(run.callers[8]["at"] - 0.405) < 1e-6, f"after four broken batches, {run.story(8)} instead of 0.405 s"


@requirement("R10")
def test_concurrency_is_bounded_over_all_lanes(play):
    items = [f"{name}{number}" for number in range(4) for name in "ab"]
    run = play([(0.0, "predict", *items)], seconds=0.1, key=lambda item: item[0], max_batch_size=2, max_concurrency=2)
    run.at_most_running(2)
    run.served()
