"""Connects to abstract sockets and socket files of the host.  Expect: unmet R1, "nobody there"."""

import socket
from pathlib import Path

NAMES = ("\0rounds-attack-host", "/run/docker.sock", "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0")


def double(number):
    reached = []
    lines = Path("/proc/net/unix").read_text().splitlines()
    listening = [line.split()[-1] for line in lines if "/" in line or "@" in line]
    for name in [*NAMES, *(path.replace("@", "\0", 1) for path in listening)]:
        try:
            socket.socket(socket.AF_UNIX).connect(name)
            reached.append(name)
        except OSError:
            continue
    assert reached, "nobody there"
    return 2 * number
