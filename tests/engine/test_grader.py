"""Grading from end to end on a small kit: verdicts, points, problems, and what is not judged."""

import os

import pytest
from samples import HIDDEN, RIGHT, handed_in, write_judged_kit

from rounds.errors import JudgeFailure
from rounds.grader import NOT_TESTED, grade, suite_hash
from rounds.report import Verdict, exit_code
from rounds.submission import gather
from rounds.suite import Suite

DYING = HIDDEN.replace(
    '    with pytest.raises(TypeError):\n        submission.double("a")', "    __import__('os')._exit(5)"
)


def graded(root, catalog, *sources, **options):
    """Grade sources and return their reports."""
    paths = [handed_in(root, source, f"candidate_{position}") for position, source in enumerate(sources)]
    return list(grade(gather(paths, catalog).submissions, catalog=catalog, **options))


def test_requirements_are_met_and_unmet(tmp_path):
    catalog = write_judged_kit(tmp_path)
    right, half, none = graded(tmp_path, catalog, RIGHT, "def double(number):\n    return 2 * number", "")
    assert (right.points, right.out_of, right.verdict) == (5, 5, Verdict.MET)
    assert [one.verdict for one in half.requirements] == [Verdict.MET, Verdict.UNMET]
    assert half.points == 2
    assert half.requirements[1].evidence[0].seen == "no error was raised where `TypeError` is promised"
    assert none.points == 0
    assert none.requirements[0].evidence[0].seen == "your file has no `double`"
    assert exit_code([right, half, none]) == 1


def test_a_report_says_what_was_judged_and_how(tmp_path):
    catalog = write_judged_kit(tmp_path)
    (report,) = graded(tmp_path, catalog, RIGHT, seed=7)
    assert (report.challenge, report.title, report.challenge_version, report.seed) == ("doubling", "Doubling", 1, 7)
    assert report.files.keys() == {"doubling.py"}
    assert [one.promise for one in report.requirements] == ["Promise R1", "Promise R2"]
    assert report.isolation.rung in "ABCDE"
    assert report.started.endswith("+00:00")
    assert report.seconds > 0
    assert report.suite_hash == suite_hash(catalog.challenge("doubling"))
    assert report.problem is None


def test_a_requirement_without_a_test_is_not_judged(tmp_path):
    catalog = write_judged_kit(tmp_path, points="R1 = 2, R2 = 3, R3 = 5")
    (report,) = graded(tmp_path, catalog, RIGHT)
    untested = report.requirements[2]
    assert (untested.verdict, untested.earned) == (Verdict.NOT_JUDGED, 0)
    assert untested.evidence[0].seen == NOT_TESTED
    assert report.points == 5
    assert report.verdict is Verdict.NOT_JUDGED
    assert exit_code([report]) == 3


def test_what_a_dying_judge_did_not_see_is_not_judged(tmp_path):
    catalog = write_judged_kit(tmp_path, DYING)
    (report,) = graded(tmp_path, catalog, RIGHT)
    assert [one.verdict for one in report.requirements] == [Verdict.MET, Verdict.NOT_JUDGED]
    assert report.requirements[1].evidence[0].seen == "the judging process ended before it was done"


def test_a_test_that_the_kit_itself_breaks_is_not_judged(tmp_path):
    hidden = HIDDEN.replace("    with pytest.raises(TypeError):", "    raise OSError('disk full')")
    hidden = hidden.replace('\n        submission.double("a")', "")
    catalog = write_judged_kit(tmp_path, hidden)
    (report,) = graded(tmp_path, catalog, RIGHT)
    assert report.requirements[1].verdict is Verdict.NOT_JUDGED
    assert "the kit could not judge this: OSError: disk full" in report.requirements[1].evidence[0].seen


def test_a_file_with_a_mistake_in_it_is_one_problem(tmp_path):
    catalog = write_judged_kit(tmp_path)
    (report,) = graded(tmp_path, catalog, "def double(number)\n    return 1")
    assert report.problem.startswith("doubling.py could not be imported: SyntaxError")
    assert report.verdict is Verdict.UNMET
    assert report.requirements[0].evidence[0].where.startswith("doubling.py:1:")


def test_reports_come_in_the_order_of_the_submissions(tmp_path):
    catalog = write_judged_kit(tmp_path)
    sources = [f"def double(number):\n    return {number}" for number in range(7)]
    reports = graded(tmp_path, catalog, *sources, jobs=3)
    assert [report.submission for report in reports] == [
        str(tmp_path / "submissions" / f"candidate_{number}" / "doubling.py") for number in range(7)
    ]
    assert [report.requirements[0].evidence[0].seen for report in reports] == [
        "double(21) returned 2" if number == 2 else f"double(1) returned {number}" for number in range(7)
    ]


def test_a_suite_that_cannot_be_collected_is_no_verdict(tmp_path):
    catalog = write_judged_kit(tmp_path, "import no_such_library\n")
    with pytest.raises(JudgeFailure, match="could not be collected"):
        graded(tmp_path, catalog, RIGHT, RIGHT, jobs=2)


def test_grading_may_be_broken_off(tmp_path):
    catalog = write_judged_kit(tmp_path)
    paths = [handed_in(tmp_path, RIGHT, f"candidate_{number}") for number in range(3)]
    reports = grade(gather(paths, catalog).submissions, catalog=catalog)
    assert next(reports).points == 5
    reports.close()


def test_the_hash_of_a_suite_follows_all_that_decides_a_verdict(tmp_path):
    challenge = write_judged_kit(tmp_path).challenge("doubling")
    seen = {suite_hash(challenge)}
    for path in (
        challenge.folder / "brief.md",
        challenge.folder / "challenge.toml",
        challenge.hidden / "test_hidden.py",
    ):
        path.write_text(path.read_text() + "\n")
        seen.add(suite_hash(challenge))
    (challenge.hidden / "props.py").write_text("")
    seen.add(suite_hash(challenge))
    assert len(seen) == 5
    (challenge.folder / "hints.md").write_text("")
    (challenge.hidden / "__pycache__").mkdir()
    (challenge.hidden / "__pycache__" / "x.py").write_text("")
    assert suite_hash(challenge) in seen


def test_suites_of_several_challenges_end_together(tmp_path):
    first, second = write_judged_kit(tmp_path / "one"), write_judged_kit(tmp_path / "two")
    challenges = [catalog.challenge("doubling") for catalog in (first, second)]
    suites = [Suite.start(challenge, isolation=None, require=None, seed=0) for challenge in challenges]
    for suite in suites:
        suite.wait_until_ready()
    for suite in suites:  # the first one, too, although the second was forked while its line was open
        suite.close()
        with pytest.raises(ProcessLookupError):
            os.kill(suite._pid, 0)
