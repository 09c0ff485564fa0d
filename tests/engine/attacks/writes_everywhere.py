"""Writes to libraries, the agent, devices and the system.  Expect: unmet R1, "nothing written"."""

import os
from pathlib import Path

import msgpack
import numpy

PLACES = ("/", "/usr/bin", "/etc", "/dev", "/dev/pts", "/rounds", "/rounds/inside", "/rounds/site/0/rounds", "/var",
          "/run", "/home", "/proc/sys/kernel", "/proc/1")  # fmt: skip


def double(number):
    folders = {Path(module.__file__).parent for module in (os, numpy, msgpack)}
    folders |= {Path(place) for place in PLACES}
    written = []
    for folder in folders:
        try:
            (folder / "rounds-attack").write_text("x")
            written.append(folder)
        except OSError:
            continue
    assert written, "nothing written"
    return 2 * number
