"""The relay: streams over one pair of pipes, and a zygote behind it, with a script in the place of `docker`."""

import contextlib
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rounds import inside
from rounds.bridge.failures import SandboxFailure, SubmissionDied, SubmissionOutOfMemory, SubmissionTimeout
from rounds.bridge.session import Session
from rounds.errors import IsolationUnavailable
from rounds.inside.streams import HEAD, WINDOW, BrokenRelay, Kind, Relay
from rounds.isolation import climb
from rounds.isolation.rungs import CONTAINERS
from rounds.isolation.zygote import Zygote, ZygoteError

BOOT = Path(inside.__file__).with_name("boot.py")
LOOSE = CONTAINERS[1]  # without Landlock, which a test machine may lack
RUN = f'exec {sys.executable} -B {BOOT} "$last"'
NO_IMAGE = "echo 'docker: Error response from daemon: No such image: x:latest.' >&2; exit 125"
CODE = b"""
import os, sys, time

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served " + scope["path"].encode()})

def double(value): return 2 * value
def say(text): print(text); return len(text)
def leave(): os._exit(3)
def sleep(): time.sleep(60)
def hoard(): return len(bytearray(900 << 20))
"""


# --- the streams


class Wire:
    """Two ends joined by pipes, each turning in a thread of its own; why each stopped is kept."""

    def __init__(self) -> None:
        up, down = os.pipe(), os.pipe()
        self.pipes = [*up, *down]
        self.left, self.right = Relay(up[0], down[1]), Relay(down[0], up[1])
        self.reasons: list[str] = []
        self.streams = 0

    def stream(self) -> tuple[socket.socket, socket.socket]:
        """Add a stream; return the sockets at its two ends."""
        self.streams += 1
        near, left = socket.socketpair()
        far, right = socket.socketpair()
        self.left.add(self.streams, left)
        self.right.add(self.streams, right)
        for end in (near, far):
            end.settimeout(10)
        return near, far

    def start(self) -> None:
        for end in (self.left, self.right):
            threading.Thread(target=self.turn, args=(end,), daemon=True).start()

    def turn(self, end: Relay) -> None:
        try:
            while True:
                end.turn()
        except BrokenRelay as reason:
            self.reasons.append(str(reason))


@pytest.fixture
def wire() -> Wire:
    return Wire()


def read_all(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 16), b""))


def test_bytes_arrive_in_order_and_an_end_leaves_the_other_direction_open(wire: Wire) -> None:
    near, far = wire.stream()
    wire.start()
    data = os.urandom(3 * WINDOW)
    sender = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
    sender.start()
    assert read_all(far) == data
    far.sendall(b"thanks")
    far.close()
    assert read_all(near) == b"thanks"


def test_a_stream_that_nobody_reads_holds_up_no_other(wire: Wire) -> None:
    stuck, _ = wire.stream()
    near, far = wire.stream()
    wire.start()
    stuck.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 16 * WINDOW:
            sent += stuck.send(bytes(1 << 16))
    assert sent < 8 * WINDOW, "the sender was never held back"
    near.sendall(b"x" * 100_000)
    near.shutdown(socket.SHUT_WR)
    assert len(read_all(far)) == 100_000


def test_whoever_writes_to_a_stream_that_was_closed_learns_of_it(wire: Wire) -> None:
    near, far = wire.stream()
    wire.start()
    far.close()
    with pytest.raises(BrokenPipeError):  # noqa: PT012
        for _ in range(100):
            near.sendall(bytes(1000))
            time.sleep(0.02)


