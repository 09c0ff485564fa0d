"""R1 to R4 and R13: who shares a batch with whom, when it starts, and who gets what."""

import asyncio
import random

import pytest

from rounds.testing import requirement

pytestmark = pytest.mark.event_loop("virtual")
NAN = float("nan")


def every(step, count, first=0.0):
    """Return a script of numbered items that arrive one by one."""
    return [(first + step * i, "predict", i) for i in range(count)]


# --- R1


@requirement("R1")
def test_a_hundred_callers_at_once_get_their_own_results(play):
    play([(0.0, "predict", *range(100))]).served()


@requirement("R1")
def test_batches_that_end_in_reverse_order_do_not_mix_up_answers(play):
    run = play([(0.0, "predict", *range(32))], seconds=lambda n: 0.5 - 0.1 * n, max_batch_size=8, max_concurrency=4)
    run.served()
    assert run.callers[0]["at"] > run.callers[31]["at"], "the last batch was the fastest, and was not answered first"


@requirement("R1")
def test_callers_who_come_one_by_one_over_many_batches_get_their_own_results(play, seed):
    chance = random.Random(seed)
    lengths = [chance.uniform(0.001, 0.03) for _ in range(200)]
    run = play(every(0.0007, 120), seconds=lambda n: lengths[n], max_batch_size=5, max_concurrency=3)
    run.served()


def own_places(run):
    """Check that the callers of one batch got its answers in their own order."""
    got = [told.get("value") for told in run.callers]
    places = [f"answer 0.{place} {run.model.token}" for place in range(len(got))]
    assert got == places, f"the answers should come as {places[:3]} …, and came as {got[:3]} …"


@requirement("R1")
def test_equal_items_get_the_answer_at_their_own_place(play):
    own_places(play([(0.0, "predict", *["same"] * 6, "other", "same")], max_batch_size=8))


@requirement("R1")
def test_unhashable_items_are_served(play):
    own_places(play([(0.0, "predict", {"row": 1}, [1, 2], {"row": 1}, [3])], max_batch_size=4))


@requirement("R1")
def test_items_that_are_none_or_zero_are_served(play):
    own_places(play([(0.0, "predict", None, 0, "", False, None)], max_batch_size=5))


@requirement("R1")
def test_results_that_are_none_or_zero_reach_their_callers(play):
    results = [None, 0, False, "", [], 7]
    run = play([(0.0, "predict", *"abcdef")], returns=lambda items, answers: results, max_batch_size=6)
    got = [told.get("value", told["what"]) for told in run.callers]
    assert [repr(one) for one in got] == [repr(one) for one in results], f"{results} came back as {got}"


@requirement("R1")
def test_a_model_may_return_a_tuple(play):
    play([(0.0, "predict", *"abcdef")], returns=lambda items, answers: tuple(answers), max_batch_size=4).served()


@requirement("R1")
def test_the_model_gets_a_list(play):
    (batch,) = play([(0.0, "predict", *"ab")], max_batch_size=2).batches
    assert type(batch) is list, f"predict_batch was called with a {type(batch).__name__}"


@requirement("R1")
def test_items_of_one_turn_keep_the_order_of_arrival(play):
    items = [5, 3, 9, 1, 7, 2, 8]
    (batch,) = play([(0.0, "predict", *items)], max_batch_size=7).batches
    assert batch == items, f"{items} arrived in this order, and the model got {batch}"


@requirement("R1")
def test_items_that_arrive_one_by_one_keep_the_order_of_arrival(play):
    items = [5, 3, 9, 1, 7]
    (batch,) = play([(0.001 * i, "predict", item) for i, item in enumerate(items)], max_wait_s=0.1).batches
    assert batch == items, f"{items} arrived in this order, and the model got {batch}"


@requirement("R1")
def test_items_that_gathered_while_the_model_was_busy_keep_the_order_of_arrival(play):
    items = [5, 3, 9, 1, 7]
    script = [(0.0, "predict", "x", "y"), *((0.01 + 0.01 * i, "predict", item) for i, item in enumerate(items))]
    run = play(script, seconds=1.0, max_batch_size=2)
    for batch in run.batches[1:]:
        assert batch == sorted(batch, key=items.index), f"{items} arrived in this order, and a batch was {batch}"
    run.served()


# --- R2


@requirement("R2")
@pytest.mark.parametrize("size", [1, 5, 64])
def test_a_full_batch_starts_at_time_zero(play, size):
    play([(0.0, "predict", *range(size))], max_batch_size=size).started((0.0, range(size)))


