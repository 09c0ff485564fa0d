"""R11 and R12: counts that add up, and what a promotion needs."""

import json
import math

import numpy as np
import pytest
from shadow_bench import BUCKETS, Aside, Bench, raising, total, unbalanced

from rounds.testing import requirement

NAMES = ("min_samples", "min_agreement", "max_error_rate")


def check_balance(report, situation):
    problem = unbalanced(report)
    assert problem is None, f"{situation}: {problem}"


@requirement("R11")
def test_a_fresh_report_is_all_zero(submission):
    report = Bench(submission).report()
    found = {name: report[name] for name in ("n_requests", *BUCKETS, "log_failures")}
    assert set(found.values()) == {0}, f"before any request the counts are {found}"
    found = (report["agreement"], report["mean_abs_diff"])
    assert found == (None, None), f"before any request agreement and mean_abs_diff are {found}"


@requirement("R11")
def test_every_request_is_in_one_column(submission, props):
    def production(features):
        if features["x"][0] == 0:
            raise ValueError("production")
        return total(features)

    def shadow(features):
        if features["x"][0] == 1:
            raise ValueError("shadow")
        return total(features)

    identifiers = [f"r{i}" for i in range(80)]
    taken = props.sampled(submission, 0.5, identifiers)
    bench = Bench(submission, production, shadow, sample_rate=0.5, max_in_flight=5)
    for identifier in identifiers:
        bench.fails(identifier, [identifiers.index(identifier) % 4])
        check_balance(bench.report(), "between two requests")
    failed = [i for i in range(80) if i % 4 == 0]
    inside = [identifier for identifier in taken if int(identifier[1:]) % 4]
    expected = {
        "n_requests": 80,
        "n_production_errors": len(failed),
        "n_not_sampled": 80 - len(failed) - len(inside),
        "n_dropped": len(inside) - 5,
        "n_pending": 5,
    }
    bench.expect("80 requests and 5 places", **expected)
    while bench.waiting:
        bench.run()
        check_balance(bench.report(), "between two mirrors")
    logged = [record["request_id"] for record in bench.records]
    assert logged == inside[:5], f"the first five that could be mirrored are {inside[:5]}, and logged were {logged}"
    errors = sum(int(identifier[1:]) % 4 == 1 for identifier in inside[:5])
    bench.expect("the executor ran all", n_pending=0, n_shadow_errors=errors, n_compared=5 - errors)


@requirement("R11")
@pytest.mark.parametrize("where", ["production", "failing production", "shadow", "failing shadow", "log", "submit"])
def test_the_sum_holds_while_someone_is_at_work(submission, where):
    reports, asked = [], []

    def look(*_):
        asked.append(Aside(bench.report))
        asked[-1].ends(0.5)

    def model(name):
        def predict(features):
            if where.endswith(name):
                look()
            if where == f"failing {name}":
                raise ValueError(name)
            return 1

        return predict

    bench = Bench(
        submission,
        model("production"),
        model("shadow"),
        log=look if where == "log" else None,
        submit=look if where == "submit" else None,
    )
    for i in range(2):
        bench.fails(f"r{i}")
        bench.run_all()
    reports = [aside.result(f"report() during {where}") for aside in asked]
    assert len(reports) == 2, f"2 requests came, and {where} was at work {len(reports)} times"
    for report in reports:
        check_balance(report, f"report() on another thread while the {where} was at work")


@requirement("R11")
@pytest.mark.parametrize("where", ["production", "shadow", "log"])
def test_a_model_or_the_log_may_ask_for_the_report(submission, where):
    reports = []

    def look(*_):
        reports.append(bench.report())
        return 1

    models = {name: look if where == name else total for name in ("production", "shadow")}
    bench = Bench(submission, **models, log=look if where == "log" else None)
    bench.handle_all(2)
    bench.run_all()
    assert len(reports) == 2, f"2 requests came, and the {where} could ask for {len(reports)} reports"
    for report in reports:
        check_balance(report, f"report() asked for by the {where}")


@requirement("R11")
def test_a_request_counts_when_production_has_ended(submission):
    counts = []

    def production(features):
        counts.append(bench.report()["n_requests"])
        return 1

    bench = Bench(submission, production)
    bench.handle_all(3)
    assert counts == [0, 1, 2], f"while production served its first three requests, n_requests was {counts}"


