"""Gathering memory into huge pages changes nothing of what it holds."""

import os

from rounds.inside.pages import gather_memory


def test_gathering_keeps_what_memory_holds() -> None:
    pid = os.fork()
    if pid == 0:  # in a fork, for it touches the whole process
        held = bytearray(os.urandom(64)) * (8 << 14)
        before = bytes(held[:64])
        gathered = gather_memory()
        os._exit(0 if gathered >= 0 and held == bytearray(before) * (8 << 14) else 1)
    assert os.waitpid(pid, 0)[1] == 0
