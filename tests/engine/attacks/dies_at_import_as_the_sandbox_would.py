"""Dies at import as a broken sandbox would.  Expect: unmet all, "could not be imported"."""

import os

os._exit(70)
