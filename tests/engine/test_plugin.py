"""The plugin on a plain pytest command line, in a process of its own, on a small kit."""

import os
import subprocess
import sys

import pytest
from samples import HIDDEN, RIGHT, handed_in, write_judged_kit

from rounds.plugin import pytest_assertrepr_compare, sentence

ASYNC = """\
import asyncio
import time

import pytest

from rounds.testing import requirement


@requirement("R1")
@pytest.mark.event_loop("virtual")
async def test_an_hour_passes(submission):
    started = time.monotonic()
    assert await submission.wait(3600) == 3600
    assert time.monotonic() - started < 60


@requirement("R1")
async def test_a_moment_passes(submission):
    assert await submission.wait(0.01) == 0.01


@requirement("R2")
@pytest.mark.limits(seconds=1)
def test_it_ends_in_time(submission):
    submission.spin()


@requirement("R2")
@pytest.mark.limits(seconds=20, memory_mb=64)
def test_it_is_small(submission):
    assert submission.take(500) == 500


@requirement("R2")
def test_two_processes_differ(sandbox):
    first, second = (sandbox(hash_seed=seed, environ={"SEED": str(seed)}) for seed in (0, 1))
    assert (first.submission.SEED, second.submission.SEED) == ("0", "1")
    assert first.submission.order() != second.submission.order()


@requirement("R1")
def test_a_folder_is_shared(submission, scratch, serve, props):
    scratch.write("a.txt", "text")
    assert submission.read(scratch.path + "/a.txt") == "text"
    assert props.NUMBER == 3
    assert serve(submission.app).get("/").text == "hello"
"""
WAITING = """\
import asyncio
import os

SEED = os.environ.get("SEED")


async def wait(seconds):
    await asyncio.sleep(seconds)
    return seconds


def spin():
    while True:
        pass


def take(mb):
    return len(bytearray(mb << 20)) >> 20


def order():
    return list({str(number) for number in range(50)})


def read(path):
    with open(path) as file:
        return file.read()


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture
def judged(tmp_path):
    """Run pytest on hidden tests against a submission; give its output and the outcome of each test."""

    def judged(source, *options, hidden=HIDDEN, props=None, environ=None):
        write_judged_kit(tmp_path, hidden, props=props)
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(tmp_path / "tests" / "hidden" / "doubling"),
            "-rA",
            "-p",
            "no:cacheprovider",
        ]
        command += ["--submission", str(handed_in(tmp_path, source)), *options]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        done = subprocess.run(
            command, cwd=tmp_path, env={**plain, **(environ or {})}, capture_output=True, text=True, timeout=300
        )
        outcomes = {}
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR") and "::" in rest:
                outcomes[rest.split("::")[1].split(" - ")[0].strip()] = word
        return outcomes, done.stdout + done.stderr

    return judged


@pytest.mark.parametrize("options", [(), ("--isolation", "none")], ids=["sandboxed", "in this process"])
def test_a_right_answer_passes_and_a_wrong_one_fails(judged, options):
    outcomes, text = judged(RIGHT.replace("2 * number", "2 * (number % 10)"), *options)
    assert outcomes == {
        "test_a_number_is_doubled[1]": "PASSED",
        "test_a_number_is_doubled[21]": "FAILED",
        "test_a_text_is_refused": "PASSED",
    }
    assert "double(21) returned 2" in text


def test_coroutines_limits_and_fixtures(judged):
    outcomes, text = judged(WAITING, hidden=ASYNC, props="NUMBER = 3\n")
    assert outcomes == {
        "test_an_hour_passes": "PASSED",
        "test_a_moment_passes": "PASSED",
        "test_it_ends_in_time": "FAILED",
        "test_it_is_small": "FAILED",
        "test_two_processes_differ": "PASSED",
        "test_a_folder_is_shared": "PASSED",
    }
    assert "after 1 s, the limit of this test" in text or "within 1 s, the limit of this test" in text
    assert "MemoryError" in text


def test_a_suite_may_read_the_files_and_load_nothing(judged):
    hidden = """\
from rounds.testing import requirement


@requirement("R1")
def test_the_text_is_handed_over(files):
    assert files == {"doubling.py": b"this is no Python"}
"""
    outcomes, text = judged("this is no Python", hidden=hidden)
    assert outcomes == {"test_the_text_is_handed_over": "PASSED"}, text


def test_an_isolated_submission_does_not_see_the_judge(judged):
    source = (
        "import sys\n\ndef double(number):\n    return [name for name in ('pytest', 'rounds') if name in sys.modules]"
    )
    _, text = judged(source)
    assert "double(1) returned []" in text


def test_isolation_that_is_not_to_be_had_is_refused(judged):
    outcomes, text = judged(RIGHT, "--isolation", "E", "--require-isolation", "A")
    assert set(outcomes.values()) == {"ERROR"}
    assert "isolation A is not to be had" in text


def test_the_plugin_keeps_out_of_other_test_runs(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_plain(tmp_path):\n    assert tmp_path\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_name_of_a_test_reads_as_a_sentence():
    assert sentence("test_a_number_is_doubled") == "a number is doubled"
    assert sentence("test_a_number_is_doubled[1-x y]") == "a number is doubled (1-x y)"


def test_huge_values_are_not_compared_in_full():
    found = pytest_assertrepr_compare(None, "==", "x" * 100_000, "y" * 100_000)
    assert len("".join(found)) < 1000
    assert pytest_assertrepr_compare(None, "==", [1] * 10, [2] * 10) is None
    assert pytest_assertrepr_compare(None, "==", 5, None) is None
