"""Answers with a body that unpacks to gigabytes, twice.  Expect: unmet R5."""

import socket
import threading
import time

import rounds_inside.agent


import gzip  # noqa: E402

BOMB = gzip.compress(gzip.compress(bytes(300_000_000)))


def talk(connection):
    connection.recv(65536)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\ncontent-length: {len(BOMB)}\r\n\r\n"
    connection.sendall(head.encode() + BOMB)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
started = time.monotonic()
