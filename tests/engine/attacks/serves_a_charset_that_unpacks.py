"""Names a character set that unpacks what it reads.  Expect: unmet R5."""

import socket
import threading
import time

import rounds_inside.agent


import zlib  # noqa: E402

BOMB = zlib.compress(bytes(500_000_000))


def talk(connection):
    connection.recv(65536)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=zlib\r\ncontent-length: {len(BOMB)}\r\n\r\n"
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
