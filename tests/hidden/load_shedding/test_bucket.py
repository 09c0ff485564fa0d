"""R1 to R6: what a single bucket admits, when it says to come back, and what it refuses."""

import math
import random

import pytest

from rounds.testing import requirement

A_MICROSECOND, A_MILLISECOND, SLACK = 1e-6, 1e-3, 1e-6


class Time:
    """A clock whose time the test sets."""

    def __init__(self, now=1000.0):
        self.now = now


def bucket_at(submission, time, rate, burst):
    return submission.TokenBucket(rate, burst, clock=lambda: time.now)


def granted(bucket, attempts, n=1.0):
    """Return how many of so many attempts were granted."""
    return sum(bucket.try_acquire(n) is True for _ in range(attempts))


# --- R1


@requirement("R1")
def test_a_new_bucket_admits_exactly_its_burst_at_one_instant(submission):
    for start in (0.0, 9_999.0):
        bucket = bucket_at(submission, Time(start), 4.0, 10)
        answers = [bucket.try_acquire() for _ in range(25)]
        expected = [True] * 10 + [False] * 15
        assert answers == expected, f"25 attempts at one instant on a full bucket of burst 10 were answered {answers}"


@requirement("R1")
def test_after_the_burst_one_is_admitted_per_interval(submission):
    for rate, burst in ((4, 10), (0.5, 1), (64.0, 3.0)):
        time = Time(500.0)
        bucket = bucket_at(submission, time, rate, burst)
        first = granted(bucket, int(burst) + 5)
        assert first == burst, f"burst {burst}: {first} of {int(burst) + 5} attempts at one instant were granted"
        for i in range(1, 9):
            time.now = 500.0 + i / rate + A_MICROSECOND
            got = granted(bucket, 3)
            assert got == 1, (
                f"rate {rate}: after the burst, interval {i} should admit 1 of 3 attempts, and admitted {got}"
            )


@requirement("R1")
def test_nothing_is_admitted_within_an_interval(submission):
    time = Time(500.0)
    bucket = bucket_at(submission, time, 2.0, 5)
    granted(bucket, 5)
    for after in (0.0, 0.1, 0.25, 0.49):
        time.now = 500.0 + after
        got = granted(bucket, 2)
        assert got == 0, f"{after} s after the burst at a rate of 2 there is no whole token, and {got} were granted"


@requirement("R1")
def test_two_intervals_later_two_are_admitted(submission):
    time = Time(0.0)
    bucket = bucket_at(submission, time, 4.0, 10)
    granted(bucket, 10)
    time.now = 0.5 + A_MICROSECOND
    got = granted(bucket, 6)
    assert got == 2, f"half a second after the burst at a rate of 4 there are 2 tokens, and {got} of 6 were granted"


@requirement("R1")
def test_amounts_are_taken_in_full(submission):
    bucket = bucket_at(submission, Time(), 1.0, 10)
    answers = [bucket.try_acquire(n) for n in (4, 4, 2, 0.5)]
    expected = [True, True, True, False]
    assert answers == expected, f"burst 10, amounts 4, 4, 2, 0.5 at one instant: {answers}, not {expected}"


@requirement("R1")
def test_two_buckets_share_nothing(submission):
    time = Time()
    one, other = bucket_at(submission, time, 1.0, 3), bucket_at(submission, time, 1.0, 5)
    got = granted(one, 9), granted(other, 9)
    assert got == (3, 5), f"two buckets of burst 3 and 5 granted {got} of 9 attempts each"


# --- R2


def schedule(rng):
    """Draw a rate, a burst and 60 attempts: bursts, steady streams and pauses, with unit and odd costs."""
    rate = 10 ** rng.uniform(math.log10(0.05), 2)
    burst = rng.choice([1, 2, 5, 10, 2.5, 30])
    pause = burst / rate
    now = rng.uniform(0, 5000)
    unit = rng.random() < 0.5
    script = []
    for _ in range(60):
        now += rng.choice([0.0, 0.0, 0.1 / rate, rng.uniform(0, 1) / rate, rng.uniform(0, 0.5) * pause, 0.0])
        if rng.random() < 0.04:
            now += rng.uniform(0.5, 3) * pause
        script.append((now, "take", 1.0 if unit else rng.uniform(0.05, 1.0) * burst))
    return rate, burst, script


