"""Writes a report as the results.json that a Gradescope autograder leaves for its host."""

import json
from typing import Any

from rounds.render.plain import feedback, one_line
from rounds.report import Report, RequirementResult, Verdict


def render(report: Report) -> str:
    """Give results.json for one submission: the score, and a test for each requirement.

    Gradescope knows passed and failed only, so a requirement that was not judged is failed and says so in its text.
    """
    results = {
        "score": report.points,
        "output": "\n".join(_summary(report)),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "execution_time": round(report.seconds),
        "tests": [_test(report, requirement) for requirement in report.requirements],
        "extra_data": {"suite_hash": report.suite_hash, "files_hash": report.files_hash, "seed": report.seed},
    }
    return json.dumps(results, indent=2, allow_nan=False) + "\n"


def _summary(report: Report) -> list[str]:
    lines = [f"{one_line(report.title)}: {report.points} of {report.out_of} points"]
    if report.problem:
        lines.append(one_line(report.problem))
    not_judged = [one.id for one in report.requirements if one.verdict is Verdict.NOT_JUDGED]
    if not_judged:
        lines.append(f"Not judged: {', '.join(not_judged)}. This score is not final; ask for a new run.")
    lines += [f"{name}: {tier.points} of {tier.out_of} points" for name, tier in report.tiers.items()]
    return [*lines, f"Isolation: {report.isolation.rung} ({one_line(report.isolation.summary)})"]


def _test(report: Report, requirement: RequirementResult) -> dict[str, Any]:
    met = requirement.verdict is Verdict.MET
    test = {
        "score": requirement.earned,
        "max_score": requirement.points,
        "status": "passed" if met else "failed",
        "name": one_line(requirement.promise),
        "number": requirement.id,
        "output": "" if met else feedback(report, requirement),
        "tags": [requirement.tier] if requirement.tier else [],
        "visibility": "visible",
    }
    if requirement.verdict is Verdict.NOT_JUDGED:
        test["output"] = f"Not judged. {test['output']}"
    return test
