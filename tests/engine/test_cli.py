"""The command line: exit codes, one-line errors, and an engine that is only loaded when it is needed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from samples import ALL_MET, ISOLATION, NOT_JUDGED, REPORT, write_challenge, write_kit

from rounds import catalog
from rounds.cli import run
from rounds.errors import IsolationUnavailable
from rounds.report import IsolationRecord, Report
from rounds.submission import Submission


@dataclass(frozen=True)
class Finding:
    slug: str
    problem: str


class Judge:
    """Stands in for the engine: gives prepared reports in turn and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Report | BaseException] = [REPORT]
        self.findings: list[Finding] = []
        self.asked: dict[str, Any] = {}

    def grade(self, submissions: Sequence[Submission], **options: Any) -> Iterator[Report]:
        self.asked = {"submissions": list(submissions), **options}
        for answer in self.answers:
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    def verify(self, challenges: Sequence[Any], **options: Any) -> list[Finding]:
        self.asked = {"challenges": [challenge.slug for challenge in challenges], **options}
        options["tell"]("drift_alarm …")
        return self.findings

    def choose(self, want: str | None, require: str | None) -> IsolationRecord:
        if require in ("A", "B"):
            raise IsolationUnavailable(f"isolation {require} is not to be had here.", hint="Install bubblewrap.")
        return replace(ISOLATION, rung="C", exposes=("a process may be left behind",), why="no user namespaces")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_kit(tmp_path / "kit")
    monkeypatch.setattr(catalog, "kit_roots", lambda: (tmp_path / "kit",))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("drift_alarm.py").write_text("x = 1\n")
    return tmp_path / "kit"


@pytest.fixture
def judge(kit: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    fake = Judge()
    for name in ("grade", "verify", "choose"):
        module = ModuleType("fake")
        setattr(module, name, getattr(fake, name))
        home = {"grade": "grader", "verify": "verify", "choose": "isolation"}[name]
        monkeypatch.setitem(sys.modules, f"rounds.{home}", module)
    return fake


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("answer", "code"),
    [(ALL_MET, 0), (REPORT, 1), (NOT_JUDGED, 3)],
)
def test_the_exit_code_is_the_verdict(judge: Judge, answer: Report, code: int) -> None:
    judge.answers = [answer]
    assert run(["grade", "drift_alarm.py"]) == code


def test_grade_shows_the_report_and_the_isolation(judge: Judge, capsys: Capture) -> None:
    run(["grade", "drift_alarm.py"])
    out, err = capsys.readouterr()
    assert out.startswith("Drift alarm: 5 of 10 points\n  ✓ R2  A shifted feature")
    assert out.endswith("\nIsolation: A (nothing outside its own folder is in reach)\n")
    assert err == ""


def test_grade_hands_its_options_to_the_engine(judge: Judge) -> None:
    options = ["--isolation", "container", "--require-isolation", "B", "--seed", "7", "--jobs", "2"]
    run(["grade", "drift_alarm.py", *options])
    (submission,) = judge.asked["submissions"]
    assert (submission.name, submission.slug) == ("drift_alarm.py", "drift_alarm")
    assert (judge.asked["isolation"], judge.asked["require"]) == ("container", "B")
    assert (judge.asked["seed"], judge.asked["jobs"]) == (7, 2)
    assert judge.asked["catalog"].slugs == ("drift_alarm", "model_api", "serving_image")


def test_the_challenge_can_be_forced(judge: Judge) -> None:
    Path("alice.py").write_text("x = 1\n")
    run(["grade", "alice.py", "-c", "model_api"])
    assert judge.asked["submissions"][0].slug == "model_api"


def test_several_submissions_are_named_and_the_isolation_is_told_once(judge: Judge, capsys: Capture) -> None:
    Path("model_api.py").write_text("x = 1\n")
    judge.answers = [ALL_MET, REPORT]
    assert run(["grade", "."]) == 1
    out = capsys.readouterr().out
    assert out.count("(answers/drift_alarm.py): 5 of") == 2
    assert out.count("Isolation:") == 1


