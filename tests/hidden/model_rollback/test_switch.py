"""R4 to R8, and what a deployment owes to R3: the order of calls, sick slots, the way back, and where it leads."""

from functools import partial

import pytest
from blue_green import Fleet, artifact, raised, short

from rounds.testing import requirement

OTHER = {"blue": "green", "green": "blue"}
DOWN = OSError("connection refused")


def cold(slot, version):
    """Return the calls of a deployment into a slot that does not hold the version."""
    return [("load", slot, version), ("healthy", slot), ("switch", slot), ("healthy", slot)]


def warm(slot):
    """Return the calls of a deployment of what the slot holds."""
    return [("healthy", slot), ("switch", slot), ("healthy", slot)]


# R3


MISSING = {
    "deploy": lambda fleet, model, version: fleet.deploy(version, model=model),
    "rollback_model": lambda fleet, model, version: fleet.back(version, model),
}


@requirement("R3")
@pytest.mark.parametrize("way", MISSING)
def test_a_deployment_of_nothing_touches_nothing(submission, way):
    fleet = Fleet(submission)
    fleet.deploy(2)
    fleet.registry.delete("fraud", 4)
    for version in (9, 4, 0, -1):
        what = f"{way} of version {version}, which is not there,"
        fleet.refused(submission.VersionNotFound, partial(MISSING[way], fleet, "fraud", version), what)


@requirement("R3")
@pytest.mark.parametrize("way", MISSING)
def test_an_unknown_model_touches_nothing(submission, way):
    fleet = Fleet(submission)
    fleet.deploy(1)
    what = f"{way} of a model never registered"
    fleet.refused(submission.ModelNotFound, partial(MISSING[way], fleet, "credit", 1), what)
    assert fleet.live("credit") is None, f"{what}: its live version is {fleet.live('credit')}"


@requirement("R3")
def test_a_refusal_does_not_stand_in_the_way(submission):
    fleet = Fleet(submission)
    fleet.refused(submission.VersionNotFound, lambda: fleet.deploy(9), "deploy of version 9 of 4")
    result = fleet.deploy(2)
    assert short(result) == ("deployed", None, 2), f"after a refusal, deploy of version 2 returned {result}"


# R4


@requirement("R4")
def test_the_first_deployment_in_order(submission):
    fleet = Fleet(submission)
    result = fleet.deploy(2)
    slot = result.get("slot")
    assert slot in OTHER, f"the slot should be blue or green, and is {slot!r}"
    assert fleet.slots.short() == cold(slot, 2), f"the calls of a first deployment were {fleet.slots.short()}"
    given = next(call[2] for call in fleet.slots.calls if call[0] == "load")
    assert given == artifact("fraud", 2), f"load was given the artifact {given!r}"
    expected = {"status": "deployed", "model_id": "fraud", "from": None, "to": 2, "slot": slot}
    got = {key: result.get(key) for key in expected}
    assert got == expected, f"a first deployment of version 2 should return {expected}, and returned {got}"
    assert fleet.live() == 2, f"version 2 should be live, and {fleet.live()} is"


@requirement("R4")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_each_deployment_goes_to_the_other_slot(submission, way):
    fleet = Fleet(submission)
    slot = fleet.deploy(4).get("slot")
    live = 4
    for version in (3, 1, 2):
        slot = OTHER[slot]
        before = len(fleet.slots.short())
        result = MISSING[way](fleet, "fraud", version)
        calls = fleet.slots.short()[before:]
        assert calls == cold(slot, version), f"{way} of version {version} while {live} was live made the calls {calls}"
        status = "deployed" if way == "deploy" else "rolled_back"
        got = (*short(result), result.get("slot"))
        assert got == (status, live, version, slot), f"{way} from {live} to {version} in {slot} returned {result}"
        live = version
        assert fleet.live() == live, f"version {live} should be live, and {fleet.live()} is"
    assert fleet.slots.traffic == slot, f"the traffic should be in {slot}, and is in {fleet.slots.traffic}"
    assert fleet.slots.faults == [], f"with every slot healthy: {fleet.slots.faults}"


@requirement("R4")
def test_nothing_but_health_decides_on_the_traffic(submission):
    fleet = Fleet(submission, healthy=[True, True, False])
    fleet.deploy(1)
    calls = fleet.calls_of(lambda: fleet.fails(lambda: fleet.deploy(2), "deploy of a version that reports sick"))
    assert "switch" not in [call[0] for call in calls], f"the idle slot was never healthy, and the calls were {calls}"


