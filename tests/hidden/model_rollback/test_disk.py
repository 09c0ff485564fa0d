"""R11 and R12: a second registry, a full disk, leftovers, damaged artifacts and hostile ids."""

from functools import partial
from pathlib import Path

import pytest
from blue_green import Clock, Fleet, artifact, fill, raised, root_of

from rounds.testing import requirement

LONG = b"0123456789abcdef" * 200


class Disk:
    """A registry in a folder, and what it should hold."""

    def __init__(self, submission, props, root):
        self.submission, self.props, self.root = submission, props, root
        self.registry = self.again()
        self.held = {}

    def again(self, root=None):
        return self.submission.ModelRegistry(root or self.root, clock=Clock())

    def register(self, data, model="fraud", registry=None, **metadata):
        registry = self.registry if registry is None else registry
        version = registry.register(model, data, metrics={"auc": 0.5}, metadata=metadata)
        self.held[model, version] = (data, metadata)
        return version

    def filled(self):
        """Register two versions of fraud and one of credit; point champion to 1."""
        self.register(b"first weights", run="a"), self.register(LONG, run="b"), self.register(b"c", model="credit")
        self.registry.set_alias("fraud", "champion", 1)
        return self

    def check(self, registry, what, champion=1):
        """Check that a registry shows what is held, and nothing else."""
        models = sorted({model for model, _ in self.held})
        versions, artifacts, metadata, alias = attempt(partial(self.props.state, registry, models), what)
        for model in models:
            expected = sorted(version for name, version in self.held if name == model)
            seen = versions[model]
            assert seen == expected, f"{what}: {model} should have the versions {expected}, and has {seen}"
        for pair, (data, about) in self.held.items():
            where = f"{what}: {pair[0]} {pair[1]}"
            loaded = artifacts[pair]
            assert loaded == data, f"{where} should load {data[:20]!r}…, and loads {loaded[:20]!r}…"
            assert metadata[pair] == about, f"{where} has another metadata than was registered"
        assert alias == champion, f"{what}: champion should point to {champion}, and points to {alias}"

    def check_all(self, what, champion=1):
        """Check this registry, and later ones, and that both can go on. No registry is used after another wrote."""
        self.check(self.registry, f"{what}; the same registry", champion)
        self.check(self.again(), f"{what}; a later registry", champion)
        for whose in ("the same registry", "a later registry"):
            used = {version for model, version in self.held if model == "fraud"}
            number = attempt(partial(self.register, b"next"), f"{what}; register with {whose}")
            assert number > max(used), f"{what}; {whose}: versions {sorted(used)} are there, and it gave out {number}"
            self.check(self.registry, f"{what}, then register with {whose}", champion)
            self.registry = self.again()
            self.check(self.registry, f"{what}, then register with {whose}; a later registry", champion)


def attempt(act, what):
    try:
        return act()
    except Exception as error:
        pytest.fail(f"{what}: {type(error).__name__}: {error}"[:400])


@pytest.fixture
def disk_in(submission, props, scratch):
    return lambda name: Disk(submission, props, root_of(scratch, name)).filled()


@pytest.fixture
def disk(disk_in):
    return disk_in("new/registry")


# R11


@requirement("R11")
def test_a_second_registry_sees_everything(disk, props):
    before = props.fields(disk.registry.get("fraud", 2))
    disk.registry.set_alias("credit", "champion", 1)
    disk.registry.set_alias("fraud", "challenger", 2)
    later = disk.again()
    disk.check(later, "a second registry")
    after = props.fields(later.get("fraud", 2))
    assert after == before, f"a second registry should show {str(before)[:150]}, and shows {str(after)[:150]}"
    aliases = later.get_by_alias("credit", "champion").version, later.get_by_alias("fraud", "challenger").version
    assert aliases == (1, 2), f"two more aliases point to 1 and 2, and in a second registry to {aliases}"
    later.set_alias("fraud", "champion", 2)
    disk.register(b"more", registry=later, run="d")
    disk.check(disk.again(), "a third registry", champion=2)


