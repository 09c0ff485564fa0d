"""A challenge is read as declared, and a broken one is named by file and field."""

from pathlib import Path

import pytest
from samples import TOML, write_challenge

from rounds.challenge import Limits, load_challenge, read_hints
from rounds.errors import ChallengeError


def test_every_field_is_read(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path, "drift_alarm")
    challenge = load_challenge(tmp_path, "drift_alarm")
    assert (challenge.slug, challenge.version, challenge.title) == ("drift_alarm", 2, "Drift alarm")
    assert (challenge.round, challenge.level, challenge.minutes) == ("deep technical", "mid", 40)
    assert (challenge.topics, challenge.submit) == (("monitoring", "statistics"), ("drift_alarm.py",))
    assert (challenge.limits, challenge.warm) == (Limits(10, 512), ("numpy",))
    assert (challenge.points, challenge.out_of) == ({"R1": 2, "R2": 3}, 5)
    assert challenge.tiers == {"basic": ("R1",), "senior": ("R2",)}
    assert challenge.folder == folder
    assert challenge.solution == tmp_path / "solutions" / "drift_alarm"
    assert challenge.hidden == tmp_path / "tests" / "hidden" / "drift_alarm"


def test_the_headings_of_the_brief_are_the_promises(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm")
    assert load_challenge(tmp_path, "drift_alarm").promises == {
        "R1": "A shifted feature scores above `0.2`",
        "R2": "Live values outside the training range still count",
    }


def test_what_is_given_beside_the_stub_is_read(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm", TOML + 'given = ["main.py", "model"]\n')
    assert load_challenge(tmp_path, "drift_alarm").given == ("main.py", "model")


def test_version_given_warm_and_tiers_may_be_left_out(tmp_path: Path) -> None:
    kept = [line for line in TOML.splitlines() if not line.startswith(("version", "warm", "tiers"))]
    write_challenge(tmp_path, "drift_alarm", "\n".join(kept))
    challenge = load_challenge(tmp_path, "drift_alarm")
    assert (challenge.version, challenge.given, challenge.warm, challenge.tiers) == (1, (), (), {})
    assert challenge.tier_of("R1") is None


def test_a_requirement_knows_its_tier(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm")
    assert load_challenge(tmp_path, "drift_alarm").tier_of("R2") == "senior"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("format = 1", "format = 2", "format must be 1"),
        ("format = 1\n", "", "format must be 1"),
        ('title = "Drift alarm"\n', "", "title is missing; it must be a line of text"),
        ('title = "Drift alarm"', 'title = "Drift\\nalarm"', "title must be a line of text"),
        ("minutes = 40", 'minutes = "40"', "minutes must be a whole number above 0"),
        ("minutes = 40", "minutes = true", "minutes must be a whole number above 0"),
        ("seconds = 10", "seconds = 0", "seconds must be a number of seconds above 0"),
        ("seconds = 10", "seconds = nan", "seconds must be a number of seconds above 0"),
        ("memory_mb = 512", "memory_mb = 0.5", "memory_mb must be a whole number above 0"),
        ('level = "mid"', 'level = "medium"', "level must be one of junior, mid, senior, staff"),
        ('level = "mid"', "level = []", "level must be one of junior, mid, senior, staff"),
        ('round = "deep technical"', 'round = "onsite"', "round must be one of screening"),
        ('["drift_alarm.py"]', "[]", "submit must be a list of different file names"),
        ('["drift_alarm.py"]', '["../drift_alarm.py"]', "submit must be a list of different file names"),
        ('["drift_alarm.py"]', '["a.py", "a.py"]', "submit must be a list of different file names"),
        ("version = 2", 'given = ["../model"]', "given must be a list of different file names without folders"),
        ('["monitoring", "statistics"]', '"monitoring"', "topics must be a list of texts"),
        ("{ R1 = 2, R2 = 3 }", "{ R1 = 0, R2 = 0 }", "points must be a table"),
        ("{ R1 = 2, R2 = 3 }", "{ R1 = 2, R2 = -1 }", "points must be a table"),
        ("{ R1 = 2, R2 = 3 }", "{ R1 = 2, two = 3 }", "points must be a table"),
        ("{ R1 = 2, R2 = 3 }", "5", "points must be a table"),
        ('senior = ["R2"]', "senior = []", "tiers must list each requirement of points once; look at R2"),
        ('senior = ["R2"]', 'senior = ["R1", "R2"]', "tiers must list each requirement of points once; look at R1"),
        ('senior = ["R2"]', 'senior = ["R2", "R7"]', "tiers must list each requirement of points once; look at R7"),
        ("senior = [", "expert = [", "tiers must be a table"),
        ("memory_mb", "memory_bm", "memory_bm is not a field of a challenge. Did you mean memory_mb?"),
        ("format = 1", "format = = 1", "not valid TOML"),
    ],
)
def test_a_broken_field_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    write_challenge(tmp_path, "drift_alarm", TOML.replace(old, new))
    with pytest.raises(ChallengeError) as caught:
        load_challenge(tmp_path, "drift_alarm")
    assert says in str(caught.value)
    assert "challenge.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("## R2. ", "## R2 ", "brief.md: R2 has points, but no heading"),
        ("## R2. ", "## R3. A third\n## R2. ", "challenge.toml: points says nothing of R3 of the brief"),
        ("## R2. ", "## R1. ", "brief.md: R1 has two headings"),
    ],
)
def test_brief_and_points_must_agree(tmp_path: Path, old: str, new: str, says: str) -> None:
    brief = write_challenge(tmp_path, "drift_alarm") / "brief.md"
    brief.write_text(brief.read_text().replace(old, new))
    with pytest.raises(ChallengeError) as caught:
        load_challenge(tmp_path, "drift_alarm")
    assert says in str(caught.value)


def test_a_missing_brief_is_named(tmp_path: Path) -> None:
    (write_challenge(tmp_path, "drift_alarm") / "brief.md").unlink()
    with pytest.raises(ChallengeError, match=r"brief\.md: cannot be read \(No such file or directory\)"):
        load_challenge(tmp_path, "drift_alarm")


def test_hints_are_read_in_order_and_unwrapped(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm")
    hints = read_hints(load_challenge(tmp_path, "drift_alarm"))
    assert hints["R1"] == ("What does a bin count?", "Look at the edges.", "Open the outer edges.")
    assert hints["R2"] == ("One?", "Two.", "Three.")


def test_a_requirement_without_hints_is_named(tmp_path: Path) -> None:
    path = write_challenge(tmp_path, "drift_alarm") / "hints.md"
    path.write_text(path.read_text().split("## R2")[0])
    with pytest.raises(ChallengeError, match=r"hints\.md: R2 has no numbered hints"):
        read_hints(load_challenge(tmp_path, "drift_alarm"))
