"""What a process has done to itself once it is confined, seen from within a fork."""

import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest
from forked import Ended, in_fork

from rounds.inside import landlock, seccomp
from rounds.inside.confine import MAX_OPEN_FILES, Limits, Plan, confine

BARE = Plan(namespaces=False, landlock=False, filter=None)
LIMITS = Limits(seconds=3, memory_mb=200, disk_mb=7, processes=50, base_data_mb=100)


def confined(plan, limits, look):
    """Confine a fork and return the folder it has and what it sees."""
    with tempfile.TemporaryDirectory(prefix="rounds-") as folder:

        def enter():
            confine(plan, limits, Path(folder))
            return look(Path(folder))

        return folder, in_fork(enter)


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def test_the_limits_are_set_for_good():
    kinds = ("DATA", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE", "MSGQUEUE")

    def look(folder):
        return {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds}

    _, seen = confined(BARE, LIMITS, look)
    wanted = {
        "DATA": 300 << 20,
        "CPU": 8,
        "FSIZE": 7 << 20,
        "NOFILE": MAX_OPEN_FILES,
        "NPROC": 50,
        "CORE": 0,
        "MSGQUEUE": 0,
    }
    assert all(soft == hard <= wanted[kind] for kind, (soft, hard) in seen.items())
    assert seen["DATA"][0] == wanted["DATA"]


def test_a_limit_below_ours_is_not_raised():
    def look():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        confine(BARE, LIMITS, Path("/tmp"))
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    assert in_fork(look) == (100, 100)


def test_memory_above_the_limit_is_a_memory_error():
    def look(folder):
        try:
            return len(bytearray(600 << 20))
        except MemoryError:
            return "MemoryError"

    assert confined(BARE, LIMITS, look)[1] == "MemoryError"


def test_a_file_above_the_limit_cannot_be_written():
    def look(folder):
        with (folder / "large").open("wb") as file:
            try:
                file.write(bytes(8 << 20))
            except OSError as error:
                return error.strerror

    assert confined(BARE, LIMITS, look)[1] == "File too large"


def test_privileges_are_gone_and_cannot_come_back():
    _, seen = confined(
        BARE, LIMITS, lambda folder: [status(name) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs")]
    )
    assert [int(word, 16) for word in seen] == [0, 0, 0, 0, 1]


def test_the_private_folder_is_home_and_temporary_folder():
    folder, seen = confined(
        BARE, LIMITS, lambda folder: (os.environ["HOME"], tempfile.gettempdir(), os.access(folder, os.W_OK))
    )
    assert seen == (folder, folder, True)


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_a_landlock_plan_reads_only_what_is_named(tmp_path):
    (tmp_path / "secret").write_text("x")
    plan = Plan(namespaces=False, landlock=True, filter=None, readable=("/usr", "/lib", "/proc"))

    def look(folder):
        (folder / "own").write_text("x")
        return [os.access("/usr/bin", os.R_OK), readable(tmp_path / "secret"), readable(folder / "own")]

    assert confined(plan, LIMITS, look)[1] == [True, False, True]


def readable(path):
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not seccomp.supported(), reason="no filter for this architecture")
def test_a_filter_plan_loads_the_filter():
    plan = Plan(namespaces=False, landlock=False, filter=seccomp.program(os.uname().machine))
    assert confined(plan, LIMITS, lambda folder: status("Seccomp"))[1] == "2"


def test_a_confined_process_ends_with_its_parent():
    """PR_SET_PDEATHSIG: nobody is left behind when the zygote is killed."""
    reading, writing = os.pipe()

    def parent():
        pid = os.fork()
        if pid == 0:
            confine(BARE, LIMITS, Path("/tmp"))
            os.write(writing, b"up")
            while True:
                signal.pause()
        os.read(reading, 2)
        os._exit(3)

    with pytest.raises(Ended) as ended:
        in_fork(parent)
    assert ended.value.status == 3
    os.close(writing)
    assert os.read(reading, 1) == b""  # the last writer is gone
    os.close(reading)
