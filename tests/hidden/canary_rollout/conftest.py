"""Lets the hidden tests of this folder share `canary_fleet`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
