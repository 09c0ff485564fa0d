"""Ends its process at import with the status by which a sandbox says that it failed.  Expect: unmet all, "could not be imported"."""

import os

os._exit(70)