@requirement("R2")
def test_32_items_fill_a_batch_by_default(play):
    play([(0.0, "predict", *range(32))]).started((0.0, range(32)))


@requirement("R2")
def test_a_full_batch_starts_when_its_last_item_arrives(play):
    script = [(0.0, "predict", "a", "b"), (0.0011, "predict", "c"), (0.0023, "predict", "d")]
    play(script, max_batch_size=4).started((0.0023, "abcd"))


@requirement("R2")
def test_a_full_batch_does_not_wait_for_a_distant_deadline(play):
    script = [(0.0, "predict", "a", "b"), (3.7, "predict", "c")]
    play(script, max_batch_size=3, max_wait_s=50.0).started((3.7, "abc"))


@requirement("R2")
def test_full_batches_start_at_once_time_and_again(play):
    script = [(when, "predict", *"abc") for when in (0.0, 0.0123, 0.0571, 1.0009)]
    play(script, seconds=0.004, max_batch_size=3).started(*((when, "abc") for when, *_ in script))


# --- R3


@requirement("R3")
@pytest.mark.parametrize("arrival", [0.0, 0.0123])
def test_a_lone_item_starts_after_5_ms_by_default(play, arrival):
    play([(arrival, "predict", "a")]).started((arrival + 0.005, "a"))


@requirement("R3")
@pytest.mark.parametrize("wait", [0.0002, 20.0])
def test_a_lone_item_starts_after_the_wait_that_was_asked_for(play, wait):
    play([(0.003, "predict", "a")], max_wait_s=wait).started((0.003 + wait, "a"))


@requirement("R3")
@pytest.mark.parametrize("arrival", [0.0, 0.0123])
def test_without_a_wait_a_lone_item_starts_at_once(play, arrival):
    play([(arrival, "predict", "a")], max_wait_s=0).started((arrival, "a"))


@requirement("R3")
def test_arrivals_in_between_do_not_put_the_deadline_off(play):
    script = [(0.0, "predict", "a"), (0.002, "predict", "b"), (0.0045, "predict", "c")]
    play(script).started((0.005, "abc"))


@requirement("R3")
def test_a_steady_stream_does_not_put_the_deadline_off(play):
    run = play(every(0.001, 12, first=0.0003), max_wait_s=0.0055)
    run.started((0.0058, range(6)), (0.0118, range(6, 12)))


@requirement("R3")
def test_an_item_after_a_full_batch_has_a_wait_of_its_own(play):
    script = [(0.0, "predict", "a"), (0.001, "predict", "b"), (0.003, "predict", "c")]
    play(script, max_batch_size=2).started((0.001, "ab"), (0.008, "c"))


@requirement("R3")
def test_an_item_after_a_deadline_has_a_wait_of_its_own(play):
    script = [(0.0, "predict", "a"), (0.0061, "predict", "b"), (0.0302, "predict", "c")]
    play(script).started((0.005, "a"), (0.0111, "b"), (0.0352, "c"))


@requirement("R3")
def test_an_item_that_waits_out_its_deadline_beside_a_running_batch_starts_on_time(play):
    script = [(0.0, "predict", "a", "b"), (0.002, "predict", "c")]
    run = play(script, seconds=1.0, max_batch_size=2, max_concurrency=2)
    run.started((0.0, "ab"), (0.007, "c"))


def simulate(arrivals, size, wait):
    """Return the (time, items) of the batches when the model is always free."""
    started, queue = [], []
    for number, now in enumerate(arrivals):
        if queue and arrivals[queue[0]] + wait < now:
            started.append((arrivals[queue[0]] + wait, queue))
            queue = []
        queue = [*queue, number]
        if len(queue) == size:
            started.append((now, queue))
            queue = []
    return [*started, (arrivals[queue[0]] + wait, queue)] if queue else started


@requirement("R3")
@pytest.mark.parametrize("mean", [0.001, 0.004])
def test_random_arrivals_start_as_the_two_rules_say(play, seed, mean):
    chance = random.Random(f"{seed} {mean}")
    arrivals, now = [], 0.0
    for _ in range(80):
        now += 0.00001 + chance.expovariate(1 / mean)
        arrivals.append(round(now, 9))
    run = play([(when, "predict", i) for i, when in enumerate(arrivals)], max_batch_size=4)
    run.started(*simulate(arrivals, 4, 0.005))


