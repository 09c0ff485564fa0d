"""The commands of a RUN that install: packages of the system, and of Python."""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import pins, pip
from .disk import Lookup, Node
from .pins import Requirement
from .running import Running, covers, options
from .stage import Step
from .words import UNKNOWN

PYTHON = re.compile(r"(python|pypy)[\d.]*")
HARMLESS_MODULES = ("", "ensurepip", "site", "sysconfig", "pytest", "unittest", "json.tool")
APT = ("apt-get", "apt", "aptitude")
MAX_FILES = 20  # requirement files that name each other


def system(run: Running, words: list[str]) -> None:
    """Note what apt, apk and their kin install."""
    name = posixpath.basename(words[0])
    verbs = ("install", "add", "update", "upgrade", "dist-upgrade")
    start = next((place for place, word in enumerate(words) if word in verbs), len(words) - 1)
    verb, rest = words[start], words[start + 1 :]
    if verb == "update" and name in APT and not _mounted(run, "/var/lib/apt"):
        left = "/var/lib/apt/lists"
        run.note(Step("lists", run.line, "apt-get update", run.stale, None, left), cache=f"{left}/x")
    if verb not in ("install", "add"):
        return
    packages = tuple(
        re.split(r"[=~<>]", word)[0] for word in rest if not word.startswith(("-", ".")) and "::" not in word
    )
    left, cache = "", ""
    if name in APT and not any("no-install-recommends" in word or "Install-Recommends" in word for word in words):
        left = "recommended packages (no --no-install-recommends)"
    elif name == "apk" and "--no-cache" not in words and not _mounted(run, "/var/cache/apk", "/etc/apk/cache"):
        left, cache = "the index of apk (no --no-cache)", "/var/cache/apk/x"
    step = Step("system", run.line, " ".join(words)[:80], run.stale, not run.offline, left, packages=packages)
    run.note(step, cache=cache)
    for package in packages:
        _put_command(run, package)


def _mounted(run: Running, *folders: str) -> bool:
    return any(place.startswith(folders) for place in run.caches)


def _put_command(run: Running, package: str) -> None:
    """Put a command of the package's name on the disk; more of it is not looked at."""
    if package.startswith("python3") or UNKNOWN in package or "/" in package or len(package) > 80:
        run.give_up()
        return
    for folder in ("/usr/bin", "/sbin"):
        run.disk.put(f"{folder}/{package}", Node("file", fresh=run.stale))


def python(run: Running, words: list[str]) -> None:
    """Follow `python -m pip` and the like."""
    tool, rest = run.find(words[0]), words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[2 if rest[0] in ("-W", "-X") else 1 :]
    module = rest[1] if len(rest) > 1 and rest[0] == "-m" else ""
    if module == "pip":
        pip_command(run, rest[2:], tool)
    elif module in ("venv", "virtualenv"):
        venv(run, [words[0], *rest[2:]])
    elif module == "uv":
        uv(run, ["uv", *rest[2:]])
    elif module == "compileall":
        run.stage.compiles = True
    elif module not in HARMLESS_MODULES or (rest and not rest[0].startswith("-")):
        run.give_up()


def venv(run: Running, words: list[str]) -> None:
    """Make a virtual environment, by `python -m venv`, `virtualenv` or `uv venv`."""
    given, paths = options(words[1:], "p", ["python", "prompt", "seeder"])
    name = words[0] if PYTHON.fullmatch(posixpath.basename(words[0])) else "python3"
    python = pip.interpreter(run.disk, run.find(name).path or "/")
    if python is None or not paths or UNKNOWN in paths[0]:
        run.give_up()
        return
    for path in paths[:3]:
        pip.make_venv(run.disk, run.at(path), python, run.new(), shared="system-site-packages" in given)


