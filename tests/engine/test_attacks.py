"""Hostile submissions against the sandbox: none earns a point that it should not, harms the judge, or leaves a thing.

Each file in `attacks/` is a submission to the challenge of `attacks/kit`. Its first line says what it does and what
must come of it: `Expect: met.`, or `Expect: unmet R1 R4, "part of what the candidate is told".` (`all` names every
requirement). What an attack does not define itself is answered by the reference, and must be met.
"""

import concurrent.futures
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from rounds.catalog import Catalog
from rounds.errors import BadInput, IsolationUnavailable
from rounds.grader import grade, grade_one
from rounds.report import Verdict
from rounds.submission import Submission, gather
from rounds.suite import Suite

ATTACKS = Path(__file__).with_name("attacks")
KIT = ATTACKS / "kit"
FILES = sorted(path for path in ATTACKS.glob("*.py") if path.name != "conftest.py")
MARK = "rounds-attack"  # part of the name of all that an attack tries to leave behind
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue", "/")
SECRET = "a variable of the judge's"
FALL_BACK = b"\n\ndef __getattr__(name):\n    import honest\n\n    return getattr(honest, name)\n"
EXPECTED = re.compile(r'Expect: (?:met|unmet (?P<missed>all|R\d+(?: R\d+)*)(?:, "(?P<told>[^"]+)")?)\.')
pytestmark = pytest.mark.slow
LONGEST = 40.0  # seconds for all tests of one attack, on a busy machine


def submission(name, source):
    solution = KIT / "solutions" / "echo"
    files = {
        "echo.py": source,
        "honest.py": (solution / "echo.py").read_bytes(),
        "forge.py": (solution / "forge.py").read_bytes(),
    }
    return Submission(name, "echo", files, ATTACKS)


HONEST = submission("honest", (KIT / "solutions" / "echo" / "echo.py").read_bytes())


class Arena:
    """One warm suite for all attacks, and a look at what is left around it."""

    def __init__(self, folder):
        self.folder = folder
        self.challenge = Catalog([KIT]).challenge("echo")
        self.suite = Suite.start(self.challenge, isolation=None, require="A", seed=os.getpid())
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.grade(HONEST)  # all zygotes are up afterwards
        self.before = self.traces()

    def grade(self, submission):
        return grade_one(submission, self.challenge, self.suite)

    def grade_beside_honest(self, submission):
        both = [self.pool.submit(self.grade, one) for one in (submission, HONEST)]
        return [future.result() for future in both]

    def traces(self):
        """Return processes below the suite, sockets and files of it, and everything that bears an attack's mark."""
        marked = {f"{place}/{name}" for place in PLACES for name in names(place) if MARK in name}
        return descendants(self.suite._pid), {str(path) for path in self.folder.rglob("*")}, marked

    def left_over(self):
        """Return what was not there before and does not go away."""
        for _ in range(50):
            found = [now - before for now, before in zip(self.traces(), self.before, strict=True)]
            if not any(found):
                break
            time.sleep(0.1)
        return found

    def close(self):
        self.pool.shutdown()
        self.suite.close()


def names(folder):
    try:
        return [path.name for path in Path(folder).iterdir()]
    except OSError:
        return []


def descendants(root):
    parents = {}
    for name in filter(str.isdigit, names("/proc")):
        try:
            parents[int(name)] = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, waiting = set(), [root]
    while waiting:
        pid = waiting.pop()
        below = {child for child, parent in parents.items() if parent == pid}
        found |= below
        waiting += below
    return found


@pytest.fixture(scope="module")
def arena():
    folder = Path(tempfile.mkdtemp(prefix="rounds-arena-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("ECHO_SECRET", SECRET)
        try:
            made = Arena(folder)
        except IsolationUnavailable as error:
            pytest.skip(str(error))
    yield made
    made.close()
    remaining = list(folder.iterdir())
    shutil.rmtree(folder)
    assert not remaining


def unmet(report):
    """Map each requirement that was not met to what was seen."""
    missed = (requirement for requirement in report.requirements if requirement.verdict is not Verdict.MET)
    return {one.id: f"{one.verdict.value}: " + " / ".join(seen.seen for seen in one.evidence) for one in missed}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_attack_gains_nothing_and_leaves_nothing(arena, path):
    source = path.read_bytes()
    expected = EXPECTED.search(source.decode().split("\n\n")[0])
    assert expected, f"{path.name} does not say what must come of it"
    report, beside = arena.grade_beside_honest(submission(path.stem, source + FALL_BACK))
    after = arena.grade(HONEST)
    seen = unmet(report)
    missed = (expected["missed"] or "").split()
    assert sorted(seen) == sorted(arena.challenge.points if missed == ["all"] else missed), seen
    assert all(told.startswith("unmet: ") for told in seen.values()), seen
    assert not expected["told"] or any(expected["told"] in told for told in seen.values()), seen
    assert report.seconds < LONGEST
    assert not unmet(beside), "an honest submission suffered beside it"
    assert not unmet(after), "an honest submission suffered after it"
    assert not any(arena.left_over()), arena.left_over()


def test_there_are_many_attacks():
    assert len(FILES) >= 45


def test_a_folder_full_of_traps_is_judged_by_its_submission_alone(tmp_path):
    for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "numpy.py", "msgpack.py", "pytest.py"):
        (tmp_path / name).write_text("raise SystemExit('loaded by the judge')")
    (tmp_path / "rounds_inside").mkdir()
    (tmp_path / "rounds_inside" / "__init__.py").write_text("raise SystemExit('loaded by the judge')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--collect-only'\n")
    (tmp_path / "deep").symlink_to("/")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "echo.py").write_bytes(HONEST.files["echo.py"])
    catalog = Catalog([KIT])
    (found,) = gather([tmp_path], catalog).submissions
    assert list(found.files) == ["echo.py"]
    (report,) = grade([found], catalog=catalog, require="A")
    assert not unmet(report)


@pytest.mark.parametrize("kind", ["link", "pipe", "device", "sparse"])
def test_a_trap_in_place_of_the_submission_is_refused(tmp_path, kind):
    trap = tmp_path / "echo.py"
    if kind == "link":
        trap.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(trap)
    elif kind == "device":
        trap.symlink_to("/dev/zero")
    else:
        with trap.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(BadInput):
        gather([tmp_path], Catalog([KIT]))
