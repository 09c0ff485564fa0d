"""R5, R7 and R8: clients, what they are told, and whom the limiter forgets."""

import math
import random

import pytest

from rounds.testing import requirement


class Time:
    """A clock whose time the test sets."""

    def __init__(self, now=1000.0):
        self.now = now


def limiter_at(submission, time, rate, burst, **options):
    return submission.RateLimiter(rate, burst, clock=lambda: time.now, **options)


def told(decision):
    """Return the three fields of a decision."""
    return decision.allowed, decision.remaining, decision.retry_after_s


def check_decision(seen, expected, what):
    """Compare (allowed, remaining, retry_after_s), the numbers to 1e-6."""
    assert seen[0] is expected[0], f"{what}: allowed should be {expected[0]}, and was {seen[0]!r}"
    names = ("remaining", "retry_after_s")
    for name, value, wanted in zip(names, seen[1:3], expected[1:], strict=True):
        assert value == pytest.approx(wanted, abs=2e-6), f"{what}: {name} should be {wanted}, and was {value!r}"


# --- R5


@requirement("R5")
@pytest.mark.parametrize("cost", [0, math.nan])
def test_a_cost_that_makes_no_sense_raises_and_makes_no_client(submission, cost):
    limiter = limiter_at(submission, Time(), 1.0, 5)
    try:
        decision = limiter.check("a", cost)
    except ValueError:
        size = limiter.size()
        assert size == 0, f"check('a', {cost}) raised ValueError on a new limiter, and then size() was {size}"
        return
    pytest.fail(f"check('a', {cost}) should raise ValueError, and returned {told(decision)}")


@requirement("R5")
def test_a_cost_that_makes_no_sense_charges_no_client(submission):
    limiter = limiter_at(submission, Time(), 1.0, 5)
    limiter.check("a", 2)
    for cost in (0.0, -2, math.nan):
        try:
            limiter.check("a", cost)
        except ValueError:
            continue
        pytest.fail(f"check('a', {cost}) of a known client should raise ValueError")
    answers = [limiter.check("a").allowed for _ in range(4)]
    assert answers == [True] * 3 + [False], f"a client with 3 tokens, after costs that make no sense: {answers}"


@requirement("R5")
def test_a_cost_above_the_burst_is_never_allowed(submission):
    time = Time(0.0)
    limiter = limiter_at(submission, time, 1.0, 5)
    for time.now, cost in ((0.0, 5.01), (2.0, math.inf), (5000.0, 5.01)):
        decision = limiter.check("a", cost)
        seen = decision.allowed, decision.retry_after_s
        assert seen == (False, math.inf), f"cost {cost} with burst 5: (allowed, retry_after_s) was {seen}"


# --- R7


@requirement("R7")
def test_one_client_takes_nothing_from_another(submission):
    limiter = limiter_at(submission, Time(), 1.0, 3)
    answers = {name: [limiter.check(name).allowed for _ in range(5)] for name in ("a", "b", "c")}
    for name, seen in answers.items():
        assert seen == [True] * 3 + [False] * 2, f"client {name!r} of burst 3 made 5 requests: {seen}"


@requirement("R7")
def test_clients_that_take_turns_are_independent(submission):
    limiter = limiter_at(submission, Time(), 1.0, 3)
    seen = [limiter.check(name).allowed for name in "abababab"]
    assert seen == [True] * 6 + [False] * 2, f"two clients of burst 3, taking turns eight times: {seen}"


@requirement("R7")
def test_each_client_refills_from_its_own_last_charge(submission):
    time = Time(1000.0)
    limiter = limiter_at(submission, time, 1.0, 4)
    limiter.check("a", 4)
    time.now = 1002.0
    limiter.check("b", 4)
    time.now = 1003.0
    seen = [told(limiter.check(name, 3.5)) for name in "ab"]
    for name, decision, level in zip("ab", seen, (3.0, 1.0), strict=True):
        check_decision(decision, (False, level, 3.5 - level), f"client {name!r}, with {level} tokens, wants 3.5")


@requirement("R7")
def test_a_decision_tells_what_is_left_after_the_charge(submission):
    limiter = limiter_at(submission, Time(), 2.0, 10)
    check_decision(told(limiter.check("a")), (True, 9.0, 0.0), "burst 10, cost 1 by default")
    check_decision(told(limiter.check("a", 2.5)), (True, 6.5, 0.0), "9 tokens, cost 2.5")
    check_decision(told(limiter.check("a", cost=6.5)), (True, 0.0, 0.0), "6.5 tokens, cost 6.5")
    check_decision(told(limiter.check("a", 3)), (False, 0.0, 1.5), "no tokens, rate 2, cost 3")