@requirement("R4")
def test_the_way_is_the_same_for_every_model(submission):
    fleet = Fleet(submission, models=("fraud", "credit"))
    fleet.deploy(1)
    fleet.deploy(3, model="credit")
    fleet.deploy(2)
    credit = fleet.environments["credit"]
    slot = credit.short()[0][1]
    assert credit.short() == cold(slot, 3), f"one deployment of credit among two of fraud made {credit.short()}"
    given = next(call[2] for call in credit.calls if call[0] == "load")
    assert given == artifact("credit", 3), f"credit's slot was given {given!r}"
    first = fleet.slots.short()[0][1]
    expected = cold(first, 1) + cold(OTHER[first], 2)
    assert fleet.slots.short() == expected, f"two deployments of fraud made the calls {fleet.slots.short()}"
    live = fleet.live(), fleet.live("credit"), fleet.live("churn")
    assert live == (2, 3, None), f"fraud, credit and churn should be at 2, 3 and None, and are at {live}"


# R5


BEFORE = {
    "load raises": {"load": [DOWN]},
    "health is false": {"healthy": [False]},
    "health raises": {"healthy": [TimeoutError("no answer")]},
    "load raises a KeyError": {"load": [KeyError("weights")]},
    "health raises a ZeroDivisionError": {"healthy": [ZeroDivisionError("no samples")]},
}


def plan(fleet, failures):
    """Let the next calls fail."""
    for name, answers in failures.items():
        fleet.slots.plan[name] = list(answers)


def sick_before(fleet, how, act):
    """Check that act() fails before the switch and unloads the idle slot."""
    plan(fleet, BEFORE[how])
    before, traffic = len(fleet.slots.calls), fleet.slots.traffic
    fleet.fails(act, f"a deployment where {how}")
    calls = fleet.slots.calls[before:]
    names = [call[0] for call in calls]
    assert "switch" not in names, f"{how}: the slot was sick, and the calls were {names}"
    assert fleet.slots.traffic == traffic, f"{how}: the traffic moved from {traffic} to {fleet.slots.traffic}"
    unloaded = [call[1] for call in calls if call[0] == "unload"]
    idle = next(call[1] for call in calls if call[0] != "unload")
    assert unloaded, f"{how}: the idle slot was not unloaded; the calls were {names}"
    assert set(unloaded) == {idle}, f"{how}: {idle} was the idle slot, and {unloaded} was unloaded"
    assert names[-1] == "unload", f"{how}: nothing should follow the unload; the calls were {names}"


@requirement("R5")
@pytest.mark.parametrize("how", BEFORE)
def test_a_sick_slot_gets_no_traffic(submission, how):
    for way in MISSING.values():
        fleet = Fleet(submission)
        fleet.deploy(1)
        sick_before(fleet, how, partial(way, fleet, "fraud", 2))


@requirement("R5")
def test_a_sick_slot_at_the_first_deployment(submission):
    for how in BEFORE:
        fleet = Fleet(submission)
        sick_before(fleet, how, partial(fleet.deploy, 2))
        assert fleet.live() is None, f"{how} at the first deployment, and {fleet.live()} is live"
        result = fleet.deploy(2)
        assert short(result) == ("deployed", None, 2), f"the second attempt returned {result}"
        names = fleet.slots.names()
        assert names[-4:] == ["load", "healthy", "switch", "healthy"], f"the second attempt should load again: {names}"


@requirement("R5")
def test_a_later_attempt_loads_again_and_works(submission):
    for how in BEFORE:
        fleet = Fleet(submission)
        slot = fleet.deploy(1).get("slot")
        sick_before(fleet, how, partial(fleet.deploy, 2))
        calls = fleet.calls_of(partial(fleet.deploy, 2))
        assert calls == cold(OTHER[slot], 2), f"after an attempt where {how}, the next one made the calls {calls}"
        assert fleet.live() == 2, f"the second attempt succeeded, and {fleet.live()} is live"
        assert fleet.slots.faults == [], f"after an attempt where {how}: {fleet.slots.faults}"


