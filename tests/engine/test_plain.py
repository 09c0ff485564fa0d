"""What a submission says is shown, and does nothing."""

from dataclasses import replace

import pytest
from samples import OPEN, RAISED, REPORT

from rounds.render.plain import clean, feedback, one_line


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain ✓ é 日本 👩‍🔬", "plain ✓ é 日本 👩‍🔬"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1H20 passed", "20 passed"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]never closed", ""),
        ("\x9b31mred", "\ufffd31mred"),
        ("10%\r100%", "10%\n100%"),
        ("a\x00b\x08c\x7f", "a\ufffdb\ufffdc\ufffd"),
        ("a\u202egpj.exe", "a\ufffdgpj.exe"),
        ("a\u2028b\r\nc", "a\nb\nc"),
        ("lone \ud800", "lone \ufffd"),
        ("a\tb", "a    b"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
    ],
)
def test_control_characters_are_taken_out(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * 1_000_000, 10) == "xxxxxxxxxx … (999990 characters more)"


def test_lines_are_joined_and_spaces_kept() -> None:
    assert one_line("a.py:3:  x = 1\nsecond\n") == "a.py:3:  x = 1 second"


def test_feedback_gives_what_was_seen_and_the_candidates_own_line() -> None:
    assert feedback(REPORT, RAISED) == (
        "when live is empty, your code raised ZeroDivisionError: division by zero\n"
        "    drift_alarm.py:14:  return [count / sum(counts) for count in counts]"
    )


def test_feedback_without_a_sighting_says_so() -> None:
    assert feedback(REPORT, OPEN) == "nothing was seen of it"


def test_a_problem_of_the_whole_submission_comes_first() -> None:
    assert feedback(replace(REPORT, problem="drift_alarm.py is not there"), RAISED) == "drift_alarm.py is not there"
