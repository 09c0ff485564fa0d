"""R5 to R7: the log, the isolation of what is shared, and the bound on what is pending."""

import numpy as np
import pytest
from shadow_bench import Bench, raising, total

from rounds.testing import requirement

KEYS = {"request_id", "production", "shadow", "match", "abs_diff", "production_ms", "shadow_ms", "error"}
NESTED = {"price": 10, "history": [3, 1, 2], "user": {"age": 30, "tags": ["new"]}}


def fail_on_odd(features):
    if features["x"][0] % 2:
        raise ValueError("odd")
    return total(features)


@requirement("R5")
def test_each_mirror_is_logged_once(submission):
    bench = Bench(submission)
    bench.handle_all(8)
    bench.run_all()
    logged = [record["request_id"] for record in bench.records]
    assert sorted(logged) == [f"r{i}" for i in range(8)], f"8 requests r0 to r7 were mirrored, and logged were {logged}"


@requirement("R5")
def test_a_record_says_what_was_seen(submission):
    bench = Bench(submission, shadow=lambda features: total(features) + 0.5)
    bench.handle("a", [2, 3])
    bench.run_all()
    record = bench.record("a")
    missing = sorted(KEYS - set(record))
    assert not missing, f"the record lacks {missing}"
    found = [record[key] for key in ("production", "shadow", "match", "abs_diff", "error")]
    assert found == [5, 5.5, False, 0.5, None], f"5 against 5.5 was logged as {record}"
    types = [type(record[key]).__name__ for key in ("production_ms", "shadow_ms")]
    assert types == ["float", "float"], f"production_ms and shadow_ms should be floats, and are {types}"


@requirement("R5")
def test_match_and_abs_diff_are_builtin(submission):
    for kind in (np.float64, np.float32, np.int64, int):
        bench = Bench(submission, lambda f, kind=kind: kind(2), lambda f, kind=kind: kind(f["x"][0]))
        for identifier, x in (("same", 2), ("other", 3)):
            bench.handle(identifier, [x])
            record = bench.run_all().record(identifier)
            types = [type(record[key]).__name__ for key in ("match", "abs_diff")]
            assert types == ["bool", "float"], f"match and abs_diff of two {kind.__name__}s have types {types}"


@requirement("R5")
def test_match_is_builtin_for_arrays(submission):
    bench = Bench(submission, lambda features: np.array([1.0, 2.0]), lambda features: np.array([1.0, 2.0]))
    bench.handle("a")
    bench.run_all()
    record = bench.record("a")
    assert type(record["match"]) is bool, f"two arrays were compared; match is a {type(record['match']).__name__}"
    kind = type(record["abs_diff"]).__name__
    assert kind in ("float", "NoneType"), f"two arrays were compared; abs_diff is a {kind}"


@requirement("R5")
def test_a_record_of_a_shadow_error_has_no_answer(submission):
    bench = Bench(submission, shadow=raising(ValueError("x")))
    bench.handle("a", [4])
    bench.run_all()
    record = bench.record("a")
    missing = sorted(KEYS - set(record))
    assert not missing, f"the record of a shadow error lacks {missing}"
    found = [record[key] for key in ("production", "shadow", "match", "abs_diff")]
    assert found == [4, None, None, None], f"after a shadow error the record says {record}"


@requirement("R5")
def test_a_shadow_that_answers_none_is_no_error(submission):
    bench = Bench(submission, lambda features: None, lambda features: None)
    bench.handle("a")
    bench.run_all()
    record = bench.record("a")
    found = (record["match"], record["error"])
    assert found == (True, None), f"both models answered None; match and error are {found}"
    bench.expect("both models answered None", n_compared=1, n_shadow_errors=0)


@requirement("R5")
def test_requests_without_a_mirror_are_not_logged(submission):
    unsampled = Bench(submission, sample_rate=0.0)
    unsampled.handle_all(3)
    assert unsampled.run_all().records == [], f"nothing was in the sample, and logged was {unsampled.records}"
    full = Bench(submission, max_in_flight=1)
    full.handle_all(3)
    full.run_all()
    assert len(full.records) == 1, f"2 of 3 requests were dropped, and {len(full.records)} records were logged"


