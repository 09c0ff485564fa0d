"""R12: what `steps` tells."""

import json
import statistics

import pytest
from canary_fleet import BAD, GOOD, START, Fleet, Side

from rounds.testing import requirement

KEYS = {
    "weight", "n_canary", "n_baseline", "error_rate_canary", "error_rate_baseline", "p95_canary_ms", "p95_baseline_ms",
    "p_value", "decision", "reason", "started_at", "ended_at",
}  # fmt: skip


def entries(fleet, result, situation):
    """Return the steps after what holds for all of them."""
    steps = result.steps
    assert isinstance(steps, list), f"{situation}: steps is no list but {type(steps).__name__}"
    try:
        json.dumps(steps, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"{situation}: json.dumps(steps, allow_nan=False) fails: {error}")
    for nth, step in enumerate(steps, 1):
        missing = sorted(KEYS - set(step))
        assert not missing, f"{situation}: the entry of step {nth} has no {', '.join(missing)}"
        assert isinstance(step["reason"], str), f"{situation}: the reason of step {nth} is {step['reason']!r}"
        assert step["reason"].strip(), f"{situation}: the reason of step {nth} is empty"
    seen = [step["weight"] for step in steps]
    assert seen == pytest.approx(fleet.weights(), abs=1e-12), f"{situation}: the entries are for the weights {seen}"
    return steps


def expect_decisions(steps, expected, situation):
    seen = [step["decision"] for step in steps]
    assert seen == expected, f"{situation}: the decisions are {seen}, not {expected}"


def measured(fleet, step):
    """Return the last window that was collected at a step's weight."""
    return [answer for answer in fleet.answered if abs(answer[0] - step["weight"]) < 1e-9][-1]


def expect_judged_windows(fleet, steps, situation):
    """Each entry tells of the last window of its step, and ends with it."""
    for step in steps:
        _, _, until, answer = measured(fleet, step)
        rates = {side: answer[side]["errors"] / answer[side]["requests"] for side in answer}
        expected = {f"n_{side}": answer[side]["requests"] for side in answer}
        expected |= {f"error_rate_{side}": rate for side, rate in rates.items()}
        expected |= {f"p95_{side}_ms": statistics.quantiles(answer[side]["latencies_ms"], n=20)[-1] for side in answer}
        expect_values(step, expected, f"{situation}, weight {step['weight']:g}")
        ended = step["ended_at"]
        assert ended == until, f"{situation}: the step is said to end at {ended!r}; its last window ends at {until}"


def expect_starts(steps, expected, situation):
    seen = [step["started_at"] - START for step in steps]
    assert seen == expected, f"{situation}: the steps are said to start at {seen}, not {expected}"


def expect_values(step, expected, situation):
    for key, value in expected.items():
        assert step[key] == pytest.approx(value, rel=0.01 if key.startswith("p95") else 1e-9), (
            f"{situation}: {key} is {step[key]!r}, not {value:g}"
        )


@requirement("R12")
def test_a_good_rollout_has_an_entry_for_each_step(submission):
    fleet = Fleet(canary=Side(1000, 13, slow=1.1), baseline=Side(1000, 7))
    situation = "13 errors against 7 in 1,000 requests"
    steps = entries(fleet, fleet.run(submission, 50, max_error_rate_delta=0.02), situation)
    expect_decisions(steps, ["advance"] * 5, situation)
    expect_judged_windows(fleet, steps, situation)
    expect_starts(steps, [300.0 * nth for nth in range(5)], situation)


@requirement("R12")
def test_the_entry_of_a_step_has_the_window_that_was_judged(submission):
    fleet = Fleet(canary=lambda weight, _: Side(200, 2) if weight < 0.05 else Side(700, 7))
    steps = entries(fleet, fleet.run(submission, 5), "few requests in the first step, many in the second")
    expect_judged_windows(fleet, steps, "few requests in the first step, many in the second")


@requirement("R12")
def test_a_step_ends_when_its_last_sleep_is_over(submission):
    fleet = Fleet(oversleeps=5.0)
    steps = entries(fleet, fleet.run(submission, 5), "each sleep takes 305 s")
    expect_starts(steps, [0.0, 305.0], "each sleep takes 305 s")
    expect_judged_windows(fleet, steps, "each sleep takes 305 s")