def largest_excess(rate, burst, script, answers):
    """Return by how much the worst interval between two attempts exceeds burst + rate * length."""
    worst, spent, least = -math.inf, 0.0, math.inf
    for (now, _, cost), granted_now in zip(script, answers, strict=True):
        least = min(least, spent - rate * now)
        spent += cost if granted_now is True else 0.0
        worst = max(worst, spent - rate * now - least - burst)
    return worst


@requirement("R2")
@pytest.mark.parametrize("part", range(2))
def test_no_interval_of_random_schedules_admits_too_much(submission, props, seed, part):
    rng = random.Random(1000 * seed + part)
    cases = [schedule(rng) for _ in range(500)]
    for (rate, burst, script), answers in zip(cases, props.play_buckets(submission, cases), strict=True):
        excess = largest_excess(rate, burst, script, answers)
        assert excess <= SLACK, (
            f"rate {rate:.3f}, burst {burst}: some interval admitted {excess:.4f} more than burst + rate * length"
        )


@requirement("R2")
def test_no_boundary_lets_two_bursts_pass(submission, props):
    for period in (1.0, 60.0):
        burst = 10
        rate = burst / period
        for phase in (0.0, 0.25, 0.5, 0.75):
            start = 20 * period + phase * period
            end = start + period
            times = [start] + [end - 0.01 * period] * 12 + [end + 0.01 * period] * 12
            script = [(now, "take", 1.0) for now in times]
            answers = props.play_bucket(submission, rate, burst, script)
            most = burst + rate * 0.02 * period + SLACK
            got = sum(answer is True for answer in answers[1:])
            assert got <= most, f"burst {burst} at {rate} per s: {got} were admitted within {0.02 * period} s"


@requirement("R2")
def test_an_hour_of_pressure_admits_no_more_than_the_rate(submission, props):
    script = [(100.0 + 0.5 * i, "take", 1.0) for i in range(7200)]
    answers = props.play_bucket(submission, 0.3, 20, script)
    got = sum(answer is True for answer in answers)
    most = 20 + 0.3 * (script[-1][0] - script[0][0])
    assert got <= most + SLACK, f"burst 20 at 0.3 per s: two attempts a second for an hour had {got} grants, not {most}"


@requirement("R2")
def test_the_burst_after_a_pause_is_one_burst(submission, props):
    script = [(now, "take", 1.0) for now in [0.0] * 10 + [500.0] * 30 + [501.0] * 30]
    answers = props.play_bucket(submission, 2.0, 10, script)
    excess = largest_excess(2.0, 10, script, answers)
    assert excess <= SLACK, f"after a pause of 500 s, {excess:.2f} more than burst + rate * length was admitted"


# --- R3


@requirement("R3")
def test_half_a_second_at_three_per_second_brings_one_and_a_half(submission):
    for n, expected in ((1.5, True), (1.499, True), (1.501, False), (2, False)):
        time = Time(100.0)
        bucket = bucket_at(submission, time, 3.0, 10)
        granted(bucket, 1, 10)
        time.now = 100.5 + A_MICROSECOND
        answer = bucket.try_acquire(n)
        assert answer is expected, f"half a second at 3 per s brings 1.5 tokens, and {n} were answered {answer}"


@requirement("R3")
def test_many_short_steps_bring_as_much_as_a_long_one(submission, props):
    for rate, step in ((3.0, 0.2), (0.5, 0.1), (1.0, 0.001)):
        steps = round(4.0 / rate / step)
        gained, end = steps * step * rate, 100.0 + steps * step + A_MICROSECOND
        polls = [(100.0 + i * step, "take", 5) for i in range(1, steps)]
        script = [(100.0, "take", 5), *polls, (end, "take", gained), (end, "take", 0.01)]
        answers = props.play_bucket(submission, rate, 5, script)
        assert answers[-2] is True, f"rate {rate}: {steps} steps of {step} s did not bring {gained:.2f} tokens"
        assert answers[-1] is False, f"rate {rate}: steps of {step} s brought more tokens than the time they took"


@requirement("R3")
def test_asking_in_between_loses_no_fractions(submission, props):
    asks = [(100.0 + i * 0.07, "ask", 1.0) for i in range(1, 15)]
    script = [(100.0, "take", 6), *asks, (101.0 + A_MICROSECOND, "take", 3.0)]
    answers = props.play_bucket(submission, 3.0, 6, script)
    assert answers[-1] is True, "a second at 3 per s, with retry_after asked all the while, did not bring 3 tokens"


