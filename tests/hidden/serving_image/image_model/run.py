"""What the commands of a RUN do to a stage, as far as the judge looks at it."""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from . import pins, pip, shell
from .disk import Lookup, Node, Who, look_up
from .pins import Requirement
from .stage import Stage, Step, User
from .words import UNKNOWN

MAX_DEPTH = 4
QUIET = frozenset(
    ["echo", "printf", "true", ":", "set", "test", "[", "[[", "ls", "cat", "grep", "sed", "awk", "id", "env", "pwd", "which", "type", "command", "sync", "date", "head", "tail", "sort", "tee", "wc", "uname", "sleep", "exit", "return", "umask", "ulimit", "trap", "find", "tar", "unzip", "gunzip", "gzip", "dpkg", "ldconfig", "update-ca-certificates", "getent", "locale-gen", "hash", "unset", "shopt", "groupmod", "passwd", "chpasswd", "strip", "ldd", "file", "stat", "du", "df", "xargs", "read"]
)
DOWNLOADS = frozenset(["curl", "wget", "git"])
SYSTEM = frozenset(["apt-get", "apt", "apk", "microdnf", "dnf", "yum", "aptitude"])
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_PIP = re.compile(r"pip[\d.]*")


class Runner:
    """Runs the commands of one RUN against a stage."""

    def __init__(self, stage: Stage, line: int, mounts: Sequence[dict[str, str]], stale: bool, offline: bool) -> None:
        self.stage = stage
        self.disk = stage.disk
        self.line = line
        self.caches = [
            one.get("target") or one.get("dst") or one.get("destination") or ""
            for one in mounts
            if one.get("type") == "cache"
        ]
        self.stale = stale
        self.offline = offline
        self.env = stage.variables()
        self.env.setdefault("HOME", stage.home())
        self.cwd = stage.workdir
        self.removed: list[str] = []
        self.left: list[tuple[str, Step]] = []  # caches, by path, that a later command of this RUN may remove

    def script(self, text: str, depth: int = 0) -> None:
        """Go through a script; what cannot be followed makes the disk opaque."""
        read = shell.read(text)
        if not read.certain or depth > MAX_DEPTH:
            self.give_up()
        for command in read.commands:
            own, words = command.split(self.env)
            if command.after == "||":  # the command before it is taken to succeed
                continue
            for target in command.writes:
                for path in target.values(self.env):
                    self.write(path)
            if words:
                self.command(words, own, depth)
            else:
                self.env.update(own)

    def close(self) -> None:
        """Note what was left behind, now that the RUN is over."""
        for path, step in self.left:
            gone = any(_covers(one, path) for one in self.removed)
            self.stage.steps.append(replace(step, left_behind="") if gone else step)

    def give_up(self) -> None:
        self.disk.opaque.append(self.line)

    def at(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.cwd, path))

    def who(self) -> Who:
        return self.stage.who()

    def new(self, kind: str = "file", mode: int = 0o644) -> Node:
        who = self.who()
        return Node(kind, who.uid, who.gid, mode, fresh=self.stale)

    def write(self, path: str) -> None:
        place = self.at(path)
        if UNKNOWN not in path and not place.startswith("/dev/") and self.disk.get(place) is None:
            self.disk.put(place, self.new())

    def find(self, word: str) -> Lookup:
        return look_up(self.disk, word, self.env.get("PATH", ""), self.cwd, self.who())

    # --- commands

    def command(self, words: list[str], own: dict[str, str], depth: int) -> None:
        saved = self.env
        self.env = {**self.env, **own}
        name = posixpath.basename(words[0])
        while name in ("sudo", "exec", "time", "nice", "nohup", "command", "env") and len(words) > 1:
            words = words[1:]
            while words and "=" in words[0]:
                key, _, value = words.pop(0).partition("=")
                self.env[key] = value
            name = posixpath.basename(words[0]) if words else "true"
        self._dispatch(name, words, depth)
        if name in ("export", ".", "source"):
            saved = {**saved, **self.env}
        self.env = saved

    def _dispatch(self, name: str, words: list[str], depth: int) -> None:
        known: dict[str, Callable[[list[str]], None]] = {
            "cd": self._cd, "export": self._export, ".": self._activate, "source": self._activate,
            "mkdir": self._mkdir, "rm": self._rm, "chmod": self._chmod, "chown": self._chown, "chgrp": self._chgrp,
            "install": self._install_files, "cp": self._copy, "mv": self._copy, "ln": self._link, "touch": self._touch,
            "useradd": self._useradd, "adduser": self._useradd, "groupadd": self._groupadd, "addgroup": self._groupadd,
            "usermod": self._usermod, "virtualenv": self._venv, "uv": self._uv,
        }  # fmt: skip
        if name in ("sh", "bash", "dash", "ash") and len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
            self.script(words[2], depth + 1)
        elif name in known:
            known[name](words)
        elif name in SYSTEM:
            self._system(name, words)
        elif _PIP.fullmatch(name):
            self._pip(words[1:], self.find(words[0]))
        elif _PYTHON.fullmatch(name):
            self._python(words)
        elif name in DOWNLOADS:
            self._note("download", " ".join(words)[:80], network=not self.offline)
        elif (name == "find" and "-delete" in words) or name not in QUIET:
            self.give_up()

    def _note(
        self,
        kind: str,
        text: str,
        *,
        network: bool | None,
        cache: tuple[str, str] = ("", ""),
        requirements: tuple[Requirement, ...] = (),
        constrained: frozenset[str] = frozenset(),
        packages: tuple[str, ...] = (),
    ) -> None:
        """Note a step; `cache` is the path that it leaves behind and what to call it."""
        place, reason = cache
        step = Step(kind, self.line, text, self.stale, network, reason, requirements, constrained, packages)
        self.left.append((place, step))

    def _cd(self, words: list[str]) -> None:
        self.cwd = self.at(words[1] if len(words) > 1 else self.env["HOME"])

    def _export(self, words: list[str]) -> None:
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if equals:
                self.env[name] = value

    def _activate(self, words: list[str]) -> None:
        if len(words) > 1 and words[1].endswith("/bin/activate"):
            folder = self.at(words[1]).removesuffix("/activate")
            self.env["PATH"] = f"{folder}:{self.env.get('PATH', '')}"
            self.env["VIRTUAL_ENV"] = folder.removesuffix("/bin")
        elif len(words) > 1 and not words[1].startswith("/etc"):
            self.give_up()

    # --- files

    def _mkdir(self, words: list[str]) -> None:
        options, paths = _options(words[1:], "m", ["mode"])
        for path in paths:
            place = self.at(path)
            made = [place] if "p" not in options and "parents" not in options else _above(place)
            for one in made:
                self.disk.make_folder(one, self.new("folder", 0o755))
            mode = options.get("m") or options.get("mode")
            if mode:
                self.disk.change_mode([place], mode, deep=False)

    def _rm(self, words: list[str]) -> None:
        for path in _options(words[1:], "", [])[1]:
            self.removed.append(self.at(path))
            self.disk.remove(self.at(path))

    def _chmod(self, words: list[str]) -> None:
        options = [word for word in words[1:] if re.fullmatch(r"-[RvcfHLP]+|--.*", word)]
        rest = [word for word in words[1:] if word not in options]
        deep = any("R" in word or word == "--recursive" for word in options)
        if rest:
            self.disk.change_mode([self.at(path) for path in rest[1:]], rest[0], deep=deep)

    def _chown(self, words: list[str]) -> None:
        options, rest = _options(words[1:], "", ["from", "reference"])
        deep = "R" in options or "recursive" in options
        if rest:
            user, colon, group = rest[0].partition(":")
            fields: dict[str, int | None] = {}
            if user:
                fields["uid"] = self.uid_of(user)
            if colon:
                fields["gid"] = self.gid_of(group or user)
            self.disk.change([self.at(path) for path in rest[1:]], deep=deep, **fields)

    def _chgrp(self, words: list[str]) -> None:
        options, rest = _options(words[1:], "", [])
        if rest:
            paths = [self.at(path) for path in rest[1:]]
            self.disk.change(paths, deep="R" in options, gid=self.gid_of(rest[0]))

    def uid_of(self, name: str) -> int | None:
        return self.stage.who(name).uid

    def gid_of(self, name: str) -> int | None:
        if name.isdecimal() and len(name) < 10:
            return int(name)
        known = self.stage.users.get(name)
        return self.stage.groups.get(name, known.gid if known else None)

    def _install_files(self, words: list[str]) -> None:
        options, paths = _options(words[1:], "omgt", ["mode", "owner", "group"])
        if "d" not in options and "directory" not in options:
            self._copy(["cp", *paths])
        for path in paths if "d" in options else paths[-1:]:
            place = self.at(path)
            self.disk.make_folder(place, self.new("folder", 0o755))
            if owner := options.get("o") or options.get("owner"):
                self.disk.change([place], deep=False, uid=self.uid_of(owner))
            if group := options.get("g") or options.get("group"):
                self.disk.change([place], deep=False, gid=self.gid_of(group))
            self.disk.change_mode([place], options.get("m") or options.get("mode") or "755", deep=False)

    def _copy(self, words: list[str]) -> None:
        _, paths = _options(words[1:], "t", ["mode"])
        if len(paths) < 2 or any(UNKNOWN in path for path in paths):
            return self.give_up()
        target = self.at(paths[-1])
        for pattern in paths[:-1]:
            for source in self.disk.glob(self.at(pattern)):
                folder = self.disk.get(target)
                into = folder is not None and folder.kind == "folder" and not paths[0].endswith("/.")
                place = posixpath.join(target, posixpath.basename(source)) if into else target
                origin = self.disk.place(source)
                for one in [origin, *self.disk.below(origin)]:
                    self.disk.put(place + one.removeprefix(origin), self.disk.nodes[one])
                if words[0] == "mv":
                    self.disk.remove(source)
        return None

    def _link(self, words: list[str]) -> None:
        _, paths = _options(words[1:], "t", [])
        if len(paths) == 2:
            target = self.disk.get(self.at(paths[1]))
            into = target is not None and target.kind == "folder"
            place = self.at(posixpath.join(paths[1], posixpath.basename(paths[0])) if into else paths[1])
            self.disk.put(place, replace(self.new("link"), target=paths[0]))

    def _touch(self, words: list[str]) -> None:
        for path in _options(words[1:], "drt", [])[1]:
            self.write(path)

    # --- users

    def _useradd(self, words: list[str]) -> None:
        short = "ugdscGkbefpKhS" if words[0].endswith("useradd") else "uGhgsk"
        named = [
            "uid",
            "gid",
            "home",
            "home-dir",
            "shell",
            "comment",
            "gecos",
            "groups",
            "ingroup",
            "base-dir",
            "firstuid",
        ]
        options, rest = _options(words[1:], short.replace("S", ""), named)
        names = [one for one in rest if one]
        if not names:
            return self.give_up()
        name, stage = names[0], self.stage
        if words[0].endswith("adduser") and len(names) == 2 and names[0] in stage.users:
            return None  # `adduser user group`
        uid = _number(options.get("uid") or options.get("u"))
        taken = [one.uid for one in stage.users.values() if one.uid is not None and one.uid < 60000]
        uid = uid if uid is not None else max([999, *taken]) + 1
        group = (
            options.get("gid")
            or options.get("g")
            or options.get("ingroup")
            or (options.get("G") if "adduser" in words[0] else None)
        )
        gid = self.gid_of(group) if group else uid
        stage.groups.setdefault(name, gid)
        home = options.get("home-dir") or options.get("home") or options.get("d") or options.get("h") or f"/home/{name}"
        stage.users[name] = User(uid, gid, home)
        makes = words[0].endswith("adduser") and not ({"no-create-home", "H"} & set(options))
        if (makes or {"m", "create-home"} & set(options)) and not {"M", "no-create-home"} & set(options):
            self.disk.make_folder(home, Node("folder", uid, gid, 0o755))
        return None

    def _groupadd(self, words: list[str]) -> None:
        options, rest = _options(words[1:], "gK", ["gid"])
        if rest:
            number = _number(options.get("gid") or options.get("g"))
            taken = [gid for gid in self.stage.groups.values() if gid is not None and gid < 60000]
            self.stage.groups[rest[0]] = number if number is not None else max([999, *taken]) + 1

    def _usermod(self, words: list[str]) -> None:
        options, rest = _options(words[1:], "ugdsGc", ["uid", "gid", "home", "groups", "shell"])
        known = self.stage.users.get(rest[0]) if rest else None
        number = _number(options.get("u") or options.get("uid"))
        if known and number is not None:
            self.stage.users[rest[0]] = replace(known, uid=number)

    # --- packages of the system

    def _system(self, name: str, words: list[str]) -> None:
        verbs = [word for word in words[1:] if not word.startswith("-") and "=" not in word[:12]]
        if not verbs or verbs[0] not in ("install", "add", "upgrade", "dist-upgrade", "update"):
            return
        if verbs[0] == "update":
            if name in ("apt-get", "apt") and not any(cache.startswith("/var/lib/apt") for cache in self.caches):
                self._note(
                    "lists", "apt-get update", network=None, cache=("/var/lib/apt/lists/x", "/var/lib/apt/lists")
                )
            return
        packages = tuple(re.split(r"[=~<>]", word)[0] for word in verbs[1:] if not word.startswith("."))
        reason = ""
        if name in ("apt-get", "apt"):
            recommends = any("no-install-recommends" in word or "Install-Recommends" in word for word in words)
            reason = "" if recommends or verbs[0] != "install" else "recommended packages (no --no-install-recommends)"
        elif name == "apk":
            kept = "--no-cache" in words or any(
                cache.startswith(("/var/cache/apk", "/etc/apk/cache")) for cache in self.caches
            )
            reason = "" if kept else "apk's index (no --no-cache)"
        place = "/var/cache/apk/x" if name == "apk" else "/nowhere"
        self._note("system", " ".join(words)[:80], network=not self.offline, cache=(place, reason), packages=packages)
        for package in packages:
            bare = package.rpartition("/")[2]
            if "python3" in bare:
                self.give_up()
            if UNKNOWN not in bare and bare and len(bare) < 80:
                self.disk.put(f"/usr/bin/{bare}", Node("file", fresh=self.stale))
                self.disk.put(f"/sbin/{bare}", Node("file", fresh=self.stale)) if name == "apk" else None

    # --- Python

    def _python(self, words: list[str]) -> None:
        python, rest = self.find(words[0]), words[1:]
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest = rest[2 if rest[0] in ("-W", "-X") else 1 :]
        module = rest[1] if len(rest) > 1 and rest[0] == "-m" else ""
        if module == "pip":
            self._pip(rest[2:], python)
        elif module in ("venv", "virtualenv"):
            self._venv([words[0], *rest[2:]])
        elif module == "uv":
            self._uv(["uv", *rest[2:]])
        elif module == "compileall":
            self.stage.compiles = True
        elif rest and not rest[0].startswith("-"):
            self.give_up()  # a script
        elif module not in ("", "ensurepip", "site", "sysconfig", "pytest", "compileall"):
            self.give_up()

    def _venv(self, words: list[str]) -> None:
        _, paths = _options(words[1:], "p", ["python", "prompt", "seeder"])
        name = words[0] if _PYTHON.fullmatch(posixpath.basename(words[0])) else "python3"
        python = pip.interpreter(self.disk, self.find(name).path)
        if python is None or not paths or UNKNOWN in paths[0]:
            return self.give_up()
        for path in paths[:3]:
            pip.make_venv(self.disk, self.at(path), python, self.new())
        return None

    def _uv(self, words: list[str]) -> None:
        rest = [word for word in words[1:] if word not in ("-q", "--quiet", "-v", "--no-progress", "--offline")]
        if rest[:1] == ["venv"]:
            self._venv(
                ["uv", *(rest[1:] if _options(rest[1:], "p", ["python", "prompt"])[1] else [*rest[1:], ".venv"])]
            )
            return
        if rest[:2] not in (["pip", "install"], ["pip", "sync"]):
            self.give_up()
            return
        found = pip.arguments(rest[2:])
        chosen = found.last("python")
        if chosen:
            python = self.at(chosen) if "/" in chosen else self.find(chosen).path
            python = python + "/bin/python" if self.disk.get(f"{python}/bin/python") else python
        elif found.has("system") or pip.is_on(self.env, "UV_SYSTEM_PYTHON"):
            python = "/usr/local/bin/python3"
        else:
            python = posixpath.join(self.env.get("VIRTUAL_ENV") or self.at(".venv"), "bin/python")
        if rest[1] == "sync":
            found.options.setdefault("requirement", []).extend(found.words)
            found.words = []
        self.stage.compiles |= found.has("compile-bytecode") or pip.is_on(self.env, "UV_COMPILE_BYTECODE")
        kept = found.has("no-cache", "n") or pip.is_on(self.env, "UV_NO_CACHE")
        place = self.env.get("UV_CACHE_DIR") or posixpath.join(self.env["HOME"], ".cache/uv")
        self._install(found, pip.interpreter(self.disk, python), place, kept, "uv's cache (no --no-cache)", words)

    def _pip(self, words: list[str], tool: Lookup) -> None:
        position = next((place for place, word in enumerate(words) if word in ("install", "wheel", "download")), None)
        if position is None:
            return
        before, verb = pip.arguments(words[:position]), words[position]
        found = pip.arguments(words[position + 1 :])
        for name, values in before.options.items():
            found.options.setdefault(name, []).extend(values)
        if tool.why:
            self.stage.problems.append(f"line {self.line}: {tool.why}")
        kept = found.has("no-cache-dir") or bool(self.env.get("PIP_NO_CACHE_DIR"))
        place = (
            found.last("cache-dir") or self.env.get("PIP_CACHE_DIR") or posixpath.join(self.env["HOME"], ".cache/pip")
        )
        words = ["pip", *words]
        self._install(
            found, pip.interpreter(self.disk, tool.path), place, kept, "pip's cache (no --no-cache-dir)", words, verb
        )

    def _install(
        self, found: pip.Arguments, python: pip.Interpreter | None, cache: str, kept: bool, reason: str,
        words: list[str], verb: str = "install",
    ) -> None:  # fmt: skip
        wanted, constrained = self._wanted(found)
        local = bool(found.words) and all(re.search(r"\.whl$|^\.{0,2}/", word) for word in found.words)
        offline = found.has("no-index") or pip.is_on(self.env, "PIP_NO_INDEX") or self.offline or found.has("offline")
        mounted = any(_covers(place, cache + "/x") for place in self.caches)
        left = ("", "") if kept or mounted or offline else (cache + "/x", reason)
        itself = tuple(one for one in wanted if one.name)
        self._note(
            "python", " ".join(words).replace(UNKNOWN, "…")[:80], network=None if local else not offline, cache=left,
            requirements=itself, constrained=constrained,
        )  # fmt: skip
        if verb != "install":
            folder = self.at(found.last("wheel-dir", "dest") or self.env.get("PIP_WHEEL_DIR") or ".")
            for one in wanted:
                keys = pins.brought([one])
                for name in keys:
                    self.disk.put(f"{folder}/{name}.whl", replace(self.new(), origin="wheel", package=name))
            return
        if python is None or any(UNKNOWN in value for value in found.all("target", "prefix", "root")):
            self.give_up()
            return
        target = pip.target_of(found, self.env, python, self.env["HOME"], self.cwd, self.who(), self.disk)
        pip.install(self.disk, target, wanted, python, self.new())

    def _wanted(self, found: pip.Arguments) -> tuple[list[Requirement], frozenset[str]]:
        """Return what is to be installed, and what the constraint files pin."""
        wanted: list[Requirement] = []
        for word in found.words:
            wheels = (
                [self.disk.nodes[path] for path in self.disk.glob(self.at(word))] if "/" in word and "*" in word else []
            )
            wanted += [Requirement(node.package, frozenset(), True, word) for node in wheels if node.package]
            wanted += [] if any(node.package for node in wheels) else [pins.requirement(word)]
        wanted += [Requirement("", frozenset(), None, word) for word in found.all("editable")]
        waiting, constraints = found.all("requirement"), found.all("constraint")
        if self.env.get("PIP_CONSTRAINT"):
            constraints = [*constraints, self.env["PIP_CONSTRAINT"]]
        for _ in range(20):
            if not waiting:
                break
            name = waiting.pop(0)
            read = self._requirement_file(name)
            if read is None:
                wanted.append(Requirement("", frozenset(), None, name))
                continue
            wanted += read.requirements
            folder = posixpath.dirname(self.at(name))
            waiting += [posixpath.join(folder, one) for one in read.further]
            constraints = [*constraints, *(posixpath.join(folder, one) for one in read.constraints)]
        pinned = [
            one for name in constraints[:20] if (read := self._requirement_file(name)) for one in read.requirements
        ]
        return wanted, frozenset(one.name for one in pinned if one.pinned)

    def _requirement_file(self, name: str) -> pins.RequirementFile | None:
        node = self.disk.get(self.at(name))
        if node is not None and node.kind == "file" and node.content is not None:
            return pins.read(node.content)
        if node is None and UNKNOWN not in name and "://" not in name and not self.disk.vague(self.at(name)):
            self.stage.problems.append(f"line {self.line}: pip is to read {name}, and {self.at(name)} is not there")
        return None


def _options(words: Sequence[str], short: str, long: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into options and the rest; the options in `short` and `long` take a value."""
    options: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += queue
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name] = value if equals else queue.pop(0) if name in long and queue else ""
        elif word.startswith("-") and len(word) > 1:
            for position, letter in enumerate(word[1:], 1):
                if letter in short:
                    options[letter] = word[position + 1 :] or (queue.pop(0) if queue else "")
                    break
                options[letter] = ""
        else:
            rest.append(word)
    return options, rest


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _above(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _covers(pattern: str, path: str) -> bool:
    """Say whether removing (or mounting) one path takes another with it; a trailing `*` takes all in a folder."""
    bare = re.sub(r"/\*$", "", pattern).rstrip("/")
    return path == bare or path.startswith(bare + "/")
