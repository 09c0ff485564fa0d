"""Closes the channel and lives on.  Expect: unmet R1 R2, "channel"."""

import os
import socket
import time


def double(number):
    os.close(3)
    time.sleep(60)


def table(rows):
    socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)
    if os.fork():
        time.sleep(60)
    time.sleep(60)
