"""R1 to R4: what the caller gets, and where the shadow runs."""

import math

import pytest
from shadow_bench import Aside, Bench, Park, raising, total

from rounds.testing import lend, requirement

TOKENS = [f"token-{i}" for i in range(50)]


def expect_own_answers(found, situation):
    assert [token for token, _ in found] == TOKENS, f"{situation}: a caller did not get production's answer"
    copied = sum(1 for _, copies in found if copies)
    assert copied == 0, f"{situation}: {copied} of 50 callers got a copy of production's answer, not the answer itself"


def constant(answer):
    class Constant:
        def predict(self, features):
            return answer

    return lend(Constant(), "predict")


def queue(waiting):
    class Queue:
        def submit(self, fn):
            waiting.append(fn)

    return lend(Queue(), "submit")


@requirement("R1")
@pytest.mark.parametrize("mirrored", [1.0, 0.0, 0.5])
def test_fifty_requests_get_production_s_own_answers(submission, props, mirrored):
    found = props.marked_answers(submission, TOKENS, sample_rate=mirrored)
    expect_own_answers(found, f"50 requests in a row, sample_rate={mirrored}")


@requirement("R1")
def test_dropped_requests_get_production_s_own_answers(submission, props):
    found = props.marked_answers(submission, TOKENS, max_in_flight=2)
    expect_own_answers(found, "50 requests with two places for mirrors")


@requirement("R1")
@pytest.mark.parametrize("kept", [[1, 2], {"score": 1}], ids=["list", "dict"])
def test_a_plain_container_is_not_copied_for_the_caller(submission, props, kept):
    found = props.answer_after_production_went_on(submission, kept)
    assert "later" in found, f"production changed the {type(kept).__name__} that it returned; the caller holds {found}"


@requirement("R1")
def test_any_answer_is_passed_on(submission):
    answers = [0, 0.0, "", None, False, [], {}, 3, -2.5, "b", [1, "x"], {"a": None}, (1, 2)]
    bench = Bench(submission, lambda features: answers[features["x"][0]], lambda features: 7)
    for i, answer in enumerate(answers):
        found = bench.handle(f"r{i}", [i])
        same = type(found) is type(answer) and found == answer
        assert same, f"production answered {answer!r}, and the caller got {found!r}"


@requirement("R1")
def test_nan_is_passed_on(submission):
    found = Bench(submission, lambda features: math.nan).handle()
    assert isinstance(found, float), f"production answered NaN, and the caller got {found!r}"
    assert math.isnan(found), f"production answered NaN, and the caller got {found!r}"


@requirement("R1")
@pytest.mark.parametrize("config", [{}, {"max_in_flight": 1}], ids=str)
def test_production_is_called_once_per_request(submission, config):
    bench = Bench(submission, **config)
    for i in range(20):
        bench.handle(f"r{i}")
        calls = bench.calls["production"]
        assert calls == i + 1, f"after {i + 1} requests with {config} production was called {calls} times"
    bench.run_all()
    assert bench.calls["production"] == 20, "running the mirrors called production again"


@requirement("R1")
def test_production_gets_the_features(submission):
    seen = []
    bench = Bench(submission, lambda features: seen.append(features))
    bench.handle("a", [5, 6])
    bench.handle("b", [7])
    assert seen == [{"x": [5, 6]}, {"x": [7]}], f"production was given {seen}"


@requirement("R1")
def test_an_id_that_comes_twice_is_served_twice(submission):
    bench = Bench(submission)
    found = [bench.handle("a", [1]), bench.handle("a", [5])]
    assert found == [1, 5], f"two requests with one id should be answered 1 and 5, and were {found}"
    assert bench.calls["production"] == 2, f"production was called {bench.calls['production']} times for two requests"


@requirement("R1")
def test_two_handlers_do_not_mix(submission):
    one, other = Bench(submission, lambda f: "one"), Bench(submission, lambda f: "other")
    found = [one.handle(), other.handle(), one.handle()]
    assert found == ["one", "other", "one"], f"two handlers with their own models answered {found}"
    assert one.report()["n_requests"] == 2, f"one handler served 2 requests and reports {one.report()['n_requests']}"


@requirement("R1")
def test_the_config_and_the_clock_are_optional(submission):
    records = []
    handler = submission.shadow_deployment(
        constant(5),
        constant(5),
        executor=queue([]),
        comparison_log=lambda record: records.append(record),
    )
    found = handler.handle(submission.Request("a", {"x": [1]}))
    assert found == 5, f"without config and clock the caller got {found!r} where production answered 5"


