"""What the finished image starts: which commands, which server, which app, address and port."""

import posixpath
import re
from dataclasses import dataclass, field

from . import pip, shell
from .disk import Lookup, look_up
from .image import Image
from .words import UNKNOWN, names

WRAPPERS = names("tini tini-static dumb-init catatonit env exec nice ionice stdbuf setpriv")
SHELLS = frozenset(["sh", "bash", "dash", "ash"])
SERVERS = frozenset(["uvicorn", "gunicorn", "hypercorn", "granian", "fastapi"])
VALUES = {
    "uvicorn": names(
        """
        host port uds fd reload-dir reload-include reload-exclude reload-delay workers loop http ws ws-max-size
        ws-max-queue ws-ping-interval ws-ping-timeout lifespan interface env-file log-config log-level root-path
        forwarded-allow-ips limit-concurrency backlog limit-max-requests timeout-keep-alive timeout-graceful-shutdown
        ssl-keyfile ssl-certfile header app-dir h11-max-incomplete-event-size timeout-worker-healthcheck
        """
    ),
    "fastapi": names("host port workers root-path app forwarded-allow-ips entrypoint reload-dir"),
    "gunicorn": names(
        """
        bind worker-class workers threads timeout config chdir log-level access-logfile error-logfile keep-alive
        graceful-timeout max-requests max-requests-jitter worker-tmp-dir name user group backlog env pythonpath
        access-logformat forwarded-allow-ips log-file umask pid worker-connections
        """
    ),
    "hypercorn": names(
        "bind worker-class workers log-level access-logfile error-logfile config keep-alive graceful-timeout"
    ),
    "granian": names(
        "interface host port workers threads loop log-level http blocking-threads runtime-threads backlog runtime-mode"
    ),
}
SHORT = {"b": "bind", "k": "worker-class", "w": "workers", "t": "timeout", "c": "config", "n": "name", "u": "user",
         "g": "group", "e": "env", "p": "pid"}  # fmt: skip


@dataclass
class Served:
    """What a command line serves; None is what the model cannot tell."""

    words: list[str]
    commands: list[str] = field(default_factory=list)  # each that must be found, the first first
    server: str = ""
    app: str | None = None
    hosts: list[str] | None = None
    port: int | None = None
    folder: str = ""
    module: bool = False  # started as `python -m`
    script: str = ""  # that a Python or a shell is given
    problem: str = ""


def started(image: Image) -> list[str] | None:
    """Return the words that are executed, None where the base's ENTRYPOINT is unknown."""
    stage = image.final
    if not stage.entrypoint_known:
        return None
    return [*(stage.entrypoint or []), *(stage.cmd or [])]


def served(image: Image) -> Served:
    """Read the command that the image starts."""
    words = started(image)
    if words is None:
        return Served([])
    env = {**image.final.env, "HOME": image.final.home()}
    if image.final.shell_form:
        found = _from_script(Served(words), (image.final.entrypoint or image.final.cmd or [""])[0], env)
        found.commands = ["/bin/sh", *found.commands]
        return found
    return _read(Served(words), list(words), env)


def _read(found: Served, words: list[str], env: dict[str, str]) -> Served:
    while words:
        name = posixpath.basename(words[0])
        if name != "exec":
            found.commands.append(words[0])
        if name in SHELLS and len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
            return _from_script(found, words[2], env)
        if name not in WRAPPERS:
            break
        words = _unwrapped(words[1:], env)
    if not words:
        return found
    name, rest = posixpath.basename(words[0]), words[1:]
    if re.fullmatch(r"python[\d.]*", name):
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest = rest[2 if rest[0] in ("-W", "-X") else 1 :]
        if len(rest) > 1 and rest[0] == "-m":
            name, rest, found.module = rest[1], rest[2:], True
        elif rest and posixpath.basename(rest[0]) == "main.py":
            found.server, found.problem = "python", "main.py only defines the app: run as a script it ends at once"
            return found
        found.script = rest[0] if rest and not found.module and not rest[0].startswith("-") else ""
    elif name in SHELLS:
        found.script = rest[0] if rest and not rest[0].startswith("-") else ""
    if found.module and (name == "main" or ":" in name):
        found.server, found.problem = "python", f"`python -m {name}` serves nothing"
    if name in SERVERS:
        found.server = name
        _arguments(found, rest, env)
    return found


def _unwrapped(words: list[str], env: dict[str, str]) -> list[str]:
    """Take the options and variables of tini, env and the like off a command line."""
    while words and (words[0].startswith("-") or re.match(r"[A-Za-z_]\w*=", words[0])):
        word = words.pop(0)
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if equals and not name.startswith("-"):
            env[name] = value
    return words


def _from_script(found: Served, text: str, env: dict[str, str]) -> Served:
    script = shell.read(text)
    if not script.certain or not script.commands:
        return found
    for command in script.commands[:-1]:
        own, words = command.split(env)
        if words[:1] == ["cd"] or command.after == "||":
            return found
        env.update(own)
    own, words = script.commands[-1].split(env)
    env.update(own)
    return _read(found, words, env)


