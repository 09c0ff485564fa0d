"""The build context: what the candidate handed in, and what the judge lays beside it."""

from collections.abc import Mapping

from .ignore import Ignored

GIVEN = (
    "main.py", "README.md", "model/weights.json", "model/metadata.json",
    ".git/HEAD", ".git/config", ".git/objects/pack/pack-1.pack", ".env", "secrets/aws.json", "tests/test_main.py",
    "notebooks/explore.ipynb", "data/train.csv", "__pycache__/main.cpython-312.pyc",
)  # fmt: skip
BELONG_OUTSIDE = (".env", ".git", "secrets", "tests", "data", "notebooks")


def context_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that `docker build` sends: all but those that `.dockerignore` names."""
    every = {**dict.fromkeys(GIVEN, b""), **files}
    ignored = Ignored(files.get(".dockerignore", b"").decode("utf-8", "replace"))
    return {path: content for path, content in every.items() if path not in ignored}


def belongs_outside(path: str) -> bool:
    return path.split("/")[0] in BELONG_OUTSIDE