@requirement("R12")
def test_the_last_entry_of_a_bad_canary_says_rollback(submission):
    for how in (BAD, Side(2000, 2000, slow=0.5)):
        fleet = Fleet(canary=lambda weight, _, how=how: how if weight >= 0.1 else GOOD)
        situation = f"{how.errors} errors in {how.requests} requests from 10 % on"
        steps = entries(fleet, fleet.run(submission, 100), situation)
        expect_decisions(steps, ["advance", "advance", "rollback"], situation)
        expect_starts(steps, [0.0, 300.0, 600.0], situation)
        expect_judged_windows(fleet, steps, situation)


@requirement("R12")
def test_p_value_is_that_of_the_errors(submission):
    fleet = Fleet(canary=lambda weight, _: BAD if weight >= 0.05 else GOOD)
    good, bad = entries(fleet, fleet.run(submission, 100), "30 % errors against 1 %, from 5 % on")
    fleet = Fleet(canary=Side(600, 0), mirrored=True)
    (none,) = entries(fleet, fleet.run(submission, 1), "no errors on either side")
    for step in (good, bad, none):
        assert step["p_value"] is None or 0 <= step["p_value"] <= 1, f"p_value is {step['p_value']!r}"
    assert bad["p_value"] is None or bad["p_value"] <= 0.001, (
        f"30 % errors against 1 % made a step bad, with a p_value of {bad['p_value']!r}"
    )


@requirement("R12")
def test_a_step_that_took_too_long_is_inconclusive(submission):
    fleet = Fleet(spoil=lambda nth, answer: answer if nth == 1 else {})
    steps = entries(fleet, fleet.run(submission, 100, max_step_wait_s=600.0), "no metrics from 5 % on")
    expect_decisions(steps, ["advance", "inconclusive"], "no metrics from 5 % on")
    expect_starts(steps, [0.0, 300.0], "no metrics from 5 % on")
    assert steps[-1]["ended_at"] == START + 900, f"ended_at is {steps[-1]['ended_at']!r} and not {START + 900}"


@requirement("R12")
def test_nothing_measured_is_still_json(submission):
    for requests in [0, 600]:
        fleet = Fleet(canary=Side(requests, 0))
        result = fleet.run(submission, 100, max_step_wait_s=600.0, min_samples=5000)
        entries(fleet, result, f"{requests} requests an interval, 5,000 needed")


ODD = {
    "NaN for the errors": lambda answer: answer["canary"].update(errors=float("nan")) or answer,
    "NaN for the requests": lambda answer: answer["baseline"].update(requests=float("nan")) or answer,
    "NaN among the latencies": lambda answer: answer["canary"]["latencies_ms"].append(float("nan")) or answer,
    "only NaN for latencies": lambda answer: answer["baseline"].update(latencies_ms=[float("nan")] * 600) or answer,
    "no sides": lambda answer: {},
}


@requirement("R12")
def test_a_step_that_ended_by_failed_measurements_is_aborted(submission):
    for odd, edit in ODD.items():
        fleet = Fleet(spoil=lambda nth, answer, edit=edit: answer if nth == 1 else edit(answer))
        steps = entries(fleet, fleet.run(submission, 100), f"{odd} from the second step on")
        expect_decisions(steps, ["advance", "aborted"], f"{odd} from the second step on")
        expect_starts(steps, [0.0, 300.0], f"{odd} from the second step on")


@requirement("R12")
def test_a_step_that_ended_by_an_exception_of_sleep_is_aborted(submission):
    fleet = Fleet(broken={"sleep": (3, OSError("gone"))})
    try:
        result = fleet.run(submission, 100)
    except OSError:  # that it got out is not a matter of the record
        return
    steps = entries(fleet, result, "the third sleep raised OSError")
    expect_decisions(steps, ["advance", "advance", "aborted"], "the third sleep raised OSError")


@requirement("R12")
def test_survived_failures_leave_one_entry_a_step(submission):
    fleet = Fleet(spoil=lambda nth, answer: {} if nth in (1, 2, 4) else answer)
    steps = entries(fleet, fleet.run(submission, 10), "two failures in the first step and one in the second")
    expect_decisions(steps, ["advance"] * 3, "two failures in the first step and one in the second")
    expect_starts(steps, [0.0, 900.0, 1500.0], "two failures in the first step and one in the second")
    expect_judged_windows(fleet, steps, "two failures in the first step and one in the second")