@requirement("R3")
def test_a_long_pause_fills_no_more_than_the_burst(submission):
    for pause in (20.0, 8000.0):
        time = Time(100.0)
        bucket = bucket_at(submission, time, 1.0, 4)
        first = granted(bucket, 6)
        time.now = 100.0 + pause
        second = granted(bucket, 12)
        assert (first, second) == (4, 4), f"burst 4: {first} granted at once, and {second} after a pause of {pause} s"


@requirement("R3")
def test_a_full_bucket_saves_nothing_for_later(submission):
    time = Time(0.0)
    bucket = bucket_at(submission, time, 1.0, 4)
    time.now = 100.0
    granted(bucket, 1)
    time.now = 100.5
    got = granted(bucket, 9)
    assert got == 3, f"burst 4, idle for 100 s, 1 taken, half a second later: {got} granted, not 3"


@requirement("R3")
def test_a_burst_that_is_no_whole_number_fills_up_to_its_fraction(submission):
    time = Time(100.0)
    bucket = bucket_at(submission, time, 1.0, 2.5)
    granted(bucket, 1, 2.5)
    time.now = 150.0
    answers = [bucket.try_acquire(n) for n in (2.25, 0.2, 0.2)]
    assert answers == [True, True, False], f"burst 2.5, full again: amounts 2.25, 0.2, 0.2 were answered {answers}"


@requirement("R3")
def test_a_bucket_is_full_whenever_it_is_first_used(submission):
    time = Time(10.0)
    bucket = bucket_at(submission, time, 1.0, 7)
    time.now = 12.0
    got = granted(bucket, 12)
    assert got == 7, f"a new bucket of burst 7, first used 2 s after it was built, granted {got} of 12"


def follow(rate, burst, script, answers):
    """Compare with the level that the text defines; stop at an attempt too close to call."""
    level, last = float(burst), script[0][0]
    for i, ((now, _, cost), answer) in enumerate(zip(script, answers, strict=True)):
        level = min(burst, level + (now - last) * rate)
        last = now
        if abs(level - cost) < 2e-6:
            return
        assert answer is (level > cost), (
            f"rate {rate:.3f}, burst {burst}, attempt {i}: {level:.6f} tokens, {cost:.6f} wanted, answered {answer}"
        )
        level -= cost if level > cost else 0.0


@requirement("R3")
def test_the_level_follows_the_clock_over_random_schedules(submission, props, seed):
    rng = random.Random(7000 + seed)
    cases = [schedule(rng) for _ in range(150)]
    for case, answers in zip(cases, props.play_buckets(submission, cases), strict=True):
        follow(*case, answers)


# --- R4


def wait_of(props, submission, rate, burst, taken, later, n):
    """Return what retry_after says: `later` seconds after `taken` tokens went."""
    before = [(100.0, "take", taken)] if taken else [(100.0, "ask", burst)]
    return before, props.play_bucket(submission, rate, burst, [*before, (100.0 + later, "ask", n)])[-1]


WAITS = [
    # rate, burst, taken, later, n, expected
    (4.0, 10, 10, 0.0, 1.0, 0.25),
    (4.0, 10, 8, 0.0, 3, 0.25),
    (4.0, 10, 10, 0.125, 1.0, 0.125),
    (0.05, 2, 2, 10.0, 2, 30.0),
    (100.0, 50, 50, 0.25, 50, 0.25),
    (2, 5, 4, 1.0, 5, 1.0),
]


@requirement("R4")
def test_waiting_as_told_succeeds_and_a_millisecond_less_does_not(submission, props):
    for rate, burst, taken, later, n, expected in WAITS:
        before, wait = wait_of(props, submission, rate, burst, taken, later, n)
        assert abs(wait - expected) < A_MICROSECOND, f"{n} tokens come in {expected} s, and retry_after said {wait}"
        then = 100.0 + later + wait
        early = props.play_bucket(submission, rate, burst, [*before, (then - A_MILLISECOND, "take", n)])[-1]
        assert early is False, f"a millisecond before retry_after had passed, {n} tokens were granted"
        late = props.play_bucket(submission, rate, burst, [*before, (then + A_MICROSECOND, "take", n)])[-1]
        assert late is True, f"{n} tokens were refused after retry_after = {wait} s had passed"


