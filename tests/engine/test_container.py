"""The container rung for real: the image is built, and a submission is graded, limited and looked at in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rounds.bridge.failures import SandboxFailure, SubmissionOutOfMemory, SubmissionTimeout
from rounds.bridge.session import Session
from rounds.catalog import Catalog
from rounds.grader import grade
from rounds.isolation import climb
from rounds.isolation.zygote import Zygote
from rounds.report import IsolationRecord, Verdict
from rounds.submission import Submission

REPOSITORY = Path(__file__).parents[2]
IMAGE = "rounds-sandbox:test"
CODE = b"""
import os, socket, time
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served " + scope["path"].encode()})

def double(value): return 2 * value
def sleep(): time.sleep(60)
def connect(): socket.create_connection(("127.0.0.1", 80), 1)
def read(path): return Path(path).read_text()
def write(path): Path(path).write_text("x")
def interfaces(): return [name for _, name in socket.if_nameindex()]
def user(): return [os.getuid(), os.getgid()]

def hoard():
    held = []
    while True:
        held.append(bytearray(50 << 20))

def stay():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return len(list(Path.cwd().parent.iterdir()))
"""
TOML = """\
format = 1
title = "Double"
summary = "Double a number."
round = "screening"
level = "junior"
minutes = 5
topics = ["engine"]
submit = ["double.py"]
seconds = 5
memory_mb = 300
points = { R1 = 1, R2 = 2 }
"""
BRIEF = "# Double\n\n## R1. Numbers are doubled\n\n## R2. Texts are doubled\n"
HIDDEN = """\
from rounds.testing import requirement


@requirement("R1")
def test_numbers_are_doubled(submission):
    assert submission.double(21) == 42, "double(21) is not 42"


@requirement("R2")
def test_texts_are_doubled(submission):
    got = submission.double("ab")
    assert got == "abab", f"double('ab') returned {got!r}"
"""


def why_not() -> str:
    """Say why no container can be made here; empty if one can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "no Docker engine answers: docker/ci-engine.sh starts one"
    return "" if base() else "there is no Python base image: docker/ci-engine.sh makes one"


def base() -> str:
    """Return the Python base image to build on: the newest that is here."""
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "python"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    images = [name for name in found if name.endswith("-slim") and name.startswith("python:3.")]
    return max(images, key=lambda name: int(name.split(".")[1].split("-")[0]), default="")


REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    command = ["docker", "build", "-q", "-t", IMAGE, "--target", "sandbox", "--build-arg", f"BASE={base()}"]
    subprocess.run([*command, "-f", "docker/Dockerfile", "."], cwd=REPOSITORY, check=True, timeout=600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUNDS_SANDBOX_IMAGE", IMAGE)
        yield IMAGE


@pytest.fixture(scope="module")
def climbed(image: str) -> Iterator[tuple[Zygote, IsolationRecord]]:
    zygote, record = climb(["asyncio", "uvicorn"], want="container")
    yield zygote, record
    zygote.close()


class Loaded(Session):
    """A session with CODE in it."""

    def __init__(self, zygote: Zygote, seconds: float = 20.0, servers: int = 0) -> None:
        super().__init__(zygote, {"seconds": seconds, "memory_mb": 300}, servers)
        self.module = self.request("load", [{"code.py": CODE}, "code", {}], {})

    def get(self, name: str) -> object:
        return self.request("getattr", [self.module, name], {})

    def call(self, name: str, *arguments: object) -> object:
        return self.request("call", [self.get(name), *arguments], {})


@pytest.fixture
def session(climbed: tuple[Zygote, IsolationRecord]) -> Iterator[Loaded]:
    made = Loaded(climbed[0])
    yield made
    made.close()


def in_container(*command: str) -> str:
    """Run a command in a container of the image, as root."""
    run = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", command[0], IMAGE, *command[1:]]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_the_walls_are_said_as_they_are(climbed: tuple[Zygote, IsolationRecord]) -> None:
    record = climbed[1]
    assert (record.rung, record.why, record.fix) == ("container", record.why, "")
    assert "no network" in record.protects
    assert any("container engine" in sentence for sentence in record.exposes)


def test_a_submission_is_graded(image: str, tmp_path: Path) -> None:
    challenge, hidden = tmp_path / "challenges" / "double", tmp_path / "tests" / "hidden" / "double"
    for folder in (challenge, hidden):
        folder.mkdir(parents=True)
    (challenge / "challenge.toml").write_text(TOML)
    (challenge / "brief.md").write_text(BRIEF)
    (hidden / "test_hidden.py").write_text(HIDDEN)
    answers = {
        "right": b"def double(value):\n    return value + value\n",
        "wrong": b"def double(value):\n    return int(value) * 2\n",
    }
    submissions = [Submission(name, "double", {"double.py": code}, tmp_path) for name, code in answers.items()]
    right, wrong = grade(submissions, catalog=Catalog([tmp_path]), isolation="container", jobs=2)
    assert [result.verdict for result in right.requirements] == [Verdict.MET, Verdict.MET]
    assert [result.verdict for result in wrong.requirements] == [Verdict.MET, Verdict.UNMET]
    assert right.isolation.rung == "container"


def test_an_app_is_served(climbed: tuple[Zygote, IsolationRecord]) -> None:
    session = Loaded(climbed[0], servers=1)
    session.ask("serve_app", session.get("app"), 0)
    with httpx.Client(transport=httpx.HTTPTransport(uds=session.listeners[0]), base_url="http://app") as client:
        assert [client.get(f"/{number}").text for number in range(5)] == [f"served /{number}" for number in range(5)]
    session.close()


def test_large_values_cross(session: Loaded) -> None:
    large = os.urandom(5_000_000)
    assert session.call("double", large) == 2 * large


def test_memory_is_limited(session: Loaded) -> None:
    with pytest.raises((MemoryError, SubmissionOutOfMemory)):
        session.call("hoard")


def test_time_is_limited(climbed: tuple[Zygote, IsolationRecord]) -> None:
    session = Loaded(climbed[0], seconds=1.0)
    with pytest.raises(SubmissionTimeout, match="still running after 1 s"):
        session.call("sleep")
    session.close()


def test_there_is_no_network(session: Loaded) -> None:
    with pytest.raises(PermissionError):
        session.call("connect")
    assert in_container("ls", "/sys/class/net").split() == ["lo"]


def test_the_user_has_no_rights_and_nothing_outside_its_folder_is_written(session: Loaded) -> None:
    assert session.call("user") == [65534, 65534]
    for path in ("/opt/venv/x", "/rounds/inside/x", "/etc/x", "/tmp/x", "/dev/shm/x"):
        with pytest.raises(OSError, match=r"denied|Read-only|No such file"):
            session.call("write", path)


def test_other_processes_are_out_of_sight(session: Loaded) -> None:
    for path in ("/proc/1/cmdline", "/proc/1/environ", "/proc/self/mountinfo"):
        with pytest.raises(PermissionError):
            session.call("read", path)


def test_nothing_of_the_kit_is_in_the_image(image: str) -> None:
    kept = [path for path in in_container("find", "/", "-xdev", "-name", "*.py").split() if "rounds" in path]
    assert {str(Path(path).parent) for path in kept} == {"/rounds/inside"}
    names = ("test_hidden.py", "challenge.toml", "brief.md", "solutions", "challenges", "hidden")
    pattern = [word for name in names for word in ("-o", "-name", name)][1:]
    found = in_container("find", "/", "-xdev", "-not", "-path", "/proc/*", "(", *pattern, ")")
    assert found == ""


def test_what_a_submission_leaves_behind_is_gone_before_the_next(climbed: tuple[Zygote, IsolationRecord]) -> None:
    for _ in range(3):
        session = Loaded(climbed[0])
        session.call("stay")
        session.close()
    session = Loaded(climbed[0])
    processes = subprocess.run(["docker", "top", newest()], capture_output=True, text=True, check=True).stdout
    session.close()
    # the heading, the end of the relay, the zygote, the child, and the one that removes the folder of the child before
    assert len(processes.splitlines()) <= 1 + 4, processes


def newest() -> str:
    command = ["docker", "ps", "-q", "--filter", f"ancestor={IMAGE}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


def test_a_container_that_is_removed_ends_the_test_and_not_the_judge(image: str) -> None:
    zygote, _ = climb([], want="container")
    session = Loaded(zygote)
    subprocess.run(["docker", "kill", newest()], capture_output=True, check=True)
    with pytest.raises(SandboxFailure):
        session.call("sleep")
    session.close()
    zygote.close()
