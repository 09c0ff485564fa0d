"""Where the challenges are: finds the kit beside the engine and opens its challenges by name."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from rounds.challenge import Challenge, load_challenge
from rounds.errors import ChallengeError, KitMissing, UnknownChallenge

PACKAGE = Path(__file__).resolve().parent


def kit_roots(package: Path = PACKAGE) -> tuple[Path, ...]:
    """List the folders that hold `challenges/`, `solutions/` and `tests/hidden/`.

    In a clone that is the folder above `src`, in an installed wheel `rounds/kit`.
    """
    clone = [package.parent.parent] if package.parent.name == "src" else []
    return tuple(root for root in [*clone, package / "kit"] if (root / "challenges").is_dir())


class Catalog:
    """The challenges of one or more kits. A challenge is read when it is asked for, and only once.

    >>> Catalog().challenge("drift_alarm").title     # doctest: +SKIP
    'Drift alarm'
    """

    def __init__(self, roots: Sequence[Path] | None = None) -> None:
        self.roots = tuple(kit_roots() if roots is None else roots)
        if not self.roots:
            raise KitMissing(
                "there are no challenges beside the engine.",
                hint="Install the mlops-rounds wheel, or work in a clone of the repository.",
            )
        self._loaded: dict[str, Challenge] = {}

    @cached_property
    def _homes(self) -> dict[str, Path]:
        homes: dict[str, Path] = {}
        for root in self.roots:
            for declared in sorted((root / "challenges").glob("*/challenge.toml")):
                homes.setdefault(declared.parent.name, root)
        return homes

    @property
    def slugs(self) -> tuple[str, ...]:
        """The names of all challenges, in alphabetical order."""
        return tuple(sorted(self._homes))

    def challenge(self, slug: str) -> Challenge:
        """Open a challenge; raise UnknownChallenge for an unknown name, ChallengeError for a broken challenge."""
        if slug not in self._homes:
            raise UnknownChallenge(slug, self.slugs)
        if slug not in self._loaded:
            self._loaded[slug] = load_challenge(self._homes[slug], slug)
        return self._loaded[slug]

    def __iter__(self) -> Iterator[Challenge]:
        return (self.challenge(slug) for slug in self.slugs)

    def sound(self) -> Iterator[Challenge]:
        """Yield the challenges that can be read, so that one broken challenge does not stop the others."""
        for slug in self.slugs:
            try:
                yield self.challenge(slug)
            except ChallengeError:
                continue
