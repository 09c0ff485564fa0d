"""Answers with JSON nested without end, and a number of a million digits.  Expect: unmet R5."""

import socket
import threading

import rounds_inside.agent

BODY = b"[" * 100_000 + b"1" * 1_000_000


def talk(connection):
    request = connection.recv(65536)
    body = request.split()[1] + BODY
    connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