@requirement("R7")
def test_a_refused_decision_tells_the_level_and_the_wait(submission):
    time = Time(1000.0)
    limiter = limiter_at(submission, time, 4.0, 10)
    limiter.check("a", 8)
    check_decision(told(limiter.check("a", 5)), (False, 2.0, 0.75), "2 tokens, rate 4, cost 5")
    time.now = 1000.5
    check_decision(told(limiter.check("a", 5)), (False, 4.0, 0.25), "4 tokens, rate 4, cost 5")
    check_decision(told(limiter.check("a", 10)), (False, 4.0, 1.5), "4 tokens, rate 4, cost 10")


@requirement("R7")
def test_an_allowed_decision_says_no_wait_even_when_nothing_is_left(submission):
    limiter = limiter_at(submission, Time(), 1.0, 5)
    check_decision(told(limiter.check("a", 5)), (True, 0.0, 0.0), "burst 5, cost 5")
    check_decision(told(limiter.check("b", 3)), (True, 2.0, 0.0), "burst 5, cost 3")


@requirement("R7")
def test_remaining_includes_the_refill(submission):
    time = Time(1000.0)
    limiter = limiter_at(submission, time, 3.0, 6)
    limiter.check("a", 6)
    time.now = 1000.5
    check_decision(told(limiter.check("a", 1)), (True, 0.5, 0.0), "half a second at 3 per s, cost 1")
    time.now = 1900.0
    check_decision(told(limiter.check("a", 1)), (True, 5.0, 0.0), "burst 6, full again, cost 1")


@requirement("R7")
def test_the_wait_it_tells_is_enough_and_no_more(submission):
    for change, expected in ((1e-6, True), (-1e-3, False)):
        time = Time(1000.0)
        limiter = limiter_at(submission, time, 0.7, 8)
        limiter.check("a", 7.5)
        time.now += limiter.check("a", 4).retry_after_s + change
        allowed = limiter.check("a", 4).allowed
        assert allowed is expected, f"{change:+g} s off retry_after_s, the client was answered {allowed}"


@requirement("R7")
def test_a_cost_above_the_burst_leaves_the_level(submission):
    limiter = limiter_at(submission, Time(), 1.0, 5)
    limiter.check("a", 2)
    allowed, remaining, _ = told(limiter.check("a", 6))
    assert (allowed, remaining) == (False, 3.0), (
        f"burst 5, 3 tokens, cost 6: (allowed, remaining) was {allowed, remaining}"
    )


@requirement("R7")
def test_two_limiters_share_nothing(submission):
    time = Time()
    one, other = limiter_at(submission, time, 1.0, 2), limiter_at(submission, time, 1.0, 2)
    one.check("a", 2)
    allowed = other.check("a", 2).allowed
    assert allowed is True, "a client that had spent its burst at one limiter was refused by another"


def expected_answers(rate, burst, events):
    """Return what buckets that nobody ever forgets answer, and how close each decision was."""
    levels, answers = {}, []
    for now, client, cost in events:
        level, last = levels.get(client, (float(burst), now))
        level = min(burst, level + (now - last) * rate)
        allowed = level >= cost
        wait = 0.0 if allowed else (math.inf if cost > burst else (cost - level) / rate)
        answers.append((allowed, level - cost if allowed else level, wait, abs(level - cost)))
        levels[client] = (level - cost if allowed else level, now)
    return answers


def compare_all(events, seen, expected):
    for i, (event, answer, (*wanted, margin)) in enumerate(zip(events, seen, expected, strict=True)):
        if margin < 1e-5:
            return  # too close to call, and all that follows depends on it
        check_decision(answer[:3], tuple(wanted), f"event {i}, {event[1]!r} at {event[0]:.3f} s, cost {event[2]:.3f}")


@requirement("R7")
def test_decisions_agree_with_the_buckets_over_random_traffic(submission, props, seed):
    rng = random.Random(70 + seed)
    for _ in range(20):
        rate, burst, now, events = rng.uniform(0.1, 20), rng.choice([2, 5.5, 20]), rng.uniform(0, 900), []
        for _ in range(100):
            now += rng.expovariate(1.0) * burst / rate / 8
            events.append((now, rng.choice(["a", "b", "c", "tenant d"]), rng.uniform(0.05, 1.0) * burst))
        seen = props.play_limiter(submission, rate, burst, events)
        compare_all(events, seen, expected_answers(rate, burst, events))