def frame(number: int, kind: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(number, kind, len(payload)) + payload


OVERDRAWN = b"".join(frame(1, Kind.DATA, bytes(60000)) for _ in range(WINDOW // 60000 + 1))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (frame(2, Kind.DATA, b"x"), "not there"),
        (frame(0, Kind.CREDIT, bytes(4)), "not there"),
        (frame(1, 77), "wrong shape"),
        (HEAD.pack(1, Kind.DATA, 1 << 30), "wrong shape"),
        (frame(1, Kind.CREDIT, b"\1"), "credit"),
        (frame(1, Kind.CREDIT, b"\0\0\0\1"), "credit"),
        (frame(1, Kind.END) + frame(1, Kind.END), "ended twice"),
        (frame(1, Kind.END) + frame(1, Kind.DATA, b"x"), "more came"),
        (frame(0, Kind.SPAWN), "no place here"),
        (OVERDRAWN, "more came"),
        (b"", "hung up"),
    ],
)
def test_an_end_that_breaks_the_rules_ends_the_run(sent: bytes, reason: str) -> None:
    source, feed = os.pipe()
    end = Relay(source, os.open(os.devnull, os.O_WRONLY))
    ours, _unread = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    end.add(1, ours)
    sender = threading.Thread(target=lambda: (os.write(feed, sent), os.close(feed)))
    sender.start()
    with pytest.raises(BrokenRelay, match=reason):  # noqa: PT012
        while True:
            end.turn()
    end.close()
    os.close(source)
    sender.join()


def test_what_crosses_with_the_end_of_a_stream_is_let_pass() -> None:
    source, feed = os.pipe()
    end = Relay(source, os.open(os.devnull, os.O_WRONLY))
    ours, theirs = socket.socketpair()
    end.add(1, ours)
    theirs.close()
    os.write(feed, frame(1, Kind.END))
    while end.streams:
        end.turn()
    os.write(feed, frame(1, Kind.CREDIT, bytes(4)) + frame(1, Kind.STOP))
    end.turn()
    os.write(feed, frame(1, Kind.DATA, b"x"))
    with pytest.raises(BrokenRelay, match="not there"):
        end.turn()


# --- a zygote behind it


def put_docker(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Put a script in the place of docker; it finds the settings for the inner end in $last."""
    path = folder / "docker"
    path.write_text(f'#!/bin/sh\nfor last in "$@"; do :; done\n{script}\n')
    path.chmod(0o755)
    patch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    patch.setenv("TMPDIR", str(folder))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda script: put_docker(tmp_path, monkeypatch, script)


def started() -> Zygote:
    zygote = Zygote(LOOSE, ["asyncio", "uvicorn"])
    zygote.wait_until_ready()
    return zygote


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with pytest.MonkeyPatch.context() as patch:
        put_docker(tmp_path_factory.mktemp("docker"), patch, RUN)
        zygote = started()
    yield zygote
    zygote.close()


class Loaded(Session):
    """A session with CODE in it."""

    def __init__(self, zygote: Zygote, seconds: float = 20.0, servers: int = 0) -> None:
        super().__init__(zygote, {"seconds": seconds, "memory_mb": 400}, servers)
        self.module = self.request("load", [{"code.py": CODE}, "code", {}], {})

    def get(self, name: str) -> object:
        return self.request("getattr", [self.module, name], {})

    def call(self, name: str, *arguments: object) -> object:
        return self.request("call", [self.get(name), *arguments], {})


def test_values_cross_and_output_before_an_answer_is_kept(zygote: Zygote) -> None:
    session = Loaded(zygote)
    large = os.urandom(5_000_000)
    assert session.call("double", 21) == 42
    assert session.call("double", large) == 2 * large
    assert session.call("say", "x" * 50_000) == 50_000
    session.close()
    assert session.output == b"x" * 50_000 + b"\n"


def test_many_sessions_at_once_keep_apart(zygote: Zygote) -> None:
    found: dict[int, object] = {}

    def one(number: int) -> None:
        session = Loaded(zygote)
        found[number] = session.call("double", number)
        session.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: 2 * number for number in range(8)}


def test_an_app_is_served_through_the_relay(zygote: Zygote) -> None:
    session = Loaded(zygote, servers=2)
    session.ask("serve_app", session.get("app"), 1)
    with httpx.Client(transport=httpx.HTTPTransport(uds=session.listeners[1]), base_url="http://app") as client:
        assert [client.get(f"/{number}").text for number in range(5)] == [f"served /{number}" for number in range(5)]
    session.close()


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("leave", SubmissionDied, "status 3"),
        ("sleep", SubmissionTimeout, "still running after 1 s"),
        ("hoard", Exception, "MemoryError|memory"),
    ],
)
def test_how_a_child_ended_comes_through(zygote: Zygote, name: str, kind: type[Exception], told: str) -> None:
    session = Loaded(zygote, seconds=1.0)
    with pytest.raises(kind, match=told) as caught:
        session.call(name)
    assert name != "hoard" or isinstance(caught.value, (MemoryError, SubmissionOutOfMemory))
    session.close()


def test_a_container_that_goes_away_is_no_fault_of_the_submission(docker: Callable[[str], None]) -> None:
    # the shell takes a background process's input away
    docker(f'exec 3<&0; {sys.executable} -B {BOOT} "$last" <&3 & echo $! > "$TMPDIR/pid"; wait')
    zygote = started()
    session = Loaded(zygote)
    os.kill(int(Path(os.environ["TMPDIR"], "pid").read_text()), 9)
    with pytest.raises(SandboxFailure):
        session.call("sleep")
    session.close()
    zygote.close()


def test_nothing_runs_on_after_the_judge_hung_up(docker: Callable[[str], None]) -> None:
    docker(RUN)
    zygote = started()
    session = Loaded(zygote)
    below = set(descendants(zygote._process.pid))
    assert len(below) >= 3  # the script, the zygote, the child
    session.close()
    zygote.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'docker: Error response from daemon: No such image: x:latest.' >&2; exit 125",
            "no image rounds-sandbox",
        ),
        ("echo 'docker: Cannot connect to the Docker daemon at unix:///x.' >&2; exit 125", "no Docker engine answers"),
        ("echo 'docker: Error response from daemon: no space.' >&2; echo 'See help.' >&2; exit 125", "no space"),
        ("exit 9", "status 9"),
        ("printf 'anything but frames, and long enough'; cat", "wrong shape|not there"),
        (r"printf '\000\000\000\000\006\000\000\000\002{}'; cat", "wrong shape"),
        (r"printf '\000\000\000\007\000\000\000\000\001x'; cat", "not there"),
        (f"""exec {sys.executable} -B {BOOT} '{{"inside": "another"}}'""", "another version"),
    ],
)
def test_why_there_is_no_container_is_said(docker: Callable[[str], None], script: str, reason: str) -> None:
    docker(script)
    with pytest.raises(ZygoteError, match=reason):
        Zygote(LOOSE, []).wait_until_ready()


def test_what_to_do_without_docker_or_image_is_said_in_a_line(
    docker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(NO_IMAGE)
    with pytest.raises(IsolationUnavailable) as caught:
        climb([], want="container")
    assert caught.value.message == "isolation container is not to be had here: container: no image rounds-sandbox."
    assert caught.value.hint == "docker build -t rounds-sandbox --target sandbox -f docker/Dockerfile ."
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(IsolationUnavailable, match=r"no docker command on this machine\. install Docker, then: docker"):
        climb([], want="container")
