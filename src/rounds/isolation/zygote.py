"""The judge's handle on a zygote: start one on a rung, ask it for children, stop it."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rounds.isolation import relay, staging, wall
from rounds.isolation.rungs import Rung

FIRST_USER, USERS = 61184, 4000  # a range that systemd keeps for users that come and go
START_SECONDS = 60.0
MAX_REASON = 300


class ZygoteError(Exception):
    """The zygote did not come up on this rung; the text says why."""


@dataclass(frozen=True)
class Spawned:
    """A child that was asked for: its channel, its output, the line that reports its end, its servers' sockets."""

    channel: socket.socket
    output: int
    line: socket.socket
    listeners: tuple[str, ...]


class Zygote:
    """A running zygote. Safe to use from several threads."""

    def __init__(self, rung: Rung, modules: Sequence[str], *, bwrap: str | None = None, hash_seed: int = 0) -> None:
        self.rung = rung
        self.bwrap = bwrap
        self.hash_seed = hash_seed
        self.missing: tuple[str, ...] = ()
        self._folder = tempfile.TemporaryDirectory(prefix="rounds-")
        Path(self._folder.name).chmod(0o755)
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._sockets = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        with far:
            command, variables = self._command(modules, far.fileno())
            self._process = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[far.fileno()],
                cwd="/",
            )

    def _command(self, modules: Sequence[str], control: int) -> tuple[list[str], dict[str, str]]:
        settings = {
            "control": control,
            "modules": list(modules),
            "namespaces": self.rung.namespaces,
            "landlock": self.rung.landlock,
            "seccomp": self.rung.seccomp,
            "readable": [] if self.bwrap or self.rung.container else wall.readable_trees(),
            "keep": [],
        }
        if self.rung.container:
            return relay.command(settings, self.hash_seed)
        if self.bwrap:
            settings["readable"] = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/rounds", "/dev", *_foreign_trees()]
            settings["keep"] = [tree for tree in _foreign_trees() if tree.startswith("/tmp/")]
            command, variables = wall.walled_command(self.bwrap, settings, self.hash_seed)
        else:
            command, variables = wall.plain_command(settings, self.hash_seed)
        if os.geteuid() == 0 and self.rung.letter != "E":
            command = self._as_another_user(command)
        return command, variables

    def _as_another_user(self, command: list[str]) -> list[str]:
        user = FIRST_USER + os.getpid() % USERS
        plan: dict[str, Any] = {"user": user, "folder": "", "sources": [], "command": command}
        if self.bwrap:
            staged = Path(self._folder.name, "staged")
            staged.mkdir(mode=0o755)
            plan |= {"folder": str(staged), **_staged(command, str(staged))}
        return [sys.executable, "-I", "-S", "-B", str(Path(staging.__file__)), json.dumps(plan)]

    def wait_until_ready(self) -> None:
        """Wait for the word that it is up; raise ZygoteError with the reason when none comes.

        The word stays in the socket, so that every process that shares this handle can wait for it.
        """
        ready, _, _ = select.select([self._control], [], [], START_SECONDS)
        message = self._control.recv(65536, socket.MSG_PEEK) if ready else b""
        if not message:
            reason = self._reason()
            self.close()
            raise ZygoteError(reason)
        self.missing = tuple(json.loads(message)["missing"])

    def _reason(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return (lines[-1] if lines else f"it ended with status {self._process.returncode}")[:MAX_REASON]

    def spawn(self, limits: dict[str, float], servers: int = 0) -> Spawned:
        """Fork a confined child. Limits are those of `rounds.inside.confine.Limits`."""
        ours, theirs = socket.socketpair()
        line, far_line = socket.socketpair()
        output, far_output = os.pipe()
        listeners = [self._listener() for _ in range(servers)]
        descriptors = [far_line.fileno(), far_output, theirs.fileno(), *(made.fileno() for made, _ in listeners)]
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps({"limits": limits}).encode()], descriptors)
        finally:
            os.close(far_output)
            for end in (theirs, far_line, *(made for made, _ in listeners)):
                end.close()
        return Spawned(ours, output, line, tuple(path for _, path in listeners))

    def _listener(self) -> tuple[socket.socket, str]:
        with self._lock:
            self._sockets += 1
            path = f"{self._folder.name}/{os.getpid()}-{self._sockets}"
        made = socket.socket(socket.AF_UNIX)
        made.bind(path)
        made.listen(128)
        return made, path

    def close(self) -> None:
        """Hang up; the zygote and all its children end."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def _foreign_trees() -> list[str]:
    return [str(tree) for tree in wall.library().trees if not tree.is_relative_to("/usr")]


def _staged(command: list[str], folder: str) -> dict[str, Any]:
    """Rewrite a bubblewrap command so that what it binds is taken from the staging folder."""
    sources: list[str] = []
    rewritten = list(command)

    def staged(source: str) -> str:
        if source not in sources:
            sources.append(source)
        return f"{folder}/{sources.index(source)}"

    for position, word in enumerate(command):
        source = command[position + 1] if word == "--ro-bind" else ""
        if source and not source.startswith(wall.SYSTEM):
            rewritten[position + 1] = staged(source)
    packaged = next((site for site in wall.library().sites if Path(command[0]).is_relative_to(site)), None)
    if packaged is not None:  # the binary that came as a package finds its library beside itself
        rewritten[0] = f"{staged(str(packaged))}/{Path(command[0]).relative_to(packaged)}"
    return {"sources": sources, "command": rewritten}