def uv(run: Running, words: list[str]) -> None:
    """Follow `uv venv` and `uv pip`."""
    run.must_find(words[0])
    rest = [word for word in words[1:] if word not in ("-q", "--quiet", "-v", "--no-progress")]
    if rest[:1] == ["venv"]:
        named = options(rest[1:], "p", ["python", "prompt"])[1]
        venv(run, ["uv", *rest[1:], *([] if named else [run.env.get("UV_PROJECT_ENVIRONMENT") or ".venv"])])
        return
    if rest[:2] not in (["pip", "install"], ["pip", "sync"]):
        run.give_up()
        return
    found = pip.arguments(rest[2:])
    if rest[1] == "sync":
        found.options.setdefault("requirement", []).extend(found.words)
        found.words = []
    run.stage.compiles |= found.has("compile-bytecode") or pip.is_on(run.env, "UV_COMPILE_BYTECODE")
    cache = run.env.get("UV_CACHE_DIR") or posixpath.join(run.env["HOME"], ".cache/uv")
    kept = found.has("no-cache", "n") or pip.is_on(run.env, "UV_NO_CACHE")
    place = _python_of_uv(run, found)
    if run.disk.get(place) is None and not run.disk.vague(place):
        run.stage.problem(run.line, f"uv is to install for {place}, which is not there")
    tool = pip.interpreter(run.disk, place)
    _install(run, _Installation(found, words, tool, "install", "" if kept else cache, "uv's cache (no --no-cache)"))


def _python_of_uv(run: Running, found: pip.Arguments) -> str:
    chosen = found.last("python") or run.env.get("UV_PYTHON", "")
    if "/" in chosen:
        place = run.at(chosen)
        return f"{place}/bin/python" if run.disk.get(f"{place}/bin/python") else place
    if chosen or found.has("system") or pip.is_on(run.env, "UV_SYSTEM_PYTHON"):
        return "/usr/local/bin/python3"
    return posixpath.join(run.env.get("VIRTUAL_ENV") or run.at(".venv"), "bin/python")


def pip_command(run: Running, words: list[str], tool: Lookup) -> None:
    """Follow `pip install`, `pip wheel` and `pip download`."""
    start = next((place for place, word in enumerate(words) if word in ("install", "wheel", "download")), None)
    if start is None:
        return
    found = pip.arguments(words[start + 1 :])
    for name, values in pip.arguments(words[:start]).options.items():
        found.options.setdefault(name, []).extend(values)
    if tool.why:
        run.stage.problem(run.line, tool.why)
    default = posixpath.join(run.env["HOME"], ".cache/pip")
    cache = found.last("cache-dir") or run.env.get("PIP_CACHE_DIR") or default
    kept = found.has("no-cache-dir") or bool(run.env.get("PIP_NO_CACHE_DIR"))
    python = pip.interpreter(run.disk, tool.path or "/")
    reason = "pip's cache (no --no-cache-dir)"
    _install(run, _Installation(found, ["pip", *words], python, words[start], "" if kept else cache, reason))


@dataclass(frozen=True)
class _Installation:
    """A pip or uv that is about to install; `cache` is empty where none is kept."""

    found: pip.Arguments
    words: Sequence[str]
    python: pip.Interpreter | None
    verb: str
    cache: str
    reason: str

    @property
    def text(self) -> str:
        return " ".join(self.words).replace(UNKNOWN, "…")[:80]


