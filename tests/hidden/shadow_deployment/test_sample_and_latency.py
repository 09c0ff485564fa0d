"""R9 and R10: which requests are mirrored, and what the latencies contain."""

import random

import pytest
from shadow_bench import Bench

from rounds.testing import requirement

IDS = [f"request-{i}" for i in range(400)]
FAMILIES = {
    "counted": lambda i: f"req-{i}",
    "padded": lambda i: f"{i:08d}",
    "uuid": lambda i: random.Random(i).randbytes(16).hex(),
}


@requirement("R9")
@pytest.mark.limits(seconds=30, memory_mb=1024)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tenth_of_the_ids_is_a_tenth(submission, props, family):
    taken = props.sampled(submission, 0.1, [FAMILIES[family](i) for i in range(20_000)])
    assert 1_800 <= len(taken) <= 2_200, f"a rate of 0.1 took {len(taken)} of 20,000 ids such as {FAMILIES[family](7)}"


@requirement("R9")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_half_of_the_ids_is_a_half(submission, props):
    taken = props.sampled(submission, 0.5, [FAMILIES["counted"](i) for i in range(20_000)])
    assert 9_600 <= len(taken) <= 10_400, f"a rate of 0.5 took {len(taken)} of 20,000 ids"


@requirement("R9")
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_every_process_takes_the_same_ids(sandbox, rate):
    one, other = sandbox(hash_seed=0), sandbox(hash_seed=1)
    taken = [box.props.sampled(box.submission, rate, IDS) for box in (one, other)]
    assert taken[0] == taken[1], (
        f"two processes took different ids at a rate of {rate}: {len(taken[0])}, {len(taken[1])}"
    )
    assert 0 < len(taken[0]) < len(IDS), f"a rate of {rate} took {len(taken[0])} of {len(IDS)} ids"


@requirement("R9")
def test_the_order_of_the_requests_plays_no_part(submission, props, seed):
    shuffled = random.Random(seed).sample(IDS, len(IDS))
    taken = [sorted(props.sampled(submission, 0.3, identifiers)) for identifiers in (IDS, shuffled)]
    assert taken[0] == taken[1], "the same ids in another order gave another sample"


@requirement("R9")
def test_what_else_came_plays_no_part(submission, props):
    among_others = set(props.sampled(submission, 0.3, IDS))
    alone = {identifier for identifier in IDS[:60] if props.sampled(submission, 0.3, [identifier])}
    assert alone == among_others & set(IDS[:60]), "an id that came first was treated in another way than among others"


@requirement("R9")
def test_an_id_that_comes_again_is_treated_the_same(submission, props):
    taken = props.sampled(submission, 0.3, [identifier for identifier in IDS[:100] for _ in range(3)])
    counts = {identifier: taken.count(identifier) for identifier in IDS[:100]}
    odd = [identifier for identifier, count in counts.items() if count not in (0, 3)]
    assert not odd, f"ids that came three times were mirrored once or twice: {odd[:3]}"


@requirement("R9")
def test_none_and_all_are_exact(submission, props):
    for rate in (0.0, 1.0, 0, 1):
        taken = props.sampled(submission, rate, [f"req-{i}" for i in range(2_000)])
        assert len(taken) == 2_000 * rate, f"a rate of {rate} took {len(taken)} of 2,000 ids"


@requirement("R9")
def test_any_string_is_an_id(submission):
    identifiers = ["", " ", "ä", "日本語", "🙂", "a\nb", "x" * 5_000, "-1", "\x00"]
    for rate, expected in ((0.0, 0), (0.5, None), (1.0, len(identifiers))):
        bench = Bench(submission, sample_rate=rate)
        for identifier in identifiers:
            caught = bench.fails(identifier)
            assert caught is None, f"an id like {identifier[:9]!r} at a rate of {rate} gave the caller {caught!r}"
        found = len(bench.waiting)
        assert found == expected or expected is None, f"a rate of {rate} took {found} of {len(identifiers)} odd ids"


