"""R13: what is written down of every attempt."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from blue_green import Fleet, root_of

from rounds.testing import requirement

KEYS = ("at", "actor", "action", "from", "to", "reason", "outcome")


def last(fleet, model="fraud"):
    entries = fleet.deployer.audit(model)
    assert entries, "an attempt left nothing in the audit"
    return entries[-1]


def check_entry(entry, outcome=None, **expected):
    """Compare an entry's keys, and that it is JSON-able."""
    try:
        json.dumps(entry, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"an entry of the audit is not JSON-able: {error}")
    missing = [key for key in KEYS if key not in entry]
    assert not missing, f"an entry should have {missing}, and is {entry}"
    expected["from"] = expected.pop("before", entry["from"])
    got = {key: entry[key] for key in expected}
    assert got == expected, f"an entry should say {expected}, and says {got}"
    if outcome is not None:
        assert entry["outcome"] == outcome, f"the outcome should be {outcome!r}, and is {entry['outcome']!r}"


def check_failure(fleet, act, kind, model="fraud", **expected):
    """Check that act() raises `kind` and leaves one entry that names it."""
    before = fleet.deployer.audit(model)
    try:
        answer = act()
    except kind as error:
        names = {base.__name__ for base in type(error).__mro__} - {"object", "BaseException", "Exception"}
    else:
        pytest.fail(f"the call should raise {kind.__name__}, and returned {answer!r}")
    after = fleet.deployer.audit(model)
    assert len(after) == len(before) + 1, f"a call raised {kind.__name__} and left {len(after) - len(before)} entries"
    assert after[:-1] == before, f"a call raised {kind.__name__}, and earlier entries of the audit changed"
    check_entry(after[-1], **expected)
    outcome = after[-1]["outcome"]
    assert isinstance(outcome, str), f"the outcome should be a string, and is {outcome!r}"
    named = any(name in outcome for name in names - {"RegistryError", "LookupError"})
    assert named, f"a call raised {' or '.join(sorted(names))}, and the outcome is {outcome!r}"


@requirement("R13")
def test_successes_are_written_down(submission):
    fleet = Fleet(submission)
    fleet.deployer.deploy("fraud", 1, actor="ann", reason="first release")
    check_entry(last(fleet), "deployed", actor="ann", action="deploy", before=None, to=1, reason="first release")
    fleet.deployer.deploy("fraud", 3, actor="eve")
    check_entry(last(fleet), "deployed", actor="eve", action="deploy", before=1, to=3, reason="")
    to = fleet.deployer.rollback_model("fraud", actor="bob", reason="errors")["to"]
    check_entry(last(fleet), "rolled_back", actor="bob", action="rollback", before=3, to=to, reason="errors")
    fleet.deployer.rollback_model("fraud", 4, actor="bob", reason="")
    check_entry(last(fleet), "rolled_back", actor="bob", action="rollback", before=to, to=4, reason="")
    count = len(fleet.deployer.audit("fraud"))
    assert count == 4, f"four attempts left {count} entries"


@requirement("R13")
def test_noops_are_written_down(submission):
    fleet = Fleet(submission)
    status = fleet.deploy(2, 2)["status"]
    check_entry(last(fleet), status, action="deploy", before=2, to=2, actor="ann", reason="release")
    status = fleet.back(2)["status"]
    check_entry(last(fleet), status, action="rollback", before=2, to=2, actor="bob", reason="errors")
    count = len(fleet.deployer.audit("fraud"))
    assert count == 3, f"a deployment and two noops left {count} entries"