@requirement("R2")
def test_the_shadow_waits_for_the_executor(submission):
    bench = Bench(submission)
    for i in range(5):
        bench.handle(f"r{i}")
        calls = bench.calls["shadow"]
        assert calls == 0, f"handle returned while the executor only queued, and the shadow had {calls} calls"
    assert bench.calls["log"] == 0, "the log was called before the executor ran anything"
    bench.run_all()
    assert bench.calls["shadow"] == 5, f"after 5 mirrors were run the shadow had {bench.calls['shadow']} calls"


@requirement("R2")
def test_each_mirror_is_one_function(submission):
    bench = Bench(submission)
    for i in range(4):
        bench.handle(f"r{i}")
        assert len(bench.waiting) == i + 1, f"after {i + 1} requests the executor held {len(bench.waiting)} functions"
    for i in range(4):
        bench.run()
        found = (bench.calls["shadow"], bench.calls["log"])
        assert found == (i + 1, i + 1), f"{i + 1} functions were run; shadow and log were called {found} times"


@requirement("R2")
def test_the_functions_can_run_in_any_order(submission):
    bench = Bench(submission, shadow=lambda features: total(features) + 1)
    for i in range(6):
        bench.handle(f"r{i}", [i, 10])
    bench.waiting = [bench.waiting[i] for i in (3, 5, 0, 2, 4, 1)]
    bench.run_all()
    for i in range(6):
        record = bench.record(f"r{i}")
        found = (record["production"], record["shadow"])
        assert found == (i + 10, i + 11), f"request r{i} should be logged with {(i + 10, i + 11)}, and has {found}"


@requirement("R2")
def test_neither_report_nor_promotion_runs_the_shadow(submission):
    bench = Bench(submission)
    bench.handle_all(3)
    bench.report()
    bench.handler.ready_to_promote()
    assert bench.calls["shadow"] == 0, "report() or ready_to_promote() called the shadow"


@requirement("R2")
def test_a_failing_production_or_executor_does_not_bring_the_shadow_to_the_caller(submission):
    bench = Bench(submission, submit=raising(RuntimeError("full")))
    bench.handle_all(3)
    assert bench.calls["shadow"] == 0, "the executor refused, and the shadow was called all the same"
    assert bench.calls["log"] == 0, "the executor refused, and something was logged"


@requirement("R2")
def test_a_full_executor_queue_does_not_bring_the_shadow_to_the_caller(submission):
    bench = Bench(submission, max_in_flight=1)
    bench.handle_all(3)
    assert bench.calls["shadow"] == 0, "with every place taken the shadow was called on the caller's thread"


class Busy:
    """A bench whose first mirror runs on another thread and is parked in the shadow or in the log."""

    def __init__(self, submission, where):
        self.park = Park()

        def shadow(features):
            if where == "shadow":
                self.park()
            return total(features)

        self.bench = Bench(submission, shadow=shadow, log=self.park if where == "log" else None)
        self.bench.handle("first")
        self.mirror = Aside(self.bench.run)
        assert self.park.is_reached(), f"the executor ran the mirror, and it did not come to the {where}"

    def finish(self):
        self.park.released.set()
        assert self.mirror.ends(), "the function given to the executor did not return"


@requirement("R2")
@pytest.mark.parametrize("where", ["shadow", "log"])
def test_handle_goes_on_while_the_other_side_is_busy(submission, where):
    busy = Busy(submission, where)
    request = Aside(lambda: busy.bench.handle("second", [4]))
    ended = request.ends()
    busy.finish()
    assert ended, f"handle waited until the {where} of an earlier request was done"
    answer = request.result("handle")
    assert answer == 4, f"production answered 4 and the caller got {answer!r}"


@requirement("R2")
@pytest.mark.parametrize("where", ["shadow", "log"])
def test_the_report_goes_on_while_the_other_side_is_busy(submission, where):
    busy = Busy(submission, where)
    report = Aside(busy.bench.report)
    ended = report.ends()
    busy.finish()
    assert ended, f"report() waited until the {where} of a request was done"


ERRORS = [ValueError("x"), KeyError("x"), ZeroDivisionError("x"), TimeoutError("x"), MemoryError("x"), StopIteration()]


@requirement("R3")
def test_a_shadow_error_stays_inside(submission):
    for error in ERRORS:
        name = type(error).__name__
        bench = Bench(submission, shadow=raising(error))
        found = bench.handle("a", [2, 3])
        assert found == 5, f"the shadow raises {name}, and the caller got {found!r} where production answered 5"
        bench.run_all().expect_nothing_escaped(f"the shadow raised {name}")
        bench.expect(f"one shadow call raised {name}", n_requests=1, n_shadow_errors=1, n_compared=0, n_pending=0)


