"""R1 to R5 and R11: which calls a rollout makes, in which order, and how it ends."""

import secrets

import pytest
from canary_fleet import (
    BAD,
    GOOD,
    SPARSE,
    START,
    STEPS,
    Fleet,
    Side,
    expect_left_alone,
    expect_promotion,
    expect_reason,
    expect_rollback,
    expect_stop,
    expect_weights,
)

from rounds.testing import requirement


def step(weight, since, until, interval=300.0):
    return [("set_weight", weight), ("sleep", interval), ("collect", START + since, START + until)]


def expect_calls(fleet, expected, situation):
    """How a rollout ends is another matter: calls of promote and rollback are left out."""
    calls = [call for call in fleet.calls if call[0] not in ("promote", "rollback")]
    for nth, (seen, wanted) in enumerate(zip(calls, expected, strict=False), 1):
        same = seen == wanted or (seen[0] == wanted[0] == "set_weight" and abs(seen[1] - wanted[1]) < 1e-12)
        assert same, f"{situation}: call {nth} was {seen}, not {wanted}"
    assert len(calls) == len(expected), (
        f"{situation}: there were {len(calls)} calls and not {len(expected)}; the last was {calls[-1]}"
    )


# --- R1


@requirement("R1")
def test_the_model_itself_is_deployed_once_and_first(submission):
    fleet, model = Fleet(), secrets.token_hex(8)
    fleet.run(submission, 10, model=model)
    assert fleet.calls[0] == ("deploy_canary", model), f"the first call was {fleet.calls[0]}, not deploy_canary(model)"
    assert fleet.names().count("deploy_canary") == 1, "deploy_canary() was called more than once"


@requirement("R1")
def test_each_step_sets_waits_and_measures_since_it_was_set(submission):
    fleet = Fleet()
    fleet.run(submission, 10)
    expected = step(0.01, 0, 300) + step(0.05, 300, 600) + step(0.1, 600, 900)
    expect_calls(fleet, [("deploy_canary", "model"), *expected], "a good canary up to 10 %")


@requirement("R1")
def test_another_interval_is_slept_and_measured(submission):
    fleet = Fleet()
    fleet.run(submission, 50, steps=(20, 50, 100), step_interval_s=45.0)
    expected = step(0.2, 0, 45, 45.0) + step(0.5, 45, 90, 45.0)
    expect_calls(fleet, [("deploy_canary", "model"), *expected], "two steps of 45 s")


@requirement("R1")
def test_the_window_begins_when_the_weight_has_been_set(submission):
    for takes in [40.0, 299.0]:
        fleet = Fleet(setting_takes=takes)
        fleet.run(submission, 10)
        begun = [since for since, _ in fleet.windows()]
        assert begun == [at - START for at in fleet.set_at], (
            f"set_weight() took {takes:g} s and had set the weights at {[at - START for at in fleet.set_at]}; "
            f"the windows began at {begun}"
        )


@requirement("R1")
def test_the_window_ends_now_however_long_the_sleep_was(submission):
    fleet = Fleet(oversleeps=12.5)
    fleet.run(submission, 5)
    assert fleet.windows() == [(0.0, 312.5), (312.5, 625.0)], (
        f"each sleep of 300 s lasted 312.5 s; the windows were {fleet.windows()}"
    )


# --- R2


@requirement("R2")
@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (7, [0.01, 0.05, 0.07]),
        (10, [0.01, 0.05, 0.1]),
        (33.3, [0.01, 0.05, 0.1, 0.25, 0.333]),
        (99.9, [0.01, 0.05, 0.1, 0.25, 0.5, 0.999]),
        (100, STEPS),
    ],
)
def test_the_weights_are_the_steps_below_the_ceiling_and_the_ceiling(submission, percent, expected):
    fleet = Fleet()
    fleet.run(submission, percent)
    expect_weights(fleet, expected, f"a ceiling of {percent} %")


