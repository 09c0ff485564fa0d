"""R10: numbers, deployments and beliefs of callers at the same time."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from blue_green import Fleet, Slots, fill, let_others_run, short

from rounds.testing import requirement

EIGHT = 8


class Yielding(Slots):
    """Slots that let other threads run in the middle of each call."""

    def note(self, *call):
        super().note(*call)
        let_others_run()


def together(acts):
    """Run all acts at the same time; return for each its answer, or the exception."""

    def outcome(act):
        try:
            return act()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(outcome, acts))


def big_fleet(submission):
    fleet = Fleet(submission, slots=Yielding())
    for _ in range(3):
        fill(fleet.registry)  # twelve versions and the four of the fleet
    return fleet


def blocks(calls):
    """Cut the calls into deployments: [(version, slot)] if each begins with a load and has its calls in one slot."""
    found = []
    for start in range(0, len(calls), 4):
        block = calls[start : start + 4]
        slot = block[0][1]
        names = [call[0] for call in block]
        if names[0] != "load" or sorted(names) != ["healthy", "healthy", "load", "switch"]:
            return None
        if {call[1] for call in block} != {slot}:
            return None
        found.append((block[0][2], slot))
    return found


@requirement("R10")
def test_numbers_are_given_out_once(submission, props):
    threads, each = EIGHT, 50
    registry, answers, errors = props.register_from_threads(submission, threads, each)
    assert errors == [], f"register raised in {len(errors)} of {threads} threads: {errors[:1]}"
    numbers = sorted(version for given in answers for version, _ in given)
    n, total = len(set(numbers)), threads * each
    assert numbers == list(range(1, total + 1)), f"{threads} threads registered {each} each, and got {n} numbers"
    assert registry.versions("fraud") == numbers, f"{total} versions were registered, and versions() shows others"
    wrong = [version for given in answers for version, data in given[::10] if registry.load("fraud", version) != data]
    assert not wrong, f"the artifacts of the versions {wrong} are not those that were registered under these numbers"


@requirement("R10")
@pytest.mark.parametrize("ways", ["deploy", "both"])
def test_deployments_of_one_model_do_not_mix(submission, ways):
    fleet = big_fleet(submission)
    acts = []
    for version in range(1, EIGHT + 1):
        rolls = ways == "both" and version % 2
        acts.append(partial(fleet.back, version) if rolls else partial(fleet.deploy, version))
    results = together(acts)
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors == [], f"eight deployments at the same time, and {len(errors)} raised: {errors[:1]}"
    found = blocks(fleet.slots.short())
    assert found, "eight deployments at the same time, and their calls to the environment were mixed"
    order = [version for version, _ in found]
    assert sorted(order) == list(range(1, EIGHT + 1)), f"versions 1 to 8 were deployed, and loaded were {order}"
    assert fleet.live() == order[-1], f"the last to be switched to was {order[-1]}, and {fleet.live()} is live"
    chain = sorted((result["to"], result["from"]) for result in results)
    expected = sorted(zip(order, [None, *order[:-1]], strict=True))
    assert chain == expected, f"in the order {order}, each should come from the one before; (to, from) were {chain}"
    assert fleet.slots.faults == [], f"eight deployments at the same time: {fleet.slots.faults[:2]}"


@requirement("R10")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_one_of_eight_who_expect_the_same_succeeds(submission, way):
    fleet = big_fleet(submission)
    fleet.deploy(1)
    call = getattr(fleet.deployer, way)
    acts = [partial(call, "fraud", version, actor="ann", reason="", expected_live=1) for version in range(2, 10)]
    results = together(acts)
    won = [result for result in results if not isinstance(result, Exception)]
    assert len(won) == 1, f"eight callers of {way} expected 1 to be live and wanted eight others; {len(won)} succeeded"
    lost = [error for error in results if isinstance(error, Exception)]
    others = [error for error in lost if not isinstance(error, submission.ConflictError)]
    assert others == [], f"the seven others should get a ConflictError, and one got {others[:1]}"
    assert fleet.live() == won[0]["to"], f"the call for {won[0]['to']} succeeded, and {fleet.live()} is live"
    found = blocks(fleet.slots.short())
    assert found is not None, "the calls of two deployments to the environment were mixed"
    assert len(found) == 2, f"two deployments succeeded, and the environment saw {len(found)}"


@requirement("R10")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_a_belief_that_is_not_true_is_a_conflict(submission, way):
    fleet = Fleet(submission)
    call = partial(getattr(fleet.deployer, way), "fraud", actor="ann", reason="")
    fleet.refused(submission.ConflictError, lambda: call(1, expected_live=2), f"{way} with nothing live, not 2,")
    fleet.deploy(1)
    fleet.refused(submission.ConflictError, lambda: call(2, expected_live=3), f"{way} with 1 live, not 3,")
    result = call(2, expected_live=1)
    assert short(result)[1:] == (1, 2), f"1 was live, as expected, and {way} of 2 returned {result}"
    fleet.refused(submission.ConflictError, lambda: call(3, expected_live=1), f"{way} with 2 live, no longer 1,")
    result = call(4, expected_live=None)
    assert short(result)[1:] == (2, 4), f"without a belief, {way} of 4 returned {result}"


@requirement("R10")
def test_a_conflict_leaves_the_history_alone(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    for expected in (1, 3):
        what = f"a rollback that expects {expected} while 2 is live"
        fleet.refused(submission.ConflictError, lambda expected=expected: fleet.back(expected_live=expected), what)
    result = fleet.back(expected_live=2)
    assert short(result) == ("rolled_back", 2, 1), f"after two conflicts, a rollback that expects 2 returned {result}"


@requirement("R10")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_a_conflict_comes_before_other_refusals(submission, way):
    fleet = Fleet(submission)
    fleet.deploy(1)
    call = partial(getattr(fleet.deployer, way), actor="ann", reason="", expected_live=3)
    for model, version, what in (
        ("fraud", 9, "a version that is not there"),
        ("fraud", 1, "the live version"),
        ("churn", 1, "a model that is not there"),
    ):
        fleet.refused(submission.ConflictError, partial(call, model, version), f"{way} of {what}, with a wrong belief,")
    fleet.refused(ValueError, partial(call, "../x", 1), f"{way} of an invalid id, with a wrong belief,")


@requirement("R10")
def test_a_rollback_without_a_target_conflicts_first(submission):
    fleet = Fleet(submission)
    fleet.deploy(1)
    what = "a rollback with a wrong belief and nothing to go back to"
    fleet.refused(submission.ConflictError, lambda: fleet.back(expected_live=2), what)