# --- R8


@requirement("R8")
@pytest.mark.limits(seconds=40, memory_mb=512)
def test_a_hundred_thousand_clients_leave_a_bounded_size(submission, props):
    allowed, largest, last = props.crowd(submission, 100.0, 1.0, 100_000, 0.001, max_clients=100)
    assert max(largest, last) <= 100, f"100,000 clients came, max_clients is 100, and size() reached {largest}"
    assert allowed == 100_000, f"each of 100,000 new clients had a full bucket and room, and {allowed} were allowed"


@requirement("R8")
def test_the_bound_holds_when_no_bucket_has_refilled(submission, props):
    _, largest, last = props.crowd(submission, 0.05, 5.0, 3_000, 0.0, max_clients=20)
    assert max(largest, last) <= 20, f"3,000 clients at one instant, max_clients is 20, and size() reached {largest}"


@requirement("R8")
@pytest.mark.limits(seconds=40, memory_mb=512)
def test_the_bound_is_ten_thousand_by_default(submission, props):
    _, largest, last = props.crowd(submission, 0.05, 5.0, 10_300, 0.0)
    assert max(largest, last) == 10_000, f"10,300 clients at one instant, and size() reached {largest}, not 10,000"


@requirement("R8")
@pytest.mark.parametrize("most", [1, 2])
def test_a_very_small_limiter_holds_its_bound(submission, props, most):
    events = [(100.0 + 0.5 * i, f"t{i % 5}", 1.0) for i in range(40)]
    sizes = [size for *_, size in props.play_limiter(submission, 1.0, 3.0, events, max_clients=most)]
    assert max(sizes) <= most, f"max_clients is {most}, and size() was {sizes}"


@requirement("R8")
def test_size_counts_the_clients_that_have_spent(submission):
    limiter = limiter_at(submission, Time(), 0.1, 5)
    sizes = [limiter.size()]
    for name in ("a", "b", "a", "c", "b"):
        limiter.check(name)
        sizes.append(limiter.size())
    assert sizes == [0, 1, 2, 2, 3, 3], f"clients a, b, a, c, b came, none refilled, and size() was {sizes}"


def attack(props, submission, steps, wanted, **options):
    """Play a script of (time, names, cost); return the decision on the attacker, who wants `wanted` at the end."""
    events = [(now, name, cost) for now, names, cost in steps for name in names]
    last = steps[-1][0]
    return props.play_limiter(submission, 1.0, 10.0, [*events, (last, "attacker", wanted)], **options)[-1]


@requirement("R8")
def test_an_idle_attacker_is_not_forgotten_while_others_have_refilled(submission, props):
    crowds = [[f"t{round_}-{i}" for i in range(9)] for round_ in range(7)]
    steps = [(1000.0, ["attacker"], 10.0), *((1000.5 + 1.25 * i, crowd, 1.0) for i, crowd in enumerate(crowds))]
    seen = attack(props, submission, steps, 9.0, max_clients=10)
    assert seen[0] is False, "an attacker spent its burst, waited in silence while 63 clients came, and was full again"
    assert seen[1] == pytest.approx(8.0, abs=1e-5), f"8 of 10 tokens had come back, and remaining was {seen[1]}"


@requirement("R8")
def test_the_first_to_come_is_not_the_first_to_go(submission, props):
    steps = [
        (1000.0, ["attacker", "b", "c"], 1.0),
        (1000.0, ["attacker"], 9.0),
        (1004.0, ["d", "e"], 1.0),
        (1008.0, ["f", "g"], 1.0),
    ]
    seen = attack(props, submission, steps, 8.5, max_clients=3)
    assert seen[0] is False, "the client that came first had 8 of 10 tokens, others were full, and it was forgotten"


@requirement("R8")
def test_the_latest_to_come_is_not_the_one_to_go(submission, props):
    steps = [
        (1000.0, ["b", "c"], 1.0),
        (1003.0, ["attacker"], 10.0),
        (1003.0, ["d"], 1.0),
        (1003.5, ["e"], 1.0),
    ]
    seen = attack(props, submission, steps, 1.0, max_clients=3)
    assert seen[0] is False, "the client that spent its burst last was forgotten, though others had refilled"


