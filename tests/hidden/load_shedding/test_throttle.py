"""R13: how much of its traffic the throttle holds back."""

import pytest

from rounds.testing import requirement

CLOSE = 1e-9


def check_numbers(seen, expected, what):
    assert seen == pytest.approx(expected, abs=CLOSE), f"{what}: rejection_probability() said {seen}, not {expected}"


@requirement("R13")
def test_three_hundred_accepts_of_a_thousand(submission, props):
    script = [("allow", 1000), ("record", True, 300), ("ask",)]
    _, (probability,) = props.play_throttle(submission, script)
    check_numbers(probability, 400 / 1001, "1,000 requests, 300 accepts, k 2")


CASES = [
    # k, requests, accepts
    (2.0, 0, 0),
    (2.0, 1, 0),
    (2.0, 9, 0),
    (2.0, 100, 49),
    (2.0, 100, 50),
    (2.0, 60, 60),
    (1.5, 90, 40),
    (1.0, 8, 7),
]


@requirement("R13")
def test_the_formula(submission, props):
    for k, requests, accepts in CASES:
        script = [("allow", requests), ("record", True, accepts), ("ask",)]
        expected = max(0.0, (requests - k * accepts) / (requests + 1))
        _, (probability,) = props.play_throttle(submission, script, k=k)
        check_numbers(probability, expected, f"{requests} requests, {accepts} accepts, k {k}")


@requirement("R13")
def test_a_failure_is_no_accept_and_asking_no_request(submission, props):
    script = [("allow", 20), ("record", True, 5), ("record", False, 15), ("ask",), ("ask",), ("ask",)]
    _, told = props.play_throttle(submission, script)
    check_numbers(told, [10 / 21] * 3, "20 requests, 5 accepts, 15 failures, asked three times")


@requirement("R13")
def test_requests_count_before_they_are_answered(submission, props):
    script = []
    for _ in range(5):
        script += [("allow", 1), ("ask",)]
    _, seen = props.play_throttle(submission, script)
    check_numbers(seen, [n / (n + 1) for n in range(1, 6)], "five requests without any answer, asked after each")


@requirement("R13")
def test_requests_that_were_held_back_count(submission, props):
    script = [("allow", 50), ("ask",), ("allow", 450), ("ask",)]
    passed, told = props.play_throttle(submission, script)
    assert sum(passed) < 400, f"of 500 requests without any answer, {sum(passed)} were let through"
    check_numbers(told, [50 / 51, 500 / 501], "50, then 500 requests, most of them held back")


@requirement("R13")
def test_the_first_request_always_passes(submission, props, seed):
    first = sum(props.play_throttle(submission, [("allow", 1)], seed=100 * seed + i)[0][0] for i in range(25))
    assert first == 25, f"of the first requests of 25 new throttles, {first} were let through"


@requirement("R13")
def test_a_healthy_backend_gets_everything(submission, props, seed):
    script = [("allow", 1), ("record", True, 1), ("ask",)] * 300
    passed, told = props.play_throttle(submission, script, seed=seed)
    assert sum(passed) == 300, f"every request was accepted, and {sum(passed)} of 300 were let through"
    assert max(told) == min(told) == 0.0, f"every request was accepted, and the probability rose to {max(told)}"


@requirement("R13")
def test_half_accepted_is_healthy_enough_for_k_two(submission, props, seed):
    script = [("allow", 1), ("record", True, 1), *[("allow", 1), ("record", True, 1), ("allow", 1)] * 100]
    passed = sum(props.play_throttle(submission, script, seed=seed)[0])
    assert passed == 201, f"at least half of all requests were accepted at any time, and {passed} of 201 got through"


@requirement("R13")
def test_a_dead_backend_still_gets_a_little(submission, props, seed):
    counts = [sum(props.pass_by_pass(submission, 1000, 1000 * seed + i)[1:]) for i in range(25)]
    # each expects H(1000) - 1 = 6.5; the sum of 25 has mean 162 and a standard deviation of 12
    total = sum(counts)
    assert 90 <= total <= 235, f"a dead backend, 25 times 1,000 requests: {total} got through, where 162 are expected"


