"""Answers with what is not HTTP.  Expect: unmet R5."""

import socket
import threading
import time

import rounds_inside.agent


def talk(connection):
    connection.recv(65536)
    connection.sendall(bytes(range(256)) * 100)
    time.sleep(60)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
