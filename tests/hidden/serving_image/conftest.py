"""Lets the hidden tests of this folder share `image_model`, and builds a submission's image once."""

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def image(files):
    """The image that the handed-in files would build."""
    built, problem = _built(tuple(sorted(files.items())))
    assert built is not None, f"the Dockerfile cannot be built: {problem}"
    return built


@cache
def _built(files):
    from image_model import build

    try:
        return build(dict(files)), ""
    except ValueError as broken:
        return None, str(broken)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as ours:  # never the candidate's fault
        raise RuntimeError(f"the model of the build failed: {ours!r}") from ours
