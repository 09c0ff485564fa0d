"""Writes reports as JUnit XML for CI: a suite for each submission, a case for each requirement."""

from collections.abc import Sequence
from xml.etree import ElementTree

from rounds.render.plain import feedback, one_line
from rounds.report import Report, RequirementResult, Verdict


def render(reports: Sequence[Report]) -> str:
    """Give the reports of one run as a JUnit document; what was not judged counts as an error, never as a pass."""
    root = ElementTree.Element("testsuites", _counts(reports), name="rounds")
    for report in reports:
        root.append(_suite(report))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: Report) -> ElementTree.Element:
    name = f"{report.challenge}: {one_line(report.submission)}"
    suite = ElementTree.Element("testsuite", _counts([report]), name=name, timestamp=report.started)
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in _facts(report).items():
        ElementTree.SubElement(properties, "property", name=key, value=one_line(value))
    for requirement in report.requirements:
        suite.append(_case(report, requirement))
    return suite


def _case(report: Report, requirement: RequirementResult) -> ElementTree.Element:
    name = f"{requirement.id} {one_line(requirement.promise)}"
    seconds = f"{requirement.seconds:.3f}"
    case = ElementTree.Element("testcase", classname=f"rounds.{report.challenge}", name=name, time=seconds)
    if requirement.verdict is not Verdict.MET:
        kind = "failure" if requirement.verdict is Verdict.UNMET else "error"
        text = feedback(report, requirement)
        result = ElementTree.SubElement(case, kind, type=requirement.verdict.value, message=text.split("\n")[0])
        result.text = text
    return case


def _counts(reports: Sequence[Report]) -> dict[str, str]:
    verdicts = [requirement.verdict for report in reports for requirement in report.requirements]
    return {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.UNMET)),
        "errors": str(verdicts.count(Verdict.NOT_JUDGED)),
        "skipped": "0",
        "time": f"{sum(report.seconds for report in reports):.3f}",
    }


def _facts(report: Report) -> dict[str, str]:
    return {
        "points": f"{report.points}/{report.out_of}",
        "isolation": f"{report.isolation.rung}: {report.isolation.summary}",
        "seed": str(report.seed),
        "challenge_version": str(report.challenge_version),
        "suite_hash": report.suite_hash,
        "files_hash": report.files_hash,
        "kit_version": report.kit_version,
    }
