"""The HEALTHCHECK as a Python program that can be run apart from the image."""

import ast
import posixpath
import re
import sys
from dataclasses import dataclass

from . import pins, shell
from .image import Image
from .stage import Health

MAX_PROGRAM = 100_000  # characters that are searched for imports


@dataclass(frozen=True)
class Program:
    """A Python program and its arguments; `softened` is `|| exit 1`, `exits` is its code where nothing need be run."""

    source: str
    name: str
    arguments: tuple[str, ...]
    softened: bool = False
    exits: int | None = None


def commands(image: Image, health: Health) -> list[list[str]] | None:
    """Return the commands that the check runs; None where the model cannot follow it."""
    if health.words is not None:
        words = list(health.words)
        if len(words) == 3 and posixpath.basename(words[0]) in ("sh", "bash", "ash") and words[1] == "-c":
            return _of_script(image, words[2])
        return [words] if words else None
    return _of_script(image, health.shell)


def _of_script(image: Image, text: str) -> list[list[str]] | None:
    script = shell.read(text)
    if not script.certain:
        return None
    env = {**image.final.env, "HOME": image.final.home()}
    found = []
    for command in script.commands:
        own, words = command.split(env)
        if own or command.after not in ("", "||"):
            return None
        found.append(words)
    return found or None


def main_command(image: Image, health: Health) -> list[str] | None:
    """Return the first command of the check, without `exec`."""
    found = commands(image, health)
    words = found[0] if found else None
    return words[1:] if words and words[0] == "exec" else words


def script_of(words: list[str]) -> str:
    """Name the script that a `python …` command runs, if it runs one."""
    rest = _after_flags(words)
    return rest[0] if rest and not rest[0].startswith("-") else ""


def _after_flags(words: list[str]) -> list[str]:
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c", "-"):
        rest = rest[2 if rest[0] in ("-W", "-X") else 1 :]
    return rest


def is_python(words: list[str]) -> bool:
    return bool(words) and re.fullmatch(r"python[\d.]*", posixpath.basename(words[0])) is not None


def program(image: Image, health: Health) -> Program | None:
    """Return what to run; None where only the image itself could run it."""
    chain = commands(image, health)
    if not chain:
        return None
    words = chain[0][1:] if chain[0][:1] == ["exec"] else chain[0]
    softened = len(chain) > 1
    if any(rest not in (["exit", "1"], ["false"]) for rest in chain[1:]):
        return None
    if not is_python(words):
        script = image.final.disk.get(image.final.at(words[0])) if "/" in words[0] else None
        if script and script.kind == "file" and script.content and re.match(rb"#!.*python", script.content):
            words = ["python", *words]
        else:
            return None
    rest = _after_flags(words)
    if rest[:1] == ["-c"] and len(rest) > 1:
        return Program(rest[1], "-c", tuple(rest[2:]), softened)
    if rest[:1] == ["-m"] and len(rest) > 1:
        rest = [rest[1].replace(".", "/") + ".py", *rest[2:]]
    if not rest or rest[0].startswith("-"):
        return None
    return _script(image, rest, softened)


def _script(image: Image, rest: list[str], softened: bool) -> Program | None:
    place = image.final.at(rest[0])
    node = image.final.disk.get(place)
    if node is None:
        return None if image.final.disk.vague(place) else Program("", place, (), softened, exits=2)
    if node.content is None or node.kind != "file":
        return None
    return Program(node.content.decode("utf-8", "replace"), place, tuple(rest[1:]), softened)


def ports_in(text: str) -> list[int]:
    """Return the ports of the addresses in a command."""
    return [int(port) for port in re.findall(r"(?<=:)\d{2,5}(?=[/\s\"'?]|$)", text)]


def fetches(image: Image, health: Health) -> bool:
    """Say whether the check is a curl or wget, whose command line says what it asks for."""
    words = main_command(image, health) or [""]
    return posixpath.basename(words[0]) in ("curl", "wget")


def installed_only_there(image: Image, said: str) -> bool:
    """Say whether a program failed for want of a module that pip puts into the image, and that is not here."""
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", said)
    packages = {node.package for node in image.final.disk.nodes.values() if node.origin == "pip"}
    return missing is not None and (pins.normalized(missing[1].split(".")[0]) in packages or "?" in packages)


def text_of(image: Image, health: Health) -> str:
    """Return all that is written about the check: its command and the program that it runs."""
    run = program(image, health)
    return " ".join([health.shell, run.source if run else ""])


def foreign_imports(source: str) -> list[str]:
    """Name the modules that a program imports from outside the standard library."""
    if len(source) > MAX_PROGRAM:
        return []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return sorted(names - set(sys.stdlib_module_names))


def not_installed(image: Image, source: str) -> list[str]:
    """Name the modules that a program imports and that nothing in the image installs."""
    disk = image.final.disk
    if disk.opaque or any(node.package == "?" for node in disk.nodes.values()):
        return []
    packages = {node.package for node in disk.nodes.values() if node.origin == "pip"}
    found = [name for name in foreign_imports(source) if pins.normalized(name) not in packages]
    own = {posixpath.basename(path) for path, node in disk.nodes.items() if node.origin in ("context", "generated")}
    return [name for name in found if f"{name}.py" not in own and name not in own]
