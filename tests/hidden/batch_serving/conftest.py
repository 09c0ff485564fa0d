"""Lets the hidden tests of this folder share `batch_jobs`, and gives each a folder to run jobs in."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def bench(submission, props, scratch):
    from batch_jobs import Bench

    return Bench(submission, props, scratch)
