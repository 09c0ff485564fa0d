"""The proof that a grade means something: `rounds verify` judges the suites by answers whose verdict is known.

The stub fails everything, the reference and every other right answer meet everything, each wrong answer fails exactly
what its first line says. Right answers are judged with several seeds, so that a suite that wavers is found.
"""

import ast
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rounds.challenge import Challenge, read_hints
from rounds.errors import RoundsError
from rounds.grader import grade_one
from rounds.intake import read_files
from rounds.report import Report, Verdict
from rounds.submission import Submission
from rounds.suite import Suite

LEAST_WRONG, LEAST_RIGHT = 8, 2
SHARE_OF_LIMIT = 0.5
PUBLIC_SECONDS = 120
_FAILS = re.compile(r"Fails: (R\d+(?:, R\d+)*)\.$")


@dataclass(frozen=True)
class Finding:
    """Something about a challenge that does not hold."""

    slug: str
    problem: str


@dataclass(frozen=True)
class Answer:
    """An answer whose verdict is known: the requirements that it must fail, and no others."""

    name: str
    files: dict[str, bytes]
    fails: frozenset[str]
    role: str = field(default="wrong")


def verify(challenges: Sequence[Challenge], *, seeds: Sequence[int], tell: Callable[[str], None]) -> list[Finding]:
    """Return all that does not hold of these challenges.

    With the first seed every answer is judged, with the others the right ones.
    """
    findings: list[Finding] = []
    for challenge in challenges:
        tell(f"{challenge.slug}: reading")
        for problem in _problems(challenge, seeds, tell):
            tell(f"{challenge.slug}: does not hold: {problem}")  # at once: the rest may take minutes
            findings.append(Finding(challenge.slug, problem))
    return findings


def _problems(challenge: Challenge, seeds: Sequence[int], tell: Callable[[str], None]) -> Iterator[str]:
    yield from _declared(challenge)
    yield from lint(challenge)
    yield from _public(challenge)
    try:
        for seed in seeds:
            yield from _judged(challenge, seed, tell, every=seed == seeds[0])
    except RoundsError as error:
        yield str(error)


# --- what is declared


def _declared(challenge: Challenge) -> Iterator[str]:
    try:
        read_hints(challenge)
        known = answers(challenge)
    except RoundsError as error:
        yield str(error)
        return
    for name in ("notes.md",):
        if not (challenge.solution / name).is_file():
            yield f"solutions/{challenge.slug}/{name} is missing"
    right = [answer for answer in known if answer.role == "also right"]
    wrong = [answer for answer in known if answer.role == "wrong"]
    if len(right) < LEAST_RIGHT:
        yield f"{len(right)} other right answers in also_right/; at least {LEAST_RIGHT}, in other designs"
    if len(wrong) < LEAST_WRONG:
        yield f"{len(wrong)} wrong answers in wrong/; at least {LEAST_WRONG}"
    caught = frozenset[str]().union(*(answer.fails for answer in wrong))
    for requirement in challenge.points:
        if requirement not in caught:
            yield f"{requirement} is failed by no wrong answer: nothing shows that it is tested"


def answers(challenge: Challenge) -> list[Answer]:
    """Read the stub, the reference, the other right answers and the wrong ones."""
    every = frozenset(challenge.points)
    solution = challenge.solution
    found = [
        Answer("the stub", read_files(challenge.folder, challenge.submit), every, "stub"),
        Answer("the reference", read_files(solution, challenge.submit), frozenset(), "reference"),
    ]
    for path in _answer_paths(solution / "also_right"):
        found.append(Answer(f"also_right/{path.name}", _files_of(path, challenge), frozenset(), "also right"))
    for path in _answer_paths(solution / "wrong"):
        found.append(Answer(f"wrong/{path.name}", _files_of(path, challenge), declared_failures(path, challenge)))
    return found


def _answer_paths(folder: Path) -> list[Path]:
    """List a folder's answers: Python files, or folders for a challenge that takes several files."""
    return sorted(path for path in folder.glob("*") if path.suffix == ".py" or (path / "README.md").is_file())


def _files_of(path: Path, challenge: Challenge) -> dict[str, bytes]:
    if path.is_dir():
        return read_files(path, challenge.submit)
    return {challenge.submit[0]: path.read_bytes()}


def declared_failures(path: Path, challenge: Challenge) -> frozenset[str]:
    """Return the requirements that a wrong answer's first line names; raise RoundsError when it names none."""
    text = (path / "README.md" if path.is_dir() else path).read_text("utf-8")
    line = text.split("\n", 1)[0].strip().strip('"').strip("# ")
    found = _FAILS.search(line)
    named = frozenset(found[1].split(", ")) if found else frozenset[str]()
    if not named or named - set(challenge.points):
        raise RoundsError(
            f"wrong/{path.name}: its first line must end with `Fails: R3, R4.`, of {challenge.slug}'s own."
        )
    return named


