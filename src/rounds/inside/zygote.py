"""The zygote: trusted code that imports the libraries once and forks itself for each test.

It never sees a byte of a submission, so no ancestor of a test ever ran one. It is one thread with one loop: take an
order, fork a child, watch the children's clocks and memory, say how each ended. It is pid 1 of a pid namespace that
its own user namespace owns, and so may make a further pid namespace for each child and step back out of it.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from . import seccomp
from .confine import Limits, Plan, confine
from .first_uses import use_once
from .memory import data_mb, sockets_mb, tree_mb
from .pages import gather_memory
from .proc import queued_seconds, tree
from .syscalls import NEW_NS, NEW_PID, NEW_USER, map_identity, mount, set_namespace, unshare

WATCH_SECONDS = 0.1
MEMORY_SLACK = 1.25
MAX_LOOK_SECONDS = 0.5  # of processor time, to find out how much memory one child holds
MAX_ORDER = 65536
MAX_FAILURE = 500
PRIVATE = Path("/tmp")  # with namespaces, each child has one of its own
DATA = 3  # where a child finds its channel; listening sockets follow


@dataclass
class Child:
    """A running test: its process, its limits, and the line on which its end is reported."""

    pid: int
    pidfd: int
    line: socket.socket
    limits: Limits
    failing: int  # where it says what went wrong before it was confined
    folder: Path
    started: float = field(default_factory=time.monotonic)
    killed: str = ""
    peak_mb: int = 0


class Zygote:
    """The loop around the fork."""

    def __init__(self, control: socket.socket, plan: Plan) -> None:
        self.control = control
        self.plan = plan
        self.children: dict[int, Child] = {}
        self.removers: set[int] = set()
        self.selector = selectors.DefaultSelector()
        self.proc = os.open("/proc", os.O_RDONLY)
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY) if plan.namespaces else -1

    def run(self) -> None:
        """Serve until the judge hangs up."""
        self.selector.register(self.control, selectors.EVENT_READ, "control")
        watched = time.monotonic()
        while True:
            waits = max(0.0, watched + WATCH_SECONDS - time.monotonic())
            for key, _ in self.selector.select(waits if self.children else None):
                if key.data == "control":
                    if not self.take_order():
                        return
                elif key.data in self.children:
                    self.look_at(self.children[key.data], key.fd)
            if time.monotonic() - watched >= WATCH_SECONDS:
                self.watch()
                watched = time.monotonic()

    def take_order(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.control, MAX_ORDER, 16)
        except ConnectionResetError:  # it hung up without having read all that was said
            return False
        if not message:
            return False
        order = json.loads(message)
        limits = Limits(**order["limits"], base_data_mb=data_mb())
        line = socket.socket(fileno=descriptors[0])
        try:
            folder = PRIVATE if self.plan.namespaces else Path(tempfile.mkdtemp(prefix="rounds-"))
            pid, failing = self.fork(limits, folder, descriptors[1:])
        except OSError as error:
            line.send(json.dumps({"status": None, "why": f"no process could be made: {error}"}).encode())
            line.close()
            return True
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        child = Child(pid, os.pidfd_open(pid), line, limits, failing, folder)
        self.children[pid] = child
        self.selector.register(child.pidfd, selectors.EVENT_READ, pid)
        self.selector.register(child.line, selectors.EVENT_READ, pid)
        return True

    def fork(self, limits: Limits, folder: Path, descriptors: list[int]) -> tuple[int, int]:
        failing, far = os.pipe()
        if self.plan.namespaces:
            unshare(NEW_PID)
        try:
            pid = os.fork()
            if pid == 0:
                become_child(self.plan, limits, folder, [*descriptors, far])
        except OSError:
            os.close(failing)
            raise
        finally:
            os.close(far)
            if self.plan.namespaces:
                set_namespace(self.own_pids, NEW_PID)
        return pid, failing

    def look_at(self, child: Child, descriptor: int) -> None:
        if descriptor == child.pidfd:
            self.bury(child)
        elif not child.killed:  # the judge hung up or asks for the end
            self.kill(child, "ended by the judge")

    def kill(self, child: Child, why: str) -> None:
        child.killed = why
        self.selector.unregister(child.line)
        for pid in [] if self.plan.namespaces else descendants(child.pid, self.proc):
            _signal(pid)
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def bury(self, child: Child) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        failed = os.read(child.failing, MAX_FAILURE).decode("utf-8", "replace")
        os.close(child.failing)
        report = {
            "status": os.waitstatus_to_exitcode(status),
            "why": f"no process could be confined: {failed}" if failed else child.killed,
            "cpu": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mb": max(child.peak_mb, usage.ru_maxrss >> 10),
            "seconds": round(time.monotonic() - child.started, 3),
        }
        self.selector.unregister(child.pidfd)
        if not child.killed:
            self.selector.unregister(child.line)
        with contextlib.suppress(OSError):  # the judge may not listen any more
            child.line.send(json.dumps(report).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        child.line.close()
        os.close(child.pidfd)
        del self.children[child.pid]
        if child.folder != PRIVATE:
            self.removers.add(remove(child.folder))

    def end_all(self) -> None:
        """Bury who is left, and wait until their folders are gone."""
        for child in list(self.children.values()):
            if not child.killed:
                self.kill(child, "ended by the judge")
            self.bury(child)
        for pid in self.removers:
            os.waitpid(pid, 0)

    def allowed(self, child: Child) -> float:
        """Return how long a child may run: its limit, and what it waited for a processor, up to as much again."""
        limit = child.limits.seconds
        if time.monotonic() - child.started <= limit:
            return limit
        return limit + min(limit, queued_seconds(child.pid, self.proc))

    def watch(self) -> None:
        self.removers = {pid for pid in self.removers if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        now = time.monotonic()
        for child in list(self.children.values()):
            if child.killed:
                continue
            if now - child.started > self.allowed(child):
                self.kill(child, "time limit")
                continue
            looked = time.thread_time()
            used = tree_mb(child.pid, self.proc, child.limits.memory_mb)
            if self.plan.namespaces:
                used += sockets_mb(child.pid, self.proc)
            child.peak_mb = max(child.peak_mb, used)
            too_slow = time.thread_time() - looked > MAX_LOOK_SECONDS  # the others' children wait meanwhile
            if used > child.limits.memory_mb * MEMORY_SLACK or too_slow:
                self.kill(child, "memory limit")


def descendants(pid: int, proc: int) -> list[int]:
    return [found for found in tree(pid, proc) if found != pid]


def _signal(pid: int) -> None:
    with contextlib.suppress(OSError):  # it was faster
        os.kill(pid, signal.SIGKILL)


def remove(folder: Path) -> int:
    """Remove what a child left, in a process of its own: it may take long, and fail on names nested without end."""
    pid = os.fork()
    if pid == 0:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os._exit(0)
    return pid


def become_child(plan: Plan, limits: Limits, folder: Path, descriptors: list[int]) -> NoReturn:
    """In the fork: take up the descriptors, put up the walls, and serve the test.

    The last descriptor is for what goes wrong before the walls stand. It is closed then, so that whatever happens
    later, with whatever status, is the submission's doing.
    """
    output, *others, failing = descriptors
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        place_descriptors(output, [*others, failing])
        failing = DATA + len(others)
        confine(plan, limits, folder)
        channel = socket.socket(fileno=DATA)
        from .agent import serve
    except BaseException as error:
        os.write(failing, f"{type(error).__name__}: {error}".encode()[:MAX_FAILURE])
        os._exit(70)
    try:
        os.close(failing)
        serve(channel, folder, list(range(DATA + 1, DATA + len(others))))
    finally:
        os._exit(70)


def place_descriptors(output: int, others: list[int]) -> None:
    """Leave nothing open but: no input, the output twice, the channel, the listening sockets."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    wanted = [nothing, output, output, *others]
    high = 1000
    for position, descriptor in enumerate(wanted):
        os.dup2(descriptor, high + position)
    for position in range(len(wanted)):
        os.dup2(high + position, position, inheritable=position <= 2)
    os.closerange(len(wanted), high + len(wanted))


