"""Lets the hidden tests of this folder share `image_model`, and builds the submission's image once for each test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def image(files):
    """The image that the handed-in files would build."""
    from image_model import build

    try:
        return build(files)
    except ValueError as broken:
        return pytest.fail(f"the Dockerfile cannot be built: {broken}")
