"""R6, R7 and R10: what is chance, and what is the canary's doing. Rollouts are seeded; all is drawn in advance."""

import pytest
from canary_fleet import GOOD, STEPS, Fleet, Side, expect_promotion, expect_stop

from rounds.testing import requirement

SLOW_TEST = pytest.mark.limits(seconds=30, memory_mb=1024)


def side(errors=0.01, slow=1.0):
    """Give one rate and factor for all steps, or a list."""
    return {
        "errors": errors if isinstance(errors, list) else [errors],
        "slow": slow if isinstance(slow, list) else [slow],
    }


def rolled_back(outcomes):
    """Count the rollouts that were rolled back, by what the router saw."""
    return sum(rollbacks > 0 for _, _, _, rollbacks in outcomes)


def promoted(outcomes):
    """Count the rollouts of six steps that were promoted and not rolled back."""
    return sum(
        (status, promotes, rollbacks) == ("promoted", 1, 0) and len(weights) == 6
        for status, weights, promotes, rollbacks in outcomes
    )


def expect_good(outcomes, at_most, situation):
    bad = rolled_back(outcomes)
    assert bad <= at_most, f"{situation}: {bad} of {len(outcomes)} rollouts were rolled back; at most {at_most} may be"
    good = promoted(outcomes)
    assert good == len(outcomes) - bad, (
        f"{situation}: of {len(outcomes) - bad} rollouts without a rollback, {good} were promoted after six steps"
    )


def expect_stopped(outcomes, at_least, situation):
    stopped = rolled_back(outcomes)
    assert stopped >= at_least, (
        f"{situation}: {stopped} of {len(outcomes)} rollouts were rolled back; it should be {at_least}"
    )


# --- R6


@requirement("R6")
@SLOW_TEST
def test_five_per_cent_errors_on_both_sides_are_not_the_canarys_fault(submission, props, seed):
    outcomes = props.rollouts(submission, 200, 100 + seed, side(0.05), side(0.05))
    expect_good(outcomes, 5, "5 % errors on both sides")


@requirement("R6")
@SLOW_TEST
def test_an_incident_that_begins_in_the_middle_is_not_the_canarys_fault(submission, props, seed):
    both = side([0.01, 0.01, 0.05, 0.05, 0.01, 0.05], [1.0, 1.0, 1.0, 4.0, 1.0, 4.0])
    outcomes = props.rollouts(submission, 200, 200 + seed, both, both)
    expect_good(outcomes, 5, "5 % errors, then fourfold latency on both sides, from the third step on")


@requirement("R6")
@pytest.mark.parametrize("begins", [0.01, 0.1, 1.0])
def test_an_incident_that_slows_both_sides_is_not_the_canarys_fault(submission, begins):
    slow = Side(600, 6, slow=4.0)
    fleet = Fleet(canary=lambda weight, _: slow if weight >= begins else GOOD, mirrored=True)
    result = fleet.run(submission, 100)
    expect_promotion(fleet, result, f"both sides four times slower from {begins:.0%} on")


@requirement("R6")
def test_an_incident_does_not_hide_a_worse_canary(submission):
    fleet = Fleet(canary=Side(2000, 400), baseline=Side(2000, 100))
    fleet.run(submission, 100)
    expect_stop(fleet, [0.01], "20 % errors against 5 %")


@requirement("R6")
def test_the_same_rate_on_both_sides_goes_on_whatever_it_is(submission):
    for errors in (0, 180, 600):
        fleet = Fleet(canary=Side(600, errors), mirrored=True)
        expect_promotion(fleet, fleet.run(submission, 100), f"{errors / 600:.0%} errors on both sides")


# --- R7


@requirement("R7")
@SLOW_TEST
def test_two_equal_versions_are_hardly_ever_rolled_back(submission, props, seed):
    outcomes = props.rollouts(submission, 200, 400 + seed, side(), side())
    expect_good(outcomes, 6, "1 % errors on both sides")


@requirement("R7")
@SLOW_TEST
def test_eight_per_cent_stop_at_the_first_judged_step(submission, props, seed):
    outcomes = props.rollouts(submission, 200, 500 + seed, side(0.08), side())
    expect_stopped(outcomes, 190, "8 % errors against 1 %")
    first = sum(len(weights) == 1 for _, weights, _, _ in outcomes)
    assert first >= 190, f"8 % errors against 1 %: {first} of 200 rollouts stopped at the first step, not 190"


@requirement("R7")
@SLOW_TEST
def test_three_per_cent_stop_somewhere(submission, props, seed):
    outcomes = props.rollouts(submission, 200, 600 + seed, side(0.03), side(), requests=3000)
    expect_stopped(outcomes, 190, "3 % errors against 1 %")


@requirement("R7")
@SLOW_TEST
def test_a_canary_that_gets_worse_later_is_stopped_there(submission, props, seed):
    outcomes = props.rollouts(submission, 50, 700 + seed, side([0.01] * 4 + [0.08]), side())
    expect_stopped(outcomes, 48, "8 % errors from the fifth step on")
    fifth = sum(weights == STEPS[:5] for _, weights, _, _ in outcomes)
    assert fifth >= 47, f"8 % errors from the fifth step on: {fifth} of 50 rollouts stopped there, not 47"


