"""Puts links, pipes, sparse files and odd names where a test reads its files.  Expect: unmet R7."""

import os
from pathlib import Path


def save(folder, lines):
    Path(folder, "lines.txt").symlink_to("/proc/self/environ")
    os.mkfifo(Path(folder, "pipe"))
    Path(folder, "\x1b[2J\udcff" + "x" * 50).touch()
    with Path(folder, "sparse").open("wb") as file:
        file.truncate(60 << 20)
    deep = Path(folder)
    for _ in range(100):
        deep = deep / "deep"
        deep.mkdir()
    (deep / "loop").symlink_to(folder)
