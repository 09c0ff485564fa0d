"""R8 and R9: metrics that cannot be used, and collaborators that raise."""

import pytest
from canary_fleet import (
    BAD,
    GOOD,
    STEPS,
    Fleet,
    Side,
    expect_left_alone,
    expect_promotion,
    expect_rollback,
    expect_weights,
)

from rounds.testing import requirement

NAN = float("nan")


def without(name, key=None):
    """Leave out a side, or one value of it."""

    def edit(answer):
        if key is None:
            del answer[name]
        else:
            del answer[name][key]
        return answer

    return edit


def with_value(name, key, value):
    """Put another value for a side, or for one value of it."""

    def edit(answer):
        if key is None:
            answer[name] = value
        else:
            answer[name][key] = value
        return answer

    return edit


def with_latency(name, value):
    """Put one odd latency among the others."""

    def edit(answer):
        answer[name]["latencies_ms"][17] = value
        return answer

    return edit


def one_more_error(name):
    def edit(answer):
        answer[name]["errors"] = answer[name]["requests"] + 1
        return answer

    return edit


def raising(exception):
    def edit(_answer):
        raise exception

    return edit


def on_both(edits):
    return {f"{name} {text}": edit for name in ("canary", "baseline") for text, edit in edits(name).items()}


KEYS = ("requests", "errors", "latencies_ms")
FORMS = {
    "collect() itself": {
        "collect() raises TimeoutError": raising(TimeoutError("no answer")),
        "collect() raises KeyError": raising(KeyError("canary")),
        "collect() returns None": lambda _answer: None,
        "collect() returns {}": lambda _answer: {},
    },
    "a side is missing": on_both(
        lambda name: {
            "is missing": without(name),
            "is None": with_value(name, None, None),
            "is empty": with_value(name, None, {}),
        }
    ),
    "a value is missing": on_both(lambda name: {f"is without {key}": without(name, key) for key in KEYS}),
    "a value is None": on_both(lambda name: {f"has None for {key}": with_value(name, key, None) for key in KEYS}),
    "a count is NaN": on_both(lambda name: {f"has NaN {key}": with_value(name, key, NAN) for key in KEYS[:2]}),
    "a count is negative": on_both(lambda name: {f"has -1 {key}": with_value(name, key, -1) for key in KEYS[:2]}),
    "more errors than requests": on_both(lambda name: {"has more errors than requests": one_more_error(name)}),
    "no latencies": on_both(lambda name: {"has no latencies": with_value(name, "latencies_ms", [])}),
    "an odd latency": on_both(
        lambda name: {f"has {value} among its latencies": with_latency(name, value) for value in (NAN, None, -1.0)}
    ),
}
EMPTY = FORMS["collect() itself"]["collect() returns {}"]


def failing(*nths, how=EMPTY):
    """Spoil these answers of collect."""
    return lambda nth, answer: how(answer) if nth in nths else answer


# --- R8


@requirement("R8")
@pytest.mark.parametrize("kind", FORMS)
def test_four_failures_are_survived(submission, kind):
    for form, edit in FORMS[kind].items():
        fleet = Fleet(spoil=failing(1, 2, 3, 4, how=edit))
        result = fleet.run(submission, 1)
        assert (result.status, fleet.elapsed()) == ("holding", 1500), (
            f"{form}, four times, then good: the status is {result.status!r} after {fleet.elapsed():g} s"
        )


@requirement("R8")
@pytest.mark.parametrize("kind", FORMS)
def test_the_fifth_failure_in_a_row_ends_the_rollout(submission, kind):
    for form, edit in FORMS[kind].items():
        fleet = Fleet(spoil=failing(*range(1, 100), how=edit))
        result = fleet.run(submission, 100)
        expect_weights(fleet, [0.01], f"{form}, every time")
        expect_rollback(fleet, result, f"{form}, every time")
        assert fleet.elapsed() == 1500, f"{form}, every time: ended after {fleet.elapsed():g} s, not 1500"


@requirement("R8")
def test_after_a_failure_the_window_still_begins_at_the_step(submission):
    fleet = Fleet(spoil=failing(1, 2))
    fleet.run(submission, 1)
    windows = [one for one in fleet.windows() if one[1] > one[0]]
    assert windows == [(0.0, 300.0), (0.0, 600.0), (0.0, 900.0)], f"two failures: the windows were {windows}"


