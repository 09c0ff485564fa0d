"""Lets the hidden tests of this folder share `training_runs`, and gives each a process of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def box(sandbox):
    return sandbox()
