"""The `rounds` command. What a command needs is imported when it runs, so that help and listings come at once."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from rounds import __version__
from rounds.errors import BadInput, JudgeFailure, RoundsError, UnknownRequirement

if TYPE_CHECKING:
    from rounds.render.outputs import Outputs
    from rounds.report import Report
    from rounds.submission import Gathered

NOT_JUDGED = 3
INTERRUPTED = 130
RUNGS = ("A", "B", "C", "D")
ISOLATIONS = (*RUNGS, "E", "container")

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rounds")
def cli() -> None:
    """Interview rounds for MLOps that run: you write code, a hidden suite judges it.

    \b
    rounds list                          what there is to solve
    rounds start drift_alarm             a folder with brief, stub and public tests
    rounds grade drift_alarm.py          grade your answer
    rounds hint drift_alarm R3           when you are stuck
    rounds doctor                        how well this machine isolates a submission

    \b
    Exit codes of grade: 0 all met, 1 some unmet, 2 bad input, 3 not judged,
    4 the isolation that was demanded is not available.
    """


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def list_challenges(as_json: bool) -> int:
    """List the challenges.

    \b
    rounds list
    rounds list --json
    """
    from rounds.catalog import Catalog
    from rounds.render import listing

    catalog = Catalog()
    click.echo((listing.as_json if as_json else listing.as_table)(catalog.sound()), nl=False)
    for slug in catalog.slugs:
        catalog.challenge(slug)
    return 0


@cli.command()
@click.argument("slug")
@click.option("--in", "place", type=click.Path(path_type=Path), default=".", help="Where to make the folder.")
def start(slug: str, place: Path) -> int:
    """Make a folder to solve a challenge in.

    It holds the brief, the stub and the public tests, which plain pytest runs.

    \b
    rounds start drift_alarm
    rounds start drift_alarm --in attempts/
    """
    from rounds.catalog import Catalog
    from rounds.practice import start as make

    challenge = Catalog().challenge(slug)
    folder = make(challenge, place)
    click.echo(f"{folder}: read brief.md, write {challenge.submit[0]}, run pytest there, then: rounds grade {folder}")
    return 0


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("-c", "--challenge", metavar="SLUG", help="The challenge that every PATH answers, whatever its name.")
@click.option("--json", "json_file", type=_FILE, help="Write the full report as JSON; - is standard output.")
@click.option("--junit", type=_FILE, help="Write JUnit XML.")
@click.option("--gradescope", type=_FILE, help="Write Gradescope's results.json (one submission).")
@click.option("--require-isolation", "require", type=click.Choice(RUNGS), help="Do not judge with less than this.")
@click.option("--isolation", type=click.Choice(ISOLATIONS), help="Use this isolation; default: the best there is.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Varies the random inputs.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count,
    help="How many to grade at once; default: one per processor.",
)
def grade(
    paths: tuple[str, ...],
    challenge: str | None,
    json_file: Path | None,
    junit: Path | None,
    gradescope: Path | None,
    require: str | None,
    isolation: str | None,
    seed: int,
    jobs: int,
) -> int:
    """Grade submissions.

    A PATH is a file named after a challenge, a folder that holds it, or a folder of such folders.

    \b
    rounds grade drift_alarm.py
    rounds grade answers/ --json report.json
    rounds grade alice.py -c drift_alarm --require-isolation C
    """
    from rounds.catalog import Catalog
    from rounds.render.outputs import Outputs
    from rounds.report import exit_code
    from rounds.submission import gather

    if "" in paths:
        raise BadInput("a path is empty.", hint="Is a variable of your shell not set?")
    catalog = Catalog()
    gathered = gather([Path(path) for path in paths], catalog, challenge)
    outputs = Outputs(json_file, junit, gradescope)
    outputs.check(len(gathered.submissions))

    from rounds.grader import grade as judge

    reports = judge(
        gathered.submissions, catalog=catalog, isolation=isolation, require=require, seed=seed, jobs=jobs
    )  # fmt: skip
    shown = _show(reports, gathered, outputs)
    outputs.write(shown)
    return BadInput.exit_code if gathered.refused else exit_code(shown)


@cli.command()
@click.argument("slug")
@click.argument("requirement")
@click.option("-n", "--number", type=click.IntRange(1, 3), default=1, show_default=True, help="1 gives the least away.")
def hint(slug: str, requirement: str, number: int) -> int:
    """Give a hint on one requirement.

    There are three: a question, a direction, a pointer.

    \b
    rounds hint drift_alarm R3
    rounds hint drift_alarm R3 -n 2
    """
    from rounds.catalog import Catalog
    from rounds.challenge import read_hints

    challenge = Catalog().challenge(slug)
    if requirement not in challenge.points:
        raise UnknownRequirement(slug, requirement, challenge.points)
    hints = read_hints(challenge)[requirement][:number]
    click.echo(f"{requirement}  {challenge.promises[requirement]}")
    click.echo(hints[-1])
    if number < 3:
        click.echo(f"Still stuck? rounds hint {slug} {requirement} -n {number + 1}")
    return 0


@cli.command()
@click.argument("slugs", nargs=-1, metavar="[SLUG…]")
@click.option("--quick", is_flag=True, help="One seed instead of three.")
def verify(slugs: tuple[str, ...], quick: bool) -> int:
    """Prove the hidden suites of the kit.

    Right answers pass, and each wrong answer is caught by exactly what it names.

    \b
    rounds verify
    rounds verify drift_alarm --quick
    """
    from rounds.catalog import Catalog
    from rounds.verify import verify as find_problems

    catalog = Catalog()
    challenges = [catalog.challenge(slug) for slug in slugs or catalog.slugs]
    seeds = (0,) if quick else (0, 1, 2)
    findings = find_problems(challenges, seeds=seeds, tell=partial(click.echo, err=True))
    for finding in findings:
        click.echo(f"{finding.slug}: {finding.problem}")
    if not findings:
        click.echo(f"{len(challenges)} challenges hold what they promise.")
    return 1 if findings else 0


@cli.command()
@click.option(
    "--require-isolation", "require", type=click.Choice(RUNGS), help="Exit with 4 if there is less than this."
)
def doctor(require: str | None) -> int:
    """Say how well this machine isolates.

    Prints what protects the judge, what does not, why, and what would help.

    \b
    rounds doctor
    rounds doctor --require-isolation C
    """
    from rounds.catalog import Catalog
    from rounds.isolation import choose

    record = choose(None, require)
    click.echo(f"rounds {__version__}, Python {sys.version.split()[0]}, {len(Catalog().slugs)} challenges")
    click.echo(f"Isolation: {record.rung} ({record.summary})")
    facts = {"protects": record.protects, "exposes": record.exposes, "why": (record.why,), "fix": (record.fix,)}
    for label, lines in facts.items():
        for line in filter(None, lines):
            click.echo(f"  {label + ':':<10} {line}")
    return 0


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code: an error is one line on standard error, never a traceback.

    Nothing but a finished command may end with 0: pytest's outcomes are no `Exception`, and click leaves by SystemExit
    when a pipe is closed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return int(cli.main(arguments, prog_name="rounds", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except RoundsError as error:
        _complain(str(error))
        return error.exit_code
    except SystemExit:
        return NOT_JUDGED
    except BaseException as error:
        return _internal(error)


def main() -> NoReturn:
    """Run the command as a process."""
    sys.exit(run())


def _show(reports: "Iterator[Report]", gathered: "Gathered", outputs: "Outputs") -> "list[Report]":
    """Show each report as it comes, then what could not be graded and the isolation that was in force."""
    from rounds.render.terminal import show, show_isolation, terminal

    console = terminal(sys.stderr if outputs.takes_standard_output else sys.stdout)
    shown = []
    for report in reports:
        show(report, console, named=len(gathered.submissions) > 1)
        shown.append(report)
    if len(shown) != len(gathered.submissions):
        raise JudgeFailure(f"{len(gathered.submissions)} submissions, {len(shown)} reports: not judged.")
    for record in dict.fromkeys(report.isolation for report in shown):
        show_isolation(record, console)
    for refusal in gathered.refused:
        _complain(str(refusal))
    if gathered.passed_over:
        _complain(f"nothing to grade in {', '.join(map(str, gathered.passed_over))}", "Note")
    return shown


def _complain(text: str, label: str = "Error") -> None:
    from rounds.render.plain import one_line

    click.echo(f"{label}: {one_line(text)}", err=True)


def _internal(error: BaseException) -> int:
    """Own up to a failure that nobody foresaw; ROUNDS_DEBUG=1 shows its traceback."""
    if os.environ.get("ROUNDS_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    name = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    _complain(f"internal error ({name}), not judged. ROUNDS_DEBUG=1 shows the traceback.")
    return NOT_JUDGED