JUDGED = {  # (canary errors, baseline errors, requests a side, config, bad)
    "a difference within the tolerance does not matter, however significant": [
        (1300, 1000, 100_000, {}, False),
        (2500, 1000, 100_000, {}, True),
    ],
    "a difference beyond the tolerance may be chance": [
        (12, 6, 600, {}, False),
        (3, 0, 500, {}, False),
        (60, 6, 600, {}, True),
    ],
    "the tolerance is the caller's": [
        (120, 20, 2000, {"max_error_rate_delta": 0.1}, False),
        (120, 20, 2000, {"max_error_rate_delta": 0.01}, True),
        (1300, 1000, 100_000, {"max_error_rate_delta": 0.0005}, True),
    ],
    "the tolerance is absolute": [
        (100, 10, 20_000, {}, False),
        (3000, 2400, 6000, {}, True),
    ],
    "alpha is the caller's": [
        (25, 5, 500, {"alpha": 0.05}, True),
        (25, 5, 500, {"alpha": 1e-7}, False),
        (22, 9, 600, {"alpha": 0.25}, True),
        (22, 9, 600, {"alpha": 1e-5}, False),
    ],
    "a canary that is better is not bad": [
        (20, 200, 2000, {}, False),
        (0, 600, 600, {}, False),
    ],
    "all or nothing": [
        (600, 0, 600, {}, True),
        (600, 300, 600, {}, True),
        (0, 0, 600, {}, False),
    ],
}


@requirement("R7")
@pytest.mark.parametrize("promise", JUDGED)
def test_errors_stop_a_step_by_tolerance_and_significance(submission, promise):
    for canary, baseline, requests, config, bad in JUDGED[promise]:
        fleet = Fleet(canary=Side(requests, canary), baseline=Side(requests, baseline))
        result = fleet.run(submission, 1, **config)
        expected = "rolled_back" if bad else "holding"
        assert result.status == expected, (
            f"{canary} errors against {baseline} in {requests} requests a side, {config or 'default settings'}: the "
            f"status is {result.status!r}, not {expected!r}"
        )


# --- R10


@requirement("R10")
@SLOW_TEST
def test_doubled_latency_is_stopped(submission, props, seed):
    outcomes = props.rollouts(submission, 100, 800 + seed, side(slow=2.0), side(), paired=True)
    expect_stopped(outcomes, 95, "latency doubled")


@requirement("R10")
@SLOW_TEST
def test_ten_per_cent_more_latency_goes_on(submission, props, seed):
    outcomes = props.rollouts(submission, 100, 900 + seed, side(slow=1.1), side(), paired=True)
    expect_good(outcomes, 10, "latency 10 % higher")


@requirement("R10")
def test_a_canary_that_is_faster_goes_on(submission):
    for slow in (0.4, 0.002):
        fleet = Fleet(canary=Side(2000, 20, slow=slow))
        expect_promotion(fleet, fleet.run(submission, 100), f"latency {slow} times the baseline's")


@requirement("R10")
def test_a_slow_twelfth_stops_though_the_mean_hardly_moves(submission):
    tail = Side(2400, 24, stragglers=200, straggling_ms=600.0)
    fleet = Fleet(canary=tail, baseline=Side(2400, 24))
    fleet.run(submission, 100)
    expect_stop(fleet, [0.01], "one request in twelve takes 600 ms, the others 100 to 200")


@requirement("R10")
def test_one_in_a_hundred_that_takes_a_minute_does_not_stop(submission):
    tail = Side(2400, 24, stragglers=24, straggling_ms=60_000.0)
    fleet = Fleet(canary=tail, baseline=Side(2400, 24))
    expect_promotion(fleet, fleet.run(submission, 100), "one request in a hundred takes a minute")


@requirement("R10")
def test_a_slow_baseline_tail_is_compared_with(submission):
    tail = Side(2400, 24, stragglers=240, straggling_ms=900.0)
    fleet = Fleet(canary=tail, baseline=tail)
    expect_promotion(fleet, fleet.run(submission, 100), "one request in ten takes 900 ms, on both sides")


@requirement("R10")
def test_the_ratio_is_the_callers(submission):
    for ratio, slow, bad in (
        (1.25, 1.6, 1),
        (3.0, 2.0, 0),
        (3.0, 4.0, 1),
        (1.05, 1.2, 1),
        (1.6, 1.3, 0),
        (0.9, 0.7, 0),
    ):
        fleet = Fleet(canary=Side(2000, 20, slow=slow), baseline=Side(2000, 20))
        result = fleet.run(submission, 1, max_latency_ratio=ratio)
        expected = "rolled_back" if bad else "holding"
        assert result.status == expected, (
            f"max_latency_ratio {ratio}, p95 {slow} times the baseline's: the status is {result.status!r}, "
            f"not {expected!r}"
        )


@requirement("R10")
def test_a_slower_canary_is_stopped_though_it_errs_less(submission):
    fleet = Fleet(canary=Side(2000, 0, slow=2.0), baseline=Side(2000, 100))
    fleet.run(submission, 100)
    expect_stop(fleet, [0.01], "no errors against 5 %, but twice as slow")


@requirement("R10")
def test_a_faster_canary_is_stopped_when_it_fails(submission):
    fleet = Fleet(canary=Side(2000, 300, slow=0.2), baseline=Side(2000, 20))
    fleet.run(submission, 100)
    expect_stop(fleet, [0.01], "15 % errors against 1 %, five times as fast")


@requirement("R10")
def test_a_rollout_that_slows_down_later_is_stopped_there(submission):
    fleet = Fleet(canary=lambda weight, _: Side(2000, 20, slow=2.0) if weight >= 0.25 else GOOD)
    fleet.run(submission, 100)
    expect_stop(fleet, STEPS[:4], "twice as slow from 25 % on")
