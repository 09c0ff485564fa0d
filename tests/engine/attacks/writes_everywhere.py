"""Writes to libraries, the agent, devices and the system.  Expect: unmet R1, "nothing written"."""

import os
from pathlib import Path

import msgpack
import numpy


def double(number):
    folders = {Path(module.__file__).parent for module in (os, numpy, msgpack)}
    folders |= {Path(place) for place in ("/", "/usr/bin", "/etc", "/dev", "/dev/pts", "/rounds", "/rounds/inside", "/proc/sys/kernel", "/proc/1")}
    folders |= {Path(place) for place in ("/rounds/site/0", "/rounds/site/0/rounds", "/var", "/run", "/home")}
    written = []
    for folder in folders:
        try:
            (folder / "rounds-attack").write_text("x")
            written.append(folder)
        except OSError:
            continue
    assert written, "nothing written"
    return 2 * number
