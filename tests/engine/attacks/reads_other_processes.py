"""Reads /proc of every process number.  Expect: unmet R1, "nothing found"."""

import contextlib
from pathlib import Path


def double(number):
    found = []
    own = {path.name for path in Path("/proc/self/task").iterdir()}
    listed = {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}
    for pid in listed.union(map(str, range(500))) - own:
        for part in ("cmdline", "environ", "maps", "root/etc/hostname"):
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/{part}").read_bytes())
    assert found, "nothing found"
    return 2 * number
