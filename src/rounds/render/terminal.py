"""Shows a report on a terminal: each promise, whether it was kept, what was seen, and the next step."""

import os
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rounds.render.plain import clean, one_line
from rounds.report import IsolationRecord, Report, RequirementResult, Verdict

STYLES = {Verdict.MET: "green", Verdict.UNMET: "red", Verdict.NOT_JUDGED: "yellow"}
PRETTY = {Verdict.MET: "✓", Verdict.UNMET: "✗", Verdict.NOT_JUDGED: "?"}
ASCII = {Verdict.MET: "+", Verdict.UNMET: "x", Verdict.NOT_JUDGED: "?"}
NARROWEST, WIDEST = 60, 100
PROMISE_WIDTH = 56
SIGHTINGS_SHOWN = 3


def terminal(stream: TextIO) -> Console:
    """Open a console on a stream: colour only on a terminal and without NO_COLOR, marks that its encoding knows."""
    coloured = stream.isatty() and not os.environ.get("NO_COLOR")
    system: Literal["auto"] | None = "auto" if coloured else None
    return Console(file=stream, highlight=False, markup=False, emoji=False, color_system=system)


def show(report: Report, console: Console, *, named: bool = False) -> None:
    """Print a report.

    `named` is for runs with several: it adds the submission's name, and one with full marks takes one line.
    """
    pretty = (console.encoding or "").lower().startswith("utf")
    width = min(max(console.width, NARROWEST), WIDEST) if console.is_terminal else WIDEST
    for line in _Page(report, PRETTY if pretty else ASCII, width).lines(named=named):
        console.print(line, soft_wrap=True)


def show_isolation(record: IsolationRecord, console: Console) -> None:
    """Print in one line what protected the judge, and how to have more of it."""
    line = Text(f"Isolation: {record.rung} ({one_line(record.summary)})", "dim")
    if record.fix:
        line.append(f" Fix: {one_line(record.fix)}")
    console.print(line, soft_wrap=True)


@dataclass(frozen=True)
class _Page:
    """A report laid out for one width."""

    report: Report
    marks: dict[Verdict, str]
    width: int

    def lines(self, *, named: bool) -> Iterator[Text]:
        yield self._headline(named=named)
        if named and self._all_met:
            return
        if self.report.problem:
            yield from self._indented(self.report.problem, 2, "red")
        for requirement in self.report.requirements:
            yield from self._requirement(requirement)
        if self.report.tiers:
            yield Text("  " + " · ".join(self._tiers()), "dim")
        missed = next((one for one in self.report.requirements if one.verdict is Verdict.UNMET), None)
        if missed:
            yield Text(f"Stuck? rounds hint {self.report.challenge} {missed.id}")

    def _headline(self, *, named: bool) -> Text:
        report = self.report
        title = f"{one_line(report.title)} ({one_line(report.submission)})" if named else one_line(report.title)
        not_judged = sum(one.points for one in report.requirements if one.verdict is Verdict.NOT_JUDGED)
        gap = f", {not_judged} not judged" if not_judged else ""
        if not report.requirements:
            gap = ", not judged"
        return Text.assemble((f"{title}: {report.points} of {report.out_of} points{gap}", "bold"))

    @property
    def _all_met(self) -> bool:
        requirements = self.report.requirements
        return bool(requirements) and all(one.verdict is Verdict.MET for one in requirements)

    def _requirement(self, requirement: RequirementResult) -> Iterator[Text]:
        head = f"  {self.marks[requirement.verdict]} {requirement.id:<{self._id_width}}  "
        margin = len(head)
        first, *rest = _wrapped(one_line(requirement.promise), self._promise_width)
        gap = " " * (self._promise_width - cell_len(first) + 2)
        style = STYLES[requirement.verdict]
        yield Text.assemble((head[:4], style), head[4:], first, gap, (self._points(requirement), style))
        yield from (Text(" " * margin + line) for line in rest)
        if requirement.verdict is not Verdict.MET and not self.report.problem:
            yield from self._sightings(requirement, margin)

    def _sightings(self, requirement: RequirementResult, margin: int) -> Iterator[Text]:
        """Show what was seen, and no more of it than a reader takes in."""
        for sighting in requirement.evidence[:SIGHTINGS_SHOWN]:
            yield from self._indented(sighting.seen or sighting.test, margin)
            if sighting.where:
                yield Text(" " * (margin + 4) + one_line(sighting.where, 200), "dim", no_wrap=True)
        if len(requirement.evidence) > SIGHTINGS_SHOWN:
            yield Text(f"{' ' * margin}and {len(requirement.evidence) - SIGHTINGS_SHOWN} more", "dim")

    def _points(self, requirement: RequirementResult) -> str:
        earned = "–" if self.marks is PRETTY else "-"
        if requirement.verdict is not Verdict.NOT_JUDGED:
            earned = str(requirement.earned)
        return f"{earned}/{requirement.points}".rjust(self._points_width)

    def _tiers(self) -> Iterable[str]:
        for name, tier in self.report.tiers.items():
            missing = f", first missed {tier.first_failing}" if tier.first_failing else ""
            yield f"{name} {tier.points}/{tier.out_of}{missing}"

    def _indented(self, text: str, margin: int, style: str = "") -> Iterator[Text]:
        for paragraph in clean(text).split("\n"):
            for line in _wrapped(paragraph, self.width - margin):
                yield Text(" " * margin + line, style)

    @property
    def _id_width(self) -> int:
        return max(len(one.id) for one in self.report.requirements)

    @property
    def _points_width(self) -> int:
        return max(len(f"{one.points}/{one.points}") for one in self.report.requirements)

    @property
    def _promise_width(self) -> int:
        room = self.width - self._id_width - self._points_width - 8
        longest = max(cell_len(one_line(one.promise)) for one in self.report.requirements)
        return min(max(longest, PROMISE_WIDTH), room)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
