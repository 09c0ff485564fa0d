"""A warm suite: a fork that holds the hidden tests and forks again for each submission."""

import concurrent.futures
import os

import pytest
from samples import HIDDEN, RIGHT, write_judged_kit

from rounds import suite as suite_module
from rounds.errors import IsolationUnavailable, JudgeFailure
from rounds.report import Verdict
from rounds.suite import Suite

DYING = """\
import os

from rounds.testing import requirement


@requirement("R1")
def test_before(submission):
    assert submission.double(1) == 2


@requirement("R2")
def test_that_ends_the_judge(submission):
    os._exit(5)
"""


@pytest.fixture
def started(tmp_path):
    """Start a suite on hidden tests: `started(HIDDEN, require="A")`."""
    made = []

    def started(hidden=HIDDEN, *, isolation=None, require=None, seed=0, **kit):
        challenge = write_judged_kit(tmp_path, hidden, **kit).challenge("doubling")
        made.append(Suite.start(challenge, isolation=isolation, require=require, seed=seed))
        return made[-1]

    yield started
    for suite in made:
        suite.close()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """One suite for all tests that only judge with it."""
    challenge = write_judged_kit(tmp_path_factory.mktemp("kit")).challenge("doubling")
    suite = Suite.start(challenge, isolation=None, require=None, seed=0)
    yield suite
    suite.close()


def files(source):
    return {"doubling.py": source.encode()}


def verdicts(judged):
    return {name: [one.verdict for one in seen] for name, seen in judged.sightings.items()}


def test_a_suite_says_what_it_holds_and_how_it_is_isolated(warm):
    warm.wait_until_ready()
    warm.wait_until_ready()
    assert warm.tests == {"R1": 2, "R2": 1}
    assert warm.isolation.rung in "ABCDE"
    assert warm.isolation.protects


def test_submissions_are_judged_one_after_the_other_without_a_trace(warm):
    right = warm.judge(files(RIGHT))
    wrong = warm.judge(files("def double(number):\n    return number"))
    again = warm.judge(files(RIGHT))
    met = {"R1": [Verdict.MET] * 2, "R2": [Verdict.MET]}
    assert verdicts(right) == verdicts(again) == met
    assert verdicts(wrong) == {"R1": [Verdict.UNMET] * 2, "R2": [Verdict.UNMET]}
    assert [one.seen for one in wrong.sightings["R1"]] == ["double(1) returned 1", "double(21) returned 21"]
    assert (right.problem, right.failure) == (None, None)


def test_submissions_are_judged_side_by_side(started):
    suite = started()
    sources = [f"def double(number):\n    return {number}" for number in range(6)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda source: suite.judge(files(source)), sources))
    assert [judged.sightings["R1"][0].seen for judged in found] == [
        "" if number == 2 else f"double(1) returned {number}" for number in range(6)
    ]


def test_a_file_that_cannot_be_imported_is_the_problem_of_the_whole(warm):
    judged = warm.judge(files("import no_such_library"))
    assert "doubling.py could not be imported" in judged.problem
    assert verdicts(judged) == {"R1": [Verdict.UNMET] * 2, "R2": [Verdict.UNMET]}


def test_an_import_that_hangs_costs_less_and_less(started):
    hidden = HIDDEN.replace("[1, 21]", "range(20)")
    suite = started(hidden, seconds=2)
    judged = suite.judge(files("while True:\n    pass"))
    slow = [one for one in judged.sightings["R1"] if one.seconds >= 2]
    assert 1 <= len(slow) < 5
    assert {one.verdict for seen in judged.sightings.values() for one in seen} == {Verdict.UNMET}
    assert "could not be imported" in judged.problem


def test_output_and_the_candidates_line_are_told(warm):
    judged = warm.judge(files("def double(number):\n    print('seen', number)\n    return 1 / 0"))
    first = judged.sightings["R1"][0]
    assert first.where == "doubling.py:3:  return 1 / 0"
    assert first.output == "seen 1\n"
    assert first.test == "a number is doubled (1)"
    assert first.seconds > 0