@requirement("R2")
def test_a_low_ceiling_is_a_ceiling(submission):
    for percent, expected in ((0.5, [0.005]), (1, [0.01]), (1.5, [0.01, 0.015]), (5, [0.01, 0.05])):
        fleet = Fleet()
        fleet.run(submission, percent)
        expect_weights(fleet, expected, f"a ceiling of {percent} %")


@requirement("R2")
def test_the_ceiling_is_10_when_nothing_is_said(submission):
    fleet = Fleet()
    fleet.run(submission, None)
    expect_weights(fleet, [0.01, 0.05, 0.1], "no ceiling given")


@requirement("R2")
def test_other_steps_have_the_same_ceiling(submission):
    for steps, percent, expected in [
        ((50,), 10, [0.1]),
        ((2, 4), 100, [0.02, 0.04, 1.0]),
        ((2, 4), 30, [0.02, 0.04, 0.3]),
        ((0.1, 0.25), 1, [0.001, 0.0025, 0.01]),
        ([3, 60], 60, [0.03, 0.6]),
    ]:
        fleet = Fleet()
        fleet.run(submission, percent, steps=steps)
        expect_weights(fleet, expected, f"steps {steps} and a ceiling of {percent} %")


@requirement("R2")
def test_a_ceiling_out_of_bounds_is_refused_before_anything_is_called(submission):
    for percent in [0, -1, 100.001, 1000, float("nan"), float("inf"), float("-inf")]:
        fleet = Fleet()
        try:
            fleet.run(submission, percent)
        except ValueError:
            pass
        else:
            pytest.fail(f"a ceiling of {percent} did not raise ValueError")
        assert not fleet.calls, f"a ceiling of {percent} was refused only after {fleet.calls[0][0]} had been called"


@requirement("R2")
def test_a_ceiling_above_the_last_step_is_judged(submission):
    for percent in (60, 80):
        fleet = bad_from(percent / 100)
        fleet.run(submission, percent, steps=(10, 50))
        expect_stop(fleet, [0.1, 0.5, percent / 100], f"steps 10 and 50, bad at the ceiling of {percent} %")


# --- R3


@requirement("R3")
def test_a_good_canary_is_promoted_once_at_100(submission):
    for steps in [(1, 5, 10, 25, 50, 100), (30, 100)]:
        fleet = Fleet()
        result = fleet.run(submission, 100, steps=steps)
        expect_promotion(fleet, result, "a good canary with a ceiling of 100")
        assert fleet.calls[-1] == ("promote",), f"the last call was {fleet.calls[-1]}, not promote()"
        assert result.final_weight == 1.0, f"final_weight of a promoted canary is {result.final_weight!r}"
        expect_reason(result)


@requirement("R3")
def test_a_good_canary_below_100_is_held_at_its_ceiling(submission):
    for percent in [1, 10, 50, 99.5]:
        fleet = Fleet()
        result = fleet.run(submission, percent, steps=(1, 10, 50, 99.5, 100))
        names = fleet.names()
        assert "promote" not in names, f"a ceiling of {percent} %: promote() was called"
        assert "rollback" not in names, f"a ceiling of {percent} %: rollback() was called on a good canary"
        assert result.status == "holding", f"a ceiling of {percent} %: the status is {result.status!r}, not 'holding'"
        assert result.final_weight == pytest.approx(percent / 100), f"final_weight is {result.final_weight!r}"
        assert fleet.calls[-1][0] == "collect", f"a ceiling of {percent} %: after the last window, {fleet.calls[-1]}"
        expect_reason(result)


# --- R4


def bad_from(weight, how=BAD):
    return Fleet(canary=lambda now, _: how if now >= weight else GOOD)