@requirement("R5")
def test_a_warm_slot_that_turned_sick_is_emptied(submission):
    fleet = Fleet(submission)
    slot = fleet.deploy(1).get("slot")
    fleet.deploy(2)
    sick_before(fleet, "health is false", lambda: fleet.back(1))
    calls = fleet.calls_of(lambda: fleet.back(1))
    assert calls == cold(slot, 1), f"the slot was unloaded, and the next attempt made the calls {calls}"
    assert fleet.live() == 1, f"the second attempt succeeded, and {fleet.live()} is live"


@requirement("R5")
def test_a_failed_load_pushes_out_what_was_there(submission):
    for how in BEFORE:
        fleet = Fleet(submission)
        slot = fleet.deploy(1).get("slot")
        fleet.deploy(2)
        sick_before(fleet, how, partial(fleet.deploy, 3))
        calls = fleet.calls_of(partial(fleet.back, 1))
        assert calls == cold(slot, 1), f"version 3 failed in the slot of 1 ({how}); going to 1 made the calls {calls}"
        assert short(fleet.deployer.deploy("fraud", 2, actor="ann"))[1:] == (1, 2), "then 2 should be deployable"
        assert fleet.slots.faults == [], f"after version 3 failed in the slot of 1: {fleet.slots.faults}"


# R6


UNDER = {
    "health turns false": {"healthy": [True, False]},
    "health raises": {"healthy": [True, TimeoutError("no answer")]},
    "the switch raises": {"switch": [DOWN]},
    "the switch raises a KeyError": {"switch": [KeyError("route")]},
    "health raises a ZeroDivisionError": {"healthy": [True, ZeroDivisionError("no samples")]},
}


def sick_under(fleet, how, act):
    """Check that act() fails under traffic; return its calls, and the exception."""
    plan(fleet, UNDER[how])
    before = len(fleet.slots.calls)
    error = fleet.fails(act, f"a deployment where {how} after the switch" if "health" in how else f"one where {how}")
    return fleet.slots.calls[before:], error


def goes_back(fleet, how, act):
    """Check that act() fails under traffic and traffic goes back to the slot where it was."""
    home = fleet.slots.traffic
    calls, error = sick_under(fleet, how, act)
    switches = [call[1] for call in calls if call[0] == "switch"]
    assert switches == [OTHER[home], home], f"{how}: traffic was in {home}, and the switches were to {switches}"
    assert fleet.slots.traffic == home, f"{how}: traffic was in {home} and ended in {fleet.slots.traffic}"
    assert "reverted" in str(error), f"{how}: the message should contain reverted, and is {str(error)!r}"
    loads = [call for call in calls if call[0] == "load" and call[1] == home]
    assert not loads, f"{how}: the way back needs no load, and the calls were {[call[:2] for call in calls]}"
    unloads = [call[1] for call in calls if call[0] == "unload"]
    assert home not in unloads, f"{how}: {home} had the traffic before and after, and was unloaded"
    assert fleet.slots.faults == [], f"{how}: {fleet.slots.faults}"


@requirement("R6")
@pytest.mark.parametrize("how", UNDER)
def test_traffic_goes_back_when_the_new_version_fails(submission, how):
    for way in MISSING.values():
        fleet = Fleet(submission)
        fleet.deploy(3)
        goes_back(fleet, how, partial(way, fleet, "fraud", 1))


@requirement("R6")
def test_traffic_goes_back_from_a_warm_slot(submission):
    for how in UNDER:
        fleet = Fleet(submission)
        fleet.deploy(1, 2)
        goes_back(fleet, how, fleet.back)
        assert fleet.live() == 2, f"version 2 should still be live, and {fleet.live()} is"


@requirement("R6")
def test_life_goes_on_after_the_way_back(submission):
    for how in UNDER:
        fleet = Fleet(submission)
        home = fleet.deploy(1).get("slot")
        goes_back(fleet, how, partial(fleet.deploy, 2))
        goes_back(fleet, how, partial(fleet.deploy, 3))
        result = fleet.deploy(2)
        got = (*short(result), result.get("slot"))
        assert got == ("deployed", 1, 2, OTHER[home]), f"after two failures, deploy of version 2 returned {result}"
        assert fleet.slots.holds == {home: 1, OTHER[home]: 2}, f"the slots hold {fleet.slots.holds}, not 1 and 2"
        assert fleet.slots.faults == [], f"after two failures: {fleet.slots.faults}"