@requirement("R11")
@pytest.mark.parametrize("config", [{"sample_rate": 0.0}, {"max_in_flight": 1}], ids=str)
def test_a_production_error_comes_first(submission, config):
    failing = [False]

    def production(features):
        if failing[0]:
            raise ValueError("bad")
        return 1

    bench = Bench(submission, production, **config)
    bench.handle("a")
    before = bench.report()
    failing[0] = True
    bench.fails("b")
    after = bench.report()
    changed = {name: after[name] - before[name] for name in BUCKETS if after[name] != before[name]}
    assert changed == {"n_production_errors": 1}, f"production raised under {config}, and the counts moved by {changed}"


@requirement("R11")
def test_a_production_error_comes_before_a_copy_that_fails(submission, props):
    caught, report = props.fail_on_what_cannot_be_copied(submission, "token-9")
    assert caught == "token-9", "the features could not be copied and production raised: the caller got something else"
    found = {name: report[name] for name in BUCKETS if report[name]}
    assert found == {"n_production_errors": 1}, f"the features could not be copied and production raised: {found}"


@requirement("R11")
@pytest.mark.parametrize("what", ["features", "answer"])
def test_outside_the_sample_nothing_is_dropped(submission, props, what):
    report = props.serve_what_cannot_be_copied(submission, what, "t", sample_rate=0.0)["report"]
    found = {name: report[name] for name in BUCKETS if report[name]}
    assert found == {"n_not_sampled": 2}, f"a rate of 0 and {what} that cannot be copied, then a plain request: {found}"


@requirement("R11")
def test_shadow_errors_have_no_part_in_the_agreement(submission):
    def shadow(features):
        x = features["x"][0]
        if x < 4:
            raise ValueError("shadow")
        return x if x < 7 else x + 2

    bench = Bench(submission, shadow=shadow)
    for i in range(8):
        bench.handle(f"r{i}", [i])
    bench.run_all()
    bench.expect("4 errors, 3 matches and one 2 apart", n_shadow_errors=4, n_compared=4)
    report = bench.report()
    assert report["agreement"] == pytest.approx(0.75), f"3 of 4 compared match: agreement is {report['agreement']}"
    assert report["mean_abs_diff"] == pytest.approx(0.5), f"3 times 0 and once 2: {report['mean_abs_diff']}"


@requirement("R11")
def test_with_errors_alone_there_is_no_agreement(submission):
    bench = Bench(submission, shadow=raising(ValueError("x")))
    bench.handle_all(3)
    bench.run_all()
    bench.expect("the shadow raised three times", agreement=None, mean_abs_diff=None, n_compared=0, n_shadow_errors=3)


@requirement("R11")
def test_what_is_pending_is_not_compared(submission):
    bench = Bench(submission, shadow=lambda features: total(features) + 1)
    bench.handle_all(3)
    bench.expect("3 mirrors are pending", agreement=None, mean_abs_diff=None, n_pending=3, n_compared=0)
    bench.run()
    bench.expect("one of 3 mirrors was run", agreement=0.0, mean_abs_diff=1.0, n_pending=2, n_compared=1)


@requirement("R11")
def test_the_mean_is_of_distances(submission):
    shadows = [5.5, 3.5, 4.0, 4.0]
    bench = Bench(submission, lambda features: 4, lambda features: shadows[features["x"][0]])
    for i in range(4):
        bench.handle(f"r{i}", [i])
    bench.run_all()
    found = bench.report()["mean_abs_diff"]
    assert found == pytest.approx(0.5), f"4 against 5.5, 3.5, 4 and 4: mean_abs_diff is {found}, not 0.5"
    found = bench.report()["agreement"]
    assert found == pytest.approx(0.5), f"2 of 4 match: agreement is {found}"


ANSWERS = {
    "numpy floats": (np.float64(1.5), np.float64(2.5)),
    "numpy ints": (np.int64(1), np.int64(1)),
    "float32": (np.float32(1), np.float32(1)),
    "NaN": (math.nan, math.nan),
    "NaN and a number": (1.0, math.nan),
    "infinities": (math.inf, math.inf),
    "an infinity and a number": (1.0, -math.inf),
    "huge numbers": (1e308, -1e308),
    "arrays": (np.array([1.0, math.nan]), np.array([1.0, math.inf])),
    "strings": ("a", "b"),
}