def test_a_refused_submission_is_told_and_the_run_is_no_success(judge: Judge, capsys: Capture) -> None:
    for name in ("alice", "bob", "mallory"):
        Path("all", name).mkdir(parents=True)
    Path("all/alice/drift_alarm.py").write_text("x = 1\n")
    Path("all/mallory/drift_alarm.py").symlink_to("/etc/passwd")
    judge.answers = [ALL_MET]
    assert run(["grade", "all"]) == 2
    assert capsys.readouterr().err == (
        "Error: all/mallory/drift_alarm.py: is a link; hand in what it points to.\nNote: nothing to grade in all/bob\n"
    )


def test_every_file_that_was_asked_for_is_written(judge: Judge) -> None:
    run(["grade", "drift_alarm.py", "--json", "r.json", "--junit", "r.xml", "--gradescope", "results.json"])
    assert json.loads(Path("r.json").read_text())["reports"][0]["points"] == 5
    assert "<testsuites" in Path("r.xml").read_text()
    assert json.loads(Path("results.json").read_text())["score"] == 5


def test_json_on_standard_output_stands_alone(judge: Judge, capsys: Capture) -> None:
    run(["grade", "drift_alarm.py", "--json", "-"])
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == 1
    assert err.startswith("Drift alarm: 5 of 10 points\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["grade", "nope.py"], "Error: there is no file or folder nope.py."),
        (["grade", "drift_alram.py"], "Did you mean drift_alarm.py?"),
        (["grade", ""], "Error: a path is empty."),
        (["grade", "drift_alarm.py", "-c", "drift_alram"], "Did you mean drift_alarm?"),
        (["grade", "drift_alarm.py", "--json", "no/such/r.json"], "Error: no/such/r.json: cannot be written."),
        (["grade", "drift_alarm.py", "--json", "x", "--junit", "x"], "two reports cannot go to the same file"),
        (["grade", "drift_alarm.py", "drift_alarm.py", "--gradescope", "r.json"], "for one submission, not 2"),
        (["grade", "evil\n\x1b[2J.py"], "Error: there is no file or folder evil .py."),
        (["hint", "drift_alram", "R1"], "Did you mean drift_alarm?"),
        (["hint", "drift_alarm", "r1"], "Did you mean R1?"),
        (["verify", "nope"], "Error: there is no challenge 'nope'."),
    ],
)
def test_bad_input_is_one_line_with_a_next_step(judge: Judge, capsys: Capture, arguments: list[str], says: str) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert (out, err.count("\n")) == ("", 1)
    assert judge.asked == {}