def _arguments(found: Served, words: list[str], env: dict[str, str]) -> None:
    options, rest = _options(words, VALUES[found.server])
    server = found.server
    if server == "fastapi":
        _fastapi(found, options, rest, env)
        return
    found.app = options.get("app") or (rest[0] if rest else env.get("UVICORN_APP") if server == "uvicorn" else None)
    found.folder = options.get("app-dir") or options.get("chdir") or ""
    if server in ("uvicorn", "granian"):
        variable = server.upper()
        if "uds" in options or "fd" in options or f"{variable}_UDS" in env:
            return
        found.hosts = [options.get("host") or env.get(f"{variable}_HOST") or "127.0.0.1"]
        found.port = _port(options.get("port") or env.get(f"{variable}_PORT") or "8000")
        if server == "granian" and (options.get("interface") or env.get("GRANIAN_INTERFACE", "rsgi")) not in (
            "asgi",
            "asginl",
        ):
            found.problem = "granian serves the app of FastAPI only with --interface asgi"
    else:
        _bound(found, options, env)


def _bound(found: Served, options: dict[str, str], env: dict[str, str]) -> None:
    """Read what gunicorn and hypercorn bind to."""
    more = _options(env.get("GUNICORN_CMD_ARGS", "").split(), VALUES["gunicorn"])[0]
    options = {**more, **options} if found.server == "gunicorn" else options
    if "config" in options:
        return
    default = f"0.0.0.0:{env['PORT']}" if found.server == "gunicorn" and env.get("PORT") else "127.0.0.1:8000"
    bound = (options.get("bind") or default).split("\n")
    found.hosts = [one.rpartition(":")[0] or "0.0.0.0" if ":" in one else one for one in bound]
    found.port = _port(bound[0].rpartition(":")[2] if ":" in bound[0] else "8000")
    worker = options.get("worker-class", "")
    if found.server == "gunicorn" and worker in ("", "sync", "gthread", "gevent", "eventlet", "tornado"):
        found.problem = "gunicorn serves the app of FastAPI only with an ASGI worker (-k uvicorn_worker.UvicornWorker)"


def _fastapi(found: Served, options: dict[str, str], rest: list[str], env: dict[str, str]) -> None:
    if not rest or rest[0] not in ("run", "dev"):
        found.server = ""
        return
    name = (rest[1] if len(rest) > 1 else "main.py").removesuffix(".py")
    found.app = f"{posixpath.basename(name)}:{options.get('app', 'app')}"
    found.folder = posixpath.dirname(name)
    found.hosts = [options.get("host") or ("0.0.0.0" if rest[0] == "run" else "127.0.0.1")]
    found.port = _port(options.get("port") or env.get("PORT") or "8000")


def _options(words: list[str], named: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            value = value if equals else queue.pop(0) if name in named and queue else ""
        elif word.startswith("-") and len(word) > 1:
            name = SHORT.get(word[1], word[1])
            value = word[2:].removeprefix("=") or (queue.pop(0) if name in named and queue else "")
        else:
            rest.append(word)
            continue
        options[name] = f"{options[name]}\n{value}" if name == "bind" and name in options else value
    return options, rest


def _port(text: str) -> int | None:
    if UNKNOWN in text:
        return None
    return int(text) if text.isdecimal() and len(text) < 6 else -1


# --- who runs it, and what it can import


def find(image: Image, word: str) -> Lookup:
    """Find a command for the user that the image runs as."""
    stage = image.final
    return look_up(stage.disk, word, stage.env.get("PATH", ""), stage.workdir, image.who)


def interpreter_of(image: Image, found: Served) -> pip.Interpreter | None:
    """Return the Python that runs the server."""
    if not found.commands:
        return None
    return pip.interpreter(image.final.disk, find(image, found.commands[-1]).path or "/")


def search_path(image: Image, python: pip.Interpreter) -> list[str]:
    """Return `sys.path` of the image's Python, as far as installed packages go."""
    env, home = image.final.env, image.final.home()
    folders = [folder for folder in env.get("PYTHONPATH", "").split(":") if folder]
    if not python.virtual and not env.get("PYTHONNOUSERSITE"):
        base = env.get("PYTHONUSERBASE") or posixpath.join(home, ".local")
        folders.append(f"{base}/lib/{python.library}/site-packages")
    folders.append(f"{python.prefix}/lib/{python.library}/site-packages")
    if python.virtual:
        real = pip.interpreter(image.final.disk, image.final.disk.place(python.path))
        shared = image.final.disk.get(f"{python.prefix}/pyvenv.cfg")
        if real and shared and shared.content == b"shared":
            folders.append(f"{real.prefix}/lib/{python.library}/site-packages")
    return [image.final.at(folder) for folder in folders]