@requirement("R11")
@pytest.mark.parametrize("gone", [(2,), (3,), (2, 3), (1, 2, 3)], ids=str)
def test_used_numbers_stay_used(submission, scratch, gone):
    roots = root_of(scratch, "kept open"), root_of(scratch, "opened again")
    first, other = [fill(submission.ModelRegistry(root, clock=Clock()), count=3) for root in roots]
    for version in gone:
        first.delete("fraud", version)
        other.delete("fraud", version)
    second = submission.ModelRegistry(roots[1], clock=Clock())
    for version in gone:
        raised(submission.VersionNotFound, partial(second.get, "fraud", version), f"get of {version}, deleted before,")
        raised(submission.VersionNotFound, partial(second.load, "fraud", version), f"load of {version}, deleted,")
    expected = sorted({1, 2, 3} - set(gone))
    if expected:
        assert second.versions("fraud") == expected, f"{expected} are left, and it shows {second.versions('fraud')}"
    numbers = [registry.register("fraud", b"next", metrics={}) for registry in (first, second)]
    assert numbers[0] == numbers[1], (
        f"versions {gone} of three were deleted; the registry that stayed open gives out {numbers[0]} next, and one "
        f"that was opened after the deletion {numbers[1]}"
    )


@requirement("R11")
def test_a_second_registry_keeps_the_rules(disk, submission):
    later = disk.again()
    raised(
        submission.ConflictError, lambda: later.delete("fraud", 1), "deleting an aliased version in a second registry"
    )
    raised(submission.ModelNotFound, lambda: later.versions("churn"), "an unknown model in a second registry")
    raised(submission.VersionNotFound, lambda: later.get_by_alias("fraud", "new"), "an unknown alias there")
    later.delete("fraud", 2)
    del disk.held["fraud", 2]
    disk.check(disk.again(), "a third registry, after the second deleted version 2")


@requirement("R11")
def test_a_copy_of_the_folder_is_a_registry(disk, props, scratch):
    target = str(Path(scratch.path) / "copy")
    props.copied(str(disk.root), target)
    disk.check(disk.again(Path(target)), "a registry on a copy of the folder")


@requirement("R11")
def test_leftovers_are_ignored(disk, props):
    count = props.put_strays(str(disk.root))
    disk.check_all(f"with {count} files *.tmp left in the folder")
    disk.registry.set_alias("fraud", "champion", 2)
    disk.check(disk.again(), "with files *.tmp left in the folder, and the alias moved", champion=2)


def settle(disk, answer, error, data, metadata, how):
    """Expect the new version if register returned it, and nothing if it raised; check either."""
    if error is None:
        disk.held["fraud", answer] = (data, metadata)
    disk.check_all(f"{how}, register {'raised ' + error if error else 'returned'}")


@requirement("R11")
@pytest.mark.parametrize("limit", [0, 60, 150, 1000, 2500])
def test_a_full_disk_leaves_the_old_state(disk, props, limit):
    for data, metadata in ((LONG, {"run": "c"}), (b"short", {"note": "n" * 2000}), (LONG[::-1], {"note": "n" * 4000})):
        answer, error = props.register_on_a_full_disk(disk.registry, limit, "fraud", data, metadata)
        settle(disk, answer, error, data, metadata, f"with files cut at {limit} bytes")


@requirement("R11")
def test_a_full_disk_leaves_the_alias(disk_in, props):
    for limit in (0, 1, 5, 20):
        disk = disk_in(f"registry-{limit}")
        _, error = props.alias_on_a_full_disk(disk.registry, limit, "fraud", "champion", 2)
        champion = 1 if error else 2
        disk.check_all(f"with files cut at {limit} bytes, set_alias {error or 'returned'}", champion)


@requirement("R11")
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_failing_call_leaves_the_old_state(disk_in, props, lasting):
    for turn in range(1, 6):
        disk = disk_in(f"registry-{turn}")
        answer, error = props.register_with_a_failing_call(disk.registry, turn, lasting, "fraud", b"third")
        how = f"with call {turn} of os.replace, os.rename and os.fsync failing"
        settle(disk, answer, error, b"third", {"run": 3}, how)