# --- R4


@requirement("R4")
@pytest.mark.parametrize("seconds", [0.0, 0.008])
def test_70_items_make_batches_of_32_32_and_6(play, seconds):
    run = play([(0.0, "predict", *range(70))], seconds=seconds)
    run.sizes(32, 32, 6)
    run.served()


@requirement("R4")
@pytest.mark.parametrize(("count", "size", "sizes"), [(10, 3, [3, 3, 3, 1]), (5, 1, [1] * 5), (9, 8, [8, 1])])
def test_items_are_cut_to_the_size(play, count, size, sizes):
    play([(0.0, "predict", *range(count))], max_batch_size=size).sizes(*sizes)


@requirement("R4")
def test_what_gathered_while_the_model_was_busy_is_cut_to_the_size(play):
    run = play([(0.0, "predict", *"abcd"), (0.1, "predict", *range(9))], seconds=1.0, max_batch_size=4)
    run.sizes(4, 4, 4, 1)
    run.served()


@requirement("R4")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch_size", 0),
        ("max_batch_size", -1),
        ("max_queue", 0),
        ("max_concurrency", 0),
        ("max_wait_s", -0.001),
        ("max_wait_s", NAN),
        ("request_timeout_s", -1.0),
        ("request_timeout_s", NAN),
    ],
)
def test_a_senseless_number_is_refused(submission, props, name, value):
    async def build():
        return await props.refusal(submission, {name: value})

    told = asyncio.run(build())
    assert "ValueError" in told.get("kinds", []), f"{name}={value} should raise ValueError, and gave {told}"


# --- R13


def lane(item):
    return item[0]


@requirement("R13")
def test_only_equal_keys_share_a_batch(play):
    run = play([(0.0, "predict", "a1", "b1", "a2", "b2", "c1", "a3")], key=lane, max_concurrency=3)
    run.served()
    batches = sorted(sorted(batch) for batch in run.batches)
    assert batches == [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]], f"the lanes are a, b, c; the batches were {batches}"


@requirement("R13")
def test_each_lane_has_its_own_deadline(play):
    script = [(0.0, "predict", "a1"), (0.002, "predict", "b1"), (0.003, "predict", "b2"), (0.004, "predict", "a2")]
    run = play(script, seconds=1.0, key=lane, max_concurrency=2)
    run.started((0.005, ["a1", "a2"]), (0.007, ["b1", "b2"]))


@requirement("R13")
def test_a_full_lane_starts_while_the_others_wait_on(play):
    script = [(0.0, "predict", "b1"), (0.001, "predict", "a1"), (0.002, "predict", "a2")]
    run = play(script, seconds=1.0, key=lane, max_batch_size=2, max_concurrency=2)
    run.started((0.002, ["a1", "a2"]), (0.005, ["b1"]))


@requirement("R13")
def test_arrivals_in_one_lane_do_not_fill_another(play):
    run = play([(0.0, "predict", "a1", "b1", "c1")], key=lane, max_batch_size=3, max_concurrency=3)
    starts = [round(when, 6) for when, _ in run.model.calls]
    assert starts == [0.005] * 3, f"no lane of three was full; the batches started at {starts}"


@requirement("R13")
def test_a_lane_that_left_full_has_a_new_deadline(play):
    script = [
        (0.0, "predict", "a1", "b1"),
        (0.001, "predict", "a2"),
        (0.003, "predict", "a3"),
        (0.004, "predict", "b2"),
    ]
    run = play(script, seconds=1.0, key=lane, max_batch_size=2, max_concurrency=3)
    run.started((0.001, ["a1", "a2"]), (0.004, ["b1", "b2"]), (0.008, ["a3"]))


@requirement("R13")
def test_keys_that_are_none_or_false_are_lanes_too(play):
    keys = {"x": None, "y": 0, "z": "", "w": (1, None)}
    items = ["x1", "y1", "z1", "w1", "x2", "y2"]
    run = play([(0.0, "predict", *items)], key=lambda item: keys[item[0]], max_concurrency=4)
    run.served()
    batches = sorted(sorted(batch) for batch in run.batches)
    assert batches == [["w1"], ["x1", "x2"], ["y1", "y2"], ["z1"]], f"four keys made the batches {batches}"


@requirement("R13")
def test_without_a_key_all_items_share(play):
    play([(0.0, "predict", "a1", "b1", "c1")]).started((0.005, ["a1", "b1", "c1"]))
