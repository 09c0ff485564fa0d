"""One challenge of the kit: its `challenge.toml`, the promises of its brief and its hints."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rounds.errors import ChallengeError, did_you_mean

FORMAT = 1
ROUNDS = ("screening", "system design", "deep technical", "behavioural")
LEVELS = ("junior", "mid", "senior", "staff")
TIERS = ("basic", "intermediate", "senior")

_REQUIREMENT = re.compile(r"R[1-9][0-9]*")
_PROMISE = re.compile(r"^## (R[1-9][0-9]*)\. +(\S.*?)\s*$", re.MULTILINE)
_HINTED = re.compile(r"^## (R[1-9][0-9]*)\b.*$", re.MULTILINE)
_ITEM = re.compile(r"^[0-9]+\. +", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """What one hidden test may use: wall time in seconds and memory in MB."""

    seconds: float
    memory_mb: int


@dataclass(frozen=True)
class Challenge:
    """A challenge as its author declared it.

    `folder` holds what a candidate sees, `solution` the reference, `hidden` the tests that grade. `submit` names the
    only files taken from a candidate; the first of them must be there. `given` names files and folders that a candidate
    gets beside the stub, to read and not to hand in. `promises` maps each requirement to its
    heading in the brief, in the order of `points`; `tiers` may be empty.
    """

    slug: str
    folder: Path
    solution: Path
    hidden: Path
    version: int
    title: str
    summary: str
    round: str
    level: str
    minutes: int
    topics: tuple[str, ...]
    submit: tuple[str, ...]
    given: tuple[str, ...]
    limits: Limits
    warm: tuple[str, ...]
    points: Mapping[str, int]
    tiers: Mapping[str, tuple[str, ...]]
    promises: Mapping[str, str]

    @property
    def out_of(self) -> int:
        """The points of all requirements together."""
        return sum(self.points.values())

    def tier_of(self, requirement: str) -> str | None:
        """Name the tier of a requirement, if the challenge has tiers."""
        return next((tier for tier, ids in self.tiers.items() if requirement in ids), None)


def load_challenge(root: Path, slug: str) -> Challenge:
    """Read and check `challenges/<slug>` of the kit at `root`; raise ChallengeError naming file and field."""
    folder = root / "challenges" / slug
    fields = _Fields(folder / "challenge.toml")
    challenge = Challenge(
        slug=slug,
        folder=folder,
        solution=root / "solutions" / slug,
        hidden=root / "tests" / "hidden" / slug,
        version=fields.count("version"),
        title=fields.text("title"),
        summary=fields.text("summary"),
        round=fields.choice("round", ROUNDS),
        level=fields.choice("level", LEVELS),
        minutes=fields.count("minutes"),
        topics=fields.texts("topics"),
        submit=fields.files("submit"),
        given=fields.names("given"),
        limits=Limits(fields.seconds("seconds"), fields.count("memory_mb")),
        warm=fields.texts("warm"),
        points=fields.points("points"),
        tiers=fields.tiers("tiers", tuple(fields.points("points"))),
        promises=read_promises(folder / "brief.md"),
    )
    _check_promises(challenge)
    return challenge


def read_promises(brief: Path) -> dict[str, str]:
    """Map each requirement to the text of its heading `## R3. text`; code blocks are passed over."""
    promises: dict[str, str] = {}
    for requirement, promise in _PROMISE.findall(_FENCED.sub("", _read(brief))):
        if requirement in promises:
            raise _broken(brief, requirement, "has two headings")
        promises[requirement] = promise
    return promises


def read_hints(challenge: Challenge) -> dict[str, tuple[str, ...]]:
    """Map each requirement to its hints, the gentlest first."""
    path = challenge.folder / "hints.md"
    parts = _HINTED.split(_read(path))
    hints = {
        requirement: tuple(" ".join(item.split()) for item in _ITEM.split(body)[1:])
        for requirement, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    for requirement in challenge.points:
        if not hints.get(requirement):
            raise _broken(path, requirement, "has no numbered hints")
    return hints


class _Fields:
    """The fields of one challenge.toml, each taken with a check that names file and field."""

    _OPTIONAL: Mapping[str, Any] = {"version": 1, "given": [], "warm": [], "tiers": {}}
    _KNOWN = (
        "format", "version", "title", "summary", "round", "level", "minutes", "topics", "submit", "given",
        "seconds", "memory_mb", "warm", "points", "tiers",
    )  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.values = tomllib.loads(_read(path))
        except tomllib.TOMLDecodeError as error:
            raise ChallengeError(f"{path}: not valid TOML: {error}.") from None
        if self.values.get("format") != FORMAT:
            raise _broken(path, "format", f"must be {FORMAT}, the only format that this version reads")
        for name in self.values:
            if name not in self._KNOWN:
                raise _broken(path, name, "is not a field of a challenge", did_you_mean(name, self._KNOWN))

    def _take(self, name: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        if name not in self.values and name not in self._OPTIONAL:
            raise _broken(self.path, name, f"is missing; it must be {wanted}")
        value = self.values.get(name, self._OPTIONAL.get(name))
        if not fits(value):
            raise _broken(self.path, name, f"must be {wanted}")
        return value

    def text(self, name: str) -> str:
        return str(self._take(name, "a line of text", _is_line))

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        return str(self._take(name, f"one of {', '.join(choices)}", lambda value: value in choices))

    def count(self, name: str) -> int:
        return int(self._take(name, "a whole number above 0", lambda value: _is_whole(value) and value > 0))

    def seconds(self, name: str) -> float:
        wanted = "a number of seconds above 0 and at most 3600"
        return float(self._take(name, wanted, lambda value: type(value) in (int, float) and 0 < value <= 3600))

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._take(name, "a list of texts", lambda value: _is_list(value, _is_line)))

    def files(self, name: str) -> tuple[str, ...]:
        wanted = "a list of different file names without folders, at least one"
        return tuple(self._take(name, wanted, lambda value: value and _is_list(value, _is_file_name)))

    def names(self, name: str) -> tuple[str, ...]:
        wanted = "a list of different file names without folders"
        return tuple(self._take(name, wanted, lambda value: _is_list(value, _is_file_name)))

    def points(self, name: str) -> dict[str, int]:
        wanted = "a table like { R1 = 2 } of whole numbers, together above 0"
        return dict(self._take(name, wanted, _is_points))

    def tiers(self, name: str, requirements: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        wanted = f'a table like {{ basic = ["R1"] }} with the tiers {", ".join(TIERS)}'
        tiers = {tier: tuple(ids) for tier, ids in self._take(name, wanted, _is_tiers).items()}
        listed = [requirement for ids in tiers.values() for requirement in ids]
        for requirement in dict.fromkeys([*requirements, *listed]) if tiers else ():
            if requirement not in requirements or listed.count(requirement) != 1:
                raise _broken(self.path, name, f"must list each requirement of points once; look at {requirement}")
        return {tier: tiers[tier] for tier in TIERS if tier in tiers}


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and _is_line(value) and not set(value) & set("/\\") and value not in (".", "..")


def _is_list(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value)) and len(set(value)) == len(value)


def _is_points(value: object) -> bool:
    if not isinstance(value, dict) or not all(_is_whole(points) and points >= 0 for points in value.values()):
        return False
    return all(map(_REQUIREMENT.fullmatch, value)) and sum(value.values()) > 0


def _is_tiers(value: object) -> bool:
    if not isinstance(value, dict) or not set(value) <= set(TIERS):
        return False
    return all(_is_list(ids, _is_line) for ids in value.values())


def _check_promises(challenge: Challenge) -> None:
    brief = challenge.folder / "brief.md"
    for requirement in challenge.points:
        if requirement not in challenge.promises:
            raise _broken(brief, requirement, f"has points, but no heading `## {requirement}. …`")
    for requirement in challenge.promises:
        if requirement not in challenge.points:
            raise _broken(challenge.folder / "challenge.toml", "points", f"says nothing of {requirement} of the brief")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ChallengeError(f"{path}: cannot be read ({reason}).") from None


def _broken(path: Path, field: str, problem: str, hint: str = "") -> ChallengeError:
    return ChallengeError(f"{path}: {field} {problem}.", hint=hint)
