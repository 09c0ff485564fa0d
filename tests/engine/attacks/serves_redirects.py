"""Redirects every request to itself and to the host.  Expect: unmet R5, "the status is 307"."""

import socket
import threading
import time

import rounds_inside.agent


def talk(connection):
    while connection.recv(65536):
        place = b"http://127.0.0.1:22/" if time.monotonic() % 1 < 0.5 else b"/echo"
        connection.sendall(b"HTTP/1.1 307 Moved\r\nlocation: " + place + b"\r\ncontent-length: 0\r\n\r\n")


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
