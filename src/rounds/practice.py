"""Starts a candidate on a challenge: a folder with the brief, the stub and the public tests, and nothing else."""

import shutil
from pathlib import Path

from rounds.challenge import Challenge
from rounds.errors import BadInput


def papers(challenge: Challenge) -> list[Path]:
    """List the files and folders that a candidate gets: all may be read by anyone."""
    stubs = [challenge.folder / name for name in (*challenge.submit, *challenge.given)]
    return [challenge.folder / "brief.md", *(stub for stub in stubs if stub.exists()), *_public_tests(challenge)]


def _public_tests(challenge: Challenge) -> list[Path]:
    return sorted(challenge.folder.glob("test_*.py"))


def start(challenge: Challenge, place: Path) -> Path:
    """Make `place/<slug>` with the papers of a challenge and return it; raise BadInput if it is there already."""
    folder = place / challenge.slug
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        hint = "Go on there, or name another place with --in."
        raise BadInput(f"{folder}: is there already; nothing was changed.", hint=hint) from None
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made: {error.strerror}.", hint="Name another place with --in.") from None
    for paper in papers(challenge):
        if paper.is_dir():
            shutil.copytree(paper, folder / paper.name)
        else:
            shutil.copyfile(paper, folder / paper.name)
    return folder
