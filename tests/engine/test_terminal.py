"""The report on a terminal, character by character."""

import io
from dataclasses import replace

import pytest
from samples import ISOLATION, MET, NOT_JUDGED, RAISED, REPORT, UNSEEN

from rounds.render.terminal import show, show_isolation, terminal
from rounds.report import Report, Sighting, Verdict


class Screen(io.TextIOWrapper):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, tty: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="replace")
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


def shown(report: Report, screen: Screen | None = None, *, named: bool = False) -> str:
    screen = screen or Screen()
    show(report, terminal(screen), named=named)
    screen.seek(0)
    return screen.read()


def test_a_report_reads_like_this() -> None:
    assert (
        shown(REPORT)
        == """\
Drift alarm: 5 of 10 points
  ✓ R2  A shifted feature scores above 0.2                        5/5
  ✗ R3  Live values outside the training range still count        0/3
        half of live lay above the training maximum, and psi() returned 0.000
  ✗ R4  An empty live window raises `ValueError`                  0/2
        when live is empty, your code raised ZeroDivisionError: division by zero
            drift_alarm.py:14:  return [count / sum(counts) for count in counts]
Stuck? rounds hint drift_alarm R3
"""
    )


def test_what_was_not_judged_is_neither_a_pass_nor_a_miss() -> None:
    assert (
        shown(NOT_JUDGED)
        == """\
Drift alarm: 5 of 9 points, 4 not judged
  ✓ R2  A shifted feature scores above 0.2                        5/5
  ? R5  A long window is scored in time                           –/4
  senior 0/4, first missed R5
"""
    )


def test_a_problem_of_the_whole_submission_is_said_once() -> None:
    report = replace(REPORT, requirements=(UNSEEN, RAISED), problem="drift_alarm.py:3: unclosed bracket")
    assert (
        shown(report)
        == """\
Drift alarm: 0 of 5 points
  drift_alarm.py:3: unclosed bracket
  ✗ R3  Live values outside the training range still count        0/3
  ✗ R4  An empty live window raises `ValueError`                  0/2
Stuck? rounds hint drift_alarm R3
"""
    )


def test_among_several_a_submission_is_named() -> None:
    assert shown(REPORT, named=True).startswith("Drift alarm (answers/drift_alarm.py): 5 of 10 points\n")


def test_ids_and_points_of_two_digits_stay_in_columns() -> None:
    long = replace(RAISED, id="R12", points=10, sightings=())
    promise = "Every value that the training data never held is counted in the outermost bin of its own side, always"
    lines = shown(replace(REPORT, requirements=(MET, long, replace(MET, id="R13", promise=promise)))).splitlines()
    assert lines[1:5] == [
        "  ✓ R2   A shifted feature scores above 0.2".ljust(95) + "  5/5",
        "  ✗ R12  An empty live window raises `ValueError`".ljust(95) + " 0/10",
        "  ✓ R13  Every value that the training data never held is counted in the outermost bin of its".ljust(95)
        + "  5/5",
        "         own side, always",
    ]


def test_no_more_is_shown_than_a_reader_takes_in() -> None:
    sightings = tuple(Sighting("t", Verdict.UNMET, f"psi() returned {number}") for number in range(5))
    report = replace(REPORT, requirements=(replace(UNSEEN, sightings=sightings),))
    assert "returned 2\n        and 2 more\n" in shown(report)
    assert "returned 3" not in shown(report)


def test_what_hidden_tests_handed_in_is_not_shown() -> None:
    assert "secret input" not in shown(REPORT)


def test_a_submission_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2J[bold red]all met[/] :smile: \x07[link=http://x]"
    seen = Sighting("t", Verdict.UNMET, hostile, f"{hostile}.py:1:  x")
    report = replace(REPORT, submission=hostile, requirements=(replace(UNSEEN, sightings=(seen,)),))
    text = shown(report, named=True)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("[bold red]all met[/] :smile: ") == 3


def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" in shown(REPORT, Screen(tty=True))


@pytest.mark.parametrize(("tty", "variable"), [(True, "NO_COLOR"), (False, "FORCE_COLOR")])
def test_there_is_no_colour_in_a_pipe_nor_against_a_wish(
    tty: bool, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(variable, "1")
    assert "\x1b" not in shown(REPORT, Screen(tty=tty))


def test_an_encoding_without_ticks_gets_letters() -> None:
    text = shown(NOT_JUDGED, Screen(encoding="latin-1"))
    assert "  + R2  " in text
    assert "-/4" in text
    assert "  x R3  " in shown(REPORT, Screen(encoding="latin-1"))


def test_a_narrow_terminal_wraps_under_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "        half of live lay above the training maximum, and\n        psi() returned 0.000" in shown(
        REPORT, Screen(tty=True)
    )


def test_a_report_without_requirements_is_shown_as_not_judged() -> None:
    assert shown(replace(REPORT, requirements=())) == "Drift alarm: 0 of 0 points, not judged\n"


def test_the_isolation_is_one_line_with_its_fix() -> None:
    screen = Screen()
    show_isolation(replace(ISOLATION, rung="C", fix="sysctl -w x=0"), terminal(screen))
    show_isolation(ISOLATION, terminal(screen))
    screen.seek(0)
    assert screen.read() == (
        "Isolation: C (nothing outside its own folder is in reach) Fix: sysctl -w x=0\n"
        "Isolation: A (nothing outside its own folder is in reach)\n"
    )


def test_full_marks_take_one_line_among_several() -> None:
    report = replace(REPORT, requirements=(MET,))
    assert shown(report, named=True) == "Drift alarm (answers/drift_alarm.py): 5 of 5 points\n"
    assert shown(report).count("\n") > 1