@requirement("R11")
def test_a_failing_call_leaves_the_alias(disk_in, props):
    for turn in (1, 2, 3):
        disk = disk_in(f"registry-{turn}")
        _, error = props.alias_with_a_failing_call(disk.registry, turn, "fraud", "champion", 2)
        champion = 1 if error else 2
        disk.check_all(f"with os.replace or os.fsync failing, set_alias {error or 'returned'}", champion)


@requirement("R11")
def test_the_folder_is_whole_at_any_moment(disk, props, scratch):
    target = str(Path(scratch.path) / "moments")
    (answer, error), copies = props.register_with_snapshots(disk.registry, str(disk.root), target, "fraud", b"third")
    assert error is None, f"register raised {error} while the folder was copied"
    for number, copy in enumerate(copies, 1):
        what = f"a copy of the folder made before call {number} of os.fsync and os.replace in register"
        registry = disk.again(Path(copy))
        disk.held.pop(("fraud", answer), None)
        if answer in attempt(partial(registry.versions, "fraud"), f"{what}, versions"):
            disk.held["fraud", answer] = (b"third", {"run": 3})
        disk.check(registry, what)


# R12


FRESH = b"these are the weights of version two, sixty-four bytes or so, unique"


def damaged(kind):
    """Return FRESH, changed but as long."""
    if kind == "first byte":
        return b"T" + FRESH[1:]
    if kind == "last byte":
        return FRESH[:-1] + b"E"
    if kind == "one bit":
        middle = len(FRESH) // 2
        return FRESH[:middle] + bytes([FRESH[middle] ^ 1]) + FRESH[middle + 1 :]
    return FRESH[::-1]


def damage(props, root, kind):
    found = props.overwrite(str(root), FRESH, damaged(kind))
    assert found, "the bytes of an artifact were found in no file under root"


@requirement("R12")
@pytest.mark.parametrize("kind", ["first byte", "last byte", "one bit"])
def test_a_changed_artifact_is_not_loaded(submission, props, scratch, kind):
    root = root_of(scratch)
    registry = fill(submission.ModelRegistry(root, clock=Clock()), count=1)
    registry.register("fraud", FRESH, metrics={})
    registry.register("fraud", artifact("fraud", 3), metrics={})
    assert registry.load("fraud", 2) == FRESH, "before the change, version 2 should load"
    damage(props, root, kind)
    for one, whose in ((registry, "an open registry"), (submission.ModelRegistry(root, clock=Clock()), "a later one")):
        what = f"load of an artifact changed on disk ({kind}), by {whose},"
        raised(submission.IntegrityError, partial(one.load, "fraud", 2), what)
        others = [one.load("fraud", version) for version in (1, 3)]
        expected = [artifact("fraud", version) for version in (1, 3)]
        assert others == expected, f"version 2 was changed on disk, and 1 and 3 load as {others}"


@requirement("R12")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_a_changed_artifact_is_not_deployed(submission, props, scratch, way):
    fleet = Fleet(submission, root=root_of(scratch))
    version = fleet.registry.register("fraud", FRESH, metrics={})
    fleet.deploy(1)
    damage(props, root_of(scratch), "one bit")
    act = partial(getattr(fleet.deployer, way), "fraud", version, actor="ann", reason="")
    fleet.refused(submission.IntegrityError, act, f"{way} of an artifact changed on disk")
    fleet.deploy(2)
    assert fleet.live() == 2, f"after the refusal version 2 was deployed, and {fleet.live()} is live"


@requirement("R12")
@pytest.mark.parametrize("target", [5, None], ids=["target", "no target"])
def test_a_changed_artifact_is_refused_from_a_warm_slot(submission, props, scratch, target):
    fleet = Fleet(submission, root=root_of(scratch))
    version = fleet.registry.register("fraud", FRESH, metrics={})
    fleet.deploy(version, fleet.registry.register("fraud", b"the next release", metrics={}))
    damage(props, root_of(scratch), "all bytes")
    what = "a rollback to a version in the idle slot whose artifact has changed"
    fleet.refused(submission.IntegrityError, lambda: fleet.back(target), what)