@requirement("R8")
def test_the_number_that_is_tolerated_is_the_callers(submission):
    for tolerated, ends in ((0, 300), (1, 600), (6, 2100)):
        fleet = Fleet(spoil=failing(*range(1, 100)))
        result = fleet.run(submission, 100, max_consecutive_errors=tolerated)
        expect_rollback(fleet, result, f"max_consecutive_errors = {tolerated}")
        assert fleet.elapsed() == ends, f"max_consecutive_errors = {tolerated}: ended after {fleet.elapsed():g} s"


@requirement("R8")
def test_a_judged_step_starts_the_count_anew(submission):
    fleet = Fleet(spoil=failing(1, 2, 3, 4, 6, 7, 8, 9))
    result = fleet.run(submission, 5)
    assert result.status == "holding", f"four failures in each of two steps: the status is {result.status!r}"


@requirement("R8")
def test_a_window_that_was_too_small_starts_the_count_anew(submission):
    fleet = Fleet(canary=Side(requests=60, errors=0), spoil=failing(1, 2, 3, 4, 6, 7, 8, 9))
    result = fleet.run(submission, 1)
    assert result.status == "holding", (
        f"four failures, a window of 300 requests, four failures, a window of 600: the status is {result.status!r}"
    )


@requirement("R8")
def test_failures_that_are_not_in_a_row_do_not_add_up(submission):
    fleet = Fleet(canary=Side(requests=45, errors=0), spoil=lambda nth, answer: {} if nth % 2 else answer)
    result = fleet.run(submission, 1)
    assert result.status == "holding", f"every other measurement fails: the status is {result.status!r}"


@requirement("R8")
def test_a_failure_does_not_hide_a_bad_canary(submission):
    fleet = Fleet(canary=BAD, spoil=failing(1, 2))
    result = fleet.run(submission, 100)
    expect_rollback(fleet, result, "two failures, then a bad window")
    assert fleet.elapsed() == 900, f"two failures, then a bad window: rolled back after {fleet.elapsed():g} s, not 900"


@requirement("R8")
def test_the_limit_of_a_step_holds_for_failures_too(submission):
    fleet = Fleet(spoil=failing(*range(1, 100)))
    result = fleet.run(submission, 100, max_step_wait_s=600.0)
    expect_rollback(fleet, result, "failures until max_step_wait_s of 600", "inconclusive")
    assert fleet.elapsed() == 600, f"failures until max_step_wait_s of 600: ended after {fleet.elapsed():g} s"


# --- R9

BREAKS = [
    ("deploy_canary", 1, ConnectionError("refused"), []),
    ("set_weight", 1, TimeoutError("slow"), []),
    ("set_weight", 3, PermissionError("no"), STEPS[:2]),
    ("sleep", 1, OSError("interrupted"), STEPS[:1]),
    ("sleep", 4, ValueError("negative"), STEPS[:4]),
    ("promote", 1, RuntimeError("conflict"), STEPS),
]


@requirement("R9")
@pytest.mark.parametrize(("method", "nth", "exception", "weights"), BREAKS)
def test_an_exception_rolls_back_and_is_named(submission, method, nth, exception, weights):
    fleet = Fleet(broken={method: (nth, exception)})
    result = fleet.run(submission, 100)
    situation = f"call {nth} of {method}() raised {type(exception).__name__}"
    names = [call[0] for call in fleet.calls]
    assert names.count("rollback") == 1, f"{situation}: rollback() was called {names.count('rollback')} times, not once"
    assert names[-1] == "rollback", f"{situation}: after rollback(), {names[-1]}() was called"
    assert (result.status, result.final_weight) == ("rolled_back", 0), (
        f"{situation}: the status is {result.status!r}, final_weight is {result.final_weight!r}"
    )
    assert type(exception).__name__ in result.reason, f"{situation}: reason is {result.reason!r}"
    expect_weights(fleet, weights + ([STEPS[nth - 1]] if method == "set_weight" else []), situation)


@requirement("R9")
@pytest.mark.parametrize("lasting", [True, False], ids=["for good", "once"])
def test_a_clock_that_fails_rolls_back(submission, lasting):
    fleet = Fleet()
    clock, failed = fleet.clock, []

    def failing_clock():
        if fleet.counts.get("sleep", 0) >= 2 and (lasting or not failed):
            failed.append(True)
            raise OverflowError("no time")
        return clock()

    fleet.clock = failing_clock
    result = fleet.run(submission, 100)
    situation = "clock() raised OverflowError after the second sleep"
    expect_rollback(fleet, result, situation)
    expect_left_alone(fleet, situation)
    assert "OverflowError" in result.reason, f"{situation}: reason is {result.reason!r}"


