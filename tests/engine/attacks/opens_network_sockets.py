"""Opens TCP, UDP, IPv6, raw, netlink, packet and vsock sockets.  Expect: unmet R1, "no network"."""

import socket


def double(number):
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40, 38, 31)
    opened = []
    for family in families:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                opened.append(socket.socket(family, kind))
            except OSError:
                continue
    assert opened, "no network"
    return 2 * number
