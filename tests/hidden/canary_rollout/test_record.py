"""R12: what `steps` tells."""

import json

import pytest
from canary_fleet import BAD, GOOD, SLOW, SPARSE, START, STEPS, Fleet, Side

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


def expect_times(steps, expected, situation):
    seen = [(step["started_at"] - START, step["ended_at"] - START) for step in steps]
    assert seen == expected, f"{situation}: the steps are said to last {seen}, not {expected}"


def expect_values(step, expected, situation):
    for key, value in expected.items():
        assert step[key] == pytest.approx(value, rel=0.01 if key.startswith("p95") else 1e-9), (
            f"{situation}: {key} is {step[key]!r}, not {value:g}"
        )


@requirement("R12")
def test_a_good_rollout_has_an_entry_for_each_step(submission):
    fleet = Fleet(canary=Side(1000, 13, slow=1.1), baseline=Side(1000, 7))
    situation = "13 errors against 7 in 1,000 requests"
    steps = entries(fleet, fleet.run(submission, 100, max_error_rate_delta=0.02), situation)
    expect_decisions(steps, ["advance"] * 6, situation)
    expect_times(steps, [(300.0 * nth, 300.0 * nth + 300) for nth in range(6)], situation)
    expected = {"n_canary": 1000, "n_baseline": 1000, "error_rate_canary": 0.013, "error_rate_baseline": 0.007}
    for step in steps:
        expect_values(step, expected | {"p95_canary_ms": 214.5, "p95_baseline_ms": 195.0}, situation)


@requirement("R12")
def test_a_held_rollout_ends_with_a_step_that_advanced(submission):
    fleet = Fleet()
    steps = entries(fleet, fleet.run(submission, 7), "a good canary up to 7 %")
    expect_decisions(steps, ["advance"] * 3, "a good canary up to 7 %")


@requirement("R12")
def test_the_entry_of_a_step_has_the_window_that_was_judged(submission):
    fleet = Fleet(canary=lambda weight, _: Side(200, 2) if weight < 0.05 else Side(700, 7))
    steps = entries(fleet, fleet.run(submission, 5), "a step of three windows, then one of one")
    expect_decisions(steps, ["advance"] * 2, "a step of three windows, then one of one")
    expect_times(steps, [(0, 900), (900, 1200)], "a step of three windows, then one of one")
    for step, requests in zip(steps, (600, 700), strict=True):
        expected = {"n_canary": requests, "n_baseline": requests, "error_rate_canary": 0.01}
        expect_values(step, expected, "a step of three windows, then one of one")


@requirement("R12")
def test_a_step_starts_when_its_weight_was_set(submission):
    fleet = Fleet(setting_takes=40.0, oversleeps=5.0)
    steps = entries(fleet, fleet.run(submission, 5), "set_weight() takes 40 s, sleep 305")
    expect_times(steps, [(40, 345), (385, 690)], "set_weight() takes 40 s, sleep 305")


@requirement("R12")
@pytest.mark.parametrize("how", [BAD, SLOW], ids=["errors", "latency"])
def test_the_last_entry_of_a_bad_canary_says_rollback(submission, how):
    fleet = Fleet(canary=lambda weight, _: how if weight >= 0.1 else GOOD)
    steps = entries(fleet, fleet.run(submission, 100), "bad from 10 % on")
    expect_decisions(steps, ["advance", "advance", "rollback"], "bad from 10 % on")
    expect_times(steps, [(0, 300), (300, 600), (600, 900)], "bad from 10 % on")
    expected = {"n_canary": 600, "error_rate_canary": how.errors / 600, "p95_canary_ms": 195.0 * how.slow}
    expect_values(steps[-1], expected, "bad from 10 % on")


@requirement("R12")
def test_p_value_is_that_of_the_errors(submission):
    fleet = Fleet(canary=lambda weight, _: BAD if weight >= 0.05 else GOOD)
    good, bad = entries(fleet, fleet.run(submission, 100), "30 % errors against 1 %, from 5 % on")
    for step in (good, bad):
        assert step["p_value"] is None or 0 <= step["p_value"] <= 1, f"p_value is {step['p_value']!r}"
    assert bad["p_value"] is None or bad["p_value"] <= 0.001, (
        f"30 % errors against 1 % made a step bad, with a p_value of {bad['p_value']!r}"
    )
    assert good["p_value"] is None or good["p_value"] > 0.001, (
        f"1 % errors on both sides, and p_value is {good['p_value']!r}"
    )


@requirement("R12")
def test_a_step_that_never_saw_enough_is_inconclusive(submission):
    fleet = Fleet(canary=lambda weight, _: GOOD if weight < 0.05 else SPARSE)
    steps = entries(fleet, fleet.run(submission, 100), "20 requests an interval from 5 % on")
    expect_decisions(steps, ["advance", "inconclusive"], "20 requests an interval from 5 % on")
    expect_times(steps, [(0, 300), (300, 3900)], "20 requests an interval from 5 % on")


@requirement("R12")
def test_nothing_measured_is_still_json(submission):
    for requests in [0, 600]:
        fleet = Fleet(canary=Side(requests, 0))
        result = fleet.run(submission, 100, max_step_wait_s=600.0, min_samples=5000)
        steps = entries(fleet, result, f"{requests} requests an interval, 5,000 needed")
        expect_decisions(steps, ["inconclusive"], f"{requests} requests an interval, 5,000 needed")


ODD = {
    "NaN for the errors": lambda answer: answer["canary"].update(errors=float("nan")) or answer,
    "NaN for the requests": lambda answer: answer["baseline"].update(requests=float("nan")) or answer,
    "NaN among the latencies": lambda answer: answer["canary"]["latencies_ms"].append(float("nan")) or answer,
    "no sides": lambda answer: {},
}


@requirement("R12")
def test_a_step_that_ended_by_failed_measurements_is_aborted(submission):
    for odd, edit in ODD.items():
        fleet = Fleet(spoil=lambda nth, answer, edit=edit: answer if nth == 1 else edit(answer))
        steps = entries(fleet, fleet.run(submission, 100), f"{odd} from the second step on")
        expect_decisions(steps, ["advance", "aborted"], f"{odd} from the second step on")
        expect_times(steps, [(0, 300), (300, 1800)], f"{odd} from the second step on")


@requirement("R12")
def test_a_step_that_ended_by_an_exception_of_sleep_is_aborted(submission):
    fleet = Fleet(broken={"sleep": (3, OSError("gone"))})
    steps = entries(fleet, fleet.run(submission, 100), "the third sleep raised OSError")
    expect_decisions(steps, ["advance", "advance", "aborted"], "the third sleep raised OSError")
    expect_times(steps[:2], [(0, 300), (300, 600)], "the third sleep raised OSError")


@requirement("R12")
def test_survived_failures_leave_one_entry_a_step(submission):
    fleet = Fleet(spoil=lambda nth, answer: {} if nth in (1, 2, 4) else answer)
    steps = entries(fleet, fleet.run(submission, 10), "two failures in the first step and one in the second")
    expect_decisions(steps, ["advance"] * 3, "two failures in the first step and one in the second")
    expect_times(steps, [(0, 900), (900, 1500), (1500, 1800)], "two failures in the first step and one in the second")


@requirement("R12")
def test_the_entries_of_a_promoted_rollout_have_the_six_weights(submission):
    fleet = Fleet()
    steps = entries(fleet, fleet.run(submission, 100), "a good rollout")
    assert [step["weight"] for step in steps] == pytest.approx(STEPS), "the entries have not the six weights in order"