def test_the_seed_reaches_the_tests(started):
    hidden = HIDDEN + '\n\n@requirement("R1")\ndef test_seed(submission, seed):\n    assert False, f"seed {seed}"\n'
    judged = started(hidden, seed=41).judge(files(RIGHT))
    assert "seed 41" in [one.seen for one in judged.sightings["R1"]]


def test_evidence_from_props_is_marked(started):
    hidden = HIDDEN + '\n\n@requirement("R2")\ndef test_props(submission, props):\n    assert props.told() == 5\n'
    judged = started(hidden, props="def told():\n    return 5\n").judge(files(RIGHT))
    assert [one.inside for one in judged.sightings["R2"]] == [False, True]


def test_a_judging_process_that_dies_leaves_what_it_saw_and_a_failure(started):
    suite = started(DYING)
    judged = suite.judge(files(RIGHT))
    assert verdicts(judged) == {"R1": [Verdict.MET]}
    assert judged.failure == "the judging process ended before it was done"
    assert verdicts(suite.judge(files(RIGHT))) == {"R1": [Verdict.MET]}


def test_a_judging_process_that_falls_silent_is_ended(started, monkeypatch):
    monkeypatch.setattr(suite_module, "SILENCE_SECONDS", 1.0)
    judged = started(DYING.replace("os._exit(5)", "__import__('threading').Event().wait(60)")).judge(files(RIGHT))
    assert "said nothing for 1 s" in judged.failure


def test_a_suite_that_cannot_be_collected_is_a_failure_of_the_judge(started):
    with pytest.raises(JudgeFailure, match=r"doubling could not be collected: test_hidden\.py: "):
        started("import no_such_library\n").wait_until_ready()


@pytest.mark.parametrize("hidden", ["def test_x(:\n", "NOTHING = 1\n"])
def test_a_suite_without_a_test_is_a_failure_of_the_judge(started, hidden):
    with pytest.raises(JudgeFailure, match=r"could not be (collected|loaded)"):
        started(hidden).judge(files(RIGHT))


def test_a_suite_whose_process_ends_is_a_failure_of_the_judge(started):
    with pytest.raises(JudgeFailure, match="their process ended"):
        started("import os\nos._exit(3)\n").wait_until_ready()


def test_an_unknown_rung_is_told(started):
    with pytest.raises(JudgeFailure, match="no isolation rung 'Z'"):
        started(isolation="Z").wait_until_ready()


def test_isolation_that_is_not_to_be_had_is_told(started, monkeypatch):
    monkeypatch.setattr("rounds.isolation.wall.bubblewraps", list)
    with pytest.raises(IsolationUnavailable, match="isolation A is not to be had here") as caught:
        started(require="A").wait_until_ready()
    assert "install bubblewrap" in caught.value.hint


def test_a_closed_suite_leaves_no_process(started):
    suite = started()
    suite.judge(files(RIGHT))
    suite.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(suite._pid, os.WNOHANG)


def test_everyone_who_waits_is_told_the_same(started):
    suite = started("import no_such_library\n")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        told = [pool.submit(suite.wait_until_ready) for _ in range(3)]
        assert len({str(future.exception()) for future in told}) == 1


def test_a_conftest_above_the_hidden_tests_is_not_run(started, tmp_path):
    for folder in (tmp_path, tmp_path / "tests"):
        folder.mkdir(exist_ok=True)
        (folder / "conftest.py").write_text("raise RuntimeError('not part of the suite')\n")
    assert verdicts(started().judge(files(RIGHT)))["R2"] == [Verdict.MET]


def test_whoever_asks_only_whether_something_is_unmet_need_not_wait_for_all(warm):
    wrong = files("def double(number):\n    return 0\n")
    everything = warm.judge(wrong)
    hurried = warm.judge(wrong, stop_at_unmet=True)
    assert sum(map(len, verdicts(hurried).values())) < sum(map(len, verdicts(everything).values()))
    assert Verdict.UNMET in {one for seen in verdicts(hurried).values() for one in seen}
    assert verdicts(warm.judge(files(RIGHT), stop_at_unmet=True)) == verdicts(warm.judge(files(RIGHT)))
