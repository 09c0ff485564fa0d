"""R13: one handler, many threads."""

import pytest
from shadow_bench import Aside, Bench, Park, total

from rounds.testing import requirement

POINTS = ["clock", "production", "submit", "shadow", "log"]


class Crossing:
    """A bench in which something happens, on another thread, whenever request "a" comes to a point."""

    def __init__(self, submission, point, meanwhile, **config):
        self.meanwhile, self.asides, self.busy = meanwhile, [], False
        at = {name: self.cross if name == point else (lambda: None) for name in POINTS}

        def model(name):
            def predict(features):
                at[name]()
                return total(features)

            return predict

        def clock():
            at["clock"]()
            return 0.0

        self.bench = Bench(
            submission,
            model("production"),
            model("shadow"),
            log=lambda record: at["log"](),
            submit=lambda: at["submit"](),
            clock=clock,
            **config,
        )

    def cross(self):
        if not self.busy and len(self.asides) < 3:
            self.busy = True
            aside = Aside(self.meanwhile)
            self.asides.append(aside)
            aside.ends(0.5)  # whoever holds a lock here has the other wait, which is not this test's matter
            self.busy = False

    def finish(self, situation):
        for aside in self.asides:
            aside.result(situation)


@requirement("R13")
@pytest.mark.parametrize("point", POINTS)
def test_a_whole_request_in_between_loses_no_count(submission, point):
    def meanwhile():
        bench.handle(f"b{len(crossing.asides)}", [1, 5])
        with bench.lock:
            fn = bench.waiting.pop()
        fn()

    crossing = Crossing(submission, point, meanwhile)
    bench = crossing.bench
    bench.handle("a", [2, 3])
    crossing.finish("a request that came while another was at work")
    bench.run_all()
    crossing.finish("a request that came while another was at work")
    count = 1 + len(crossing.asides)
    assert count > 1, f"{point} was never called for the first request"
    bench.expect(
        f"{count} requests crossed at {point}",
        n_requests=count,
        n_compared=count,
        n_pending=0,
        n_dropped=0,
        agreement=1.0,
    )
    found = bench.record("a")["production"], bench.record("a")["shadow"]
    assert found == (5, 5), f"a request was crossed by others at {point}; both answers were 5, and logged were {found}"


@requirement("R13")
@pytest.mark.parametrize("point", ["clock", "production", "submit"])
def test_two_requests_at_once_do_not_get_one_place(submission, point):
    done = []

    def meanwhile():
        if not done:
            done.append(True)
            bench.handle("b")

    crossing = Crossing(submission, point, meanwhile, max_in_flight=1)
    bench = crossing.bench
    bench.handle("a")
    crossing.finish("a request that came while another was at work")
    pending = len(bench.waiting)
    assert pending == 1, f"two requests came at once with one place (crossing at {point}): {pending} were submitted"
    bench.expect(f"two requests crossed at {point}, one place", n_requests=2, n_pending=1, n_dropped=1)


@requirement("R13")
@pytest.mark.parametrize("where", ["production", "shadow", "log"])
def test_no_request_waits_for_another_s_model(submission, where):
    park = Park()

    def model(name):
        def predict(features):
            if name == where:
                park()
            return total(features)

        return predict

    bench = Bench(submission, model("production"), model("shadow"), log=park if where == "log" else None)

    def serve(identifier):
        answer = bench.handle(identifier, [2, 3])
        bench.run()
        return answer

    first = Aside(lambda: serve("first"))
    assert park.is_reached(), f"a request was handled and its mirror run, and the {where} was not called"
    second = Aside(lambda: serve("second"))
    ended = second.ends()
    park.released.set()
    assert first.ends(), "the request that had to wait did not end"
    assert ended, f"while the {where} was at work for one request, another was not served to its end"
    answers = (first.result("handle"), second.result("handle"))
    assert answers == (5, 5), f"both requests should be answered 5, and were {answers}"
    bench.expect("two requests have ended", n_requests=2, n_compared=2, n_pending=0)


def expected_of(total_requests):
    errors = sum(i % 10 == 3 for i in range(total_requests))
    shadow_errors = sum(i % 10 == 5 for i in range(total_requests))
    failures = sum(i % 20 == 10 for i in range(total_requests))
    return {
        "n_requests": total_requests,
        "n_production_errors": errors,
        "n_not_sampled": 0,
        "n_dropped": 0,
        "n_pending": 0,
        "n_compared": total_requests - errors - shadow_errors,
        "n_shadow_errors": shadow_errors,
        "log_failures": failures,
    }


@requirement("R13")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_eight_threads_with_500_requests_are_counted_exactly(submission, props):
    found = props.hammer(submission, 8, 500, max_in_flight=4_000)
    wrong = found["wrong_answers"]
    assert not wrong, f"8 threads with 500 requests: {len(wrong)} callers got another answer than production's"
    expected, report = expected_of(4_000), found["report"]
    counts = {name: report[name] for name in expected}
    assert counts == expected, f"8 threads with 500 requests: expected {expected}, and the report says {counts}"
    agreement = 5 / 8
    assert report["agreement"] == pytest.approx(agreement), f"agreement should be {agreement}: {report['agreement']}"
    mean = 3 / 8
    assert report["mean_abs_diff"] == pytest.approx(mean), f"the mean should be {mean}: {report['mean_abs_diff']}"


@requirement("R13")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_each_mirror_logs_the_answers_to_its_own_request(submission, props):
    logged = props.hammer(submission, 8, 100, max_in_flight=4_000)["logged"]
    expected = {str(i): (i, None if i % 10 == 5 else i + i % 2) for i in range(800) if i % 10 != 3}
    assert len(logged) == len(expected), f"{len(expected)} mirrors should be logged once each: {len(logged)} records"
    found = {identifier: (production, shadow) for identifier, production, shadow in logged}
    mixed = [identifier for identifier in expected if found.get(identifier) != expected[identifier]]
    assert not mixed, f"request {mixed[0]} was logged with {found.get(mixed[0])} instead of {expected[mixed[0]]}"


@requirement("R13")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_with_few_places_the_counts_still_add_up(submission, props):
    found = props.hammer(submission, 8, 100, max_in_flight=3)
    report, logged = found["report"], found["logged"]
    assert not found["wrong_answers"], "8 threads and 3 places: a caller got another answer than production's"
    fixed = {name: report[name] for name in ("n_requests", "n_production_errors", "n_not_sampled", "n_pending")}
    expected = {"n_requests": 800, "n_production_errors": 80, "n_not_sampled": 0, "n_pending": 0}
    assert fixed == expected, f"8 threads with 100 requests and 3 places: {fixed}"
    ends = report["n_dropped"] + report["n_compared"] + report["n_shadow_errors"]
    assert ends == 720, f"720 requests were answered; dropped, compared and shadow errors make {ends}"
    mirrored = report["n_compared"] + report["n_shadow_errors"]
    assert mirrored == len(logged), f"{len(logged)} mirrors were logged, and the report counts {mirrored}"
