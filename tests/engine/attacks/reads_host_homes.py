"""Looks into homes, mounts and system files of the host.  Expect: unmet R1, "nothing found"."""

import os
from pathlib import Path

PLACES = ("/root", "/home", "/mnt", "/media", "/opt", "/srv", "/var", "/run", "/boot", "/sys", "/etc/shadow")


def double(number):
    found = [place for place in PLACES if Path(place).exists()]
    found += [entry for entry in Path.home().iterdir() if entry.name not in ("submission", "scratch")]
    found = [entry for entry in found if not os.path.ismount(entry) and not any(Path(entry).rglob("bin/python*"))]
    assert found, "nothing found"
    return 2 * number