@requirement("R13")
def test_the_function_writes_down_who_and_why(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    to = submission.rollback_model("fraud", deployer=fleet.deployer)["to"]
    check_entry(last(fleet), "rolled_back", action="rollback", before=2, to=to, actor="oncall", reason="manual")
    submission.rollback_model("fraud", 3, deployer=fleet.deployer, actor="eve", reason="latency")
    check_entry(last(fleet), "rolled_back", action="rollback", before=to, to=3, actor="eve", reason="latency")


@requirement("R13")
@pytest.mark.parametrize("way", ["deploy", "rollback"])
def test_refusals_are_written_down(submission, way):
    fleet = Fleet(submission)
    fleet.deploy(1)
    method = fleet.deployer.deploy if way == "deploy" else fleet.deployer.rollback_model
    call = partial(method, actor="eve", reason="test")
    common = {"actor": "eve", "action": way, "reason": "test"}
    check_failure(fleet, partial(call, "fraud", 9), submission.VersionNotFound, before=1, to=9, **common)
    conflict = partial(call, "fraud", 2, expected_live=4)
    check_failure(fleet, conflict, submission.ConflictError, before=1, to=2, **common)
    unknown = partial(call, "churn", 1)
    check_failure(fleet, unknown, submission.ModelNotFound, "churn", before=None, to=1, **common)
    count = len(fleet.deployer.audit("fraud"))
    assert count == 3, f"a deployment and two refusals of fraud left {count} entries in its audit"


@requirement("R13")
@pytest.mark.parametrize(
    "failures",
    [{"load": [OSError("down")]}, {"healthy": [False]}, {"healthy": [True, False]}, {"switch": [OSError("down")]}],
    ids=["load", "health before", "health after", "switch"],
)
def test_failures_are_written_down(submission, failures):
    fleet = Fleet(submission)
    fleet.deploy(1)
    for way, method in (("deploy", fleet.deployer.deploy), ("rollback", fleet.deployer.rollback_model)):
        fleet.slots.plan.update({name: list(answers) for name, answers in failures.items()})
        act = partial(method, "fraud", 2, actor="eve", reason="test")
        common = {"actor": "eve", "action": way, "reason": "test"}
        check_failure(fleet, act, Exception, before=1, to=2, **common)


@requirement("R13")
def test_a_rollback_with_nowhere_to_go_is_written_down(submission):
    fleet = Fleet(submission)
    check_failure(fleet, fleet.back, submission.VersionNotFound, actor="bob", action="rollback", before=None)
    act = partial(fleet.back, model="churn")
    check_failure(fleet, act, submission.ModelNotFound, "churn", actor="bob", action="rollback", before=None)


@requirement("R13")
def test_a_damaged_artifact_is_written_down(submission, props, scratch):
    fleet = Fleet(submission, root=root_of(scratch))
    fleet.registry.register("fraud", b"weights that will be changed", metrics={})
    fleet.deploy(1)
    found = props.overwrite(
        str(root_of(scratch)), b"weights that will be changed", b"weights that have been changed"[:28]
    )
    assert found, "the bytes of an artifact were found in no file under root"
    try:
        outcome = fleet.deploy(5)["status"]
    except submission.IntegrityError:
        outcome = "IntegrityError"
    seen = last(fleet)["outcome"]
    assert outcome in seen, f"deploy of a damaged artifact ended with {outcome}, and the audit says {seen!r}"


@requirement("R13")
def test_the_time_is_that_of_the_attempt(submission):
    fleet = Fleet(submission, healthy=[True, True, False])
    expected = []
    for step, version in enumerate((1, 2, 9, 1, 3), 1):
        fleet.clock.now += 100.5 * step
        expected.append(fleet.clock.now)
        with suppress(submission.RegistryError):
            fleet.deploy(version)
    at = [entry["at"] for entry in fleet.deployer.audit("fraud")]
    assert at == expected, f"five attempts at {expected} are written down at {at}"


@requirement("R13")
def test_entries_stand_in_order_and_do_not_change(submission):
    fleet = Fleet(submission, models=("fraud", "credit"))
    steps = [
        lambda: fleet.deploy(1),
        lambda: fleet.deploy(2),
        lambda: fleet.deploy(9),
        lambda: fleet.back(1),
        lambda: fleet.back(1),
        lambda: fleet.deploy(3),
    ]
    before = []
    for number, step in enumerate(steps, 1):
        fleet.clock.now += 60
        with suppress(submission.RegistryError):
            step()
        after = fleet.deployer.audit("fraud")
        assert len(after) == number, f"after {number} attempts the audit has {len(after)} entries"
        assert after[:-1] == before, f"attempt {number} changed earlier entries of the audit"
        before = after
    targets = [entry["to"] for entry in before]
    assert targets == [1, 2, 9, 1, 1, 3], f"the targets were 1, 2, 9, 1, 1 and 3, and the audit says {targets}"


@requirement("R13")
def test_each_model_has_its_own_audit(submission):
    fleet = Fleet(submission, models=("fraud", "credit"))
    audits = fleet.deployer.audit("fraud"), fleet.deployer.audit("churn")
    assert audits == ([], []), f"without an attempt an audit should be empty, and these are {audits}"
    fleet.deploy(1)
    fleet.deploy(4, model="credit")
    fleet.deploy(2)
    targets = [[entry["to"] for entry in fleet.deployer.audit(model)] for model in ("fraud", "credit")]
    assert targets == [[1, 2], [4]], f"fraud went to 1 and 2, credit to 4; their audits say {targets}"


@requirement("R13")
def test_what_was_returned_can_be_changed_without_harm(submission, props):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    before = fleet.deployer.audit("fraud")
    after = props.audit_after_someone_changed_it(fleet.deployer, "fraud")
    assert after == before, f"someone changed what audit returned, and it says {after} next"
    live, entries = props.changed_result(fleet.deployer, "fraud", 3)
    assert live == 3, f"someone changed what deploy returned, and {live} is live"
    check_entry(entries[-1], "deployed", action="deploy", before=2, to=3)


@requirement("R13")
def test_attempts_at_the_same_time_are_all_written_down(submission):
    fleet = Fleet(submission)
    fleet.deploy(1)

    def act(number):
        try:
            fleet.deployer.deploy("fraud", 2, actor=f"caller {number}", expected_live=1)
        except submission.RegistryError:
            return "refused"
        return "deployed"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(act, range(8)))
    entries = fleet.deployer.audit("fraud")[1:]
    actors = sorted(entry["actor"] for entry in entries)
    assert actors == [f"caller {number}" for number in range(8)], f"eight callers, and the audit names {actors}"
    refused = [entry["actor"] for entry in entries if "ConflictError" in entry["outcome"]]
    expected = outcomes.count("refused")
    assert len(refused) == expected, f"{expected} of eight callers were refused, and the audit has {len(refused)}"
