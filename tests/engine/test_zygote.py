"""Zygotes: they start or say why not, fork children that hold nothing else, watch them, and report how each ended."""

import concurrent.futures
import json
import os
import select
import socket
import time
from pathlib import Path

import pytest

from rounds.bridge.session import Session
from rounds.inside import zygote as loop
from rounds.inside.confine import Limits, Plan
from rounds.isolation.rungs import rung_named
from rounds.isolation.zygote import Zygote, ZygoteError

PATIENCE = 60
LIMITS = {"seconds": 20.0, "memory_mb": 256}


@pytest.fixture(scope="module")
def bare():
    """A zygote without walls: the loop around the fork is the same on each rung."""
    zygote = Zygote(rung_named("E"), ["json", "no_such_library"])
    zygote.wait_until_ready()
    yield zygote
    zygote.close()


@pytest.fixture
def session(bare):
    made = Session(bare, LIMITS)
    yield made
    made.close()


def loaded(session, source):
    return session.ask("load", {"answer.py": source.encode()}, "answer", {})


def report_of(spawned):
    """Wait for the zygote's word of how a child ended."""
    assert select.select([spawned.line], [], [], PATIENCE)[0], "no report came"
    return json.loads(spawned.line.recv(4096))


def close(spawned):
    spawned.channel.close()
    spawned.line.close()
    os.close(spawned.output)


def test_a_zygote_names_the_libraries_that_are_missing(bare):
    bare.wait_until_ready()
    assert bare.missing == ("no_such_library",)


def test_a_zygote_that_does_not_start_says_why():
    zygote = Zygote(rung_named("A"), [], bwrap="/bin/false")
    with pytest.raises(ZygoteError, match="ended with status 1"):
        zygote.wait_until_ready()


def test_children_are_forks_that_share_nothing(bare):
    sessions = [Session(bare, LIMITS) for _ in range(3)]
    source = "import os\nSEEN = []\ndef note(x):\n    SEEN.append(x)\n    return os.getpid(), SEEN"
    modules = [loaded(session, source) for session in sessions]
    found = [module.note(number) for number, module in enumerate(modules)]
    for session in sessions:
        session.close()
    assert [seen for _, seen in found] == [[0], [1], [2]]
    assert len({pid for pid, _ in found}) == 3


HELD = """
import os


def held():
    found = {}
    for number in range(2000):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
    return found
"""


def test_a_child_holds_no_descriptor_but_its_own(session):
    held = loaded(session, HELD).held()
    assert set(held) == {0, 1, 2, 3}
    assert held[0] == "/dev/null"
    assert held[1] == held[2]
    assert held[1].startswith("pipe:")
    assert held[3].startswith("socket:")


def test_a_child_with_servers_holds_their_sockets(bare):
    session = Session(bare, LIMITS, servers=2)
    held = loaded(session, HELD).held()
    assert set(held) == {0, 1, 2, 3, 4, 5}
    assert all(held[number].startswith("socket:") for number in (3, 4, 5))
    assert len(session.listeners) == 2
    session.close()
    assert not any(os.path.exists(path) for path in session.listeners)  # noqa: PTH110


def test_the_end_of_a_child_is_reported(bare):
    spawned = bare.spawn(LIMITS)
    spawned.channel.shutdown(socket.SHUT_RDWR)
    report = report_of(spawned)
    assert (report["status"], report["why"]) == (0, "")
    assert report["seconds"] >= 0
    assert report["peak_mb"] > 0
    close(spawned)


def test_a_child_whose_line_is_closed_is_ended(bare):
    spawned = bare.spawn(LIMITS)
    spawned.line.shutdown(socket.SHUT_WR)
    assert report_of(spawned)["why"] == "ended by the judge"
    assert select.select([spawned.channel], [], [], PATIENCE)[0]
    assert spawned.channel.recv(1) == b""
    close(spawned)


def test_a_child_past_its_time_is_ended(bare):
    spawned = bare.spawn({"seconds": 0.3, "memory_mb": 64})
    report = report_of(spawned)
    assert (report["status"], report["why"]) == (-9, "time limit")
    close(spawned)


def test_one_that_is_ended_leaves_the_others_alone(bare):
    first, second = Session(bare, LIMITS), Session(bare, LIMITS)
    module = loaded(second, "def double(number):\n    return 2 * number")
    first.close()
    assert module.double(21) == 42
    second.close()


def test_children_can_be_asked_for_from_several_threads(bare):
    def one(number):
        session = Session(bare, LIMITS)
        try:
            return loaded(session, f"NUMBER = {number}").NUMBER
        finally:
            session.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(12))) == list(range(12))


def test_limits_that_are_none_do_not_end_the_zygote(bare):
    session = Session(bare, {"seconds": 20.0, "memory_mb": 256, "disk_mb": 8})
    assert loaded(session, "NUMBER = 1").NUMBER == 1
    session.close()


def test_a_closed_zygote_ends_its_children():
    zygote = Zygote(rung_named("E"), [])
    zygote.wait_until_ready()
    session = Session(zygote, LIMITS)
    module = loaded(session, "import os\nPID = os.getpid()")
    pid = os.pidfd_open(module.PID)
    zygote.close()
    assert select.select([pid], [], [], PATIENCE)[0], "the child lives on"
    os.close(pid)
    session.close()


@pytest.mark.parametrize("hash_seed", [0, 1])
def test_a_zygote_has_the_hash_seed_it_was_started_with(hash_seed):
    zygote = Zygote(rung_named("E"), [], hash_seed=hash_seed)
    zygote.wait_until_ready()
    session = Session(zygote, LIMITS)
    module = loaded(session, "import os\nSEED = os.environ['PYTHONHASHSEED']")
    assert str(hash_seed) == module.SEED
    session.close()
    zygote.close()


@pytest.mark.parametrize("letter", ["D", "E"])
def test_a_child_leaves_no_folder_behind(letter):
    zygote = Zygote(rung_named(letter), [])
    try:
        zygote.wait_until_ready()
    except ZygoteError as error:
        pytest.skip(f"not on this machine: {error}")
    session = Session(zygote, LIMITS)
    module = loaded(session, "import os\nHERE = os.getcwd()\nos.makedirs('a/b')")
    folder = Path(module.HERE).parent
    assert folder.is_dir()
    session.close()
    zygote.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("running", "queued", "allowed"), [(5, 4, 10), (11, 0, 10), (11, 4, 14), (11, 400, 20), (25, 400, 20)]
)
def test_a_wait_for_a_processor_does_not_count_up_to_the_limit_again(monkeypatch, running, queued, allowed):
    monkeypatch.setattr(loop, "queued_seconds", lambda pid, proc: queued)
    plan = Plan(namespaces=False, landlock=False, filter=None)
    zygote = loop.Zygote(None, plan)
    child = loop.Child(1, -1, None, Limits(seconds=10), -1, Path(), started=time.monotonic() - running)
    assert zygote.allowed(child) == allowed
