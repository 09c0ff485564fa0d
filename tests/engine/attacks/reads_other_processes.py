"""Reads /proc of every process number.  Expect: unmet R1, "nothing found"."""

import os
from pathlib import Path


def double(number):
    found = []
    listed = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    for pid in {*map(str, range(2, 3000)), *listed} - {str(os.getpid())}:
        for part in ("cmdline", "environ", "maps", "root/etc/hostname"):
            try:
                found.append(Path(f"/proc/{pid}/{part}").read_bytes())
            except OSError:
                continue
    assert found, "nothing found"
    return 2 * number
