"""What a hidden test imports: the marker of a requirement, lending, and the way to a submission's data."""

import pytest

from rounds.bridge.lending import lend
from rounds.bridge.proxy import data_of, gather

requirement = pytest.mark.requirement

__all__ = ["data_of", "gather", "lend", "requirement"]
