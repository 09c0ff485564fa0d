"""Writes reports as JSON, in the form that `report.schema.json` beside this module describes."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from rounds.report import SCHEMA, Report


def render(reports: Sequence[Report]) -> str:
    """Give the reports of one run as a JSON document; a surrogate, which no UTF-8 can hold, becomes a question mark."""
    document = {"schema": SCHEMA, "reports": [report.to_dict() for report in reports]}
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")


def read(document: str) -> list[Report]:
    """Read back what `render` wrote; raise ValueError for another version."""
    data = json.loads(document)
    if data.get("schema") != SCHEMA:
        raise ValueError(f"a report of schema {data.get('schema')!r}, and this version reads {SCHEMA}")
    return [Report.from_dict(report) for report in data["reports"]]


def schema() -> dict[str, Any]:
    """Give the JSON Schema of the document."""
    text = resources.files("rounds.render").joinpath("report.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