@requirement("R3")
def test_the_type_of_a_shadow_error_is_logged(submission):
    for error in ERRORS:
        name = type(error).__name__
        bench = Bench(submission, shadow=raising(error))
        bench.handle("a")
        logged = bench.run_all().record("a").get("error")
        assert isinstance(logged, str), f"the shadow raised {name}, and `error` in the record is {logged!r}"
        assert name in logged, f"the shadow raised {name}, and `error` in the record is {logged!r}"


@requirement("R3")
def test_later_requests_are_mirrored_after_a_shadow_error(submission):
    def shadow(features):
        if features["x"][0] % 2:
            raise OSError("no memory left on the device")
        return total(features)

    bench = Bench(submission, shadow=shadow)
    for i in range(10):
        bench.handle(f"r{i}", [i])
        bench.run_all()
    assert bench.calls["shadow"] == 10, f"10 requests came, and the shadow was called {bench.calls['shadow']} times"
    bench.expect_nothing_escaped("every other shadow call raised")
    bench.expect("5 of 10 shadow calls raised", n_requests=10, n_shadow_errors=5, n_compared=5)
    assert bench.record("r4")["match"] is True, "a request between two shadow errors was not compared"


@requirement("R3")
def test_a_shadow_without_predict_stays_inside(submission):
    bench = Bench(submission)
    bench.handler = submission.shadow_deployment(
        constant(5), None, executor=queue(bench.waiting), comparison_log=lambda record: bench.log(record)
    )
    found = bench.handle()
    assert found == 5, f"the shadow is None, and the caller got {found!r} where production answered 5"
    bench.run_all().expect_nothing_escaped("the shadow is None")
    assert "AttributeError" in str(bench.record("a")["error"]), f"`error` is {bench.record('a')['error']!r}"


@requirement("R4")
@pytest.mark.parametrize("config", [{}, {"sample_rate": 0.0}], ids=str)
def test_the_caller_gets_production_s_own_exception(submission, props, config):
    found = props.error_of_production(submission, "token-77", **config)
    assert found["type"] == "MarkedError", f"production raised MarkedError, and the caller got {found['type']}"
    assert found["token"] == "token-77", "the caller got another exception object than the one that production raised"
    assert found["args"] == ("no such customer", 7), f"the exception's arguments became {found['args']}"
    assert found["cause"] == "NoneType", f"the exception came with a cause of type {found['cause']}"
    assert found["submitted"] == 0, "a request whose production failed was given to the executor"


@requirement("R4")
def test_every_kind_of_exception_reaches_the_caller(submission):
    for error in ERRORS[:-1]:
        caught = type(Bench(submission, production=raising(error)).fails()).__name__
        assert caught == type(error).__name__, f"production raised {type(error).__name__}, and the caller got {caught}"


@requirement("R4")
def test_a_request_whose_production_failed_is_counted_and_not_mirrored(submission):
    bench = Bench(submission, production=raising(ValueError("bad")))
    for i in range(3):
        bench.fails(f"r{i}")
    assert bench.calls["submit"] == 0, f"production failed 3 times, and {bench.calls['submit']} mirrors were submitted"
    bench.run_all()
    found = (bench.calls["shadow"], bench.calls["log"])
    assert found == (0, 0), f"production failed 3 times; shadow and log were called {found} times"
    bench.expect("production failed 3 times", n_requests=3, n_production_errors=3, n_pending=0, n_dropped=0)


@requirement("R4")
def test_production_is_not_tried_again(submission):
    bench = Bench(submission, production=raising(ConnectionError("reset")))
    bench.fails()
    assert bench.calls["production"] == 1, f"production raised, and was called {bench.calls['production']} times"


@requirement("R4")
def test_failed_requests_take_no_place(submission):
    def production(features):
        if features["x"][0] < 0:
            raise ValueError("negative")
        return 1

    bench = Bench(submission, production=production, max_in_flight=2)
    for i in range(5):
        bench.fails(f"bad{i}", [-1])
    bench.handle("good1")
    bench.handle("good2")
    assert len(bench.waiting) == 2, f"5 failed requests, then 2 good ones with 2 places: {len(bench.waiting)} mirrored"
    bench.run_all()
    bench.expect("5 failed, 2 were good", n_requests=7, n_production_errors=5, n_dropped=0, n_compared=2)
