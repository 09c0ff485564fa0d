"""Where the reports of a run go besides the terminal: JSON, JUnit XML and Gradescope files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rounds.errors import BadInput
from rounds.report import Report

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class Outputs:
    """The files that the user asked for; `-` is standard output."""

    json: Path | None = None
    junit: Path | None = None
    gradescope: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """The files asked for."""
        return [path for path in (self.json, self.junit, self.gradescope) if path]

    @property
    def takes_standard_output(self) -> bool:
        """Whether a document goes to standard output, so that nothing else may."""
        return STANDARD_OUTPUT in self.paths

    def check(self, submissions: int) -> None:
        """Raise BadInput for what could not be written, before time is spent on grading."""
        if len(set(self.paths)) < len(self.paths):
            raise BadInput("two reports cannot go to the same file.", hint="Name a file for each.")
        if self.gradescope and submissions != 1:
            raise BadInput(f"results.json is for one submission, not {submissions}.", hint="Grade them one by one.")
        for path in self.paths:
            if path != STANDARD_OUTPUT and not os.access(path if path.exists() else path.parent, os.W_OK):
                raise BadInput(f"{path}: cannot be written.", hint="Name a file in a folder that is there.")

    def documents(self, reports: Sequence[Report]) -> Iterator[tuple[Path, str]]:
        """Yield each file with its text."""
        from rounds.render import gradescope, json_report, junit

        if self.json:
            yield self.json, json_report.render(reports)
        if self.junit:
            yield self.junit, junit.render(reports)
        if self.gradescope:
            yield self.gradescope, gradescope.render(reports[0])

    def write(self, reports: Sequence[Report]) -> None:
        """Write every file; what goes to standard output is UTF-8, whatever the terminal's encoding."""
        import click

        for path, text in self.documents(reports):
            try:
                if path == STANDARD_OUTPUT:
                    click.echo(text.encode("utf-8"), nl=False)
                else:
                    path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise BadInput(f"{path}: cannot be written ({error.strerror}).") from None