@requirement("R4")
@pytest.mark.parametrize("how", [BAD, Side(errors=600)], ids=["a third fails", "all fail"])
def test_a_bad_canary_is_rolled_back_once_at_whichever_weight(submission, how):
    for nth in (0, 2, 4):
        fleet = bad_from(STEPS[nth], how)
        result = fleet.run(submission, 100)
        situation = f"a canary that is bad from {STEPS[nth]:.0%} on"
        expect_weights(fleet, STEPS[: nth + 1], situation)
        expect_rollback(fleet, result, situation)
        expect_left_alone(fleet, situation)
        expect_reason(result)


@requirement("R4")
def test_a_canary_that_is_bad_at_its_ceiling_is_not_held(submission):
    for percent in [1, 10, 50]:
        fleet = bad_from(percent / 100)
        result = fleet.run(submission, percent)
        expect_rollback(fleet, result, f"a canary that is bad at its ceiling of {percent} %")
        expect_left_alone(fleet, f"a canary that is bad at its ceiling of {percent} %")


@requirement("R4")
def test_a_bad_canary_gets_no_second_chance(submission):
    fleet = bad_from(0.05)
    fleet.run(submission, 100)
    assert fleet.elapsed() == 600, f"bad at 5 %: the rollout went on until {fleet.elapsed():g} s, not 600"


# --- R5


@requirement("R5")
def test_20_requests_an_interval_neither_pass_nor_fail_a_step(submission):
    for errors in [0, 1, 20]:
        fleet = Fleet(canary=Side(requests=20, errors=errors))
        result = fleet.run(submission, 100)
        situation = f"{errors} errors in each 20 requests, never 500 of them"
        expect_weights(fleet, [0.01], situation)
        expect_rollback(fleet, result, situation, "inconclusive")
        assert fleet.elapsed() == 3600, f"{situation}: given up after {fleet.elapsed():g} s, not 3600"
        expect_reason(result)


@requirement("R5")
def test_a_step_is_judged_when_min_samples_have_come(submission):
    for requests, intervals in [(500, 1), (499, 2), (249, 3), (50, 10)]:
        fleet = Fleet(canary=Side(requests=requests, errors=0))
        result = fleet.run(submission, 1)
        situation = f"{requests} requests an interval, 500 needed"
        assert fleet.elapsed() == 300 * intervals, f"{situation}: the step ended after {fleet.elapsed():g} s"
        assert result.status == "holding", f"{situation}: the status is {result.status!r}"


@requirement("R5")
def test_a_step_that_waits_again_waits_whole_intervals_and_keeps_its_weight(submission):
    fleet = Fleet(canary=Side(requests=200, errors=2))
    fleet.run(submission, 5)
    expect_weights(fleet, [0.01, 0.05], "200 requests an interval, 500 needed")
    sleeps = [call[1] for call in fleet.calls if call[0] == "sleep"]
    assert set(sleeps) == {300.0}, f"200 requests an interval, 500 needed: the sleeps were {sleeps}"


@requirement("R5")
def test_min_samples_is_the_callers(submission):
    for min_samples, intervals in ((1, 1), (20, 1), (21, 2), (100, 5)):
        fleet = Fleet(canary=SPARSE)
        fleet.run(submission, 1, min_samples=min_samples)
        assert fleet.elapsed() == 300 * intervals, (
            f"20 requests an interval, {min_samples} needed: the step ended after {fleet.elapsed():g} s"
        )


@requirement("R5")
def test_a_bad_canary_with_few_requests_is_rolled_back_once_there_are_enough(submission):
    fleet = Fleet(canary=Side(requests=200, errors=100))
    result = fleet.run(submission, 100)
    expect_rollback(fleet, result, "100 errors in each 200 requests")
    assert fleet.elapsed() == 900, f"200 requests an interval, 500 needed: rolled back after {fleet.elapsed():g} s"


@requirement("R5")
def test_no_request_at_all_is_too_few_and_not_a_failed_measurement(submission):
    fleet = Fleet(canary=Side(requests=0, errors=0))
    result = fleet.run(submission, 100)
    expect_rollback(fleet, result, "no request ever", "inconclusive")
    assert fleet.elapsed() == 3600, f"no request ever: given up after {fleet.elapsed():g} s, not 3600"


