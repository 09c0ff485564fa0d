"""Replaces builtins, modules and the agent under its own feet.  Expect: unmet R1 R2 R3 R4 R5 R6 R7 R8 R9."""

import builtins
import json
import operator
import socket
import sys
import threading
import time

import rounds_inside.agent
import rounds_inside.codec
import rounds_inside.tables


def always(*arguments, **keywords):
    return True


def patch():
    for module in (rounds_inside.agent, rounds_inside.codec, rounds_inside.tables, json, operator, time, threading):
        for name in dir(module):
            if not name.startswith("__") and callable(getattr(module, name)):
                setattr(module, name, always)
    for name in ("isinstance", "len", "repr", "getattr", "type"):
        setattr(builtins, name, always)
    socket.socket.sendall = always


sys.settrace(always)
threading.Timer(0, patch).run()
