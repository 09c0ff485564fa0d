"""A small kit on disk and a report, for the tests of the engine's front."""

from dataclasses import replace
from pathlib import Path

from rounds.catalog import Catalog
from rounds.report import IsolationRecord, Report, RequirementResult, Sighting, Verdict

TOML = """\
format = 1
version = 2
title = "Drift alarm"
summary = "Score how far live traffic has drifted from the training data."
round = "deep technical"
level = "mid"
minutes = 40
topics = ["monitoring", "statistics"]
submit = ["drift_alarm.py"]
seconds = 10
memory_mb = 512
warm = ["numpy"]
points = { R1 = 2, R2 = 3 }
tiers = { basic = ["R1"], senior = ["R2"] }
"""

BRIEF = """\
# Drift alarm

```python
## R9. Not a heading: this is code
```

## R1. A shifted feature scores above `0.2`

Prose.

## R2. Live values outside the training range still count
"""

HINTS = """\
# Hints

## R1
1. What does a bin
   count?
2. Look at the edges.
3. Open the outer edges.

## R2
1. One?
2. Two.
3. Three.
"""

IMAGE = TOML.replace('["drift_alarm.py"]', '["Dockerfile", ".dockerignore"]').replace("Drift alarm", "Serving image")


def write_challenge(root: Path, slug: str, toml: str = TOML) -> Path:
    """Write a challenge into a kit and give its folder."""
    folder = root / "challenges" / slug
    folder.mkdir(parents=True)
    (folder / "challenge.toml").write_text(toml)
    (folder / "brief.md").write_text(BRIEF)
    (folder / "hints.md").write_text(HINTS)
    return folder


def write_kit(root: Path) -> Catalog:
    """Write a kit of three challenges; one of them takes two files."""
    write_challenge(root, "drift_alarm")
    write_challenge(root, "model_api", TOML.replace("drift_alarm.py", "model_api.py"))
    write_challenge(root, "serving_image", IMAGE)
    return Catalog([root])


JUDGED = """\
format = 1
title = "Doubling"
summary = "Double a number."
round = "screening"
level = "junior"
minutes = 5
topics = ["arithmetic"]
submit = ["doubling.py", "parts.py"]
seconds = {seconds}
memory_mb = 256
points = {{ {points} }}
"""

HIDDEN = """\
import pytest

from rounds.testing import lend, requirement


@requirement("R1")
@pytest.mark.parametrize("number", [1, 21])
def test_a_number_is_doubled(submission, number):
    found = submission.double(number)
    assert found == 2 * number, f"double({number}) returned {found}"


@requirement("R2")
def test_a_text_is_refused(submission):
    with pytest.raises(TypeError):
        submission.double("a")
"""

RIGHT = """\
def double(number):
    if not isinstance(number, int):
        raise TypeError("not a number")
    return 2 * number
"""


def write_judged_kit(
    root: Path, hidden: str = HIDDEN, points: str = "R1 = 2, R2 = 3", seconds: float = 10, props: str | None = None
) -> Catalog:
    """Write a kit with one challenge, `doubling`, that these hidden tests judge."""
    folder = write_challenge(root, "doubling", JUDGED.format(points=points, seconds=seconds))
    names = [entry.split("=")[0].strip() for entry in points.split(",")]
    (folder / "brief.md").write_text("# Doubling\n\n" + "".join(f"## {name}. Promise {name}\n\n" for name in names))
    tests = root / "tests" / "hidden" / "doubling"
    tests.mkdir(parents=True, exist_ok=True)
    (tests / "test_hidden.py").write_text(hidden)
    if props is not None:
        (tests / "props.py").write_text(props)
    return Catalog([root])


def handed_in(root: Path, source: str, name: str = "doubling") -> Path:
    """Write a submission and give its file."""
    folder = root / "submissions" / name
    folder.mkdir(parents=True)
    (folder / "doubling.py").write_text(source)
    return folder / "doubling.py"


ISOLATION = IsolationRecord("A", "nothing outside its own folder is in reach", ("files",), (), "", "")

MET = RequirementResult("R2", "A shifted feature scores above 0.2", None, 5, Verdict.MET, seconds=0.1)

UNSEEN = RequirementResult(
    "R3",
    "Live values outside the training range still count",
    None,
    3,
    Verdict.UNMET,
    (
        Sighting("values at the maximum count", Verdict.MET),
        Sighting(
            "values above the training maximum count",
            Verdict.UNMET,
            "half of live lay above the training maximum, and psi() returned 0.000",
            output="secret input",
        ),
    ),
)

RAISED = RequirementResult(
    "R4",
    "An empty live window raises `ValueError`",
    None,
    2,
    Verdict.UNMET,
    (
        Sighting(
            "an empty window raises",
            Verdict.UNMET,
            "when live is empty, your code raised ZeroDivisionError: division by zero",
            "drift_alarm.py:14:  return [count / sum(counts) for count in counts]",
        ),
    ),
)

OPEN = RequirementResult("R5", "A long window is scored in time", "senior", 4, Verdict.NOT_JUDGED)

REPORT = Report(
    challenge="drift_alarm",
    title="Drift alarm",
    challenge_version=2,
    suite_hash="a" * 64,
    kit_version="0.1.0",
    submission="answers/drift_alarm.py",
    files={"drift_alarm.py": "b" * 64},
    files_hash="c" * 64,
    isolation=ISOLATION,
    seed=0,
    requirements=(MET, UNSEEN, RAISED),
    seconds=1.25,
    started="2026-11-20T10:00:00+00:00",
)

ALL_MET = replace(REPORT, requirements=(MET,))
NOT_JUDGED = replace(REPORT, requirements=(MET, OPEN))