def _install(run: Running, one: _Installation) -> None:
    found = one.found
    wanted, constrained = _wanted(run, found)
    local = (
        bool(found.words)
        and not found.has("requirement")
        and all(re.search(r"\.whl$|^\.{0,2}/", word) for word in found.words)
    )
    offline = found.has("no-index", "offline") or pip.is_on(run.env, "PIP_NO_INDEX") or run.offline
    stays = one.cache and not offline and not any(covers(place, one.cache) for place in run.caches)
    step = Step("python", run.line, one.text, run.stale, None if local else not offline, one.reason if stays else "")
    run.disk.work.spend(len(wanted))
    named = tuple(requirement for requirement in wanted if requirement.name)
    run.note(replace(step, requirements=named, constrained=constrained), cache=one.cache)
    if found.has("no-index"):
        _look_for_wheels(run, found, named)
    if one.verb != "install":
        folder = run.at(found.last("wheel-dir", "dest") or run.env.get("PIP_WHEEL_DIR") or ".")
        for name in pins.brought(wanted):
            run.disk.put(f"{folder}/{name}.whl", replace(run.new(), origin="wheel", package=name))
    elif one.python is None or any(UNKNOWN in value for value in found.all("target", "prefix", "root")):
        run.give_up()
    else:
        target = pip.target_of(found, run.env, one.python, run.env["HOME"], run.cwd, run.who(), run.disk)
        pip.install(run.disk, target, wanted, one.python, run.new())


def _look_for_wheels(run: Running, found: pip.Arguments, named: Sequence[Requirement]) -> None:
    """Note which requirements an offline pip finds in none of its folders."""
    folders = [run.at(place) for place in [*found.all("find-links"), *run.env.get("PIP_FIND_LINKS", "").split()]]
    if any(run.disk.vague(folder) for folder in [*folders, "/"]) or not found.has("requirement"):
        return
    wheels = {run.disk.nodes[path].package for folder in folders for path in run.disk.below(folder)}
    missing = [one.name for one in named if one.name not in wheels]
    if missing:
        where = " or ".join(folders) or "a folder that --find-links names"
        run.stage.problem(run.line, f"pip without an index finds no wheel of {missing[0]} in {where}")


def _wanted(run: Running, found: pip.Arguments) -> tuple[list[Requirement], frozenset[str]]:
    """Return what is to be installed, and what the constraint files pin."""
    wanted = [one for word in found.words for one in _from_word(run, word)]
    wanted += [Requirement("", frozenset(), None, word) for word in found.all("editable")]
    constraints = [*found.all("constraint"), *run.env.get("PIP_CONSTRAINT", "").split()]
    waiting = found.all("requirement")
    for _ in range(MAX_FILES):
        if not waiting:
            break
        name = waiting.pop(0)
        read = _requirement_file(run, name)
        if read is None:
            wanted.append(Requirement("", frozenset(), None, name))
            continue
        folder = posixpath.dirname(run.at(name))
        wanted += read.requirements
        waiting += [posixpath.join(folder, further) for further in read.further]
        constraints += [posixpath.join(folder, constraint) for constraint in read.constraints]
    read_ones = [_requirement_file(run, name) for name in constraints[:MAX_FILES]]
    return wanted, frozenset(one.name for read in read_ones if read for one in read.requirements if one.pinned)


def _from_word(run: Running, word: str) -> list[Requirement]:
    """Read a word of the command line; a pattern stands for the wheels that it matches."""
    if word.endswith(".txt"):
        run.stage.problem(run.line, f"pip is to install {word} as if it were a package; -r reads it")
    if "*" not in word:
        return [pins.requirement(word)]
    nodes = [run.disk.nodes[path] for path in run.disk.glob(run.at(word))]
    return [Requirement(node.package, frozenset(), True, word) for node in nodes if node.package] or [
        Requirement("", frozenset(), None, word)
    ]


def _requirement_file(run: Running, name: str) -> pins.RequirementFile | None:
    place = run.at(name)
    node = run.disk.get(place)
    if node is not None and node.kind == "file" and node.content is not None:
        return pins.read(node.content)
    if "://" not in name and not run.disk.vague(place) and (node is None or node.kind == "folder"):
        run.stage.problem(run.line, f"pip is to read {name or 'a file'}, and {place} is no file that is there")
    return None


COMMANDS = {**dict.fromkeys([*APT, "apk", "microdnf", "dnf", "yum"], system), "uv": uv, "virtualenv": venv}