BAD = [
    "../x", "..", ".", "./x", "../../x", ".hidden", "-x", "_x", "", " ", "a/b", "/tmp/x", "a b", "fraud\n", "\nfraud",
    "fraud\x00", "é", "fraudé", "٣", "a" * 129, "a\\b", "a:b", "fraud/", "fraud ", "a*", "~",
]  # fmt: skip
GOOD = ["a", "Z", "0", "a" * 128, "fraud.v2", "fraud-2_b", "9.-_", "a..b", "A1", "x.tmp.x"]

BY_ID = {
    "register": lambda registry, name: registry.register(name, b"w", metrics={}),
    "get": lambda registry, name: registry.get(name, 1),
    "versions": lambda registry, name: registry.versions(name),
    "load": lambda registry, name: registry.load(name, 1),
    "delete": lambda registry, name: registry.delete(name, 1),
    "set_alias of the model": lambda registry, name: registry.set_alias(name, "champion", 1),
    "get_by_alias of the model": lambda registry, name: registry.get_by_alias(name, "champion"),
    "set_alias": lambda registry, name: registry.set_alias("fraud", name, 1),
    "get_by_alias": lambda registry, name: registry.get_by_alias("fraud", name),
}
SOME_BAD = ["../x", "..", ".hidden", "", "a/b", "fraud\n", "é", "a" * 129]
PASSING = ("-wal", "-shm", "-journal", ".lock", ".tmp")


@requirement("R12")
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_hostile_name_is_refused_and_writes_nothing(submission, props, scratch, kind):
    root = root_of(scratch, "a/b/c/registry")
    registry = fill(submission.ModelRegistry(root if kind == "disk" else None, clock=Clock()))
    before = props.everything(scratch.path)
    for call in BY_ID:
        for name in BAD if call in ("register", "set_alias") else SOME_BAD:
            raised(ValueError, partial(BY_ID[call], registry, name), f"{call} with the name {name[:20]!r}")
        added = {path for path in set(props.everything(scratch.path)) - set(before) if not path.endswith(PASSING)}
        assert not added, f"after calls of {call} with names such as '../x' there are new files: {sorted(added)[:3]}"


@requirement("R12")
@pytest.mark.parametrize("way", ["deploy", "rollback_model"])
def test_a_hostile_id_is_not_deployed(submission, props, scratch, way):
    fleet = Fleet(submission, root=root_of(scratch, "a/b/registry"))
    fleet.deploy(1)
    before = props.everything(scratch.path)
    for name in SOME_BAD:
        act = partial(getattr(fleet.deployer, way), name, 1, actor="ann", reason="")
        fleet.refused(ValueError, act, f"{way} of the model id {name[:20]!r}")
    fleet.refused(ValueError, partial(submission.rollback_model, "../x", deployer=fleet.deployer), "rollback of '../x'")
    added = {path for path in set(props.everything(scratch.path)) - set(before) if not path.endswith(PASSING)}
    assert not added, f"after {way} of ids such as '../x' there are new files: {sorted(added)[:3]}"


@requirement("R12")
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_an_unusual_name_is_fine(submission, scratch, kind):
    registry = submission.ModelRegistry(root_of(scratch) if kind == "disk" else None, clock=Clock())
    for name in GOOD:
        number = attempt(partial(registry.register, name, name.encode(), metrics={}), f"register of {name[:20]!r}")
        assert number == 1, f"the first version of {name[:20]!r} should be 1, and is {number}"
    for name in GOOD:
        attempt(partial(registry.set_alias, name, "champion", 1), f"an alias of {name[:20]!r}")
        attempt(partial(registry.set_alias, "a", name, 1), f"an alias {name[:20]!r}")
        aliases = registry.get_by_alias(name, "champion").version, registry.get_by_alias("a", name).version
        seen = (registry.load(name, 1), *aliases)
        assert seen == (name.encode(), 1, 1), f"{name[:20]!r} as a model and an alias: {seen}"
