"""JUnit XML: a case for each requirement, and what was not judged is an error."""

from dataclasses import replace
from xml.etree import ElementTree

from samples import ALL_MET, NOT_JUDGED, REPORT, UNSEEN

from rounds.render.junit import render
from rounds.report import Sighting, Verdict


def test_each_requirement_is_a_case() -> None:
    suite = ElementTree.fromstring(render([REPORT])).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    assert [case.get("name") for case in suite.findall("testcase")] == [
        "R2 A shifted feature scores above 0.2",
        "R3 Live values outside the training range still count",
        "R4 An empty live window raises `ValueError`",
    ]
    failure = suite.findall("testcase")[2].find("failure")
    assert failure is not None
    assert failure.get("message") == "when live is empty, your code raised ZeroDivisionError: division by zero"
    assert "drift_alarm.py:14:  return" in (failure.text or "")


def test_the_suite_says_what_was_graded_and_how() -> None:
    root = ElementTree.fromstring(render([REPORT]))
    facts = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert facts["points"] == "5/10"
    assert facts["isolation"] == "A: nothing outside its own folder is in reach"
    assert facts["suite_hash"] == "a" * 64


def test_what_was_not_judged_is_an_error() -> None:
    root = ElementTree.fromstring(render([NOT_JUDGED]))
    assert root.get("errors") == "1"
    assert [error.get("message") for error in root.iter("error")] == ["nothing was seen of it"]


def test_several_submissions_are_several_suites() -> None:
    root = ElementTree.fromstring(render([REPORT, ALL_MET]))
    assert (len(root.findall("testsuite")), root.get("tests"), root.get("failures")) == (2, "4", "2")


def test_hostile_text_stays_valid_xml_and_hidden_inputs_stay_hidden() -> None:
    hostile = Sighting("t", Verdict.UNMET, "]]></failure><x/> \x00 \ud800 \x1b[31m \ufffe &amp;")
    report = replace(REPORT, submission="a\x01<b>", requirements=(replace(UNSEEN, sightings=(hostile,)), UNSEEN))
    text = render([report])
    failure = next(ElementTree.fromstring(text.encode("utf-8").decode()).iter("failure"))
    assert failure.text == "]]></failure><x/> \ufffd \ufffd  \ufffd &amp;"
    assert "secret input" not in text