def enter_namespaces() -> None:
    """Become (in a fork) pid 1 of a pid namespace of ours; the caller stays behind as its guardian."""
    unshare(NEW_USER | NEW_NS | NEW_PID)
    map_identity()
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    mount("proc", "/proc", "proc")


def warm_up(modules: list[str]) -> list[str]:
    """Import the libraries; return those that could not be."""
    missing = []
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    for name in ("numpy", "pandas"):
        if name in sys.modules:
            from . import tables  # noqa: F401
    use_once(modules)
    return missing


def main(settings: dict[str, Any], control: socket.socket) -> None:
    """Start up as told, say so, and serve."""
    started = time.perf_counter()
    plan = Plan(
        namespaces=settings["namespaces"],
        landlock=settings["landlock"],
        filter=seccomp.program(os.uname().machine) if settings["seccomp"] else None,
        readable=tuple(settings["readable"]),
        keep=tuple(settings["keep"]),
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if plan.namespaces:
        enter_namespaces()
    elif settings.get("reaps", True):
        from .syscalls import PR_SET_CHILD_SUBREAPER, prctl

        prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # while importing nothing becomes garbage that is worth the search
    missing = warm_up(["rounds_inside.agent", *settings["modules"]])
    gc.freeze()
    gc.enable()
    gather_memory()
    seconds = round(time.perf_counter() - started, 3)
    control.send(json.dumps({"ready": seconds, "missing": missing}).encode())
    zygote = Zygote(control, plan)
    zygote.run()
    zygote.end_all()
