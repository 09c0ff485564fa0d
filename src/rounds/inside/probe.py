"""Looks at its own walls from within, as a submission would, and reports what it could do."""

import contextlib
import ctypes
import os
import socket
from pathlib import Path

from .syscalls import NEW_USER


def look_around(secret: str) -> dict[str, bool]:
    """Try what the walls should forbid; True means that it worked. `secret` is a file of the judge's."""
    return {
        "sees other processes": _sees_others(),
        "reads the judge's files": _reads(secret),
        "opens network sockets": _works(lambda: socket.socket(socket.AF_INET).close()),
        "makes namespaces": ctypes.CDLL(None).unshare(NEW_USER) == 0,
        "takes memory that no limit counts": _works(lambda: os.close(os.memfd_create("probe"))),
        "writes outside its folder": _works(lambda: Path(os.__file__).with_name("probe").write_text("x")) or _plants(),
        "keeps capabilities": _capabilities() != 0,
    }


def _works(attempt: object) -> bool:
    try:
        attempt()  # type: ignore[operator]
    except OSError:
        return False
    return True


def _sees_others() -> bool:
    others: list[str] = []
    with contextlib.suppress(OSError):
        others = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    return any(_reads(f"/proc/{name}/cmdline") for name in others if int(name) != os.getpid())


def _reads(path: str) -> bool:
    return _works(lambda: Path(path).read_bytes())


def _plants() -> bool:
    """Leave a file where others would find it: the machine's own temporary folder."""
    if os.environ.get("HOME") == "/tmp":  # a private one
        return False
    path = Path("/tmp", f"probe-{os.getpid()}")
    planted = _works(lambda: path.write_text("x"))
    if planted:
        path.unlink()
    return planted


def _capabilities() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0