@requirement("R4")
def test_retry_after_agrees_with_try_acquire_at_random(submission, props, seed):
    rng = random.Random(40 + seed)
    cases = []
    for _ in range(200):
        rate, burst = 10 ** rng.uniform(-1.3, 2), rng.choice([1, 3, 12.5, 40])
        n, start = rng.uniform(0.2, 1.0) * burst, rng.uniform(0, 9000)
        cases.append((rate, burst, n, start, start + rng.uniform(0, 0.19) * burst / rate))
    asked = [(rate, burst, [(start, "take", burst), (now, "ask", n)]) for rate, burst, n, start, now in cases]
    waits = [answers[-1] for answers in props.play_buckets(submission, asked)]
    for change, expected in ((-A_MILLISECOND, False), (A_MICROSECOND, True)):
        tried = [
            (rate, burst, [(start, "take", burst), (max(now, now + wait + change), "take", n)])
            for (rate, burst, n, start, now), wait in zip(cases, waits, strict=True)
            if wait > 2 * A_MILLISECOND or change > 0
        ]
        for (rate, burst, script), answers in zip(tried, props.play_buckets(submission, tried), strict=True):
            assert answers[-1] is expected, (
                f"rate {rate:.3f}, burst {burst}: {script[-1][2]:.4f} tokens, {change:+g} s off what retry_after said, "
                f"were answered {answers[-1]}"
            )


@requirement("R4")
def test_retry_after_is_zero_when_the_tokens_are_there(submission):
    time = Time()
    bucket = bucket_at(submission, time, 2.0, 10)
    granted(bucket, 1, 4)
    waits = [bucket.retry_after(n) for n in (1, 3.5, 5.999, 0.001)]
    assert waits == [0.0] * 4, f"6 tokens are there, and retry_after of 1, 3.5, 5.999, 0.001 said {waits}"
    default = bucket.retry_after()
    assert default == 0.0, f"6 tokens are there, and retry_after() said {default}"


@requirement("R4")
def test_one_token_is_meant_when_nothing_is_said(submission):
    bucket = bucket_at(submission, Time(), 2.0, 10)
    granted(bucket, 1, 10)
    wait = bucket.retry_after()
    assert abs(wait - 0.5) < A_MICROSECOND, f"an empty bucket at 2 per s: retry_after() said {wait}, not 0.5"


@requirement("R4")
def test_asking_takes_nothing(submission):
    bucket = bucket_at(submission, Time(), 2.0, 3)
    for _ in range(20):
        bucket.retry_after()
        bucket.retry_after(3)
    got = granted(bucket, 6)
    assert got == 3, f"after retry_after was asked 40 times, a full bucket of burst 3 granted {got} of 6"


@requirement("R4")
def test_the_wait_shrinks_as_time_passes(submission):
    time = Time(50.0)
    bucket = bucket_at(submission, time, 0.5, 4)
    granted(bucket, 4)
    seen = []
    for after in (0.0, 0.5, 1.5, 1.75, 2.5):
        time.now = 50.0 + after
        seen.append(bucket.retry_after(1))
    expected = [2.0, 1.5, 0.5, 0.25, 0.0]
    assert seen == pytest.approx(expected, abs=1e-6), f"a token comes in 2 s; as time passed, retry_after said {seen}"


# --- R5


@requirement("R5")
def test_more_than_the_burst_never_fits(submission):
    time = Time(0.0)
    bucket = bucket_at(submission, time, 5.0, 10)
    for time.now, n in ((0.0, 10.001), (1.0, 1e9), (2.0, math.inf), (9_000.0, 10.001)):
        answer, wait = bucket.try_acquire(n), bucket.retry_after(n)
        assert answer is False, f"{n} tokens from a bucket of burst 10 at {time.now} s: try_acquire said {answer}"
        assert wait == math.inf, f"{n} tokens never fit into a burst of 10, and retry_after said {wait}"
    got = granted(bucket, 1, 10)
    assert got == 1, "after such attempts, the burst itself is refused"


@requirement("R5")
def test_more_than_the_burst_never_fits_into_an_empty_bucket(submission):
    time = Time(0.0)
    bucket = bucket_at(submission, time, 5.0, 2.5)
    granted(bucket, 1, 2.5)
    fits, never = bucket.retry_after(2.5), bucket.retry_after(2.6)
    assert fits < math.inf, "burst 2.5, empty: retry_after(2.5) said infinity, though 2.5 fits"
    assert never == math.inf, f"burst 2.5, empty: retry_after(2.6) said {never}"


@requirement("R5")
@pytest.mark.parametrize("n", [0, -1e-9, math.nan])
def test_an_amount_that_makes_no_sense_raises(submission, n):
    for method in ("try_acquire", "retry_after"):
        bucket = bucket_at(submission, Time(), 1.0, 5)
        try:
            answer = getattr(bucket, method)(n)
        except ValueError:
            got = granted(bucket, 8)
            assert got == 5, f"{method}({n}) raised ValueError, and then 5 tokens had become {got}"
            continue
        pytest.fail(f"{method}({n}) should raise ValueError, and returned {answer!r}")


