"""A Landlock domain, entered by a fork: named trees only, and no way out over TCP, signals or abstract sockets."""

import errno
import os
import signal
import socket

import pytest
from forked import in_fork

from rounds.inside import landlock
from rounds.inside.syscalls import PR_SET_NO_NEW_PRIVS, prctl

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


@pytest.fixture
def trees(tmp_path):
    """Three folders with a file in each: to read, to write, and of no concern."""
    for name in ("readable", "writable", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def error_of(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0


def within(readable, writable, *attempts):
    """Return the error numbers of attempts made within a domain."""

    def confined():
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict([str(path) for path in readable], [str(path) for path in writable])
        return [error_of(attempt) for attempt in attempts]

    return in_fork(confined)


def test_only_what_is_named_can_be_read(trees):
    found = within(
        [trees / "readable"],
        [trees / "writable"],
        (trees / "readable" / "file").read_text,
        (trees / "writable" / "file").read_text,
        (trees / "secret" / "file").read_text,
        lambda: list(trees.iterdir()),
        lambda: list((trees / "secret").iterdir()),
    )
    assert found == [0, 0, errno.EACCES, errno.EACCES, errno.EACCES]


def test_only_what_is_writable_can_be_changed(trees):
    found = within(
        [trees / "readable"],
        [trees / "writable"],
        lambda: (trees / "writable" / "new").write_text("x"),
        lambda: (trees / "writable" / "folder").mkdir(),
        (trees / "writable" / "file").unlink,
        lambda: (trees / "readable" / "file").write_text("x"),
        lambda: (trees / "readable" / "new").write_text("x"),
        (trees / "readable" / "file").unlink,
        lambda: (trees / "writable" / "new").rename(trees / "secret" / "new"),
    )
    assert found[:3] == [0, 0, 0]
    assert all(found[3:])
    assert (trees / "readable" / "file").read_text() == "readable"


def test_a_link_does_not_lead_out(trees):
    (trees / "writable" / "link").symlink_to(trees / "secret" / "file")
    assert within([], [trees / "writable"], (trees / "writable" / "link").read_text) == [errno.EACCES]


def test_a_single_file_can_be_named(trees):
    (trees / "secret" / "other").write_text("x")
    named, other = trees / "secret" / "file", trees / "secret" / "other"
    assert within([named], [], named.read_text, other.read_text) == [0, errno.EACCES]


def test_what_is_not_there_needs_no_rule(trees):
    assert within([trees / "nowhere", trees / "readable"], [], (trees / "readable" / "file").read_text) == [0]


def test_a_domain_holds_for_children_too(trees):
    def child():
        return in_fork((trees / "secret" / "file").read_text)

    assert within([], [], child) == [errno.EACCES]


@pytest.mark.skipif(landlock.version() < 4, reason="no rules for the network before version 4")
def test_there_is_no_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        found = within(
            [], [], lambda: socket.create_connection(address), lambda: socket.create_server(("127.0.0.1", 0))
        )
    assert found == [errno.EACCES, errno.EACCES]


@pytest.mark.skipif(landlock.version() < 6, reason="no scopes before version 6")
def test_signals_and_abstract_sockets_stay_inside():
    name = f"\0rounds-test-{os.getpid()}"

    def connect():
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(name)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        parent = os.getpid()
        found = within([], [], lambda: os.kill(parent, 0), connect, lambda: os.kill(os.getpid(), signal.SIGCONT))
    assert found == [errno.EPERM, errno.EPERM, 0]