@requirement("R13")
def test_the_probability_of_a_dead_backend_tends_to_one(submission, props):
    script = [("allow", 1000), ("ask",), ("allow", 3000), ("ask",)]
    _, told = props.play_throttle(submission, script)
    check_numbers(told, [1000 / 1001, 4000 / 4001], "1,000, then 4,000 requests without an answer")


@requirement("R13")
def test_the_share_held_back_is_the_probability(submission, props, seed):
    passed = 0
    for i in range(60):
        script = [("allow", 200), ("record", True, 60), ("allow", 10)]
        passed += props.play_throttle(submission, script, seed=5000 * (seed + 1) + i)[0][-1]
    # the probability rises from 0.398 to 0.426: of 600, 353 are expected, with a standard deviation of 12
    assert 290 <= passed <= 416, f"with a probability around 0.41, {passed} of 600 requests passed; 353 are expected"


@requirement("R13")
def test_old_counts_leave_the_window(submission, props):
    script = [("allow", 100), ("record", True, 10), ("time", 1060.0), ("allow", 50), ("record", True, 20), ("ask",)]
    script += [("time", 1115.0), ("ask",), ("time", 1125.0), ("ask",), ("time", 1175.0), ("ask",)]
    script += [("time", 1185.0), ("ask",)]
    _, seen = props.play_throttle(submission, script)
    expected = [90 / 151, 90 / 151, 10 / 51, 10 / 51, 0.0]
    check_numbers(seen, expected, "asked at once, and 55, 65, 115 and 125 s after the second half of the traffic")


@requirement("R13")
def test_accepts_leave_the_window_too(submission, props):
    script = [("allow", 50), ("record", True, 50), ("time", 1100.0), ("allow", 50), ("ask",)]
    script += [("time", 1130.0), ("ask",)]
    _, seen = props.play_throttle(submission, script)
    check_numbers(seen, [0.0, 50 / 51], "50 requests with and, 100 s later, 50 without accepts; asked then and 30 s on")


@requirement("R13")
def test_the_window_is_the_one_given(submission, props):
    script = [("allow", 30), ("time", 1007.0), ("allow", 10), ("ask",), ("time", 1013.0), ("ask",)]
    script += [("time", 1020.0), ("ask",)]
    _, seen = props.play_throttle(submission, script, window_s=10.0)
    check_numbers(seen, [40 / 41, 10 / 11, 0.0], "window 10 s; 30 requests, 10 more after 7 s; asked at 7, 13, 20 s")


@requirement("R13")
def test_traffic_recovers_after_an_outage(submission, props, seed):
    script = [("allow", 1000), ("time", 1125.0), ("ask",)] + [("allow", 1), ("record", True, 1)] * 50
    passed, (probability,) = props.play_throttle(submission, script, seed=seed)
    through = sum(passed[1:])
    assert (probability, through) == (0.0, 50), (
        f"an outage left the window: the probability is {probability}, and {through} of 50 requests got through"
    )


@requirement("R13")
def test_an_overloaded_backend_is_sent_about_k_times_what_it_accepts(submission, props, seed):
    sent = props.traffic(submission, seed, [6] * 200, 20, window_s=20.0)
    average = sum(sent[60:]) / 140
    assert 10 <= average <= 14.5, (
        f"a backend that accepts 6 of 20 requests a second should be sent about 12, and was sent {average:.1f}"
    )


@requirement("R13")
def test_a_backend_that_comes_back_is_sent_everything_again(submission, props, seed):
    sent = props.traffic(submission, seed, [20] * 30 + [0] * 60 + [20] * 400, 20, window_s=20.0)
    # of 1,500 simulated throttles the slowest had everything back after 251 s
    down, back = sum(sent[55:90]) / 35, sum(sent[-30:]) / 30
    assert down <= 3, f"while the backend was down, {down:.1f} of 20 requests a second were still sent"
    assert back >= 19, f"well after the backend came back, {back:.1f} of 20 requests a second were sent"


@requirement("R13")
def test_chance_comes_from_the_generator_given(submission, props, seed):
    first, second = (props.pass_by_pass(submission, 60, 7 + seed) for _ in range(2))
    assert first == second, "two throttles with generators of the same seed and the same history answered differently"
