"""The container's end of the relay, and its first process: `python boot.py SETTINGS`, where no control socket is named.

It starts an ordinary zygote beside itself and plays the judge to it: makes the sockets and pipes that an order comes
with, keeps their other ends, and moves bytes between those and its standard streams. A server's socket has no name
that another submission could use: it is unlinked at once and reached through a descriptor. Whenever no test runs, what
tests left behind, processes and files, is done away with.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import landlock, streams
from .streams import BrokenRelay, Kind
from .syscalls import prctl

PR_SET_DUMPABLE = 4
MAX_WORD = 60000
MAX_ROUNDS = 1000
MAX_FOLDERS = 20
HERE = Path(__file__).resolve().parent
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
READABLE = ("/usr", "/lib", "/lib64", "/bin", "/etc", sys.prefix, sys.base_prefix, str(HERE), *DEVICES)
CONNECT = struct.Struct("!IB")


class InnerEnd(streams.Relay):
    """The end that stands between the pipes to the host and the zygote."""

    def __init__(self, source: int, sink: int, control: socket.socket, zygote: int) -> None:
        super().__init__(source, sink)
        self.control = control
        self.zygote = zygote
        self.lines: set[int] = set()  # of the children that run
        self.leaving: set[int] = set()  # of those that the judge let go of
        self.waiting: list[tuple[int, bytes, list[int]]] = []  # children not ordered yet
        self.servers: dict[int, list[int]] = {}  # by the number of a child's line: what to connect to
        self.watch(control.fileno(), self.pass_word_up)

    def pass_word_up(self) -> None:
        word = self.control.recv(MAX_WORD)
        if not word:
            raise BrokenRelay("the zygote ended")
        self.send(0, Kind.READY, word)

    def order(self, number: int, kind: Kind, payload: bytes) -> None:
        if kind is Kind.SPAWN:
            self.spawn(number, json.loads(payload))
        elif kind is Kind.CONNECT:
            self.connect(number, *CONNECT.unpack(payload))
        else:
            super().order(number, kind, payload)

    def spawn(self, number: int, order: dict[str, Any]) -> None:
        """Order a child; its output, channel and line become the next three streams."""
        reap()
        output, far_output = os.pipe()
        channel, far_channel = socket.socketpair()
        line, far_line = socket.socketpair()
        servers = [_nameless_listener() for _ in range(order.pop("servers"))]
        sockets = [far_channel, *(made for made, _ in servers)]
        descriptors = [far_line.detach(), far_output, *(made.detach() for made in sockets)]
        self.add(number, output, writes=False)
        self.add(number + 1, channel)
        self.add(number + 2, line)
        self.servers[number + 2] = [place for _, place in servers]
        self.waiting.append((number + 2, json.dumps(order).encode(), descriptors))
        self.place_orders()

    def place_orders(self) -> None:
        """Hand the zygote what waits, unless children are about to end and what they leave behind must go first."""
        while self.waiting and not (self.leaving and littered(self.zygote)):
            line, message, descriptors = self.waiting.pop(0)
            socket.send_fds(self.control, [message], descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            self.lines.add(line)
            if self.streams[line].ending:
                self.leaving.add(line)

    def connect(self, number: int, line: int, which: int) -> None:
        connection = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError, LookupError):  # then the stream ends as soon as it is there
            connection.connect(f"/proc/self/fd/{self.servers[line][which]}")
        self.add(number, connection)

    def ended(self, number: int) -> None:
        """The judge let go of a child's line: nobody will connect to its servers any more."""
        for place in self.servers.pop(number, ()):
            os.close(place)
        if number in self.lines:
            self.leaving.add(number)

    def exhausted(self, number: int) -> None:
        """A child's line ends when the child does."""
        if number in self.lines:
            self.lines.remove(number)
            self.leaving.discard(number)
            if not self.lines and littered(self.zygote):
                end_orphans(self.zygote)
                empty(Path("/tmp"))
            self.place_orders()


def littered(zygote: int) -> bool:
    """Say whether tests left processes in this container, or more files than the zygote clears away itself."""
    if os.getpid() != 1:
        return False
    space, folders = os.statvfs("/tmp"), sum(1 for _ in Path("/tmp").iterdir())
    full = space.f_bfree < space.f_blocks // 2 or space.f_ffree < space.f_files // 2
    return full or folders > MAX_FOLDERS or any(orphans(zygote))


def orphans(zygote: int) -> Iterator[int]:
    """List what runs and has no parent but this process, the first of the container."""
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and int(path.name) != zygote:
                state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                if parent == "1" and state not in "ZX":
                    yield int(path.name)


def end_orphans(zygote: int) -> None:
    """End what tests left running; the children of what is ended become orphans in turn."""
    for _ in range(MAX_ROUNDS):
        found = list(orphans(zygote))
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        reap()
        if not found:
            return


def reap() -> None:
    """Take leave of orphans that ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def empty(folder: Path) -> None:
    """Remove all that is in a folder, however deep it is and whatever its permissions say."""
    for path in folder.iterdir():
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except (OSError, RecursionError):
            subprocess.run(["chmod", "-R", "u+rwX", path], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["rm", "-rf", path], stderr=subprocess.DEVNULL, check=False)


def _nameless_listener() -> tuple[socket.socket, int]:
    made, path = socket.socket(socket.AF_UNIX), Path(f"/tmp/listener-{os.getpid()}")
    made.bind(str(path))
    made.listen(128)
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    path.unlink()
    return made, place


def start_zygote(settings: dict[str, Any], far: socket.socket) -> "subprocess.Popen[bytes]":
    """Start the zygote with walls of the container's own; its words go to standard error."""
    variables = {**os.environ, **settings.pop("environment")}
    settings |= {"control": far.fileno(), "reaps": False, "readable": list(READABLE), "keep": []}
    command = [sys.executable, "-B", str(HERE / "boot.py"), json.dumps(settings)]
    return subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=2, pass_fds=[far.fileno()])


def fingerprint() -> str:
    """Return one hash over the code that runs inside: both ends of the relay must have it from the same kit."""
    digest = hashlib.sha256()
    for path in sorted(HERE.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def main(settings: dict[str, Any]) -> None:
    """Serve until the host hangs up."""
    if settings.pop("inside") != fingerprint():
        sys.exit("the image holds another version of the kit: build it again")
    if settings["landlock"] and not landlock.version():
        sys.exit("the container's kernel has no Landlock")
    prctl(PR_SET_DUMPABLE, 0)  # no submission looks into this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote = start_zygote(settings, far)
    far.close()
    end = InnerEnd(source, sink, control, zygote.pid)
    try:
        while True:
            end.turn()
    except BrokenRelay as reason:
        end.close()
        control.close()
        zygote.kill()
        sys.exit(None if "hung up" in str(reason) else str(reason))
