"""Gradescope's results.json: a score, and a test for each requirement."""

import json
from dataclasses import replace
from typing import Any

from samples import ALL_MET, NOT_JUDGED, REPORT

from rounds.render.gradescope import render
from rounds.report import Report


def results(report: Report) -> dict[str, Any]:
    return dict(json.loads(render(report)))


def test_the_score_is_the_points_and_is_visible() -> None:
    document = results(REPORT)
    assert (document["score"], document["visibility"], document["stdout_visibility"]) == (5, "visible", "hidden")
    assert sum(test["score"] for test in document["tests"]) == document["score"]


def test_each_requirement_is_a_test() -> None:
    met, unseen, _ = results(REPORT)["tests"]
    assert met == {
        "score": 5,
        "max_score": 5,
        "status": "passed",
        "name": "A shifted feature scores above 0.2",
        "number": "R2",
        "output": "",
        "tags": [],
        "visibility": "visible",
    }
    assert (unseen["score"], unseen["max_score"], unseen["status"]) == (0, 3, "failed")
    assert unseen["output"] == "half of live lay above the training maximum, and psi() returned 0.000"


def test_only_documented_values_are_used() -> None:
    for report in (REPORT, ALL_MET, NOT_JUDGED):
        document = results(report)
        assert document["output_format"] in {"text", "html", "simple_format", "md", "ansi"}
        assert {test["status"] for test in document["tests"]} <= {"passed", "failed"}
        assert {test["visibility"] for test in document["tests"]} == {"visible"}


def test_what_was_not_judged_says_so_and_earns_nothing() -> None:
    document = results(NOT_JUDGED)
    assert "Not judged: R5. This score is not final" in document["output"]
    assert document["tests"][1]["output"] == "Not judged. nothing was seen of it"
    assert document["tests"][1]["score"] == 0


def test_a_problem_of_the_whole_submission_leads_the_output() -> None:
    output = results(replace(REPORT, problem="drift_alarm.py is not there"))["output"]
    assert output.splitlines()[:2] == ["Drift alarm: 5 of 10 points", "drift_alarm.py is not there"]


def test_the_isolation_is_told_and_hidden_inputs_are_not() -> None:
    assert "Isolation: A (nothing outside" in results(REPORT)["output"]
    assert "secret input" not in render(REPORT)