def check_json(report, situation):
    try:
        json.dumps(report, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"{situation}: the report is not JSON-able: {error}")


@requirement("R11")
def test_the_report_is_json_able_whatever_was_answered(submission):
    for kind, (production, shadow) in ANSWERS.items():
        bench = Bench(submission, lambda features, answer=production: answer, lambda features, answer=shadow: answer)
        bench.handle_all(3)
        bench.run_all()
        check_json(bench.report(), f"answers were {kind}, {production!r} and {shadow!r}")
        bench.expect(f"3 pairs of {kind} were compared", n_compared=3)


@requirement("R11")
def test_the_report_is_json_able_after_answers_of_all_kinds(submission):
    pairs = list(ANSWERS.values())
    bench = Bench(submission, lambda f: pairs[f["x"][0]][0], lambda f: pairs[f["x"][0]][1])
    for i in range(len(pairs)):
        bench.handle(f"r{i}", [i])
    report = bench.run_all().report()
    check_json(report, "numbers, NaN, infinities, arrays and strings were compared")
    types = {type(report[name]).__name__ for name in ("n_requests", *BUCKETS, "log_failures")}
    assert types == {"int"}, f"the counts should be ints, and are {types}"


@requirement("R11")
def test_before_any_request_the_report_is_json_able(submission):
    check_json(Bench(submission).report(), "before any request")


def expect_ready(found, situation):
    ready, reason = found
    assert ready is True, f"{situation}: should be ready, and is {ready!r} because of {reason!r}"
    assert isinstance(reason, str), f"{situation}: the reason is {reason!r}, not a string"


def expect_refusal(found, names, situation):
    """Expect a refusal that names one of the checks in `names` and none besides."""
    ready, reason = found
    assert ready is False, f"{situation}: should not be ready, and is {ready!r} because of {reason!r}"
    said = {name for name in NAMES if name in reason}
    assert said, f"{situation}: the reason names no check: {reason!r}"
    assert said <= set(names), f"{situation}: failing is {' and '.join(names)}, and the reason says {reason!r}"


@requirement("R12")
def test_nothing_compared_is_not_ready(submission, props):
    ready, _ = props.outcomes(submission)
    expect_refusal(ready, ["min_samples"], "nothing was compared")


@requirement("R12")
def test_nothing_but_errors_is_not_ready(submission, props):
    ready, _ = props.outcomes(submission, errors=5)
    expect_refusal(ready, ["min_samples", "max_error_rate"], "5 shadow errors and nothing compared")


@requirement("R12")
@pytest.mark.parametrize("needed", [1, 200])
def test_min_samples_is_exact(submission, props, needed):
    config = {"min_samples": needed, "min_agreement": 0.1}
    ready, _ = props.outcomes(submission, matches=needed, **config)
    expect_ready(ready, f"{needed} of {needed} compared match, under {config}")
    ready, _ = props.outcomes(submission, matches=needed - 1, pending=3, **config)
    expect_refusal(ready, ["min_samples"], f"{needed - 1} compared match and 3 are pending, under {config}")


@requirement("R12")
def test_differences_are_samples_too(submission, props):
    ready, _ = props.outcomes(submission, matches=40, differences=20, min_samples=60, min_agreement=0.3)
    expect_ready(ready, "40 of 60 match, min_samples=60, min_agreement=0.3")


@requirement("R12")
def test_errors_are_no_samples(submission, props):
    config = {"min_samples": 100, "min_agreement": 0.5, "max_error_rate": 1.0}
    ready, _ = props.outcomes(submission, matches=60, errors=60, **config)
    expect_refusal(ready, ["min_samples"], f"60 compared and 60 errors under {config}")


@requirement("R12")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_the_defaults_ask_for_much(submission, props):
    ready, _ = props.outcomes(submission, matches=995, differences=5)
    expect_refusal(ready, ["min_agreement"], "995 of 1,000 match under the default config")
    ready, _ = props.outcomes(submission, matches=9950, differences=50)
    expect_ready(ready, "9,950 of 10,000 match under the default config")
    ready, _ = props.outcomes(submission, matches=999)
    expect_refusal(ready, ["min_samples"], "999 of 999 match under the default config")


