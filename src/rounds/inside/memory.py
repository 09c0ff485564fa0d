"""How much memory a process and all below it hold, read from outside of them."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

from .proc import read, tasks, tree

MAX_LOOKS = 8
CROWD = 64  # processes
_SOCKET_BUFFER = 212_992  # bytes that a socket may hold unread, unless the machine's owner changed it
_PAGE = os.sysconf("SC_PAGE_SIZE")


def data_mb() -> int:
    """Return this process's own private writable memory, as RLIMIT_DATA counts it, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) >> 10
    return 0


def tree_mb(root: int, proc: int, suspicious_mb: int) -> int:
    """Return what the tree holds in MB.

    Resident sizes are cheap to read and count shared pages again for each process; the fair, slow figure (Pss) is read
    only where they add up to more than `suspicious_mb`. A process that hides its Pss is taken by its resident size. Of
    many processes the largest are read, and some of the others that none of them can foresee. A crowd is taken by its
    resident sizes, shared pages and all: the fair figure waits for each process's lock on its memory, and while forks
    by the hundred hold that, nobody else's test would be watched.
    """
    sizes = {pid: _resident(pid, proc) for pid in tree(root, proc)}
    resident = sum(sizes.values()) >> 20
    if resident <= suspicious_mb or len(sizes) > CROWD:
        return resident
    pids = sorted(sizes, key=sizes.__getitem__, reverse=True)
    largest, others = pids[:MAX_LOOKS], pids[MAX_LOOKS:]
    looked = random.SystemRandom().sample(others, min(MAX_LOOKS, len(others)))
    known = sum(_fair_share(pid, proc) for pid in largest)
    estimated = sum(_fair_share(pid, proc) for pid in looked) * len(others) // max(1, len(looked))
    return (known + estimated) >> 20


def sockets_mb(pid: int, proc: int) -> int:
    """Return what the sockets of a process's network namespace may hold in their buffers, in MB."""
    for place in _places(pid, proc):
        used = re.search(r"sockets: used (\d+)", read(f"{place}/net/sockstat", proc))
        if used:
            return int(used[1]) * _SOCKET_BUFFER >> 20
    return 0


def _resident(pid: int, proc: int) -> int:
    for place in _places(pid, proc):
        fields = read(f"{place}/statm", proc).split()
        if len(fields) > 1 and fields[1] != "0":
            return int(fields[1]) * _PAGE
    return 0


def _fair_share(pid: int, proc: int) -> int:
    for place in _places(pid, proc):
        lines = read(f"{place}/smaps_rollup", proc).splitlines()
        sizes = [int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss:", "SwapPss:"))]
        if sizes:
            return sum(sizes)
    return _resident(pid, proc)


def _places(pid: int, proc: int) -> Iterator[str]:
    """Yield where to look for a process's memory: once its first thread has ended, only the others show it."""
    yield str(pid)
    yield from (f"{pid}/task/{task}" for task in tasks(pid, proc))
