"""Calls sys.exit at import.  Expect: unmet all, "SystemExit"."""

import sys

sys.exit(0)
