"""Answers with headers that never end.  Expect: unmet R5."""

import socket
import threading

import rounds_inside.agent


def talk(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-header: " + b"x" * 1000 + b"\r\n")


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
