"""Makes the kernel calls that escapes are made of.  Expect: unmet R1, "nothing worked"."""

import ctypes
import os
import platform

X86 = {
    "mount": 165, "unshare": 272, "ptrace": 101, "bpf": 321, "io_uring_setup": 425, "userfaultfd": 323, "keyctl": 250,
    "pidfd_getfd": 438, "setns": 308, "clone3": 435, "open_by_handle_at": 304, "perf_event_open": 298,
}  # fmt: skip
CALLS = X86 if platform.machine() == "x86_64" else {}


def double(number):
    libc = ctypes.CDLL(None, use_errno=True)
    worked = [name for name, code in CALLS.items() if libc.syscall(code, 0, 0, 0, 0, 0, 0) >= 0]
    for name, attempt in {
        "setuid": lambda: os.setuid(0),
        "chroot": lambda: os.chroot("/tmp"),
        "mknod": lambda: os.mknod("/tmp/rounds-attack-device", 0o600 | 0o060000, os.makedev(8, 0)),
        "nice": lambda: os.nice(-5),
        "memfd": lambda: os.memfd_create("x"),
    }.items():
        try:
            attempt()
            worked.append(name)
        except OSError:
            continue
    assert worked, "nothing worked"
    return 2 * number
