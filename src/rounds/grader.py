"""Grades submissions: one warm suite for each challenge, several submissions at a time, reports in order."""

import concurrent.futures
import hashlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rounds import __version__
from rounds.catalog import Catalog
from rounds.challenge import Challenge
from rounds.report import IsolationRecord, Report, RequirementResult, Sighting, Verdict, together
from rounds.submission import Submission
from rounds.suite import Judged, Suite

NOT_TESTED = "no hidden test judges this"


def grade(
    submissions: Sequence[Submission],
    *,
    catalog: Catalog,
    isolation: str | None = None,
    require: str | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> Iterator[Report]:
    """Yield a report for each submission, in their order.

    Raises IsolationUnavailable when `require` can't be had, and JudgeFailure when hidden tests can't be loaded.
    """
    challenges = {submission.slug: catalog.challenge(submission.slug) for submission in submissions}
    suites = {
        slug: Suite.start(challenge, isolation=isolation, require=require, seed=seed)
        for slug, challenge in challenges.items()
    }
    try:
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            pending = [
                pool.submit(grade_one, submission, challenges[submission.slug], suites[submission.slug], seed)
                for submission in submissions
            ]
            try:
                for future in pending:
                    yield future.result()
            finally:
                for future in pending:
                    future.cancel()
    finally:
        for suite in suites.values():
            suite.close()


def grade_one(submission: Submission, challenge: Challenge, suite: Suite, seed: int = 0) -> Report:
    """Judge one submission with a warm suite and put the report together."""
    suite.wait_until_ready()
    started, clock = datetime.now(UTC), time.perf_counter()
    judged = suite.judge(submission.files)
    return Report(
        challenge=challenge.slug,
        title=challenge.title,
        challenge_version=challenge.version,
        suite_hash=suite_hash(challenge),
        kit_version=__version__,
        submission=submission.name,
        files=submission.hashes,
        files_hash=submission.hash,
        isolation=suite.isolation or IsolationRecord("E", "unknown"),
        seed=seed,
        requirements=tuple(_result(name, challenge, suite, judged) for name in challenge.points),
        seconds=round(time.perf_counter() - clock, 3),
        started=started.isoformat(timespec="seconds"),
        problem=judged.problem,
    )


def _result(name: str, challenge: Challenge, suite: Suite, judged: Judged) -> RequirementResult:
    sightings = tuple(judged.sightings.get(name, ()))
    missing = suite.tests.get(name, 0) - len(sightings)
    unmet = any(sighting.verdict is Verdict.UNMET for sighting in sightings)
    if not unmet and (missing or not sightings):
        reason = judged.failure or NOT_TESTED
        sightings = (*sightings, Sighting("the rest of the tests", Verdict.NOT_JUDGED, reason))
    return RequirementResult(
        id=name,
        promise=challenge.promises[name],
        tier=challenge.tier_of(name),
        points=challenge.points[name],
        verdict=together(sighting.verdict for sighting in sightings),
        sightings=sightings,
        seconds=round(sum(sighting.seconds for sighting in sightings), 3),
    )


def suite_hash(challenge: Challenge) -> str:
    """Return one sha256 over all that decides a verdict: brief, declaration and hidden tests."""
    declared = [challenge.folder / "challenge.toml", challenge.folder / "brief.md"]
    hidden = [path for path in challenge.hidden.rglob("*.py") if "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted([*declared, *hidden], key=Path.as_posix):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()
