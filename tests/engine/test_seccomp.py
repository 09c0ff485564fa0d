"""The filter, read by an interpreter of its own for both architectures, and loaded into a fork."""

import ctypes
import errno
import os
import socket
import struct
import threading

import pytest
from forked import in_fork

from rounds.inside import seccomp
from rounds.inside.syscalls import NEW_NET, NEW_USER, PR_SET_NO_NEW_PRIVS, prctl

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
THREAD = 0x3D0F00  # the flags with which libc makes a thread
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
STEPS = {0x15: lambda left, right: left == right, 0x35: lambda left, right: left >= right, 0x45: lambda a, b: a & b}


def verdict(program, number, argument=0, architecture=0xC000003E):
    """Run a filter on one system call, as the kernel would; every jump must land inside the program."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, argument, 0, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, position = 0, 0
    while True:
        code, hit, miss, value = instructions[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return value
        else:
            position += hit if STEPS[code](accumulator, value) else miss


def denied(number):
    return ERRNO | number


# name: (x86_64, aarch64), first argument, what the filter says
TABLE = {
    "read": ((0, 63), 0, ALLOW),
    "write": ((1, 64), 1, ALLOW),
    "openat": ((257, 56), 0, ALLOW),
    "mmap": ((9, 222), 0, ALLOW),
    "execve": ((59, 221), 0, ALLOW),
    "futex": ((202, 98), 0, ALLOW),
    "kill": ((62, 129), 1, ALLOW),
    "exit_group": ((231, 94), 0, ALLOW),
    "ptrace": ((101, 117), 0, denied(errno.EPERM)),
    "mount": ((165, 40), 0, denied(errno.EPERM)),
    "umount2": ((166, 39), 0, denied(errno.EPERM)),
    "unshare": ((272, 97), 0, denied(errno.EPERM)),
    "setns": ((308, 268), 0, denied(errno.EPERM)),
    "bpf": ((321, 280), 0, denied(errno.EPERM)),
    "keyctl": ((250, 219), 0, denied(errno.EPERM)),
    "memfd_create": ((319, 279), 0, denied(errno.EPERM)),
    "shmget": ((29, 194), 0, denied(errno.EPERM)),
    "io_uring_setup": ((425, 425), 0, denied(errno.EPERM)),
    "process_vm_writev": ((311, 271), 0, denied(errno.EPERM)),
    "userfaultfd": ((323, 282), 0, denied(errno.EPERM)),
    "perf_event_open": ((298, 241), 0, denied(errno.EPERM)),
    "pidfd_getfd": ((438, 438), 0, denied(errno.EPERM)),
    "kexec_load": ((246, 104), 0, denied(errno.EPERM)),
    "clone3": ((435, 435), 0, denied(errno.ENOSYS)),
    "clone of a thread": ((56, 220), THREAD, ALLOW),
    "clone of a process": ((56, 220), 17, ALLOW),
    "clone into a user namespace": ((56, 220), 17 | NEW_USER, denied(errno.EPERM)),
    "clone into a network": ((56, 220), THREAD | NEW_NET, denied(errno.EPERM)),
    "Unix socket": ((41, 198), socket.AF_UNIX, ALLOW),
    "IPv4 socket": ((41, 198), socket.AF_INET, denied(errno.EACCES)),
    "IPv6 socket": ((41, 198), socket.AF_INET6, denied(errno.EACCES)),
    "netlink socket": ((41, 198), 16, denied(errno.EACCES)),
    "packet socket": ((41, 198), 17, denied(errno.EACCES)),
    "vsock": ((41, 198), 40, denied(errno.EACCES)),
}


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_the_filter_says_of_a_call(machine, case):
    numbers, argument, expected = case
    number = numbers[list(ARCHITECTURES).index(machine)]
    assert verdict(seccomp.program(machine), number, argument, ARCHITECTURES[machine]) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_a_call_of_another_architecture_kills(machine):
    for other in {*ARCHITECTURES.values(), 0x40000003} - {ARCHITECTURES[machine]}:
        assert verdict(seccomp.program(machine), 0, 0, other) == KILL


def test_a_call_with_32_bit_pointers_kills():
    assert verdict(seccomp.program("x86_64"), 0x40000000) == KILL
    assert verdict(seccomp.program("x86_64"), 0x40000000 + 520) == KILL


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_number_gets_an_answer_and_every_listed_call_is_refused(machine):
    program, architecture = seccomp.program(machine), ARCHITECTURES[machine]
    answers = {number: verdict(program, number, 1, architecture) for number in range(600)}
    assert set(answers.values()) == {ALLOW, denied(errno.EPERM), denied(errno.ENOSYS)}
    refused = {number for number, answer in answers.items() if answer == denied(errno.EPERM)}
    column = list(ARCHITECTURES).index(machine)
    assert refused == {numbers[column] for numbers in seccomp._DENIED.values()} - {None}


def test_the_numbers_are_those_of_this_machine():
    """A wrong number would refuse an innocent call: what is harmless to try is tried without a filter."""
    column = list(ARCHITECTURES).index(os.uname().machine)
    for name in ("memfd_create", "userfaultfd", "bpf", "unshare"):
        number = seccomp._DENIED[name][column]
        assert os_error(number, 0xFFFF, 0xFFFF, 0xFFFF) not in (0, errno.ENOSYS), name


# --- loaded

libc = ctypes.CDLL(None, use_errno=True)


def os_error(number, *arguments):
    """Make a system call; return 0 or the error's number."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    return ctypes.get_errno() if result == -1 else 0


def under_the_filter(function):
    def confined():
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        seccomp.load(seccomp.program(os.uname().machine))
        return function()

    return in_fork(confined)


def error_of(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0


def test_a_loaded_filter_refuses():
    def attempts():
        return [
            error_of(lambda: os.close(os.memfd_create("x"))),
            error_of(lambda: socket.socket(socket.AF_INET)),
            error_of(lambda: socket.socket(socket.AF_INET6)),
            os_error(435, 0, 0),
            os_error(seccomp._DENIED["unshare"][list(ARCHITECTURES).index(os.uname().machine)], NEW_USER),
        ]

    assert under_the_filter(attempts) == [errno.EPERM, errno.EACCES, errno.EACCES, errno.ENOSYS, errno.EPERM]


def test_a_loaded_filter_leaves_threads_forks_and_unix_sockets_alone():
    def attempts():
        seen = []
        thread = threading.Thread(target=lambda: seen.append("thread"))
        thread.start()
        thread.join()
        left, right = socket.socketpair()
        left.send(b"hi")
        seen.append(right.recv(2))
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        return [*seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]

    assert under_the_filter(attempts) == ["thread", b"hi", 7]


def test_a_loaded_filter_holds_for_children_too():
    def attempts():
        return in_fork(error_of, lambda: os.memfd_create("x"))

    assert under_the_filter(attempts) == errno.EPERM


def test_a_filter_needs_no_new_privileges_first():
    def attempt():
        os.setgid(65534)
        os.setuid(65534)
        return error_of(lambda: seccomp.load(seccomp.program(os.uname().machine)))

    if os.geteuid():
        pytest.skip("only root can become somebody else first")
    assert in_fork(attempt) == errno.EACCES
