"""A report counts points and tiers, joins verdicts without letting silence pass, and survives JSON."""

import json
from dataclasses import replace

import pytest
from samples import ALL_MET, MET, NOT_JUDGED, OPEN, RAISED, REPORT, UNSEEN

from rounds.report import Report, Sighting, TierResult, Verdict, exit_code, together


def test_points_are_all_or_nothing() -> None:
    assert (REPORT.points, REPORT.out_of) == (5, 10)
    assert [requirement.earned for requirement in REPORT.requirements] == [5, 0, 0]


@pytest.mark.parametrize(
    ("verdicts", "joined"),
    [
        ([Verdict.MET, Verdict.MET], Verdict.MET),
        ([Verdict.MET, Verdict.UNMET], Verdict.UNMET),
        ([Verdict.NOT_JUDGED, Verdict.UNMET], Verdict.UNMET),
        ([Verdict.MET, Verdict.NOT_JUDGED], Verdict.NOT_JUDGED),
        ([], Verdict.NOT_JUDGED),
    ],
)
def test_verdicts_are_joined_so_that_silence_is_never_a_pass(verdicts: list[Verdict], joined: Verdict) -> None:
    assert together(verdicts) is joined


def test_exit_codes_tell_unmet_from_not_judged() -> None:
    assert exit_code([ALL_MET, ALL_MET]) == 0
    assert exit_code([ALL_MET, REPORT]) == 1
    assert exit_code([ALL_MET, NOT_JUDGED]) == 3
    assert exit_code([NOT_JUDGED, REPORT]) == 1
    assert exit_code([]) == 3


def test_a_tier_names_its_first_failing_requirement() -> None:
    tiered = replace(REPORT, requirements=(replace(MET, tier="basic"), replace(UNSEEN, tier="basic"), OPEN))
    assert tiered.tiers == {"basic": TierResult(5, 8, "R3"), "senior": TierResult(0, 4, "R5")}
    assert REPORT.tiers == {}


def test_evidence_holds_each_thing_once_and_nothing_that_was_met() -> None:
    missed = Sighting("first", Verdict.UNMET, "psi() returned 0.000")
    requirement = replace(UNSEEN, sightings=(Sighting("fine", Verdict.MET), missed, replace(missed, test="second")))
    assert [sighting.seen for sighting in requirement.evidence] == ["psi() returned 0.000"]


@pytest.mark.parametrize("report", [REPORT, ALL_MET, NOT_JUDGED, replace(REPORT, problem="no such file")])
def test_a_report_survives_json(report: Report) -> None:
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_plain_data_holds_what_is_worked_out() -> None:
    data = replace(REPORT, requirements=(MET, RAISED, OPEN)).to_dict()
    assert (data["points"], data["out_of"], data["verdict"]) == (5, 11, "unmet")
    assert data["tiers"] == {"senior": {"points": 0, "out_of": 4, "first_failing": "R5"}}
    assert [type(one["verdict"]) for one in data["requirements"]] == [str, str, str]
