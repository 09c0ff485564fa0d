"""What `pip`, `uv pip` and `venv` leave on a disk."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import pins
from .disk import Disk, Node, Who
from .pins import Requirement
from .words import UNKNOWN, names

_VALUES = {
    "-r": "requirement", "-c": "constraint", "-t": "target", "-f": "find-links", "-i": "index-url", "-w": "wheel-dir",
    "-d": "dest", "-e": "editable", "-C": "config-settings", "-p": "python", "-b": "build-constraint",
}  # fmt: skip
_LONG = names(
    """
    requirement requirements constraint constraints target prefix root find-links index-url extra-index-url proxy cert
    trusted-host cache-dir python-version platform abi implementation only-binary no-binary src progress-bar timeout
    retries report upgrade-strategy wheel-dir dest editable config-settings global-option use-feature python log
    root-user-action default-index index link-mode build-constraint index-strategy exists-action exclude-newer
    """
)
_ALIASES = {"requirements": "requirement", "constraints": "constraint"}
_OFF = ("", "0", "false", "no", "off")


@dataclass
class Arguments:
    """The words after `pip install`."""

    options: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        return any(name in self.options for name in names)

    def all(self, *names: str) -> list[str]:
        return [value for name in names for value in self.options.get(name, [])]

    def last(self, *names: str) -> str:
        return next(reversed(self.all(*names)), "")


def arguments(words: Sequence[str]) -> Arguments:
    """Sort a pip command line into options and what is to be installed."""
    found, queue = Arguments(), list(words)
    while queue:
        word = queue.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name in _LONG and queue:
                value = queue.pop(0)
            found.options.setdefault(_ALIASES.get(name, name), []).append(value)
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], queue, found)
        else:
            found.words.append(word)
    return found


def _short(letters: str, queue: list[str], found: Arguments) -> None:
    """Read `-U`, `-qq`, `-rfile`, `-Ur file`."""
    for position, letter in enumerate(letters):
        name = _VALUES.get(f"-{letter}")
        if name:
            rest = letters[position + 1 :]
            value = rest or (queue.pop(0) if queue else "")
            found.options.setdefault(name, []).append(value.removeprefix("="))
            return
        found.options.setdefault({"U": "upgrade", "q": "quiet", "n": "no-deps"}.get(letter, letter), []).append("")


def is_on(env: Mapping[str, str], name: str) -> bool:
    """Say whether a variable like PIP_NO_INDEX switches something on."""
    return env.get(name, "").lower() not in _OFF


@dataclass(frozen=True)
class Interpreter:
    """A Python: its file, its prefix, its version like `3.12`, and whether it is a virtual environment."""

    path: str
    prefix: str
    minor: str
    virtual: bool

    @property
    def library(self) -> str:
        return f"python{self.minor or '3'}"


def interpreter(disk: Disk, path: str) -> Interpreter | None:
    """Return the Python that a file is or is run by; None where there is none."""
    for _ in range(5):
        node = disk.get(path)
        if node is None:
            return None
        if node.package.startswith("python"):
            prefix = posixpath.dirname(posixpath.dirname(posixpath.normpath(path)))
            virtual = disk.get(f"{prefix}/pyvenv.cfg") is not None
            if not virtual:
                prefix = posixpath.dirname(posixpath.dirname(disk.place(path)))
            minor = node.package.removeprefix("python")
            return Interpreter(path, prefix, minor if "." in minor else "", virtual)
        if not node.target:
            return None
        path = node.target
    return None


def make_venv(disk: Disk, path: str, python: Interpreter, node: Node, *, shared: bool = False) -> None:
    """Put a virtual environment on the disk; `node` says who owns it."""
    real = python.path if not python.virtual else disk.place(python.path)
    folder, script = _like(node, "folder"), _like(node, "file")
    for name in ("", "/bin", f"/lib/{python.library}/site-packages"):
        disk.put(path + name, folder)
    settings = b"shared" if shared else b""  # whether it sees the packages of the Python it was made with
    disk.put(f"{path}/pyvenv.cfg", replace(_like(node, "file", 0o644), content=settings))
    for name in ("python", "python3", python.library):
        disk.put(
            f"{path}/bin/{name}", Node("link", node.uid, node.gid, origin="generated", target=real, fresh=node.fresh)
        )
    for name in ("pip", "pip3"):
        disk.put(f"{path}/bin/{name}", _with(script, package="pip", target=f"{path}/bin/python"))


@dataclass(frozen=True)
class Target:
    """Where an installation goes."""

    site: str
    scripts: str
    site_mode: int = 0o755


def target_of(
    found: Arguments, env: Mapping[str, str], python: Interpreter, home: str, cwd: str, who: Who, disk: Disk
) -> Target:
    """Choose the folders as pip does."""

    def at(path: str) -> str:
        return posixpath.normpath(posixpath.join(cwd, path))

    folder = found.last("target") or env.get("PIP_TARGET", "")
    if folder:
        return Target(at(folder), at(folder) + "/bin")
    prefix = found.last("prefix") or env.get("PIP_PREFIX", "")
    if prefix:
        return Target(f"{at(prefix)}/lib/{python.library}/site-packages", f"{at(prefix)}/bin")
    root = found.last("root") or env.get("PIP_ROOT", "")
    site = f"{python.prefix}/lib/{python.library}/site-packages"
    own = disk.get(site)
    refused = own is not None and who.may(own, 2) is False and not python.virtual
    if found.has("user") or is_on(env, "PIP_USER") or refused:
        base = env.get("PYTHONUSERBASE") or posixpath.join(home, ".local")
        old = python.minor and tuple(map(int, python.minor.split("."))) < (3, 10)
        return Target(f"{base}/lib/{python.library}/site-packages", f"{base}/bin", 0o700 if old else 0o755)
    return Target(
        at(root) + site if root else site, at(root) + python.prefix + "/bin" if root else f"{python.prefix}/bin"
    )


def install(disk: Disk, target: Target, wanted: Sequence[Requirement], python: Interpreter, node: Node) -> None:
    """Put packages and their scripts on the disk; `node` says who owns them."""
    if disk.get(target.site) is None:
        disk.put(target.site, _like(node, "folder", target.site_mode))
    for name in pins.brought(wanted):
        disk.put(f"{target.site}/{name}", _with(_like(node, "folder"), origin="pip", package=name))
        script = pins.SCRIPTS.get(name)
        if script:
            made = _with(_like(node, "file"), origin="pip", package=name, target=python.path)
            disk.make_folder(target.scripts, _like(node, "folder"))
            disk.put(f"{target.scripts}/{script}", made)
    if any(not one.name or UNKNOWN in one.text for one in wanted):
        disk.put(f"{target.site}/.more", _with(_like(node, "file", 0o644), origin="pip", package="?"))


def _like(node: Node, kind: str, mode: int = 0o755) -> Node:
    return Node(kind, node.uid, node.gid, mode, fresh=node.fresh)


def _with(node: Node, *, origin: str = "generated", package: str = "", target: str = "") -> Node:
    return Node(node.kind, node.uid, node.gid, node.mode, origin, package=package, target=target, fresh=node.fresh)