@requirement("R5")
@pytest.mark.parametrize("name", ["TokenBucket", "RateLimiter"])
def test_a_rate_or_a_burst_that_is_not_positive_raises(submission, name):
    for rate, burst in ((0, 5), (-1.0, 5), (1.0, 0), (1.0, -2), (0.0, 0.0)):
        try:
            getattr(submission, name)(rate, burst, clock=lambda: 0.0)
        except ValueError:
            continue
        pytest.fail(f"{name}({rate}, {burst}) should raise ValueError")


# --- R6


@requirement("R6")
def test_a_step_back_neither_mints_nor_destroys(submission):
    for back in (1.0, 900.0):
        for taken in (4, 10):
            time = Time(1000.0)
            bucket = bucket_at(submission, time, 2.0, 10)
            granted(bucket, 1, taken)
            time.now = 1000.0 - back
            left, got = 10 - taken, granted(bucket, 12)
            assert got == left, f"{left} tokens were left, the clock stepped back by {back} s, and {got} were granted"


@requirement("R6")
def test_several_steps_back_change_nothing(submission):
    time = Time(1000.0)
    bucket = bucket_at(submission, time, 2.0, 10)
    granted(bucket, 4)
    seen = []
    for time.now in (990.0, 700.0, 100.0, 0.0):
        seen.append((bucket.try_acquire(), bucket.try_acquire(9.5)))
    assert seen == [(True, False)] * 4, f"6 tokens, 4 steps back, each time 1 and then 9.5 wanted: {seen}"
    got = granted(bucket, 5)
    assert got == 2, f"6 tokens, 4 of them taken over 4 steps back, should leave 2, and {got} were granted"


@requirement("R6")
def test_a_step_back_keeps_what_had_come_by_then(submission):
    time = Time(1000.0)
    bucket = bucket_at(submission, time, 2.0, 10)
    granted(bucket, 10)
    time.now = 1001.75
    first = granted(bucket, 1)
    time.now = 900.0
    second = granted(bucket, 5)
    assert (first, second) == (1, 2), f"3.5 tokens, 1 taken, a step back: {second} granted, not 2"


@requirement("R6")
def test_a_full_bucket_stays_full_over_a_step_back(submission):
    time = Time(1000.0)
    bucket = bucket_at(submission, time, 2.0, 10)
    time.now = 10.0
    got = granted(bucket, 15)
    assert got == 10, f"a full bucket of burst 10, stepped back by 990 s, granted {got} of 15"


@requirement("R6")
def test_a_refused_attempt_costs_nothing(submission):
    bucket = bucket_at(submission, Time(), 1.0, 10)
    granted(bucket, 1, 8)
    refused = granted(bucket, 20, 5)
    got = granted(bucket, 4)
    assert (refused, got) == (0, 2), f"2 tokens left, 20 refused attempts at 5, then {got} of 4 single ones granted"


@requirement("R6")
def test_refused_attempts_do_not_put_off_the_refill(submission, props):
    polls = [(100.0 + i * 0.25, "take", 1) for i in range(1, 40)]
    script = [(100.0, "take", 2), *polls, (110.0 + A_MICROSECOND, "take", 1)]
    answers = props.play_bucket(submission, 0.1, 2, script)
    assert answers[1:] == [False] * 39 + [True], (
        f"at 0.1 per s a token comes after 10 s, however often one asks; the answers every 0.25 s were {answers[1:]}"
    )


@requirement("R6")
def test_a_step_back_changes_no_client(submission):
    time = Time(1000.0)
    limiter = submission.RateLimiter(2.0, 10, clock=lambda: time.now)
    limiter.check("a", 7)
    time.now = 900.0
    answers = [limiter.check("a", cost).allowed for cost in (2, 2, 1, 0.1)]
    expected = [True, False, True, False]
    assert answers == expected, f"a client with 3 tokens, after a step back of 100 s, was answered {answers}"


@requirement("R6")
def test_a_refused_check_costs_nothing(submission):
    limiter = submission.RateLimiter(1.0, 10, clock=lambda: 50.0)
    limiter.check("a", 8)
    for _ in range(20):
        limiter.check("a", 5)
    answers = [limiter.check("a").allowed for _ in range(3)]
    assert answers == [True, True, False], f"2 tokens left, 20 refused checks at 5, then single ones: {answers}"
