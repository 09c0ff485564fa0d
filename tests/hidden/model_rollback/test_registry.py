"""R1, R2 and R9, and what the registry says of R3: numbers, copies, aliases and deletions."""

import hashlib
from functools import partial

import pytest
from blue_green import Clock, Fleet, artifact, fill, raised, root_of

from rounds.testing import requirement


@pytest.fixture(params=["memory", "disk"])
def registry(request, submission, scratch):
    root = root_of(scratch) if request.param == "disk" else None
    return submission.ModelRegistry(root, clock=Clock())


def register(registry, model="fraud", data=b"weights"):
    return registry.register(model, data, metrics={"auc": 0.9})


@pytest.fixture
def in_memory(submission):
    return submission.ModelRegistry(clock=Clock())


# R1


@requirement("R1")
def test_numbers_count_from_one_for_each_model(registry):
    numbers = [register(registry, model) for model in ("fraud", "credit", "fraud", "fraud", "credit", "fraud")]
    assert numbers == [1, 1, 2, 3, 2, 4], f"fraud, credit, fraud, fraud, credit, fraud got the numbers {numbers}"
    assert all(type(number) is int for number in numbers), f"a version is an int; the numbers were {numbers}"
    lists = registry.versions("fraud"), registry.versions("credit")
    assert lists == ([1, 2, 3, 4], [1, 2]), f"versions of fraud and credit should be 1 to 4 and 1 to 2: {lists}"


@requirement("R1")
def test_the_newest_number_is_not_used_again(registry):
    register(registry), register(registry)
    registry.delete("fraud", 2)
    number = register(registry)
    assert number == 3, f"after register, register, delete 2, the next number should be 3, and was {number}"
    assert registry.versions("fraud") == [1, 3], f"versions 1 and 3 are left: {registry.versions('fraud')}"


@requirement("R1")
def test_no_number_is_used_again_when_all_are_deleted(in_memory):
    registry = in_memory
    register(registry), register(registry)
    registry.delete("fraud", 1)
    registry.delete("fraud", 2)
    number = register(registry)
    assert number == 3, f"both versions were deleted; the next number should be 3, and was {number}"
    assert registry.versions("fraud") == [3], f"only version 3 is left: {registry.versions('fraud')}"


@requirement("R1")
def test_gaps_stay_gaps(in_memory):
    registry = in_memory
    fill(registry, count=5)
    for version in (3, 1, 5):
        registry.delete("fraud", version)
    numbers = [register(registry), register(registry)]
    assert numbers == [6, 7], f"with 1, 3 and 5 of 5 deleted, the next numbers should be 6 and 7: {numbers}"
    registry.delete("fraud", 7)
    registry.delete("fraud", 6)
    assert register(registry) == 8, "6 and 7 were given out and deleted; the next number should be 8"
    assert registry.versions("fraud") == [2, 4, 8], f"2, 4 and 8 are left: {registry.versions('fraud')}"


@requirement("R1")
def test_versions_ascend_as_numbers(registry):
    fill(registry, count=12)
    registry.delete("fraud", 7)
    expected = [*range(1, 7), *range(8, 13)]
    versions = registry.versions("fraud")
    assert versions == expected, f"of twelve versions without the seventh, versions() gave {versions}"


@requirement("R1")
def test_a_deletion_counts_for_its_model_only(in_memory):
    registry = in_memory
    fill(registry, "fraud", 3), fill(registry, "credit", 3)
    registry.delete("fraud", 3)
    assert register(registry, "credit") == 4, "credit has 1 to 3; its next number should be 4"
    assert register(registry, "fraud") == 4, "fraud had 1 to 3; its next number should be 4"
    assert registry.versions("credit") == [1, 2, 3, 4], f"credit has 1 to 4: {registry.versions('credit')}"


# R2


