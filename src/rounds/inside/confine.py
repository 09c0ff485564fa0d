"""What a forked process does to itself before it may touch a submission: namespaces, mounts, limits, filters.

All of it runs in trusted code. The order matters: the mounts need capabilities, the filters come last.
"""

import os
import resource
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from . import landlock, seccomp
from .syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    NEW_IPC,
    NEW_NET,
    NEW_NS,
    NEW_USER,
    NEW_UTS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    drop_capabilities,
    map_identity,
    mount,
    prctl,
    unshare,
)

SIGKILL = 9
NAMESPACES = NEW_NS | NEW_IPC | NEW_UTS | NEW_NET
MAX_OPEN_FILES = 512
MAX_PROCESSES = 128


@dataclass(frozen=True)
class Plan:
    """Which walls a child puts around itself: one rung of the ladder."""

    namespaces: bool
    landlock: bool
    filter: bytes | None
    readable: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()  # trees under /tmp that must outlive the private /tmp


@dataclass(frozen=True)
class Limits:
    """What one test may use."""

    seconds: float = 10.0
    memory_mb: int = 1024
    disk_mb: int = 64
    processes: int = MAX_PROCESSES
    base_data_mb: int = field(default=0)  # what the zygote itself holds, on top of memory_mb


def confine(plan: Plan, limits: Limits, folder: Path) -> None:
    """Confine the calling process for good; `folder` stays writable, and with namespaces is a private /tmp."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    if plan.namespaces:
        unshare(NAMESPACES)
        _private_mounts(plan, limits)
        unshare(NEW_USER)  # last: /proc can only be mounted by the owner of the pid namespace, which the zygote made
        map_identity()
    os.environ["HOME"] = os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    _set_limits(limits)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    drop_capabilities()
    if plan.landlock:
        landlock.restrict(plan.readable, [str(folder), "/dev/null"])
    if plan.filter is not None:
        seccomp.load(plan.filter)


def _private_mounts(plan: Plan, limits: Limits) -> None:
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    kept = [(path, os.open(path, os.O_PATH)) for path in plan.keep]
    options = f"size={limits.disk_mb}m,nr_inodes=20000,mode=755"
    mount("tmpfs", "/tmp", "tmpfs", options=options)
    mount("tmpfs", "/dev/shm", "tmpfs", options=options)
    mount("tmpfs", "/dev/pts", "tmpfs", MS_RDONLY | MS_NOSUID, "size=4k")  # terminals would join one test to another
    for path, descriptor in kept:
        Path(path).mkdir(parents=True)
        mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | MS_REC)
        os.close(descriptor)
    try:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # an empty one, never the parent's
        mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID, "size=4k")


def _set_limits(limits: Limits) -> None:
    data = (limits.memory_mb + limits.base_data_mb) << 20
    seconds = int(limits.seconds) + 1
    for kind, value in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_CPU, 2 * seconds),
        (resource.RLIMIT_FSIZE, limits.disk_mb << 20),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 256),
    ):
        ceiling = resource.getrlimit(kind)[1]
        bounded = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (bounded, bounded))
