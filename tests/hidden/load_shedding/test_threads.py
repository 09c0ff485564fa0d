"""R9: what threads are granted between them, under a clock that stands still and lets others run."""

import pytest

from rounds.testing import requirement


def check_grants(answer, expected, what):
    """Compare the sum over threads; nothing may have been raised."""
    results, raised = answer
    assert not raised, f"{what}: a thread raised {raised[0]}"
    total = sum(results)
    assert total == expected, f"{what}: {total} were granted, not {expected}"


def check_clients(answer, burst, what):
    """Compare the sum over threads for each client."""
    results, raised = answer
    assert not raised, f"{what}: a thread raised {raised[0]}"
    for client in results[0]:
        total = sum(granted[client] for granted in results)
        assert total == burst, f"{what}: client {client!r} was granted {total}, not {burst}"


@requirement("R9")
@pytest.mark.parametrize("burst", [10, 500])
def test_eight_threads_get_exactly_the_burst_of_a_bucket(submission, props, burst):
    answer = props.bucket_in_threads(submission, burst, 8, 1000)
    check_grants(answer, burst, f"8 threads, 1,000 attempts each, burst {burst}, the clock standing still")


@requirement("R9")
@pytest.mark.parametrize("parties", [2, 4])
def test_threads_that_meet_at_the_clock_get_exactly_the_burst(submission, props, parties):
    answer = props.bucket_in_threads(submission, 10, parties, 10, parties=parties)
    check_grants(answer, 10, f"{parties} threads, 10 attempts each, reading the clock at the same time, burst 10")


@requirement("R9")
def test_threads_that_meet_for_the_last_token_share_it(submission, props):
    answer = props.bucket_in_threads(submission, 1, 8, 2, parties=8)
    check_grants(answer, 1, "8 threads, 2 attempts each, reading the clock at the same time, one token")


@requirement("R9")
def test_larger_amounts_are_not_granted_twice(submission, props):
    answer = props.bucket_in_threads(submission, 10, 8, 200, amount=2.5)
    check_grants(answer, 4, "8 threads, 200 attempts at 2.5 tokens each, burst 10")


@requirement("R9")
def test_asking_threads_give_no_tokens_back(submission, props):
    answer = props.bucket_in_threads(submission, 50, 8, 400, asking=True)
    check_grants(answer, 50, "4 threads taking and 4 calling retry_after, burst 50")


@requirement("R9")
def test_asking_threads_that_meet_the_taking_ones_give_nothing_back(submission, props):
    answer = props.bucket_in_threads(submission, 5, 2, 12, parties=2, asking=True)
    check_grants(answer, 5, "a thread taking and one calling retry_after, reading the clock together, burst 5")


@requirement("R9")
@pytest.mark.parametrize("known", [True, False])
def test_eight_threads_get_exactly_the_burst_of_a_client(submission, props, known):
    answer = props.limiter_in_threads(submission, 10, 8, ["a"], 1000, known=known)
    what = "known" if known else "new"
    check_clients(answer, 10, f"8 threads, 1,000 checks each of a {what} client of burst 10")


@requirement("R9")
def test_eight_threads_get_exactly_the_burst_of_each_of_many_clients(submission, props):
    answer = props.limiter_in_threads(submission, 5, 8, [f"tenant-{i}" for i in range(40)], 10)
    check_clients(answer, 5, "8 threads, 10 checks each of 40 new clients of burst 5")


@requirement("R9")
@pytest.mark.parametrize("threads", [2, 8])
def test_threads_that_bring_the_same_new_client_share_one_bucket(submission, props, threads):
    answer = props.limiter_in_threads(submission, 2, threads, ["a", "b", "c"], 2, parties=threads)
    check_clients(answer, 2, f"{threads} threads bringing the same new clients at the same time, burst 2")


@requirement("R9")
def test_threads_that_meet_at_a_known_client_share_its_burst(submission, props):
    answer = props.limiter_in_threads(submission, 4, 2, ["a"], 8, parties=2, known=True)
    check_clients(answer, 4, "2 threads checking a known client at the same time, burst 4")


@requirement("R9")
def test_a_crowd_from_many_threads_stays_within_the_bound(submission, props):
    largest, raised, last = props.crowd_in_threads(submission, 8, 150, 25)
    assert not raised, f"8 threads brought new clients to a full limiter, and check raised {raised[0]}"
    assert max(*largest, last) <= 25, f"8 threads, room for 25 clients, and size() reached {max(*largest, last)}"