@requirement("R2")
def test_a_record_says_what_was_registered(submission, props, scratch):
    for root in (None, root_of(scratch)):
        clock = Clock()
        registry = submission.ModelRegistry(root, clock=clock)
        metadata = {"tags": ["a", 1, None, True], "data": {"rows": 10, "share": 0.25}, "name": "é"}
        version = registry.register("fraud", b"weights", metrics={"auc": 0.875, "loss": -1.5}, metadata=metadata)
        clock.now += 500
        got = props.fields(registry.get("fraud", version))
        expected = {
            "model_id": "fraud",
            "version": 1,
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "created_at": clock.now - 500,
            "metrics": {"auc": 0.875, "loss": -1.5},
            "metadata": metadata,
        }
        for name, value in expected.items():
            assert got[name] == value, f"{name} should be {value!r}, and is {got[name]!r}"


@requirement("R2")
def test_without_metadata_there_is_none(in_memory, props):
    registry = in_memory
    register(registry)
    registry.register("fraud", b"w", metrics={}, metadata=None)
    found = [props.fields(registry.get("fraud", version)) for version in (1, 2)]
    assert [one["metadata"] for one in found] == [{}, {}], f"without metadata it should be an empty dict: {found}"
    assert found[1]["metrics"] == {}, f"no metrics were given: {found[1]['metrics']}"


@requirement("R2")
def test_each_version_has_its_own_record(registry, props):
    for number in (1, 2, 3):
        registry.register("fraud", artifact("fraud", number), metrics={"auc": number / 4}, metadata={"run": number})
    for number in (3, 1, 2):
        got = props.fields(registry.get("fraud", number))
        seen = (got["version"], got["metrics"], got["metadata"], got["sha256"])
        expected_hash = hashlib.sha256(artifact("fraud", number)).hexdigest()
        expected = (number, {"auc": number / 4}, {"run": number}, expected_hash)
        assert seen == expected, f"version {number} of three should hold {expected}, and holds {seen}"
        loaded = registry.load("fraud", number)
        assert loaded == artifact("fraud", number), f"load of version {number} of three returned {loaded!r}"


@requirement("R2")
def test_what_the_caller_changes_later_changes_nothing(registry, props):
    loaded, got = props.after_the_caller_changed_what_it_gave(registry)
    assert loaded == b"first weights", f"the caller changed its bytearray, and load returned {loaded!r}"
    expected = hashlib.sha256(b"first weights").hexdigest()
    assert got["sha256"] == expected, "the caller changed its bytearray, and sha256 is no longer that of the artifact"
    assert got["metrics"] == {"auc": 0.9}, f"the caller changed its metrics, and get shows {got['metrics']}"
    metadata = {"tags": ["a", "b"], "data": {"rows": 10}, "owner": "ann"}
    assert got["metadata"] == metadata, f"the caller changed its metadata, and get shows {got['metadata']}"


@requirement("R2")
def test_what_was_returned_can_be_changed_without_harm(registry, props):
    versions, got = props.after_someone_changed_the_answers(registry)
    assert versions == [1], f"someone appended to what versions() returned, and it says {versions} next"
    assert got["metrics"] == {"auc": 0.9}, f"someone changed what get returned: metrics are now {got['metrics']}"
    metadata = {"tags": ["a"], "data": {"rows": 10}}
    assert got["metadata"] == metadata, f"someone changed what get returned: metadata is now {got['metadata']}"


@requirement("R2")
@pytest.mark.parametrize("mutable", [False, True], ids=["bytes", "bytearray"])
def test_any_bytes_come_back_as_bytes(registry, props, mutable):
    for version, data in enumerate((b"", b"\x00\xff\r\n\x1a" * 50, bytes(range(256)) * 400), 1):
        kind, loaded = props.kind_of_load(registry, data, mutable=mutable)
        assert loaded == data, f"{len(data)} bytes were registered, and load returned {len(loaded)}, or others"
        assert kind == "bytes", f"load should return bytes, and returned a {kind}"
        sha256 = registry.get("fraud", version).sha256
        assert sha256 == hashlib.sha256(data).hexdigest(), f"the SHA-256 of {len(data)} bytes is wrong: {sha256!r}"


