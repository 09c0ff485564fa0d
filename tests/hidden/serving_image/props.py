"""Run a health check inside, against a server of whose answers the test decides.

There is no network inside. A fork of this process gets a `socket` whose connections to this host lead to a Unix
socket, on which a thread of ours listens, or nowhere. What is returned is raw: the exit code, the time, the requests.
"""

import builtins
import errno
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = ("localhost", "127.0.0.1", "0.0.0.0", "::1", "::", "ip6-localhost")
ANSWER = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
BODY = b'{"status":"ok"}'
AT_ONCE = 20.0


def run(source, name, arguments, environ, behaviour, patience):
    """Run a program against a server that answers with a status, is `absent`, or is `silent`.

    Returns exit code (None: still running after `patience` seconds), seconds, requests as (port, path), and what the
    program wrote to standard error.
    """
    folder = tempfile.mkdtemp()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/server")
    if behaviour != "absent":
        listener.listen(16)
    asked = os.pipe()
    errors = os.open(f"{folder}/errors", os.O_RDWR | os.O_CREAT)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become_the_check(source, name, arguments, environ, f"{folder}/server", asked[1], errors)
    os.close(asked[1])
    paths = []
    if behaviour != "absent":
        threading.Thread(target=_serve, args=(listener, behaviour, paths), daemon=True).start()
    code = _wait(pid, started + patience)
    seconds = time.monotonic() - started
    listener.close()
    ports = [int(port) for port in _read_all(asked[0]).split()]
    os.lseek(errors, 0, os.SEEK_SET)
    said = os.read(errors, 4000).decode("utf-8", "replace")
    os.close(errors)
    return {"code": code, "seconds": seconds, "ports": ports, "paths": list(paths), "said": said}


def _wait(pid, deadline):
    """Return the exit code, or end the process at the deadline and return None."""
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
    os.close(handle)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not ended:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _read_all(descriptor):
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 4000).decode()
    except BlockingIOError:
        return ""
    finally:
        os.close(descriptor)


def _serve(listener, behaviour, paths):
    kept = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        kept.append(connection)  # the silent server never closes
        if behaviour != "silent":
            threading.Thread(target=_answer, args=(connection, behaviour, paths), daemon=True).start()


def _answer(connection, status, paths):
    head = b""
    try:
        while b"\r\n\r\n" not in head and len(head) < 65536:
            part = connection.recv(4096)
            if not part:
                return
            head += part
        words = head.split(b"\r\n", 1)[0].split(b" ")
        paths.append(words[1].decode("latin-1") if len(words) > 1 else "")
        reason = b"OK" if status == 200 else b"Service Unavailable"
        body = BODY if status == 200 else b'{"status":"starting"}'
        body = b"" if words[0] == b"HEAD" else body
        connection.sendall(ANSWER % (status, reason, len(body), body))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


# --- in the fork


def _become_the_check(source, name, arguments, environ, server, asked, errors):
    code = 70
    try:
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.environ.clear()
        os.environ.update(environ)
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        _lead_to(server, asked)
        sys.argv = [name, *arguments]
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        code = _exit_code(source, name, folder)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def _exit_code(source, name, folder):
    """Run the program as Python would, and return what Python would exit with."""
    path = Path(folder, Path(name).name if name.endswith(".py") else "check.py")
    path.write_text(source, encoding="utf-8")
    sys.path.insert(0, folder)
    builtins.exit = builtins.quit = sys.exit
    try:
        runpy.run_path(str(path), run_name="__main__")
        threading._shutdown()
    except SystemExit as end:
        if end.code is None:
            return 0
        if isinstance(end.code, int):
            return end.code & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _lead_to(server, asked):
    """Replace `socket.socket` by one that reaches `server` wherever on this host it is to connect to."""
    plain = socket.socket
    own_name = socket.gethostname()

    class Socket(plain):
        """A Unix socket that says it is an internet one."""

        def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
            self._claims = socket.AF_INET if family == -1 else family
            if fileno is not None or self._claims == socket.AF_UNIX:
                super().__init__(family, type, proto, fileno)
                self._claims = super().family
            elif type in (-1, socket.SOCK_STREAM) or type & socket.SOCK_STREAM:
                super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
            else:
                raise OSError(errno.EACCES, "only streams lead anywhere")

        @property
        def family(self):
            return socket.AddressFamily(self._claims)

        def connect(self, address):
            if not isinstance(address, tuple):
                return super().connect(address)
            host, port = str(address[0]), int(address[1])
            if host not in (*HERE, own_name):
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
            os.write(asked, b"%d " % port)
            try:
                return super().connect(server)
            except FileNotFoundError:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)) from None

        def connect_ex(self, address):
            try:
                self.connect(address)
            except OSError as error:
                return error.errno
            return 0

        def bind(self, address):
            if not isinstance(address, tuple):
                super().bind(address)

        def setsockopt(self, level, *rest):
            if level == socket.SOL_SOCKET:
                super().setsockopt(level, *rest)

        def getpeername(self):
            return ("127.0.0.1", 8000)

        def getsockname(self):
            return ("127.0.0.1", 40000)

    def addresses(host, port, family=0, type=0, proto=0, flags=0):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in (*HERE, own_name):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        place = "127.0.0.1" if name in (None, "localhost", "ip6-localhost", own_name) else name
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (place, int(port or 0)))]

    socket.socket = socket.SocketType = Socket
    socket.getaddrinfo = addresses
    socket.gethostbyname = lambda name: addresses(name, 0)[0][4][0]
