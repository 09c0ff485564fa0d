"""Connects to abstract sockets and socket files of the host.  Expect: unmet R1, "nobody there"."""

import os
import socket

NAMES = ("\0rounds-attack-host", "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0")


def double(number):
    reached = []
    listening = [line.split()[-1] for line in open("/proc/net/unix") if "/" in line or "@" in line]  # noqa: PTH123, SIM115
    for name in [*NAMES, *(path.replace("@", "\0", 1) for path in listening)]:
        try:
            socket.socket(socket.AF_UNIX).connect(name)
            reached.append(name)
        except OSError:
            continue
    assert reached and os.getpid() != 1, "nobody there"
    return 2 * number
