"""The few system calls that Python does not offer: namespaces, mounts, capabilities, prctl."""

import ctypes
import os
import struct

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 1 << 14, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 1, 24, 38, 22, 36
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _must(_libc.unshare(flags), "unshare")


def set_namespace(descriptor: int, kind: int) -> None:
    _must(_libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int = MS_NOSUID | MS_NODEV, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode()
    )
    _must(result, f"mount {target}")


def prctl(option: int, *arguments: int) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    _must(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)), f"prctl {option}")


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by number; raise OSError when it fails."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    _must(result, f"system call {number}")
    return result


def drop_capabilities() -> None:
    """Give up every capability, in every set, for good."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == -1:
            break  # past the last one that this kernel knows, or not ours to drop
    header, empty = struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24)
    syscall(_CAPSET[os.uname().machine], header, empty)


def map_identity() -> None:
    """In a new user namespace: keep the present user and group ids, and no others."""
    uid, gid = _identity
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


_identity = (os.geteuid(), os.getegid())  # after unshare both read as the overflow id
