"""Stands in for the zygote where that runs in a container: takes its orders, and carries its descriptors' bytes there.

Descriptors can't enter a container on another machine or in a virtual one. So this process, started by the judge's
handle with the zygote's control socket, starts the container and is one end of a relay over its standard streams; the
other is `rounds.inside.relay_end`. Nothing that comes up is believed: see `rounds.inside.streams`.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from typing import Any

from rounds.inside import streams
from rounds.inside.relay_end import CONNECT, fingerprint
from rounds.inside.streams import BrokenRelay, Kind
from rounds.isolation import wall

IMAGE = os.environ.get("ROUNDS_SANDBOX_IMAGE", "rounds-sandbox")
LIMITS = (
    "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--pids-limit", "1024", "--memory", "4g", "--memory-swap", "4g", "--ipc", "none", "--user", "65534:65534",
    "--tmpfs", "/tmp:rw,exec,nosuid,nodev,size=1g,nr_inodes=200000,mode=1777",
)  # fmt: skip
MAX_ORDER = 65536
MAX_ERRORS = 4096
END_SECONDS = 3.0
ENDED = "the container ended"


class OuterEnd(streams.Relay):
    """The end on the host: between the judge's handle and the pipes to the container."""

    def __init__(self, source: int, sink: int, control: socket.socket) -> None:
        super().__init__(source, sink)
        self.control = control
        self.over = False
        self.ready = False
        self.listeners: dict[int, list[socket.socket]] = {}  # by the number of a child's line
        self.watch(control.fileno(), self.take_order)

    def take_order(self) -> None:
        """Pass an order down; the descriptors that came with it become streams here."""
        message, descriptors, _, _ = socket.recv_fds(self.control, MAX_ORDER, 16)
        if not message:
            self.over = True
            return
        line, output, channel, *servers = descriptors
        number = self.highest + 1
        order = {**json.loads(message), "servers": len(servers)}
        self.send(number, Kind.SPAWN, json.dumps(order).encode())
        with contextlib.suppress(OSError, AttributeError):  # the pipe takes all that can be under way
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, streams.WINDOW)
        self.add(number, output, reads=False)
        self.add(number + 1, socket.socket(fileno=channel))
        self.add(number + 2, socket.socket(fileno=line))
        self.listeners[number + 2] = [self._listen(number + 2, *pair) for pair in enumerate(servers)]

    def _listen(self, line: int, which: int, descriptor: int) -> socket.socket:
        listener = socket.socket(fileno=descriptor)
        listener.setblocking(False)
        self.watch(descriptor, lambda: self._accept(listener, line, which))
        return listener

    def _accept(self, listener: socket.socket, line: int, which: int) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            number = self.highest + 1
            self.send(number, Kind.CONNECT, CONNECT.pack(line, which))
            self.add(number, connection)

    def order(self, number: int, kind: Kind, payload: bytes) -> None:
        """Take the zygote's word that it is up, the only frame of its own that the container may send, and once."""
        if kind is not Kind.READY or self.ready:
            super().order(number, kind, payload)
        self.ready = True
        self.control.send(json.dumps(_plain_word(payload)).encode())

    def ended(self, number: int) -> None:
        """Nothing more comes on a stream; if it is a child's line, the child is gone and its servers with it."""
        for listener in self.listeners.pop(number, ()):
            self.unwatch(listener.fileno())
            listener.close()


def _plain_word(payload: bytes) -> dict[str, Any]:
    try:
        word = json.loads(payload)
        return {"ready": float(word["ready"]), "missing": [str(name) for name in word["missing"]]}
    except (ValueError, TypeError, LookupError, RecursionError):
        raise BrokenRelay("the zygote's word has the wrong shape") from None


def command(settings: dict[str, Any], hash_seed: int) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of this process, for the judge's handle."""
    inner = {**settings, "environment": wall.environment([], hash_seed), "inside": fingerprint()}
    run = "from rounds.isolation.relay import main; main()"  # as a module it would be imported twice
    return [sys.executable, "-P", "-B", "-c", run, json.dumps(inner)], dict(os.environ)


def container_command(docker: str, name: str, settings: dict[str, Any]) -> list[str]:
    """Return the command that starts the container; its output goes through no log."""
    flags = ["run", "--interactive", "--rm", "--pull", "never", "--log-driver", "none", "--name", name, *LIMITS]
    return [docker, *flags, IMAGE, json.dumps(settings)]


def reason(errors: bytes, status: int | None) -> str:
    """Say in one line why there is no container, from what Docker or the inner end wrote."""
    lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("docker:", "Error"))), lines[-1] if lines else "")
    if "No such image" in said or "Unable to find image" in said:
        return f"no image {IMAGE}"
    if "daemon" in said and ("connect" in said.lower() or "running?" in said):
        return "no Docker engine answers"
    return said.removeprefix("docker: ")[:250] or f"{ENDED} with status {status}"


def carry(control: socket.socket, docker: "subprocess.Popen[bytes]") -> None:
    """Relay until the judge hangs up or the container does."""
    source, sink, errors = (pipe.fileno() for pipe in (docker.stdout, docker.stdin, docker.stderr) if pipe)
    end = OuterEnd(source, sink, control)
    heard = bytearray()

    def listen() -> None:
        said = os.read(errors, 4096)
        heard.extend(said[: MAX_ERRORS - len(heard)])
        if not said:
            end.unwatch(errors)

    end.watch(errors, listen)
    try:
        while not end.over:
            end.turn()
    except BrokenRelay as broken:
        if "hung up" not in str(broken):
            sys.exit(str(broken))
        with contextlib.suppress(subprocess.TimeoutExpired, BlockingIOError):
            docker.wait(END_SECONDS)
            os.set_blocking(errors, False)
            heard += os.read(errors, MAX_ERRORS)
        sys.exit(reason(bytes(heard), docker.returncode))
    finally:
        end.close()


def stop(docker: "subprocess.Popen[bytes]", path: str, name: str) -> None:
    """Close the container's input, which ends it; see that it does."""
    with contextlib.suppress(OSError):
        if docker.stdin is not None:
            docker.stdin.close()
    try:
        docker.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        subprocess.run([path, "kill", name], capture_output=True, timeout=30, check=False)
        docker.kill()


def main() -> None:
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings.pop("control"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    docker = shutil.which("docker")
    if docker is None:
        sys.exit("no docker command on this machine")
    name = f"rounds-{uuid.uuid4().hex[:12]}"
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        container_command(docker, name, settings), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        carry(control, process)
    finally:
        stop(process, docker, name)