@requirement("R9")
def test_requests_outside_the_sample_are_counted(submission, props):
    taken = props.sampled(submission, 0.2, IDS[:100])
    bench = Bench(submission, sample_rate=0.2)
    for identifier in IDS[:100]:
        bench.handle(identifier)
    bench.expect("100 ids at a rate of 0.2", n_not_sampled=100 - len(taken), n_pending=len(taken), n_dropped=0)
    bench.run_all()
    assert sorted(record["request_id"] for record in bench.records) == sorted(taken), "another handler took other ids"


@requirement("R10")
def test_a_record_has_the_models_own_times(submission, props):
    record, _ = props.costs(submission, 0.25, 2.0)
    found = record["production_ms"]
    assert found == pytest.approx(250), f"production took 250 ms between costly copies and submits; logged: {found} ms"
    found = record["shadow_ms"]
    assert found == pytest.approx(2000), f"the shadow took 2,000 ms after a long wait; logged: {found} ms"


@requirement("R10")
def test_the_report_has_the_models_own_times(submission, props):
    _, report = props.costs(submission, 0.25, 2.0)
    for model, expected in (("production", 250), ("shadow", 2000)):
        found = {name: report[f"{model}_ms"][name] for name in ("p50", "p95", "p99")}
        situation = f"{model} took {expected} ms in the only request, and the report says {found}"
        assert list(found.values()) == pytest.approx([expected] * 3), situation


@requirement("R10")
def test_a_model_that_takes_no_time_has_none(submission, props):
    record, report = props.costs(submission, 0.0, 0.0)
    found = (record["production_ms"], record["shadow_ms"], report["production_ms"]["p99"], report["shadow_ms"]["p99"])
    assert found == pytest.approx((0.0,) * 4), f"both models answered at once, and the latencies are {found}"


@requirement("R10")
@pytest.mark.parametrize("model", ["production", "shadow"])
def test_percentiles_run_over_all_calls(submission, props, seed, model):
    milliseconds = random.Random(seed).sample(range(1, 101), 100)
    pairs = [(ms / 1000, 0.5) if model == "production" else (0.5, ms / 1000) for ms in milliseconds]
    report = props.timed(submission, pairs)
    for name, low in (("p50", 50), ("p95", 95), ("p99", 99)):
        found = report[f"{model}_ms"][name]
        assert low - 1e-6 <= found <= low + 1 + 1e-6, f"{model} took 1 to 100 ms once each, and {name} is {found}"
    other = report["shadow_ms" if model == "production" else "production_ms"]
    found = [other[name] for name in ("p50", "p95", "p99")]
    assert found == pytest.approx([500] * 3), f"the other model took 500 ms each time, and the report says {found}"


@requirement("R10")
def test_old_latencies_are_not_forgotten_within_a_thousand(submission, props):
    report = props.timed(submission, [(1.0, 2.0)] * 600 + [(0.1, 0.2)] * 400)
    found = (report["production_ms"]["p50"], report["shadow_ms"]["p50"])
    assert found == pytest.approx((1000, 2000)), f"600 slow requests, then 400 quick ones: the medians are {found}"


@requirement("R10")
def test_percentiles_are_none_at_first(submission):
    report = Bench(submission).report()
    for key in ("production_ms", "shadow_ms"):
        found = [report[key][name] for name in ("p50", "p95", "p99")]
        assert found == [None] * 3, f"before any request {key} should hold None three times, and holds {found}"


@requirement("R10")
def test_the_shadow_s_percentiles_are_none_until_it_answered(submission, props):
    bench = Bench(submission)
    bench.handle_all(3)
    report = bench.report()
    found = [report["shadow_ms"][name] for name in ("p50", "p95", "p99")]
    assert found == [None] * 3, f"the shadow was not called yet, and shadow_ms holds {found}"
    found = [report["production_ms"][name] for name in ("p50", "p95", "p99")]
    assert found == [0.0] * 3, f"production answered three times under a clock that stands still: {found}"