@requirement("R9")
@pytest.mark.parametrize("early", [EMPTY, raising(KeyError("canary"))], ids=["empty", "KeyError"])
def test_the_exception_that_ends_the_measurements_is_named(submission, early):
    def spoil(nth, answer):
        return early(answer) if nth < 4 else raising(ConnectionResetError("gone"))(answer)

    fleet = Fleet(spoil=spoil)
    result = fleet.run(submission, 100)
    expect_rollback(fleet, result, "the last failures in a row raised ConnectionResetError")
    assert "ConnectionResetError" in result.reason, (
        f"the last failures in a row raised ConnectionResetError; reason is {result.reason!r}"
    )


@requirement("R9")
def test_one_exception_of_collect_is_survived(submission):
    fleet = Fleet(spoil=failing(1, 4, how=raising(OSError("no route"))))
    result = fleet.run(submission, 100)
    expect_promotion(fleet, result, "collect() raised OSError in two of eight calls")


ROUTER = {"deploy_canary", "set_weight", "promote", "rollback"}


@requirement("R9")
def test_an_exception_of_a_type_of_its_own_rolls_back_too(submission, props):
    for method in ["deploy_canary", "set_weight", "sleep", "promote"]:
        seen = props.broken_rollout(submission, 6, {method: (1, "GatewayTimeout")})
        situation = f"{method}() raised GatewayTimeout"
        assert seen["raised"] is None, f"{situation}: canary_deployment raised {seen['raised']}"
        assert seen["calls"].count("rollback") == 1, (
            f"{situation}: rollback() was not called once: {seen['calls'][-4:]}"
        )
        status, final_weight, reason = seen["result"]
        assert (status, final_weight) == ("rolled_back", 0), f"{situation}: {status!r}, final_weight {final_weight!r}"
        assert "GatewayTimeout" in reason, f"{situation}: reason is {reason!r}"


@requirement("R9")
def test_an_interrupt_rolls_back_and_is_raised_again(submission, props):
    for method, nth in [
        ("sleep", 1),
        ("sleep", 5),
        ("collect", 2),
        ("set_weight", 2),
        ("promote", 1),
        ("deploy_canary", 1),
    ]:
        for kind in ("KeyboardInterrupt", "SystemExit"):
            seen = props.broken_rollout(submission, 6, {method: (nth, kind)})
            situation = f"call {nth} of {method}() raised {kind}"
            calls = [call for call in seen["calls"] if call in ROUTER]
            assert calls.count("rollback") == 1, f"{situation}: rollback() was called {calls.count('rollback')} times"
            assert calls[-1] == "rollback", f"{situation}: after rollback(), {calls[-1]}() was called"
            assert seen["raised"] == kind, f"{situation}: canary_deployment raised {seen['raised'] or 'nothing'}"


BEFORE = {
    "a bad canary": (400, {}),
    "a failed sleep": (6, {"sleep": (2, "GatewayTimeout")}),
    "a failed promote": (6, {"promote": (1, "GatewayTimeout")}),
    "a failed deploy_canary": (6, {"deploy_canary": (1, "GatewayTimeout")}),
    "five failed measurements": (100_000, {}),
    "a collect that always raises": (6, {"collect": (1, "GatewayTimeout")}),
}


@requirement("R9")
def test_a_rollback_that_fails_raises_rollback_error(submission, props):
    for cause in BEFORE:
        errors, broken = BEFORE[cause]
        seen = props.broken_rollout(submission, errors, broken | {"rollback": (1, "OSError")})
        situation = f"rollback() raised OSError after {cause}"
        assert "RollbackError" in seen["bases"], (
            f"{situation}: canary_deployment raised {seen['raised'] or 'nothing'}, not RollbackError"
        )
        assert "OSError" in seen["chain"], f"{situation}: RollbackError is chained to {seen['chain'] or 'nothing'}"


@requirement("R9")
def test_an_inconclusive_rollout_whose_rollback_fails_raises_rollback_error(submission):
    fleet = Fleet(spoil=failing(*range(1, 100)), broken={"rollback": (1, OSError("gone"))})
    with pytest.raises(submission.RollbackError):
        fleet.run(submission, 100, max_step_wait_s=600.0)


@requirement("R9")
def test_a_failed_rollout_leaves_nothing_behind_for_the_next(submission):
    Fleet(broken={"sleep": (2, OSError("gone"))}).run(submission, 100)
    fleet = Fleet(canary=GOOD)
    result = fleet.run(submission, 100)
    expect_promotion(fleet, result, "a good rollout after one that broke")
    expect_weights(fleet, STEPS, "a good rollout after one that broke")
