"""Plain text for every form of the report: nothing from a submission steers a terminal or breaks an XML reader."""

import re

from rounds.report import Report, RequirementResult

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor moves
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, links and other strings
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_NEWLINE = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_UNSHOWN = re.compile("[\x00-\x09\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str, limit: int = 2_000) -> str:
    """Replace what a terminal or an XML reader must not see; newlines stay, at most `limit` characters are kept."""
    if len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit} characters more)"
    text = _NEWLINE.sub("\n", _SEQUENCE.sub("", text)).replace("\t", "    ")
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str, limit: int = 2_000) -> str:
    """Clean a text and join its lines."""
    return clean(text, limit).strip().replace("\n", " ")


def feedback(report: Report, requirement: RequirementResult) -> str:
    """Give, over several lines, what was seen of a requirement that was not met, with the candidate's own lines."""
    if report.problem:
        return clean(report.problem)
    lines: list[str] = []
    for sighting in requirement.evidence:
        lines.append(clean(sighting.seen or sighting.test))
        if sighting.where:
            lines.append(f"    {one_line(sighting.where, 200)}")
    return "\n".join(lines) or "nothing was seen of it"
