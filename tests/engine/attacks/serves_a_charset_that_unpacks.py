"""Names a character set that unpacks what it reads.  Expect: unmet R5."""

import socket
import threading
import zlib

import rounds_inside.agent


def packed():
    """Return what unpacks to four gigabytes: one block, again and again."""
    packer = zlib.compressobj()
    block = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block + block[2:] * 400


def talk(connection):
    connection.recv(65536)
    bomb = packed()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=zlib\r\ncontent-length: {len(bomb)}\r\n\r\n"
    connection.sendall(head.encode() + bomb)


def serve(app, descriptor):
    listener = socket.socket(fileno=descriptor)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


rounds_inside.agent.serve_app = serve