@requirement("R5")
@pytest.mark.parametrize("error", [OSError("disk full"), TypeError("x")], ids=repr)
def test_a_failing_log_changes_nothing_but_its_count(submission, error):
    def shadow(features):
        return fail_on_odd(features) + (features["x"][0] == 2)

    reports = []
    for log in (None, raising(error)):
        bench = Bench(submission, shadow=shadow, log=log)
        for i in range(6):
            found = bench.handle(f"r{i}", [i])
            assert found == i, f"the log raises, and the caller got {found!r} where production answered {i}"
            bench.run_all()
        bench.expect_nothing_escaped("the log raised")
        reports.append(bench.report())
    failures = [report.pop("log_failures") for report in reports]
    assert failures == [0, 6], f"6 records, with a good and a failing log: log_failures is {failures}"
    assert reports[0] == reports[1], f"with a good log the report is {reports[0]}, with a failing one {reports[1]}"


@requirement("R5")
def test_a_log_that_recovers_is_used_again(submission):
    calls = []

    def log(record):
        calls.append(record)
        if len(calls) <= 2:
            raise OSError("disk full")

    bench = Bench(submission, log=log)
    bench.handle_all(5)
    bench.run_all().expect_nothing_escaped("the log raised twice")
    assert len(calls) == 5, f"5 mirrors, and the log was called {len(calls)} times"
    bench.expect("the log failed twice in 5 calls", log_failures=2, n_compared=5, n_pending=0)


def expect_nested(seen, situation):
    assert len(seen) == 1, f"{situation}: the shadow was called {len(seen)} times"
    assert seen[0] == NESTED, f"{situation}: the shadow saw {seen[0]} where the request came with {NESTED}"


@requirement("R6")
def test_the_shadow_does_not_see_what_production_changed(submission, props):
    expect_nested(props.seen_by_shadow(submission, "production"), "production changed its features")


@requirement("R6")
def test_the_shadow_does_not_see_what_the_caller_changed(submission, props):
    expect_nested(props.seen_by_shadow(submission, "caller"), "the caller changed its features after handle returned")


@requirement("R6")
@pytest.mark.parametrize("who", ["production", "caller"])
def test_an_array_is_copied_too(submission, props, who):
    seen = props.array_seen_by_shadow(submission, who, np.arange(4.0))
    assert [list(array) for array in seen] == [[0.0, 1.0, 2.0, 3.0]], f"{who} changed an array; the shadow saw {seen}"


@requirement("R6")
def test_an_object_is_copied_too(submission, props):
    seen = props.profile_seen_by_shadow(submission)
    assert seen == [[3, 1, 2]], f"production emptied a list in an object of features; the shadow saw {seen}"


@requirement("R6")
def test_nobody_sees_what_the_shadow_changed(submission, props):
    features, seen = props.features_after_the_shadow(submission)
    assert features == NESTED, f"the shadow changed its features, and the caller's are now {features}"
    assert seen == [NESTED, NESTED], f"two requests shared a dict, the first shadow changed its own; they saw {seen}"


@requirement("R6")
def test_production_does_not_see_what_the_shadow_changed(submission, props):
    seen = props.production_after_the_shadow(submission)
    assert seen == [NESTED] * 3, f"the shadow changed its features after each request; production saw {seen}"


@requirement("R6")
def test_the_answer_that_is_compared_is_the_one_that_was_given(submission, props):
    (record,) = props.record_after_the_caller_changed_the_answer(submission)
    expected = {"ranking": [3, 1], "score": 1}
    assert record["production"] == expected, f"the caller changed its answer, and logged was {record['production']}"
    assert record["match"] is True, "both models gave the same answer, the caller changed its own: match is not True"


@requirement("R6")
def test_every_answer_is_logged_as_it_was_given(submission, props):
    found = props.records_of_a_caller_that_reuses_nothing_but_the_answer(submission)
    assert found == [([i], True) for i in range(3)], f"callers extended [0], [1] and [2]; logged were {found}"


@requirement("R6")
@pytest.mark.parametrize("what", ["features", "nested features", "answer"])
def test_what_cannot_be_copied_is_served_and_dropped(submission, props, what):
    found = props.serve_what_cannot_be_copied(submission, what, "token-5", max_in_flight=1)
    assert found["tokens"][0] == "token-5", f"{what} could not be copied, and the caller did not get the answer"
    assert found["submitted"] == 0, f"{what} could not be copied, and a mirror was submitted"
    counts = {name: found["report"][name] for name in ("n_requests", "n_dropped", "n_compared", "n_pending")}
    expected = {"n_requests": 2, "n_dropped": 1, "n_compared": 1, "n_pending": 0}
    assert counts == expected, f"{what} could not be copied, then came a plain request with one place: {counts}"


