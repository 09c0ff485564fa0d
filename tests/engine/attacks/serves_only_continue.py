"""Answers "100 Continue" for ever.  Expect: unmet R5."""

import socket
import threading

import rounds_inside.agent


def talk(connection):
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