@requirement("R6")
def test_without_a_way_back_the_slot_is_unloaded(submission):
    for how in UNDER:
        fleet = Fleet(submission)
        calls, _ = sick_under(fleet, how, partial(fleet.deploy, 2))
        slot = calls[0][1]
        assert fleet.live() is None, f"{how} at the first deployment, and {fleet.live()} is live"
        assert calls[-1] == ("unload", slot), f"{how} at the first deployment; the last call should unload: {calls[-1]}"
        switches = [call[1] for call in calls if call[0] == "switch"]
        assert switches == [slot], f"{how} with nothing live before, and the switches were to {switches}"
        result = fleet.deploy(1)
        assert short(result) == ("deployed", None, 1), f"the next deployment returned {result}"
        assert fleet.slots.holds[result["slot"]] == 1, f"version 1 was deployed, and the slots hold {fleet.slots.holds}"


@requirement("R6")
def test_the_slot_left_behind_is_not_unloaded(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2, 3)
    assert "unload" not in fleet.slots.names()[-4:], f"the last calls of three deployments: {fleet.slots.names()[-6:]}"
    held = sorted(fleet.slots.holds.values())
    assert held == [2, 3], f"after deploying 1, 2 and 3, the slots should hold 2 and 3, and hold {held}"


@requirement("R6")
@pytest.mark.parametrize("way", MISSING)
def test_a_warm_slot_is_checked_and_not_loaded(submission, way):
    fleet = Fleet(submission)
    slot = fleet.deploy(1).get("slot")
    fleet.deploy(2)
    for version in (1, 2, 1):
        calls = fleet.calls_of(lambda version=version: MISSING[way](fleet, "fraud", version))
        assert sorted(calls) == sorted(warm(slot)), (
            f"version {version} was in the idle slot; {way} of it made the calls {calls}"
        )
        assert fleet.live() == version, f"version {version} should be live, and {fleet.live()} is"
        slot = OTHER[slot]
    assert "unload" not in fleet.slots.names(), f"every slot was healthy, and one was unloaded: {fleet.slots.names()}"


@requirement("R6")
def test_what_is_no_longer_in_the_slot_is_loaded(submission):
    fleet = Fleet(submission)
    slot = fleet.deploy(1).get("slot")
    fleet.deploy(2, 3)
    calls = fleet.calls_of(lambda: fleet.back(1))
    assert sorted(calls) == sorted(cold(OTHER[slot], 1)), (
        f"the slots held 3 and 2, and going to 1 made the calls {calls}"
    )


