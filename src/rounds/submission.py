"""What a candidate hands in: finds the submissions behind the paths that a user names.

A path is a file `<slug>.py`, a folder that directly holds the file of a challenge, or a folder of such files or
folders, up to two levels down. Below a folder that is a submission nothing further is looked for.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rounds.catalog import Catalog
from rounds.challenge import Challenge
from rounds.errors import BadInput, ChallengeError, did_you_mean
from rounds.intake import is_folder, names_in, read_file, read_files

DEPTH = 2


@dataclass(frozen=True)
class Submission:
    """One candidate's answer to one challenge; `name` is the path for a reader, `files` the contents taken."""

    name: str
    slug: str
    files: Mapping[str, bytes]
    folder: Path

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each file."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}

    @cached_property
    def hash(self) -> str:
        """One sha256 over names and contents."""
        lines = (f"{digest}  {name}\n" for name, digest in self.hashes.items())
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass
class Gathered:
    """What was found: the submissions, those that had to be refused, and folders without anything to grade."""

    submissions: list[Submission] = field(default_factory=list)
    refused: list[BadInput] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def gather(paths: Sequence[Path], catalog: Catalog, challenge: str | None = None) -> Gathered:
    """Find and read the submissions behind `paths`, in their order.

    `challenge` says which challenge all of them answer; a single .py file may then have any name. A path that is no
    submission raises BadInput; inside a folder of several, one that cannot be read is refused and the others are kept.
    """
    finder = _Finder(catalog, catalog.challenge(challenge) if challenge else None)
    for path in paths:
        if is_folder(path):
            finder.take_folder(path)
        else:
            finder.found.submissions.append(finder.from_file(path))
    if len(finder.found.refused) == 1 and not finder.found.submissions:
        raise finder.found.refused[0]
    return finder.found


class _Finder:
    """Finds submissions for one catalog, all of the challenge `forced` if there is one."""

    def __init__(self, catalog: Catalog, forced: Challenge | None) -> None:
        self.catalog = catalog
        self.forced = forced
        self.found = Gathered()

    @cached_property
    def _slugs_by_file(self) -> dict[str, list[str]]:
        """Map the first file of each challenge to the challenges that want it."""
        slugs: dict[str, list[str]] = {}
        for slug in [self.forced.slug] if self.forced else self.catalog.slugs:
            slugs.setdefault(self._first_file(slug), []).append(slug)
        return slugs

    def _first_file(self, slug: str) -> str:
        try:
            return self.catalog.challenge(slug).submit[0]
        except ChallengeError:
            return f"{slug}.py"

    def from_file(self, path: Path) -> Submission:
        """Read the submission that a single file stands for."""
        challenge = self.forced or self._challenge_of(path)
        first = challenge.submit[0]
        if path.suffix != Path(first).suffix:
            raise BadInput(f"{path}: not what {challenge.slug} takes.", hint=f"Hand in {first}.")
        files = read_files(path.parent, challenge.submit) if path.name == first else {first: read_file(path)}
        return Submission(_shown(path), challenge.slug, files, path.parent)

    def _challenge_of(self, path: Path) -> Challenge:
        slugs = self._slugs_by_file.get(path.name, [])
        if len(slugs) != 1:
            hint = did_you_mean(path.name, self._slugs_by_file) or "Say which one it answers: -c SLUG."
            raise BadInput(f"{path}: not named after a challenge.", hint=hint)
        return self.catalog.challenge(slugs[0])

    def take_folder(self, folder: Path) -> None:
        """Add the submissions in a folder; raise BadInput if there are none."""
        before = len(self.found.submissions) + len(self.found.refused)
        self._walk(folder, DEPTH)
        if len(self.found.submissions) + len(self.found.refused) == before:
            raise BadInput(f"{folder}: nothing to grade in this folder.", hint=self._wanted(folder))

    def _walk(self, folder: Path, levels: int) -> bool:
        """Look into a folder and tell whether anything was found in it."""
        folders, files = names_in(folder)
        slugs = list(self._matches(folder, files))
        for slug in slugs:
            self._keep(folder, slug, alone=len(slugs) == 1)
        if slugs or not levels:
            return bool(slugs)
        below = [folder / name for name in folders if not name.startswith((".", "__"))]
        idle = [child for child in below if not self._walk_below(child, levels - 1)]
        self.found.passed_over += idle if levels == DEPTH else []
        return len(idle) < len(below)

    def _walk_below(self, folder: Path, levels: int) -> bool:
        try:
            return self._walk(folder, levels)
        except BadInput as refusal:
            self.found.refused.append(refusal)
            return True

    def _matches(self, folder: Path, files: Sequence[str]) -> Iterator[str]:
        """Name the challenges whose first file lies in the folder; the folder's own name settles a tie."""
        matching = {file: self._slugs_by_file[file] for file in files if file in self._slugs_by_file}
        if any(folder.name in slugs for slugs in matching.values()):
            yield folder.name
            return
        for file, slugs in matching.items():
            if len(slugs) > 1:
                self.found.refused.append(
                    BadInput(f"{folder / file}: may answer {' or '.join(slugs)}.", hint="Say which: -c SLUG.")
                )
            else:
                yield slugs[0]

    def _keep(self, folder: Path, slug: str, *, alone: bool) -> None:
        challenge = self.catalog.challenge(slug)
        name = _shown(folder if alone else folder / challenge.submit[0])
        try:
            files = read_files(folder, challenge.submit)
        except BadInput as refusal:
            self.found.refused.append(refusal)
        else:
            self.found.submissions.append(Submission(name, slug, files, folder))

    def _wanted(self, folder: Path) -> str:
        """Say what would have been graded, as near as possible to what lies there."""
        if self.forced:
            return f"{self.forced.slug} takes {self.forced.submit[0]}; with -c you may also name a single .py file."
        _, files = names_in(folder)
        hints = (did_you_mean(file, self._slugs_by_file) for file in files)
        return next(filter(None, hints), "A file is named after its challenge; `rounds list` shows them.")


def _shown(path: Path) -> str:
    """Give a path that any output can hold, also if its bytes are no text."""
    return str(path).encode("utf-8", "replace").decode("utf-8")
