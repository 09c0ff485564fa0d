"""Names a character set that takes quadratic time to read.  Expect: unmet R5."""

import socket
import threading

import rounds_inside.agent

BODY = b"x" * 50 + b"-" + b"a" * 1_000_000


def talk(connection):
    connection.recv(65536)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=punycode\r\ncontent-length: {len(BODY)}\r\n\r\n"
    connection.sendall(head.encode() + BODY)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
