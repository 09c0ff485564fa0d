"""Leaves notes for its next test in every place it can write to.  Expect: unmet R1 R8, "no note"."""

import contextlib
import os
import socket
from multiprocessing import shared_memory
from pathlib import Path

PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/dev", "/dev/pts", "/run", "/rounds", "/rounds/site/0/rounds", "/", "/proc")


def exchange():
    """Say whether there was a note, and leave one."""
    found = False
    for place in PLACES:
        note = Path(place, "rounds-attack-note")
        found |= note.exists()
        with contextlib.suppress(OSError):
            note.write_text("seen")
    try:
        shared_memory.SharedMemory("rounds-attack-memory", create=True, size=64)
    except FileExistsError:
        found = True
    except OSError:
        pass
    with contextlib.suppress(OSError):
        socket.socket(socket.AF_UNIX).bind("\0rounds-attack-note")
        os.setxattr("/rounds/inside", "user.rounds-attack", b"seen")
    return found


KNOWN = exchange()


def double(number):
    assert KNOWN, "no note"
    return 2 * number


def countdown(n):
    assert KNOWN, "no note"
    return range(n, 0, -1)