@requirement("R2")
def test_equal_bytes_are_two_versions(registry):
    numbers = [register(registry), register(registry), register(registry, "credit")]
    assert numbers == [1, 2, 1], f"the same bytes three times, for fraud, fraud, credit, got the numbers {numbers}"
    registry.delete("fraud", 1)
    loaded = registry.load("fraud", 2), registry.load("credit", 1)
    assert loaded == (b"weights", b"weights"), f"one of three with equal bytes was deleted; the others load as {loaded}"


@requirement("R2")
def test_a_version_is_frozen(registry, props):
    register(registry)
    seen = props.set_version(registry, 1)
    assert seen != "nothing", "a ModelVersion is frozen, and its version could be set to 99"
    assert registry.get("fraud", 1).version == 1, "after an attempt to set a field, version 1 says another number"


# R3


CALLS = {
    "get": lambda registry, model, version: registry.get(model, version),
    "load": lambda registry, model, version: registry.load(model, version),
    "delete": lambda registry, model, version: registry.delete(model, version),
    "set_alias": lambda registry, model, version: registry.set_alias(model, "champion", version),
}


@requirement("R3")
def test_the_registry_refuses_what_is_not_there(submission, registry):
    fill(registry, count=3)
    registry.delete("fraud", 2)
    for call in CALLS:
        check_refusals(submission, registry, call)


def check_refusals(submission, registry, call):
    """Check that one method refuses an unknown model, and all versions of fraud but 1 and 3."""
    error = raised(submission.ModelNotFound, lambda: CALLS[call](registry, "credit", 1), f"{call} of an unknown model")
    assert isinstance(error, LookupError), "ModelNotFound should be a LookupError, too"
    for version in (0, -1, -3, 4, 99, 2):
        what = f"{call} of version {version}, with 1 and 3 there,"
        error = raised(submission.VersionNotFound, partial(CALLS[call], registry, "fraud", version), what)
        assert isinstance(error, submission.RegistryError), f"{what}: {type(error).__name__} is no RegistryError"
    assert registry.versions("fraud") == [1, 3], f"after refused calls of {call}, versions 1 and 3 should be left"


@requirement("R3")
def test_versions_of_an_unknown_model(submission, in_memory):
    registry = in_memory
    fill(registry)
    raised(submission.ModelNotFound, lambda: registry.versions("credit"), "versions of a model never registered")


@requirement("R3")
def test_a_model_without_a_version_left_is_still_known(submission, registry):
    register(registry)
    registry.delete("fraud", 1)
    for call in CALLS:
        what = f"{call} of the only version, deleted,"
        raised(submission.VersionNotFound, partial(CALLS[call], registry, "fraud", 1), what)


# R9


@requirement("R9")
def test_an_alias_points_and_moves(in_memory, props):
    registry = in_memory
    fill(registry)
    seen = []
    for version in (2, 4, 1, 1):
        registry.set_alias("fraud", "champion", version)
        seen.append(props.fields(registry.get_by_alias("fraud", "champion"))["version"])
    assert seen == [2, 4, 1, 1], f"champion was set to 2, 4, 1 and 1, and pointed to {seen}"
    got = props.fields(registry.get_by_alias("fraud", "champion"))
    assert got == props.fields(registry.get("fraud", 1)), f"get_by_alias should return what get returns: {got}"


@requirement("R9")
def test_aliases_do_not_disturb_each_other(in_memory):
    registry = in_memory
    fill(registry, "fraud"), fill(registry, "credit")
    for model, alias, version in [("fraud", "champion", 1), ("fraud", "challenger", 2), ("credit", "champion", 3)]:
        registry.set_alias(model, alias, version)
    registry.set_alias("fraud", "second", 1)
    pairs = [("fraud", "champion"), ("fraud", "challenger"), ("credit", "champion"), ("fraud", "second")]
    seen = [registry.get_by_alias(*pair).version for pair in pairs]
    assert seen == [1, 2, 3, 1], f"{pairs} were pointed to 1, 2, 3 and 1, and point to {seen}"


