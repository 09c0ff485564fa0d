"""A candidate's first folder: it holds the papers, and starting again loses nothing."""

from pathlib import Path

import pytest
from samples import TOML, write_challenge

from rounds.catalog import Catalog
from rounds.cli import run
from rounds.errors import BadInput
from rounds.practice import start


def a_challenge():
    return Catalog().challenge(Catalog().slugs[0])


def test_the_folder_holds_what_a_candidate_may_see_and_nothing_else(tmp_path: Path) -> None:
    challenge = a_challenge()
    folder = start(challenge, tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert names == {"brief.md", "test_public.py", *challenge.submit}


def test_what_is_given_comes_along_with_its_folders(tmp_path: Path) -> None:
    given = write_challenge(tmp_path, "drift_alarm", TOML + 'given = ["main.py", "model"]\n')
    (given / "main.py").write_text("app = 1\n")
    (given / "model").mkdir()
    (given / "model" / "weights.json").write_text("{}")
    folder = start(Catalog([tmp_path]).challenge("drift_alarm"), tmp_path / "mine")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"brief.md", "main.py", "model/weights.json"}


def test_starting_twice_keeps_the_first_attempt(tmp_path: Path) -> None:
    challenge = a_challenge()
    mine = start(challenge, tmp_path) / challenge.submit[0]
    mine.write_text("my work")
    with pytest.raises(BadInput, match="nothing was changed"):
        start(challenge, tmp_path)
    assert mine.read_text() == "my work"


def test_the_command_says_where_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    challenge = a_challenge()
    slug = challenge.slug
    assert run(["start", slug, "--in", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"write {challenge.submit[0]}," in said
    assert str(tmp_path / slug) in said
    assert "rounds grade" in said
