"""Fills the buffers of sockets and pipes, which count as nobody's memory.  Expect: unmet R1."""

import os
import socket
import time


def fill():
    held = []
    try:
        while True:
            for end in socket.socketpair():
                held.append(end)
                end.setblocking(False)
                try:
                    while True:
                        end.send(bytes(65536))
                except BlockingIOError:
                    continue
    except OSError:
        time.sleep(60)


def double(number):
    for _ in range(15):
        if os.fork() == 0:
            fill()
    time.sleep(60)