# --- the tests' own text


def lint(challenge: Challenge) -> Iterator[str]:
    """Find in the hidden tests what would make a verdict unsafe or unclear."""
    tested: set[str] = set()
    for path in sorted(challenge.hidden.glob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"), str(path))
        for node in ast.walk(tree):
            yield from _unsafe(node, path, challenge)
        for function in tree.body:
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and function.name.startswith("test_"):
                marked = set(_requirements(function))
                tested |= marked
                if not marked:
                    yield f"{path.name}: {function.name} names no requirement"
    for requirement in challenge.points:
        if requirement not in tested:
            yield f"{requirement} has no hidden test"
    for requirement in sorted(tested - set(challenge.points)):
        yield f"{requirement} has hidden tests, but no points"


def _unsafe(node: ast.AST, path: Path, challenge: Challenge) -> Iterator[str]:
    modules = {Path(name).stem for name in challenge.submit}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        if modules & set(names):
            yield f"{path.name}:{node.lineno}: a hidden test never imports the submission"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "equals":
        yield f"{path.name}:{node.lineno}: `.equals()` of a submission's object judges itself; fetch data, compare here"
    if isinstance(node, ast.Assert) and node.msg is None and not _in_props(path):
        yield f"{path.name}:{node.lineno}: an assert without a sentence for the candidate"
    if isinstance(node, ast.Attribute) and node.attr in ("skip", "xfail", "skipif"):
        yield f"{path.name}:{node.lineno}: a hidden test is never skipped"


def _in_props(path: Path) -> bool:
    return path.name == "props.py"


def _requirements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("requirement"):
            yield from (str(argument.value) for argument in decorator.args if isinstance(argument, ast.Constant))


# --- the public tests


def _public(challenge: Challenge) -> Iterator[str]:
    """The public tests fail on the stub and pass on the reference, with plain pytest and nothing of the kit."""
    for name, folder, wanted in (("stub", challenge.folder, 1), ("reference", challenge.solution, 0)):
        with tempfile.TemporaryDirectory(prefix="rounds-") as place:
            for file in challenge.submit:
                if (folder / file).is_file():
                    shutil.copy(folder / file, place)
            for test in challenge.folder.glob("test_*.py"):
                shutil.copy(test, place)
            code = _plain_pytest(Path(place))
        if code != wanted:
            yield f"the public tests end with {code} on the {name}, not {wanted}"


def _plain_pytest(folder: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:rounds", "-c", os.devnull]
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    try:
        done = subprocess.run(
            [*command, f"--rootdir={folder}", str(folder)],
            cwd=folder,
            env=variables,
            capture_output=True,
            timeout=PUBLIC_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode


# --- the hidden tests


def _judged(challenge: Challenge, seed: int, tell: Callable[[str], None], *, every: bool) -> Iterator[str]:
    suite = Suite.start(challenge, isolation=None, require=None, seed=seed)
    try:
        known = [answer for answer in answers(challenge) if every or not answer.fails]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            reports = pool.map(lambda answer: grade_one(_submission(answer, challenge), challenge, suite, seed), known)
            for done, (answer, report) in enumerate(zip(known, reports, strict=True), 1):
                tell(f"{challenge.slug}: seed {seed}: {done} of {len(known)}: {answer.name}, {report.seconds:.1f} s")
                yield from _compare(answer, report, seed)
                if answer.role == "reference":
                    yield from _too_slow(report, challenge, suite)
    finally:
        suite.close()


def _submission(answer: Answer, challenge: Challenge) -> Submission:
    return Submission(answer.name, challenge.slug, answer.files, challenge.solution)


def _compare(answer: Answer, report: Report, seed: int) -> Iterator[str]:
    for result in report.requirements:
        wanted = Verdict.UNMET if result.id in answer.fails else Verdict.MET
        if result.verdict is not wanted:
            seen = next((f": {one.test}: {one.seen}" for one in result.evidence if one.seen), "")
            yield f"{answer.name}: {result.id} is {result.verdict.value}, not {wanted.value} (seed {seed}){seen}"[:600]


def _too_slow(report: Report, challenge: Challenge, suite: Suite) -> Iterator[str]:
    for result in report.requirements:
        for seen in result.sightings:
            limit = suite.limits.get(seen.test, challenge.limits.seconds)
            if seen.seconds > SHARE_OF_LIMIT * limit:
                yield f"{result.id}: {seen.test}: the reference takes {seen.seconds:.1f} s of {limit:g} s"
