"""Closes the channel and lives on.  Expect: unmet R1 R2, "closed the channel"."""

import os
import socket
import time

import rounds_inside.agent

rounds_inside.agent._exit = lambda status: time.sleep(60)  # what the agent calls when the judge hangs up


def double(number):
    socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)
    time.sleep(60)


def table(rows):
    if os.fork() == 0:
        time.sleep(60)
    socket.socket(fileno=3).shutdown(socket.SHUT_WR)
    time.sleep(60)