@requirement("R5")
def test_it_gives_up_at_the_first_collection_that_is_not_before_the_limit(submission):
    for wait, interval, ends in [(1000.0, 300.0, 1200), (900.0, 300.0, 900), (100.0, 300.0, 300), (65.0, 10.0, 70)]:
        fleet = Fleet(canary=SPARSE)
        result = fleet.run(submission, 100, max_step_wait_s=wait, step_interval_s=interval)
        situation = f"max_step_wait_s {wait:g} and an interval of {interval:g} s"
        expect_rollback(fleet, result, situation, "inconclusive")
        assert fleet.elapsed() == ends, f"{situation}: given up after {fleet.elapsed():g} s, not {ends}"


@requirement("R5")
def test_a_window_that_is_large_enough_at_the_limit_is_still_judged(submission):
    fleet = Fleet(canary=Side(requests=200, errors=2))
    result = fleet.run(submission, 5, max_step_wait_s=900.0)
    assert (result.status, fleet.weights()) == ("holding", [0.01, 0.05]), (
        f"500 requests had come at 900 s, the limit: the status is {result.status!r}, the weights {fleet.weights()}"
    )


@requirement("R5")
def test_the_limit_is_counted_from_the_beginning_of_each_step(submission):
    fleet = Fleet(canary=Side(requests=50, errors=0))
    result = fleet.run(submission, 5)
    assert (result.status, fleet.weights()) == ("holding", [0.01, 0.05]), (
        f"50 requests an interval, 500 needed in each of two steps: the status is {result.status!r}, "
        f"the weights {fleet.weights()}"
    )


@requirement("R5")
def test_a_sleep_that_lasts_longer_counts_as_long_as_it_lasted(submission):
    fleet = Fleet(canary=SPARSE, oversleeps=100.0)
    fleet.run(submission, 100, max_step_wait_s=1200.0)
    assert fleet.elapsed() == 1200, f"intervals of 400 s and a limit of 1200: given up after {fleet.elapsed():g} s"


# --- R11


@requirement("R11")
def test_a_canary_that_breaks_at_100_is_not_promoted(submission):
    for ends in ((1, 5, 10, 25, 50, 100), (30, 100), (100,)):
        fleet = bad_from(1.0)
        fleet.run(submission, 100, steps=ends)
        expect_stop(fleet, [percent / 100 for percent in ends], f"a canary that is bad at 100 %, steps {ends}")


@requirement("R11")
def test_a_good_rollout_takes_its_six_intervals_and_no_more(submission):
    fleet = Fleet()
    result = fleet.run(submission, 100)
    expect_promotion(fleet, result, "a good rollout")
    assert fleet.elapsed() == 1800, f"a good rollout of six steps took {fleet.elapsed():g} s by its clock, not 1800"


@requirement("R11")
def test_promote_comes_after_the_measurement_at_100(submission):
    fleet = Fleet()
    fleet.run(submission, 100)
    names = fleet.names()
    at_last = names[len(names) - names[::-1].index("set_weight") :]
    assert "sleep" in at_last, f"after the weight of 100 % was set, a good rollout called only {', '.join(at_last)}"
    assert at_last[-2:] == ["collect", "promote"], f"a good rollout ended with {', '.join(at_last[-2:])}"


@requirement("R11")
def test_no_request_at_100_does_not_promote(submission):
    fleet = Fleet(canary=Side(requests=0, errors=0))
    fleet.run(submission, 100, steps=(100,))
    expect_stop(fleet, [1.0], "no request at 100 %")


@requirement("R11")
def test_too_little_measured_at_100_does_not_promote(submission):
    fleet = Fleet(spoil=lambda nth, answer: answer if nth <= 5 else None)
    fleet.run(submission, 100)
    expect_stop(fleet, STEPS, "metrics that are missing from 100 % on")