@requirement("R8")
def test_the_level_counts_as_it_is_now(submission, props):
    steps = [
        (1000.0, ["b"], 9.0),  # full again at 1009
        (1008.0, ["attacker"], 4.0),  # 6 left: more than b had at its last look
        (1009.5, ["c"], 1.0),
    ]
    seen = attack(props, submission, steps, 9.0, max_clients=2)
    assert seen[0] is False, "a client with 7.5 of 10 tokens was forgotten in place of one that had refilled meanwhile"


@requirement("R8")
def test_the_costliest_client_may_be_the_refilled_one(submission, props):
    steps = [
        (1000.0, ["b"], 10.0),
        (1009.0, ["attacker"], 2.0),
        (1010.5, ["c"], 1.0),
    ]
    seen = attack(props, submission, steps, 9.8, max_clients=2)
    assert seen[0] is False, "a client with 9.5 of 10 tokens was forgotten, though another had refilled in full"


@requirement("R8")
def test_a_known_client_drives_nobody_out(submission, props):
    steps = [(1000.0, ["attacker", "b", "c"], 4.0), (1000.0, ["attacker"], 6.0), (1000.25, ["b", "c", "b", "c"], 0.5)]
    seen = attack(props, submission, steps, 1.0, max_clients=3)
    assert seen[0] is False, "known clients came back to a limiter that was just full, and another was forgotten"


@requirement("R8")
def test_nobody_who_has_spent_is_forgotten_while_there_is_room(submission, props):
    names = [f"t{i}" for i in range(50)]
    events = [(1000.0, name, 5.0) for name in names] + [(1002.0, name, 4.0) for name in names]
    seen = props.play_limiter(submission, 1.0, 5.0, events, max_clients=50)
    again = sum(answer[0] is True for answer in seen[50:])
    assert again == 0, f"50 clients fit, all had spent their burst, and {again} had it back two seconds later"
    assert seen[-1][3] == 50, f"50 clients, none refilled, room for 50, and size() was {seen[-1][3]}"


@requirement("R8")
def test_a_newcomer_finds_room_when_a_bucket_has_refilled(submission, props):
    events = [(1000.0, name, 1.0) for name in "abc"]
    events += [(1001.5, "d", 5.0), (1001.5, "d", 1.0), (1001.5, "e", 5.0), (1001.5, "f", 5.0)]
    seen = props.play_limiter(submission, 1.0, 5.0, events, max_clients=3)
    answers = [answer[0] for answer in seen[3:]]
    assert answers == [True, False, True, True], f"three refilled clients, and newcomers were answered {answers}"


def bearable_traffic(rng, most, rate, burst):
    """Draw events such that fewer than `most` other clients are short of their burst whenever one comes."""
    full_at, now, events = {}, 1000.0, []
    while len(events) < 150:
        now += rng.expovariate(1.0) * burst / rate / 6
        short = {name for name, when in full_at.items() if when > now - 1e-6}
        client = rng.choice(sorted(short)) if short and rng.random() < 0.4 else f"t{rng.randrange(4 * most)}"
        cost = rng.uniform(0.1, 1.0) * burst
        if len(short - {client}) >= most or any(abs(when - now) < 1e-3 for when in full_at.values()):
            continue
        if max(full_at.get(client, now), now) - now + cost / rate <= burst / rate:
            full_at[client] = max(full_at.get(client, now), now) + cost / rate
        events.append((now, client, cost))
    return events


@requirement("R8")
@pytest.mark.parametrize("most", [3, 8])
def test_a_bounded_limiter_answers_as_one_that_forgets_nobody(submission, props, seed, most):
    rng = random.Random(800 + seed)
    for _ in range(25):
        rate, burst = rng.uniform(0.2, 10), rng.choice([3.0, 10.0])
        events = bearable_traffic(rng, most, rate, burst)
        seen = props.play_limiter(submission, rate, burst, events, max_clients=most)
        largest = max(answer[3] for answer in seen)
        assert largest <= most, f"max_clients is {most}, and size() reached {largest}"
        for i, (answer, (allowed, *_, margin)) in enumerate(
            zip(seen, expected_answers(rate, burst, events), strict=True)
        ):
            if margin < 1e-5:
                break
            assert answer[0] is allowed, (
                f"with room for {most} clients, never as many of them short of their burst, event {i} was answered "
                f"{answer[0]}, not {allowed}: somebody was forgotten who was not full"
            )
