"""What is known about a submission after grading: the data behind every form of the report."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

SCHEMA = 1


class Verdict(StrEnum):
    """Whether a promise was kept. `NOT_JUDGED` says that the judge cannot tell, which is neither a pass nor a miss."""

    MET = "met"
    UNMET = "unmet"
    NOT_JUDGED = "not judged"


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Join verdicts: one unmet makes all unmet, nothing seen is not judged."""
    seen = set(verdicts)
    if Verdict.UNMET in seen:
        return Verdict.UNMET
    return Verdict.MET if seen == {Verdict.MET} else Verdict.NOT_JUDGED


@dataclass(frozen=True)
class Sighting:
    """What one hidden test saw.

    `test` is a sentence, `seen` is empty if the promise was kept, `where` is the candidate's own line
    (`drift_alarm.py:14:  return …`), `output` what the submission printed. `inside` marks evidence gathered in the
    submission's process, which the submission could have touched.
    """

    test: str
    verdict: Verdict
    seen: str = ""
    where: str | None = None
    output: str = ""
    seconds: float = 0.0
    inside: bool = False


@dataclass(frozen=True)
class RequirementResult:
    """The verdict on one requirement; `promise` is its heading in the brief."""

    id: str
    promise: str
    tier: str | None
    points: int
    verdict: Verdict
    sightings: tuple[Sighting, ...] = ()
    seconds: float = 0.0

    @property
    def earned(self) -> int:
        """All the points or none."""
        return self.points if self.verdict is Verdict.MET else 0

    @property
    def evidence(self) -> tuple[Sighting, ...]:
        """The sightings that led to the verdict, each thing seen once."""
        telling = (sighting for sighting in self.sightings if sighting.verdict is self.verdict)
        return tuple({(sighting.seen, sighting.where): sighting for sighting in telling}.values())


@dataclass(frozen=True)
class IsolationRecord:
    """The isolation that was in force, in words of consequences; `why` it is not better and what would `fix` that."""

    rung: str
    summary: str
    protects: tuple[str, ...] = ()
    exposes: tuple[str, ...] = ()
    why: str = ""
    fix: str = ""


@dataclass(frozen=True)
class TierResult:
    """The points of one tier, and the first requirement in it that was not met."""

    points: int
    out_of: int
    first_failing: str | None


@dataclass(frozen=True)
class Report:
    """Everything about one graded submission.

    `problem` is one sentence when something befell the whole submission (a syntax error, a missing file). `files`
    maps names to sha256, `started` is ISO 8601 in UTC, `seconds` is wall time.
    """

    challenge: str
    title: str
    challenge_version: int
    suite_hash: str
    kit_version: str
    submission: str
    files: Mapping[str, str]
    files_hash: str
    isolation: IsolationRecord
    seed: int
    requirements: tuple[RequirementResult, ...]
    seconds: float
    started: str
    problem: str | None = None
    schema: int = SCHEMA

    @property
    def points(self) -> int:
        """The points earned."""
        return sum(requirement.earned for requirement in self.requirements)

    @property
    def out_of(self) -> int:
        """The points to be had."""
        return sum(requirement.points for requirement in self.requirements)

    @property
    def verdict(self) -> Verdict:
        """Met if every requirement is met, unmet if any is unmet, else not judged."""
        return together(requirement.verdict for requirement in self.requirements)

    @property
    def tiers(self) -> dict[str, TierResult]:
        """The subtotal of each tier, in the order in which the tiers appear."""
        names = dict.fromkeys(requirement.tier for requirement in self.requirements if requirement.tier)
        return {name: self._tier(name) for name in names}

    def _tier(self, name: str) -> TierResult:
        own = [requirement for requirement in self.requirements if requirement.tier == name]
        missed = (requirement.id for requirement in own if requirement.verdict is not Verdict.MET)
        points = sum(requirement.earned for requirement in own)
        return TierResult(points, sum(requirement.points for requirement in own), next(missed, None))

    def to_dict(self) -> dict[str, Any]:
        """Give plain data for JSON, with points, verdict and tiers worked out."""
        data = asdict(self)
        for plain, requirement in zip(data["requirements"], self.requirements, strict=True):
            plain |= {"verdict": requirement.verdict.value, "earned": requirement.earned}
            for sighting in plain["sightings"]:
                sighting["verdict"] = sighting["verdict"].value
        tiers = {name: asdict(tier) for name, tier in self.tiers.items()}
        return data | {"points": self.points, "out_of": self.out_of, "verdict": self.verdict.value, "tiers": tiers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        """Read what `to_dict` wrote; what can be worked out is worked out anew."""
        worked_out = ("points", "out_of", "verdict", "tiers")
        fields = {name: value for name, value in data.items() if name not in worked_out}
        fields["isolation"] = _isolation(data["isolation"])
        fields["requirements"] = tuple(map(_requirement, data["requirements"]))
        return cls(**fields)


def exit_code(reports: Iterable[Report]) -> int:
    """Give the exit code for a run: 0 all met, 1 some unmet, 3 not judged and none unmet."""
    verdict = together(report.verdict for report in reports)
    return {Verdict.MET: 0, Verdict.UNMET: 1, Verdict.NOT_JUDGED: 3}[verdict]


def _isolation(data: Mapping[str, Any]) -> IsolationRecord:
    return IsolationRecord(**{**data, "protects": tuple(data["protects"]), "exposes": tuple(data["exposes"])})


def _requirement(data: Mapping[str, Any]) -> RequirementResult:
    fields = {name: value for name, value in data.items() if name != "earned"}
    sightings = tuple(Sighting(**{**one, "verdict": Verdict(one["verdict"])}) for one in data["sightings"])
    return RequirementResult(**{**fields, "verdict": Verdict(data["verdict"]), "sightings": sightings})