@pytest.mark.parametrize("arguments", [["grade"], ["nope"], ["grade", "x", "--seed", "many"], ["grade", "--nope"]])
def test_wrong_usage_exits_with_2(judge: Judge, capsys: Capture, arguments: list[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_isolation_that_is_not_available_exits_with_4(judge: Judge, capsys: Capture) -> None:
    judge.answers = [IsolationUnavailable("isolation A is not to be had here.", hint="Install bubblewrap.")]
    assert run(["grade", "drift_alarm.py", "--require-isolation", "A"]) == 4
    assert capsys.readouterr().err == "Error: isolation A is not to be had here. Install bubblewrap.\n"


def test_an_interrupt_exits_with_130(judge: Judge) -> None:
    judge.answers = [KeyboardInterrupt()]
    assert run(["grade", "drift_alarm.py"]) == 130


def test_a_failure_of_ours_is_not_judged_and_shows_no_traceback(judge: Judge, capsys: Capture) -> None:
    judge.answers = [REPORT, ValueError("two\nlines")]
    assert run(["grade", "drift_alarm.py", "--json", "r.json"]) == 3
    assert capsys.readouterr().err == (
        "Error: internal error (ValueError: two lines), not judged. ROUNDS_DEBUG=1 shows the traceback.\n"
    )
    assert not Path("r.json").exists()


def test_rounds_debug_shows_the_traceback(judge: Judge, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUNDS_DEBUG", "1")
    judge.answers = [ValueError("x")]
    assert run(["grade", "drift_alarm.py"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("stray", [SystemExit(0), pytest.skip.Exception("x"), RecursionError(), GeneratorExit()])
def test_nothing_that_escapes_the_engine_ends_in_success(judge: Judge, stray: BaseException) -> None:
    judge.answers = [ALL_MET, stray]
    assert run(["grade", "drift_alarm.py"]) == 3


@pytest.mark.parametrize("answers", [[], [ALL_MET, ALL_MET]])
def test_a_report_too_few_or_too_many_is_not_judged(judge: Judge, answers: list[Report]) -> None:
    judge.answers = list(answers)
    assert run(["grade", "drift_alarm.py"]) == 3


def test_list_is_a_table(kit: Path, capsys: Capture) -> None:
    assert run(["list"]) == 0
    assert capsys.readouterr().out == (
        "drift_alarm    40 min  mid  deep technical  Drift alarm\n"
        "model_api      40 min  mid  deep technical  Drift alarm\n"
        "serving_image  40 min  mid  deep technical  Serving image\n"
    )


def test_list_as_json_is_for_programs(kit: Path, capsys: Capture) -> None:
    assert run(["list", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["slug"], first["points"], first["tiers"]["senior"]) == ("drift_alarm", {"R1": 2, "R2": 3}, ["R2"])


def test_list_shows_the_sound_challenges_and_names_a_broken_one(kit: Path, capsys: Capture) -> None:
    write_challenge(kit, "broken", "format = 1\n")
    assert run(["list"]) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "broken/challenge.toml: title is missing" in err


def test_hints_come_one_at_a_time(kit: Path, capsys: Capture) -> None:
    assert run(["hint", "drift_alarm", "R1"]) == 0
    assert capsys.readouterr().out == (
        "R1  A shifted feature scores above `0.2`\n"
        "What does a bin count?\n"
        "Still stuck? rounds hint drift_alarm R1 -n 2\n"
    )
    assert run(["hint", "drift_alarm", "R1", "-n", "3"]) == 0
    assert capsys.readouterr().out.endswith("Open the outer edges.\n")


def test_verify_looks_at_every_challenge_with_three_seeds(judge: Judge, capsys: Capture) -> None:
    assert run(["verify"]) == 0
    assert judge.asked["challenges"] == ["drift_alarm", "model_api", "serving_image"]
    assert judge.asked["seeds"] == (0, 1, 2)
    assert capsys.readouterr() == ("3 challenges hold what they promise.\n", "drift_alarm …\n")


def test_verify_lists_what_it_found(judge: Judge, capsys: Capture) -> None:
    judge.findings = [Finding("drift_alarm", "wrong/edges.py also fails R4")]
    assert run(["verify", "drift_alarm", "--quick"]) == 1
    assert judge.asked["seeds"] == (0,)
    assert capsys.readouterr().out == "drift_alarm: wrong/edges.py also fails R4\n"


def test_doctor_says_which_isolation_and_why(judge: Judge, capsys: Capture) -> None:
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Isolation: C (nothing outside its own folder is in reach)",
        "  protects:  files",
        "  exposes:   a process may be left behind",
        "  why:       no user namespaces",
    ]


def test_doctor_fails_where_the_demanded_isolation_is_missing(judge: Judge) -> None:
    assert run(["doctor", "--require-isolation", "B"]) == 4


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["grade", "/nope"]])
def test_nothing_heavy_is_loaded_before_it_is_needed(arguments: list[str]) -> None:
    script = (
        f"import sys; from rounds.cli import run; run({arguments!r});"
        "print(sorted({'pytest', 'numpy', 'pandas', 'rich', 'asyncio', 'httpx'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["list", "grade", "hint", "verify", "doctor"])
def test_every_command_has_an_example_in_its_help(capsys: Capture, command: str) -> None:
    assert run([command, "--help"]) == 0
    assert f"\n  rounds {command}" in capsys.readouterr().out


def test_the_version_is_told(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rounds, version ")


def test_a_closed_pipe_ends_quietly(kit: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    command = f"{sys.executable} -c 'from rounds.cli import main; main()' list | true"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_an_ascii_terminal_gets_a_report_too(judge: Judge) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from rounds.render.terminal import show, terminal; from samples import REPORT;"
        "import rounds.cli as c; c.run(['--version']); show(REPORT, terminal(sys.stdout))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONIOENCODING": "ascii"})
    assert "  + R2  A shifted" in ended.stdout
