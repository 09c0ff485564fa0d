"""The list of challenges for readers and for programs."""

import json
from pathlib import Path

from samples import write_kit

from rounds.render.listing import as_json, as_table


def test_the_table_has_columns(tmp_path: Path) -> None:
    lines = as_table(write_kit(tmp_path)).splitlines()
    assert lines[1] == "model_api      40 min  mid  deep technical  Drift alarm"
    assert len({line.index("40 min") for line in lines}) == 1


def test_json_holds_what_a_challenge_says_of_itself(tmp_path: Path) -> None:
    entry = json.loads(as_json(write_kit(tmp_path)))[2]
    assert entry["submit"] == ["Dockerfile", ".dockerignore"]
    assert entry["points"] == {"R1": 2, "R2": 3}


def test_no_challenges_are_an_empty_list() -> None:
    assert (as_table([]), json.loads(as_json([]))) == ("", [])