@requirement("R9")
def test_an_unknown_alias_is_refused(submission, in_memory):
    registry = in_memory
    fill(registry), fill(registry, "credit")
    registry.set_alias("fraud", "champion", 1)
    for model, alias in (("fraud", "challenger"), ("credit", "champion"), ("fraud", "1")):
        what = f"get_by_alias({model!r}, {alias!r}), never set,"
        raised(submission.VersionNotFound, lambda model=model, alias=alias: registry.get_by_alias(model, alias), what)
    what = "get_by_alias of an unknown model"
    raised(submission.ModelNotFound, lambda: registry.get_by_alias("churn", "champion"), what)


@requirement("R9")
def test_an_alias_to_nothing_is_refused_and_stays(submission, in_memory):
    registry = in_memory
    fill(registry)
    registry.delete("fraud", 4)
    registry.set_alias("fraud", "champion", 2)
    for version in (4, 9, 0):
        what = f"an alias to version {version}, which is not there,"
        raised(
            submission.VersionNotFound, lambda version=version: registry.set_alias("fraud", "champion", version), what
        )
        raised(submission.VersionNotFound, lambda version=version: registry.set_alias("fraud", "new", version), what)
    assert registry.get_by_alias("fraud", "champion").version == 2, "a refused move should leave champion at 2"
    raised(submission.VersionNotFound, lambda: registry.get_by_alias("fraud", "new"), "an alias that was refused")


@requirement("R9")
def test_an_aliased_version_is_not_deleted(submission, in_memory):
    registry = in_memory
    fill(registry)
    registry.set_alias("fraud", "champion", 2)
    registry.set_alias("fraud", "stable", 2)
    raised(submission.ConflictError, lambda: registry.delete("fraud", 2), "deleting a version with two aliases")
    assert registry.load("fraud", 2) == artifact("fraud", 2), "after a refused deletion the version should load"
    assert registry.versions("fraud") == [1, 2, 3, 4], "a refused deletion should leave all versions"
    registry.set_alias("fraud", "champion", 3)
    raised(submission.ConflictError, lambda: registry.delete("fraud", 2), "deleting a version with one alias left")
    registry.set_alias("fraud", "stable", 1)
    registry.delete("fraud", 2)
    assert registry.versions("fraud") == [1, 3, 4], "both aliases have moved on, and version 2 should be gone"
    raised(submission.ConflictError, lambda: registry.delete("fraud", 3), "deleting the new champion")


@requirement("R9")
def test_an_alias_protects_in_its_model_only(in_memory):
    registry = in_memory
    fill(registry, "fraud"), fill(registry, "credit")
    registry.set_alias("fraud", "champion", 2)
    registry.delete("credit", 2)
    assert registry.versions("credit") == [1, 3, 4], "an alias of fraud should not protect a version of credit"
    assert registry.get_by_alias("fraud", "champion").version == 2, "fraud's champion should be 2 still"


@requirement("R9")
def test_a_live_version_is_not_deleted(submission):
    fleet = Fleet(submission, models=("fraud", "credit"))
    fleet.deploy(2)
    raised(submission.ConflictError, lambda: fleet.registry.delete("fraud", 2), "deleting the live version")
    assert fleet.registry.load("fraud", 2) == artifact("fraud", 2), "the live version should load after the refusal"
    fleet.registry.delete("credit", 2)
    fleet.deploy(3)
    raised(submission.ConflictError, lambda: fleet.registry.delete("fraud", 3), "deleting the new live version")
    fleet.registry.delete("fraud", 2)
    left = fleet.registry.versions("fraud")
    assert left == [1, 3, 4], f"version 2 is no longer live and should be gone: {left}"


@requirement("R9")
def test_a_rollback_protects_what_it_brings_back(submission):
    fleet = Fleet(submission)
    fleet.deploy(1, 2)
    fleet.back()
    raised(submission.ConflictError, lambda: fleet.registry.delete("fraud", 1), "deleting what was rolled back to")
    fleet.registry.delete("fraud", 2)
    left = fleet.registry.versions("fraud")
    assert left == [1, 3, 4], f"version 2 is no longer live and should be gone: {left}"
