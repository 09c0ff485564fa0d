"""Errors say what to do next and carry the exit code."""

import pytest

from rounds.errors import (
    BadInput,
    ChallengeError,
    IsolationUnavailable,
    JudgeFailure,
    KitMissing,
    RoundsError,
    UnknownChallenge,
    UnknownRequirement,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("x"), 2),
        (UnknownChallenge("x", []), 2),
        (UnknownRequirement("x", "R9", ["R1"]), 2),
        (RoundsError("x"), 3),
        (KitMissing("x"), 3),
        (ChallengeError("x"), 3),
        (JudgeFailure("x"), 3),
        (IsolationUnavailable("x"), 4),
    ],
)
def test_each_error_has_its_exit_code(error: RoundsError, code: int) -> None:
    assert error.exit_code == code


def test_message_and_hint_make_one_line() -> None:
    assert str(BadInput("the path is empty.", hint="Name a file.")) == "the path is empty. Name a file."
    assert str(BadInput("the path is empty.")) == "the path is empty."


def test_a_misspelt_challenge_is_suggested() -> None:
    error = UnknownChallenge("drift_alram", ["drift_alarm", "model_api"])
    assert str(error) == "there is no challenge 'drift_alram'. Did you mean drift_alarm?"


def test_a_name_like_no_challenge_points_to_the_list() -> None:
    assert "rounds list" in str(UnknownChallenge("zzz", ["drift_alarm"]))


def test_a_requirement_in_lower_case_is_suggested() -> None:
    assert UnknownRequirement("drift_alarm", "r1", ["R1", "R20"]).hint == "Did you mean R1?"


def test_nothing_near_is_no_suggestion() -> None:
    assert did_you_mean("zzz", ["drift_alarm"]) == ""