@requirement("R6")
def test_a_warm_version_that_was_deleted_is_refused(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    fleet.registry.delete("fraud", 1)
    acts = {way: partial(MISSING[way], fleet, "fraud", 1) for way in MISSING}
    for way, act in {**acts, "rollback_model without a target": fleet.back}.items():
        fleet.refused(submission.VersionNotFound, act, f"{way}, to a version in the idle slot but deleted,")


# R7


@requirement("R7")
@pytest.mark.parametrize("way", MISSING)
def test_what_is_live_already_is_a_noop(submission, way):
    fleet = Fleet(submission)
    slot = fleet.deploy(1).get("slot")
    for version in (1, 2):
        if version == 2:
            slot = fleet.deploy(2).get("slot")
        with fleet.untouched(f"{way} of what is live"):
            result = MISSING[way](fleet, "fraud", version)
        expected = {"status": "noop", "model_id": "fraud", "from": version, "to": version, "slot": slot}
        got = {key: result.get(key) for key in expected}
        assert got == expected, f"{way} of {version}, which is live in {slot}, returned {got}"


@requirement("R7")
@pytest.mark.parametrize("way", MISSING)
def test_a_noop_is_no_step_in_the_history(submission, way):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    for _ in range(2):
        MISSING[way](fleet, "fraud", 2)
    result = fleet.back()
    assert short(result) == ("rolled_back", 2, 1), f"after deploy 1, 2 and two noops, a rollback returned {result}"


@requirement("R7")
def test_a_noop_after_a_rollback_and_with_a_belief(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    fleet.back(1)
    with fleet.untouched("a second rollback to the version that is live"):
        result = fleet.back(1, expected_live=1)
    assert short(result) == ("noop", 1, 1), f"the second of two rollbacks to version 1 returned {result}"


@requirement("R7")
def test_a_noop_makes_no_history_at_the_first_version(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 1)
    fleet.refused(submission.VersionNotFound, fleet.back, "a rollback after deploy 1 and a noop")


# R8


def by_method(fleet, model="fraud"):
    return fleet.back(model=model)


def by_function(fleet, model="fraud"):
    return fleet.submission.rollback_model(model, deployer=fleet.deployer)


WAYS = pytest.mark.parametrize("back", [by_method, by_function], ids=["method", "function"])

HISTORIES = [
    ((1, 3), [1, 3, 1]),
    ((4, 2), [4, 2]),
    ((1, 2, 3), [2, 3, 2]),
    ((3, 1, 4), [1, 4]),
    ((2, 4, 2, 1), [2, 1]),
    ((1, 4, 1), [4, 1]),
]


@requirement("R8")
def test_without_a_target_it_goes_to_what_was_live_before(submission):
    for deployed, expected in HISTORIES:
        fleet = Fleet(submission)
        fleet.deploy(*deployed)
        seen, live = [], deployed[-1]
        for target in expected:
            result = fleet.back()
            assert short(result) == ("rolled_back", live, target), (
                f"deploy {deployed}, rollbacks to {seen}, then {result}"
            )
            live = fleet.live()
            seen.append(live)
        assert seen == expected, f"after deploy {deployed}, the rollbacks should go to {expected}, and went to {seen}"


@requirement("R8")
@WAYS
def test_without_a_version_before_it_is_refused(submission, back):
    fleet = Fleet(submission)
    fleet.refused(submission.VersionNotFound, lambda: back(fleet), "a rollback with nothing live")
    fleet.deploy(3)
    fleet.refused(submission.VersionNotFound, lambda: back(fleet), "a rollback with nothing live before")
    fleet.refused(submission.ModelNotFound, lambda: back(fleet, "churn"), "a rollback of a model never registered")
    fleet.deploy(2)
    assert short(back(fleet))[1:] == (2, 3), "after deploy 3 and 2, a rollback should go to 3"


@requirement("R8")
@pytest.mark.parametrize("how", ["sick before", "sick under traffic", "refused"])
def test_what_never_went_live_is_no_version_before(submission, how):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    if how != "refused":
        plan(fleet, {"healthy": [False]} if how == "sick before" else {"healthy": [True, False]})
    raised(submission.RegistryError, lambda: fleet.deploy(9 if how == "refused" else 4), f"a version {how}")
    result = fleet.back()
    assert short(result) == ("rolled_back", 2, 1), f"1 and 2 were live, 4 was {how}; the rollback returned {result}"


@requirement("R8")
def test_a_failed_rollback_can_be_asked_for_again(submission):
    fleet = Fleet(submission)
    fleet.deploy(4, 1)
    for answers in ([False], [True, False], [False]):
        plan(fleet, {"healthy": answers})
        fleet.fails(fleet.back, "a rollback to a sick version")
    plan(fleet, {"healthy": [True, True]})
    result = fleet.back()
    assert short(result) == ("rolled_back", 1, 4), f"after three failures, the rollback from 1 to 4 returned {result}"


@requirement("R8")
def test_a_target_can_be_any_version(submission):
    fleet = Fleet(submission)
    fleet.deploy(2)
    results = [fleet.back(4), fleet.back(1), submission.rollback_model("fraud", 3, deployer=fleet.deployer)]
    expected = [("rolled_back", 2, 4), ("rolled_back", 4, 1), ("rolled_back", 1, 3)]
    seen = [short(result) for result in results]
    assert seen == expected, f"rollbacks from 2 to 4, 1 and 3 returned {seen}"
    assert short(fleet.back()) == ("rolled_back", 3, 1), "then a rollback without a target should go to 1"


@requirement("R8")
def test_each_model_has_its_own_history(submission):
    fleet = Fleet(submission, models=("fraud", "credit"))
    fleet.deploy(1, 2)
    fleet.deploy(3, 4, model="credit")
    results = [short(fleet.back())[1:], short(fleet.back(model="credit"))[1:]]
    assert results == [(2, 1), (4, 3)], f"fraud went 1, 2 and credit 3, 4; the rollbacks went {results}"


@requirement("R8")
def test_two_deployers_have_histories_of_their_own(submission):
    first, second = Fleet(submission), Fleet(submission)
    first.deploy(1, 2)
    second.deploy(3)
    assert second.live() == 3, f"the second deployer has 3 live, and says {second.live()}"
    second.refused(submission.VersionNotFound, second.back, "a rollback on a deployer with one deployment")
    assert short(first.back())[1:] == (2, 1), "the first deployer should go from 2 to 1"