BOUNDS = [  # (matches, of how many, lower end of the Wilson interval)
    (1000, 1000, 0.9962),
    (100, 100, 0.9630),
    (95, 100, 0.8882),
    (30, 30, 0.8865),
    (15, 30, 0.3315),
    (190, 200, 0.9104),
    (10, 100, 0.0552),
]


@requirement("R12")
@pytest.mark.parametrize("distance", [-0.004, 0.004])
def test_the_lower_bound_decides(submission, props, distance):
    for matches, count, bound in BOUNDS:
        min_agreement = bound + distance
        config = {"min_samples": 20, "min_agreement": min_agreement}
        ready, _ = props.outcomes(submission, matches=matches, differences=count - matches, **config)
        situation = f"{matches} of {count} match, the bound is {bound}, under {config}"
        if bound > min_agreement:
            expect_ready(ready, situation)
        else:
            expect_refusal(ready, ["min_agreement"], situation)


@requirement("R12")
def test_no_match_at_all_is_not_ready(submission, props):
    ready, _ = props.outcomes(submission, differences=50, min_samples=50, min_agreement=0.5)
    expect_refusal(ready, ["min_agreement"], "none of 50 match, min_agreement=0.5")


@requirement("R12")
def test_errors_have_no_part_in_the_bound(submission, props):
    config = {"min_samples": 100, "min_agreement": 0.95, "max_error_rate": 0.9}
    ready, _ = props.outcomes(submission, matches=100, errors=30, **config)
    expect_ready(ready, f"100 of 100 compared match (bound 0.963), 30 errors besides, under {config}")


@requirement("R12")
def test_the_error_rate_decides(submission, props):
    for errors, limit, ready in [
        (0, 0.001, True),
        (4, 0.001, False),
        (1, 0.05, True),
        (30, 0.05, False),
        (50, 0.9, True),
    ]:
        config = {"min_samples": 100, "min_agreement": 0.9, "max_error_rate": limit}
        found, _ = props.outcomes(submission, matches=150, errors=errors, **config)
        situation = f"150 compared match and {errors} shadow calls raised, under {config}"
        if ready:
            expect_ready(found, situation)
        else:
            expect_refusal(found, ["max_error_rate"], situation)


@requirement("R12")
def test_the_default_error_rate_is_a_thousandth(submission, props):
    found, _ = props.outcomes(submission, matches=1_000, errors=10)
    expect_refusal(found, ["max_error_rate"], "1,000 match and 10 raised under the default config")


@requirement("R12")
def test_errors_are_counted_in_what_they_are_divided_by(submission, props):
    config = {"min_samples": 10, "min_agreement": 0.5, "max_error_rate": 0.99}
    found, _ = props.outcomes(submission, matches=20, errors=9 * 20, **config)
    expect_ready(found, f"20 compared match and 180 raised, a rate of 0.9, under {config}")


@requirement("R12")
def test_a_rate_of_zero_allows_no_error(submission, props):
    config = {"min_samples": 10, "min_agreement": 0.5, "max_error_rate": 0.0}
    found, _ = props.outcomes(submission, matches=50, **config)
    expect_ready(found, f"50 match and none raised, under {config}")
    found, _ = props.outcomes(submission, matches=50, errors=1, **config)
    expect_refusal(found, ["max_error_rate"], f"50 match and one raised, under {config}")


@requirement("R12")
def test_when_several_fail_one_of_them_is_named(submission, props):
    config = {"min_samples": 20, "min_agreement": 0.9, "max_error_rate": 0.01}
    found, _ = props.outcomes(submission, matches=10, differences=20, errors=10, **config)
    expect_refusal(found, ["min_agreement", "max_error_rate"], f"10 match, 20 differ, 10 raised, under {config}")


@requirement("R12")
def test_readiness_can_be_lost(submission):
    broken = [False]

    def shadow(features):
        if broken[0]:
            raise ValueError("shadow")
        return total(features)

    bench = Bench(submission, shadow=shadow, min_samples=10, min_agreement=0.5, max_error_rate=0.05)
    bench.handle_all(15)
    bench.run_all()
    expect_ready(bench.handler.ready_to_promote(), "15 of 15 match, min_samples=10")
    broken[0] = True
    bench.handle_all(10, "later")
    bench.run_all()
    expect_refusal(bench.handler.ready_to_promote(), ["max_error_rate"], "then the shadow raised ten times")
