"""Report files are checked before grading and written after it."""

from pathlib import Path

import pytest
from samples import REPORT

from rounds.errors import BadInput
from rounds.render.outputs import Outputs


def test_nothing_asked_is_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Outputs().check(3)
    Outputs().write([REPORT])
    assert list(tmp_path.iterdir()) == []


def test_a_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    outputs = Outputs(junit=Path("-"))
    outputs.check(1)
    outputs.write([REPORT])
    assert outputs.takes_standard_output
    assert capfdbinary.readouterr().out.startswith(b"<?xml version=")


def test_a_folder_that_is_not_there_is_refused_before_grading(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        Outputs(json=tmp_path / "no" / "report.json").check(1)


def test_gradescope_takes_one_submission(tmp_path: Path) -> None:
    for submissions in (0, 2):
        with pytest.raises(BadInput, match=f"one submission, not {submissions}"):
            Outputs(gradescope=tmp_path / "results.json").check(submissions)


def test_a_failed_write_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written \(Is a directory\)"):
        Outputs(json=tmp_path).write([REPORT])


def test_files_are_utf_8(tmp_path: Path) -> None:
    Outputs(junit=tmp_path / "é.xml").write([REPORT])
    assert "R3 Live values" in (tmp_path / "é.xml").read_text(encoding="utf-8")
