"""The JSON report is what its schema says, and is read back whole."""

import json
from dataclasses import replace

import jsonschema
import pytest
from samples import ALL_MET, NOT_JUDGED, REPORT, UNSEEN

from rounds.render.json_report import read, render, schema
from rounds.report import Report, Sighting, Verdict

REPORTS = [REPORT, ALL_MET, NOT_JUDGED, replace(REPORT, problem="a syntax error", requirements=())]


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("reports", [REPORTS, [REPORT], []])
def test_a_document_fits_the_schema(reports: list[Report]) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(render(reports)))


@pytest.mark.parametrize("missing", ["verdict", "isolation", "suite_hash", "requirements"])
def test_the_schema_misses_what_is_missing(missing: str) -> None:
    document = json.loads(render([REPORT]))
    del document["reports"][0][missing]
    with pytest.raises(jsonschema.ValidationError, match=missing):
        jsonschema.Draft202012Validator(schema()).validate(document)


def test_a_document_is_read_back_whole() -> None:
    assert read(render(REPORTS)) == REPORTS


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 7"):
        read('{"schema": 7, "reports": []}')


def test_hostile_text_makes_a_valid_utf_8_document() -> None:
    hostile = Sighting("t", Verdict.UNMET, "lone \ud800, nul \x00, \x1b[31m, ✗ é")
    text = render([replace(REPORT, requirements=(replace(UNSEEN, sightings=(hostile,)),))])
    assert text.encode("utf-8").isascii() is False
    assert read(text)[0].requirements[0].sightings[0].seen == "lone ?, nul \x00, \x1b[31m, ✗ é"