@requirement("R7")
@pytest.mark.parametrize("places", [1, 3])
def test_no_more_than_max_in_flight_are_pending(submission, places):
    bench = Bench(submission, max_in_flight=places)
    answers = bench.handle_all(places + 4)
    assert answers == [3] * (places + 4), "with every place taken a caller did not get production's answer"
    assert len(bench.waiting) == places, f"{places} places, {places + 4} requests: {len(bench.waiting)} were submitted"
    bench.expect(f"{places + 4} requests for {places} places", n_dropped=4, n_pending=places, n_compared=0)


@requirement("R7")
def test_the_default_is_a_hundred_places(submission):
    bench = Bench(submission)
    bench.handle_all(103)
    assert len(bench.waiting) == 100, f"103 requests with the default config: {len(bench.waiting)} were submitted"


@requirement("R7")
def test_a_dropped_request_is_not_made_up_for(submission):
    bench = Bench(submission, max_in_flight=2)
    bench.handle_all(5)
    bench.run_all()
    logged = sorted(record["request_id"] for record in bench.records)
    assert logged == ["r0", "r1"], f"5 requests came with 2 places, then the executor ran: {logged} were mirrored"
    bench.expect("3 of 5 were dropped, 2 have finished", n_dropped=3, n_compared=2, n_pending=0)


@requirement("R7")
@pytest.mark.parametrize("ending", ["compared", "shadow error", "log failure"])
def test_a_mirror_that_has_finished_frees_its_place(submission, ending):
    shadow = raising(ValueError("x")) if ending == "shadow error" else total
    log = raising(OSError("disk full")) if ending == "log failure" else None
    bench = Bench(submission, shadow=shadow, log=log, max_in_flight=2)
    bench.handle_all(2)
    for i in range(4):
        bench.run()
        bench.handle(f"next{i}")
        waiting = len(bench.waiting)
        assert waiting == 2, f"a mirror finished ({ending}), another request came: {waiting} pending with 2 places"
    bench.expect(f"4 mirrors finished ({ending})", n_requests=6, n_dropped=0, n_pending=2)


@requirement("R7")
def test_one_end_frees_one_place(submission):
    bench = Bench(submission, shadow=fail_on_odd, max_in_flight=3)
    for i in range(3):
        bench.handle(f"r{i}", [i])
    bench.run()
    bench.run()
    bench.handle_all(5, "next")
    assert len(bench.waiting) == 3, f"3 places, 2 mirrors finished, 5 requests came: {len(bench.waiting)} are pending"
    bench.expect("3 of 8 found no place", n_dropped=3, n_pending=3, n_compared=1, n_shadow_errors=1)


@requirement("R7")
@pytest.mark.parametrize("error", [RuntimeError("saturated"), OSError("x")], ids=repr)
def test_a_refusal_of_the_executor_is_a_drop(submission, error):
    bench = Bench(submission, submit=raising(error))
    caught = bench.fails()
    assert caught is None, f"the executor refused with {error!r}, and the caller got {caught!r}"
    bench.expect("the executor refused", n_requests=1, n_dropped=1, n_pending=0, n_shadow_errors=0)


@requirement("R7")
def test_a_refused_request_takes_no_place(submission):
    refusing = [True]

    def submit():
        if refusing[0]:
            raise RuntimeError("saturated")

    bench = Bench(submission, submit=submit, max_in_flight=2)
    bench.handle_all(6)
    assert bench.calls["submit"] == 6, f"6 requests, each refused, with 2 places: {bench.calls['submit']} were tried"
    refusing[0] = False
    bench.handle_all(3, "later")
    assert len(bench.waiting) == 2, f"the executor takes again, 3 requests, 2 places: {len(bench.waiting)} are pending"
    bench.run_all()
    bench.expect("6 refused, 1 without a place", n_requests=9, n_dropped=7, n_compared=2, n_pending=0)


@requirement("R7")
def test_requests_outside_the_sample_take_no_place(submission, props):
    identifiers = [f"r{i}" for i in range(60)]
    taken = props.sampled(submission, 0.5, identifiers)
    outside = [identifier for identifier in identifiers if identifier not in taken]
    bench = Bench(submission, sample_rate=0.5, max_in_flight=3)
    for identifier in outside[:10] + taken[:4]:
        bench.handle(identifier)
    assert len(bench.waiting) == 3, f"10 requests outside the sample, 4 inside, 3 places: {len(bench.waiting)} pending"
    bench.expect("10 outside the sample, 4 inside, 3 places", n_not_sampled=10, n_dropped=1, n_pending=3)
    mirrored = [record["request_id"] for record in bench.run_all().records]
    assert mirrored == taken[:3], f"the first three ids of the sample are {taken[:3]}, and mirrored were {mirrored}"
