"""R13: who is in the canary."""

import math

import pytest

from rounds.testing import requirement

COUNT = 20_000
FAMILIES = ("user-17", "17", "2a99f3b1", "17@mail.example.org", "χρήστης 000017")
SALTS = [None, "ranker-v8", "ranker-v9"]


def answers(submission, props, family="user-17", fractions=(0.3,), salts=SALTS, **options):
    """Return a string of 0 and 1, one for each key, for each fraction and salt."""
    given = props.assigned(submission, family, list(fractions), salts, **options)
    assert all("?" not in one for one in given), "assign_to_canary() returned something that is no bool"
    return given


@requirement("R13")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_share_is_the_fraction(submission, props, family):
    fractions = (0.01, 0.05, 0.1, 0.5)
    given = answers(submission, props, family, fractions)
    for nth, one in enumerate(given):
        fraction, salt = fractions[nth // len(SALTS)], SALTS[nth % len(SALTS)]
        share, allowed = one.count("1") / COUNT, 4 * math.sqrt(fraction * (1 - fraction) / COUNT)
        assert abs(share - fraction) <= allowed, (
            f"keys like {family}, salt {salt or 'by default'}: at {fraction}, {share:.4f} of 20,000 keys are in"
        )


@requirement("R13")
def test_raising_the_fraction_only_adds(submission, props):
    for salt in SALTS:
        fractions = (0.01, 0.05, 0.07, 0.1, 0.25, 0.5, 0.9, 1.0)
        given = answers(submission, props, fractions=fractions, salts=[salt], count=5000)
        for fraction, small, large in zip(fractions[1:], given, given[1:], strict=False):
            lost = sum(was == "1" and now == "0" for was, now in zip(small, large, strict=True))
            assert not lost, f"{lost} of 5,000 keys that were in at a smaller fraction are out at {fraction}"


@requirement("R13")
def test_nothing_is_nobody_and_everything_everybody(submission, props):
    for family in ["user-17", "2a99f3b1"]:
        further = ["", "a", "x" * 300]
        given = answers(submission, props, family, (0.0, 1.0), count=5000, further=further)
        for nth, one in enumerate(given):
            expected = len(one) if nth >= len(SALTS) else 0
            assert one.count("1") == expected, (
                f"at {float(nth >= len(SALTS))}, {one.count('1')} of {len(one)} keys are in"
            )


@requirement("R13")
def test_every_process_gives_the_same_answers(submission, props, sandbox):
    here = answers(submission, props, count=2000)
    for hash_seed in (0, 1):
        other = sandbox(hash_seed=hash_seed)
        there = answers(other.submission, other.props, count=2000)
        differing = sum(a != b for one, two in zip(here, there, strict=True) for a, b in zip(one, two, strict=True))
        assert not differing, f"{differing} of 6,000 answers differ in another process"


@requirement("R13")
def test_the_order_of_the_keys_does_not_matter(submission, props):
    forward = answers(submission, props, count=2000)
    backward = answers(submission, props, count=2000, backwards=True)
    assert forward == [one[::-1] for one in backward], "asked in another order, some keys have other answers"


@requirement("R13")
@pytest.mark.parametrize("family", ["user-17", "17", "2a99f3b1"])
def test_another_salt_draws_anew(submission, props, family):
    given = answers(submission, props, family, (0.5,), ["ranker-v8", "ranker-v9", "search"])
    for one, two in ((0, 1), (0, 2), (1, 2)):
        both = sum(a == b == "1" for a, b in zip(given[one], given[two], strict=True)) / COUNT
        assert 0.2 <= both <= 0.3, f"keys like {family}: {both:.1%} are in at 0.5 under both of two salts"


@requirement("R13")
def test_the_default_salt_is_canary(submission, props):
    named, default = answers(submission, props, salts=["canary", None], count=2000)
    assert named == default, "without a salt the answers are not those of the salt 'canary'"


@requirement("R13")
def test_a_single_answer_is_a_bool(submission):
    given = {type(submission.assign_to_canary(f"user-{i}", 0.5, salt="s")).__name__ for i in range(20)}
    assert given == {"bool"}, f"assign_to_canary() returned {' and '.join(sorted(given))}"
