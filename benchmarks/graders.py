"""The graders that are compared, each used as its own documentation says. All grade the same submissions.

`prepare` is what an author does once. `stage` lays submissions out in an empty folder and returns the work that is
timed, of which two pieces run at a time; `marks` reads the points afterwards.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import forms

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
KIT = HERE / "kit"
SLUG = "rolling_quality"
FILE = f"{SLUG}.py"
RIGHT = KIT / "solutions" / SLUG / FILE
WRONG = KIT / "solutions" / SLUG / "wrong" / "never_rolls.py"
WITH_THE_KIT = f"""import sys, pathlib, rounds.catalog
rounds.catalog.kit_roots = lambda: (pathlib.Path({str(KIT)!r}),)
from rounds.cli import main
sys.exit(main())
"""

Answers = Mapping[str, Path]  # by name of the candidate
Work = Callable[[], object]


class Grader:
    """One way to grade."""

    name: str
    note: str = ""

    def prepare(self) -> None:
        """Do what is done once for an exercise."""

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        """Lay out the answers in an empty folder; return what is to be timed."""
        raise NotImplementedError

    def marks(self, case: Path) -> dict[str, float]:
        """Read the points of each answer."""
        raise NotImplementedError

    def close(self) -> None:
        """End what still runs."""


class Pytest(Grader):
    """The yardstick: no isolation, no report, the interpreter of rounds and none of its plugins."""

    name = "pytest"
    note = "`python -m pytest` in a fresh process for each submission, no plugins, submission imported by a fixture"

    def prepare(self) -> None:
        self.tests = fresh(BUILD / "exercise" / "pytest")
        (self.tests / "conftest.py").write_text(forms.PLAIN_IMPORT.format(module=SLUG))
        (self.tests / "test_hidden.py").write_text(forms.for_pytest(checks()))

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(self.tests)]
        works = []
        for name, folder in lay_out(case, answers).items():
            variables = {**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            works.append(partial(run, command, folder, variables, case / f"{name}.log"))
        return works

    def marks(self, case: Path) -> dict[str, float]:
        passed = {log.stem: re.search(r"(\d+) passed", log.read_text()) for log in case.glob("*.log")}
        return {name: float(found[1]) if found else 0.0 for name, found in passed.items()}


class Rounds(Grader):
    """The command, from cold."""

    name = "rounds grade"
    note = "the command from its start to its end, with `--jobs 2`, one fresh sandboxed process for each check"

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        lay_out(case, answers)
        command = [sys.executable, "-c", WITH_THE_KIT, "grade", str(case / "answers"), "--jobs", "2"]
        command += ["--json", str(case / "report.json")]
        return [partial(run, command, case, dict(os.environ), case / "log")]

    def marks(self, case: Path) -> dict[str, float]:
        reports = json.loads((case / "report.json").read_text())["reports"]
        return {Path(report["submission"]).name: report["points"] for report in reports}


class WarmRounds(Grader):
    """A service that keeps the suite ready, as a grading server would."""

    name = "rounds, warm"
    note = "`rounds.grader.grade_one` with a suite that is ready, the same processes for each check"

    def prepare(self) -> None:
        from rounds.challenge import load_challenge
        from rounds.suite import Suite

        self.challenge = load_challenge(KIT, SLUG)
        self.suite = Suite.start(self.challenge, isolation=None, require=None, seed=0)
        self.suite.wait_until_ready()

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        from rounds.submission import Submission

        self.points: dict[str, float] = {}
        submissions = [Submission(name, SLUG, {FILE: path.read_bytes()}, case) for name, path in answers.items()]
        return [partial(self._grade, submission) for submission in submissions]

    def _grade(self, submission: Any) -> None:
        from rounds.grader import grade_one

        self.points[submission.name] = grade_one(submission, self.challenge, self.suite).points

    def marks(self, case: Path) -> dict[str, float]:
        return self.points

    def close(self) -> None:
        self.suite.close()

    @property
    def isolation(self) -> str:
        record = self.suite.isolation
        return f"{record.rung} ({record.summary})" if record else "unknown"


class Peer(Grader):
    """A grader in a virtual environment of its own."""

    packages: tuple[str, ...]
    common = ("numpy", "pandas", "scipy", "scikit-learn")

    def prepare(self) -> None:
        self.bin = BUILD / self.name / "bin"
        wanted = (HERE / "peers.txt").read_text() + " ".join(self.packages)
        installed = BUILD / self.name / "installed.txt"
        if not installed.is_file() or installed.read_text() != wanted:
            venv.create(BUILD / self.name, with_pip=True, clear=True)
            pip = [str(self.bin / "python"), "-m", "pip", "install", "-q", "-c", str(HERE / "peers.txt")]
            run([*pip, *self.packages, *self.common], BUILD, dict(os.environ), BUILD / f"{self.name}.log", strict=True)
            installed.write_text(wanted)
        self.exercise = fresh(BUILD / "exercise" / self.name)
        self.author()

    def author(self) -> None:
        """Write the exercise in this grader's form, into `self.exercise`."""

    def environment(self) -> dict[str, str]:
        home = BUILD / "home"
        home.mkdir(exist_ok=True)
        variables = {"PATH": f"{self.bin}{os.pathsep}{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}
        return variables | {"JUPYTER_PLATFORM_DIRS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

    def command(self, *words: str | Path, cwd: Path, log: Path, strict: bool = False) -> Work:
        program, *arguments = map(str, words)
        return partial(run, [str(self.bin / program), *arguments], cwd, self.environment(), log, strict=strict)


class Otter(Peer):
    name = "otter-grader"
    note = "`otter run -a autograder.zip` for each submission"
    packages = ("otter-grader", "ipykernel", "nbclient", "nbconvert")

    def author(self) -> None:
        (self.exercise / "tests").mkdir()
        (self.exercise / "tests" / FILE).write_text(forms.for_otter(checks(), SLUG))
        (self.exercise / "config.json").write_text('{"show_stdout": false, "show_hidden": false}')
        options = ("-t", "tests", "-c", "config.json", "--no-environment", "--no-requirements", "-o", "autograder.zip")
        self.command("otter", "generate", *options, cwd=self.exercise, log=self.exercise / "log", strict=True)()

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        works = []
        for folder in lay_out(case, answers).values():
            words = ("otter", "run", "-a", self.exercise / "autograder.zip", "-o", folder, folder / FILE)
            works.append(self.command(*words, cwd=folder, log=folder / "log"))
        return works

    def marks(self, case: Path) -> dict[str, float]:
        return {path.parent.name: points_in(path) for path in (case / "answers").glob("*/results.json")}


class Nbgrader(Peer):
    name = "nbgrader"
    note = "`nbgrader autograde ps1`; a cohort is split into two courses, one command each"
    packages = ("nbgrader", "ipykernel")

    def author(self) -> None:
        source = self.exercise / "source" / "ps1"
        source.mkdir(parents=True)
        (source / f"{SLUG}.ipynb").write_text(forms.for_nbgrader(checks(), RIGHT.read_text()))
        (self.exercise / "nbgrader_config.py").write_text('get_config().CourseDirectory.course_id = "kit"\n')
        words = ("nbgrader", "generate_assignment", "ps1")
        self.command(*words, cwd=self.exercise, log=BUILD / "nbgrader.log", strict=True)()
        self.released = (self.exercise / "release" / "ps1" / f"{SLUG}.ipynb").read_text()

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        courses = [case / f"course{number}" for number in range(min(2, len(answers)))]
        for course in courses:
            shutil.copytree(self.exercise, course)
        for number, (name, path) in enumerate(answers.items()):
            folder = courses[number % len(courses)] / "submitted" / name / "ps1"
            folder.mkdir(parents=True)
            (folder / f"{SLUG}.ipynb").write_text(forms.answered(self.released, path.read_text()))
        return [self.command("nbgrader", "autograde", "ps1", cwd=course, log=course / "log") for course in courses]

    def marks(self, case: Path) -> dict[str, float]:
        query = """SELECT assignment.student_id, SUM(grade.auto_score) FROM grade
            JOIN submitted_notebook AS notebook ON notebook.id = grade.notebook_id
            JOIN submitted_assignment AS assignment ON assignment.id = notebook.assignment_id GROUP BY 1"""
        marks: dict[str, float] = {}
        for book in case.glob("course*/gradebook.db"):
            connection = sqlite3.connect(book)
            marks |= {name: points or 0.0 for name, points in connection.execute(query)}
            connection.close()
        return marks


class Gradescope(Peer):
    name = "gradescope-utils"
    note = "`python run_tests.py` for each submission, without the container that Gradescope starts for each"
    packages = ("gradescope-utils",)

    def author(self) -> None:
        (self.exercise / "run_tests.py").write_text(forms.for_gradescope(checks(), SLUG))

    def stage(self, case: Path, answers: Answers) -> Sequence[Work]:
        works = []
        for folder in lay_out(case, answers).values():
            shutil.copy(self.exercise / "run_tests.py", folder)
            works.append(self.command("python", "run_tests.py", cwd=folder, log=folder / "log"))
        return works

    def marks(self, case: Path) -> dict[str, float]:
        return {path.parent.name: points_in(path) for path in (case / "answers").glob("*/results.json")}


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Gradescope, Otter, Nbgrader)}


def checks() -> forms.Checks:
    """Read the exercise's hidden checks."""
    return forms.read_checks(KIT / "tests" / "hidden" / SLUG / "test_hidden.py")


def fresh(folder: Path) -> Path:
    """Make an empty folder, in place of an old one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def lay_out(case: Path, answers: Answers) -> dict[str, Path]:
    """Copy each answer into a folder of its own and return the folders."""
    folders = {name: case / "answers" / name for name in answers}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        shutil.copy(answers[name], folder / FILE)
    return folders


def points_in(results: Path) -> float:
    """Add up the points in a results.json as Gradescope reads it."""
    return sum(test.get("score") or 0.0 for test in json.loads(results.read_text())["tests"])


def run(command: Sequence[str], cwd: Path, environment: dict[str, str], log: Path, *, strict: bool = False) -> None:
    """Run a command with its output in a log file; `strict` ends the benchmark when it fails."""
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    if strict and done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{log.read_text()[-2000:]}")
