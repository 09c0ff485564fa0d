"""Reads /proc of every process number.  Expect: unmet R1, "nothing found"."""

import os
from pathlib import Path


def double(number):
    found = []
    for pid in [*range(2, 3000), *(int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1")]:
        for part in ("cmdline", "environ", "maps", "root/etc/hostname"):
            try:
                found.append(Path(f"/proc/{pid}/{part}").read_bytes())
            except OSError:
                continue
    assert found, "nothing found"
    return 2 * number
