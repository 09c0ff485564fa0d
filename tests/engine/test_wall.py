"""The outer wall's command line: what is mounted, what is covered, and what a submission could read."""

import sys
from pathlib import Path

import pytest

from rounds.isolation import wall
from rounds.isolation.wall import Library

KIT = Path(wall.__file__).resolve().parents[3]


def holds_kit(tree):
    """Say whether a tree lies in a part of the kit; a virtual environment may lie in the clone."""
    parts = [KIT / name for name in ("challenges", "solutions", "tests", "src", "rounds")]
    return any(Path(tree).resolve().is_relative_to(part) for part in parts)


def pairs(command, flag):
    """Return source and target of each such mount."""
    return [(command[at + 1], command[at + 2]) for at, word in enumerate(command) if word == flag]


def words_after(command, flag):
    return [command[at + 1] for at, word in enumerate(command) if word == flag]


@pytest.fixture
def command():
    return wall.walled_command("bwrap", {"control": 3}, 0)[0]


@pytest.fixture
def library_of(monkeypatch):
    """Pretend another library, and give the mounts for it."""

    def library_of(trees, sites, hidden):
        found = Library(Path(sys.executable), tuple(trees), tuple(sites), tuple(hidden))
        monkeypatch.setattr(wall, "library", lambda: found)
        return wall.walled_command("bwrap", {}, 0)[0]

    return library_of


def test_the_kit_is_not_mounted(command):
    inside = str(wall.INSIDE)
    for source, _ in pairs(command, "--ro-bind") + pairs(command, "--ro-bind-try"):
        assert source == inside or not holds_kit(source), source
    covered = words_after(command, "--tmpfs")
    for source, target in pairs(command, "--ro-bind"):
        for hidden in wall.hidden_trees():
            if hidden.is_relative_to(source) and str(hidden) != source and source != inside:
                assert f"{target}/{hidden.relative_to(source)}" in covered


def test_nothing_is_mounted_to_be_written(command):
    assert "--bind" not in command
    assert "--dev-bind" not in command
    *covers, devices, root = words_after(command, "--remount-ro")
    assert (devices, root) == ("/dev", "/")
    assert set(covers) <= set(words_after(command, "--tmpfs")), "only covers over the kit are remounted beside these"
    last_remount = max(at for at, word in enumerate(command) if word == "--remount-ro")
    assert last_remount > max(at for at, word in enumerate(command) if word == "--ro-bind")


def test_the_homes_and_the_settings_of_the_machine_are_not_mounted(command):
    targets = [target for _, target in pairs(command, "--ro-bind")]
    assert not {"/", "/home", "/root", "/etc", "/var", "/opt", "/srv", "/run"} & set(targets)


def test_every_namespace_is_new_and_every_privilege_gone(command):
    assert {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv"} <= set(command)
    assert words_after(command, "--cap-drop") == ["ALL"]
    assert "--share-net" not in command


def test_a_kit_below_a_mounted_tree_is_covered(library_of, tmp_path):
    site = tmp_path / "site-packages"
    command = library_of([tmp_path / "lib"], [site], [site / "rounds", tmp_path / "lib" / "a" / "kit"])
    covered = words_after(command, "--tmpfs")
    assert "/rounds/site/0/rounds" in covered
    assert f"{tmp_path}/lib/a/kit" in covered
    position = command.index("/rounds/site/0/rounds")
    assert command.index("/rounds/site/0") < position


def test_what_is_covered_is_covered_after_the_tree_is_mounted(library_of, tmp_path):
    command = library_of([tmp_path / "lib"], [], [tmp_path / "lib" / "kit"])
    mounted = next(
        at for at, word in enumerate(command) if word == "--ro-bind" and command[at + 1] == f"{tmp_path}/lib"
    )
    assert command.index(f"{tmp_path}/lib/kit") > mounted


def test_a_tree_inside_another_is_mounted_once(library_of, tmp_path):
    command = library_of([tmp_path, tmp_path / "lib"], [], [])
    assert [source for source, _ in pairs(command, "--ro-bind")].count(str(tmp_path)) == 1
    assert str(tmp_path / "lib") not in [source for source, _ in pairs(command, "--ro-bind")]


def test_the_trees_of_a_domain_leave_out_the_kit(monkeypatch, tmp_path):
    for name in ("lib/python/site/rounds", "lib/python/site/numpy", "lib/other", "kit/tests"):
        (tmp_path / name).mkdir(parents=True)
    found = Library(Path(sys.executable), (tmp_path / "lib",), (), (tmp_path / "lib/python/site/rounds",))
    monkeypatch.setattr(wall, "library", lambda: found)
    trees = wall.readable_trees()
    assert {str(tmp_path / "lib/other"), str(tmp_path / "lib/python/site/numpy")} <= set(trees)
    assert not [tree for tree in trees if (tmp_path / "lib/python/site/rounds").is_relative_to(tree)]


def test_no_readable_tree_of_this_machine_holds_the_kit():
    for tree in wall.readable_trees():
        assert tree == str(wall.INSIDE) or not holds_kit(tree), tree
        assert not any(hidden.is_relative_to(Path(tree).resolve()) for hidden in wall.hidden_trees()), tree


def test_the_kit_of_a_clone_is_hidden():
    names = {path.name for path in wall.hidden_trees()}
    assert "rounds" in names
    if (KIT / "pyproject.toml").is_file():
        assert {"challenges", "solutions", "tests", "src"} <= names


def test_the_environment_is_made_from_nothing(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    command, variables = wall.plain_command({}, 1)
    assert "SECRET_TOKEN" not in variables
    assert variables["PYTHONHASHSEED"] == "1"
    assert command[0] == str(wall.library().executable)
    inner, _ = wall.walled_command("bwrap", {}, 0)
    assert "SECRET_TOKEN" not in inner
    assert ("PYTHONHASHSEED", "0") in pairs(inner, "--setenv")


def test_a_bundled_binary_other_than_the_pinned_one_is_not_run(tmp_path):
    other = tmp_path / "bwrap"
    other.write_bytes(b"#!/bin/sh\n")
    assert not wall._is_the_pinned_one(other)


def test_a_copy_that_an_install_left_is_hidden(tmp_path):
    for copy in ("site-packages/rounds/kit", "lib/python3.12/dist-packages/rounds/kit", "lib/numpy/rounds"):
        (tmp_path / copy).mkdir(parents=True)
    found = wall.installed_copies([tmp_path / "site-packages", tmp_path / "lib"])
    assert found == [tmp_path / "site-packages/rounds", tmp_path / "lib/python3.12/dist-packages/rounds"]
