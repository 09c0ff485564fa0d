"""Ends its process at import with status 0, as a program that ran well.  Expect: unmet all, "could not be imported"."""

import os

os._exit(0)
