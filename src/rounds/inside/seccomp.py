"""A seccomp filter as classic BPF, assembled here so that no library is needed where the filter is loaded.

It is a list of what a submission has no use for and a kernel exploit would: new namespaces, mounts, tracing, kernel
modules, keyrings, io_uring, memory that no limit counts (`memfd_create`, System V segments), and every socket but
Unix ones. `clone3` answers ENOSYS, so that libc falls back to `clone`, whose flags a filter can read.
"""

import ctypes
import errno
import os
import struct

from .syscalls import NEW_CGROUP, NEW_IPC, NEW_NET, NEW_NS, NEW_PID, NEW_USER, NEW_UTS, PR_SET_SECCOMP, prctl

_MODE_FILTER = 2
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32_BIT = 0x40000000
_AF_UNIX = 1
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_NAMESPACES = NEW_NS | NEW_UTS | NEW_IPC | NEW_USER | NEW_PID | NEW_NET | NEW_CGROUP

# name: (x86_64, aarch64); None where the architecture has no such call
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)


def supported() -> bool:
    """Say whether there is a filter for this architecture."""
    return os.uname().machine in _AUDIT


def program(machine: str) -> bytes:
    """Assemble the filter for `machine` ("x86_64" or "aarch64")."""
    column = _COLUMN[machine]
    code = [
        _load(_ARCHITECTURE),
        _skip_unless(_JUMP_EQUAL, _AUDIT[machine], 1, invert=True),
        _give(_KILL),
        _load(_NUMBER),
        _skip_unless(_JUMP_GREATER_EQUAL, _X32_BIT, 1),
        _give(_KILL),
    ]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            code += [_skip_unless(_JUMP_EQUAL, number, 1), _give(_ERRNO | errno.EPERM)]
    code += [_skip_unless(_JUMP_EQUAL, _CLONE3[column], 1), _give(_ERRNO | errno.ENOSYS)]
    code += [_skip_unless(_JUMP_EQUAL, _CLONE[column], 4), _load(_FIRST_ARGUMENT)]
    code += [_skip_unless(_JUMP_ANY_BIT, _NAMESPACES, 1), _give(_ERRNO | errno.EPERM), _give(_ALLOW)]
    code += [_skip_unless(_JUMP_EQUAL, _SOCKET[column], 4), _load(_FIRST_ARGUMENT)]
    code += [_skip_unless(_JUMP_EQUAL, _AF_UNIX, 1, invert=True), _give(_ERRNO | errno.EACCES), _give(_ALLOW)]
    code.append(_give(_ALLOW))
    return b"".join(code)


def load(assembled: bytes) -> None:
    """Put this process and its future children under the filter. Needs no_new_privs."""
    buffer = ctypes.create_string_buffer(assembled)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(assembled) // 8, ctypes.addressof(buffer)))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", _LOAD, 0, 0, offset)


def _give(action: int) -> bytes:
    return struct.pack("HBBI", _RETURN, 0, 0, action)


def _skip_unless(jump: int, value: int, count: int, *, invert: bool = False) -> bytes:
    """Skip the next `count` instructions unless (or, inverted, if) the comparison holds."""
    return struct.pack("HBBI", jump, count if invert else 0, 0 if invert else count, value)
