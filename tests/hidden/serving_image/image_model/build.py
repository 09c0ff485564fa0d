"""Builds the image in the model: goes through the instructions and keeps the state of each stage."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import dockerfile, words
from .bases import base_of
from .context import context_of
from .disk import Disk, Node, Who
from .dockerfile import Instruction
from .ignore import Ignored, Pattern
from .run import Runner
from .stage import Health, Stage, Step, on_image, on_stage
from .words import UNKNOWN

PREDEFINED = ("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH",
              "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")  # fmt: skip
SECRET = frozenset(
    ["SECRET", "SECRETS", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL", "CREDENTIALS", "APIKEY", "PASSPHRASE"]
)
SECRET_PAIRS = frozenset([("API", "KEY"), ("ACCESS", "KEY"), ("PRIVATE", "KEY"), ("SECRET", "KEY"), ("SIGNING", "KEY")])
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|us|µs|ns|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Image:
    """What was built: all stages, and the one that becomes the image."""

    stages: list[Stage]
    final: Stage

    @property
    def used(self) -> list[Stage]:
        """The stages that the final one needs, itself included."""
        found: list[Stage] = []
        waiting = [self.final]
        while waiting:
            stage = waiting.pop()
            if stage not in found:
                found.append(stage)
                waiting += stage.uses
        return found

    @property
    def steps(self) -> list[Step]:
        """What the needed stages install, each step once."""
        found = [step for stage in self.used for step in stage.steps]
        return list(dict.fromkeys(found))

    @property
    def problems(self) -> list[str]:
        """Why a needed stage could not be built."""
        return [problem for stage in self.used for problem in stage.problems]

    @property
    def who(self) -> Who:
        return self.final.who()

    @property
    def opaque(self) -> bool:
        return bool(self.final.disk.opaque)


def build(files: Mapping[str, bytes]) -> Image:
    """Build what these files describe; raise ValueError where there is no Dockerfile to build."""
    instructions = dockerfile.parse(files.get("Dockerfile", b""))
    builder = _Builder(context_of(files))
    for instruction in instructions:
        builder.do(instruction)
    if not builder.stages:
        raise ValueError("it has no FROM")
    return Image(builder.stages, builder.stages[-1])


class _Builder:
    def __init__(self, context: Mapping[str, bytes]) -> None:
        self.stages: list[Stage] = []
        self.globals: dict[str, str] = {}
        self.context = Disk()
        for path, content in context.items():
            node = Node("file", mode=0o644, origin="context", context=path, content=content, fresh=path == "main.py")
            self.context.put(path, node)

    @property
    def stage(self) -> Stage:
        return self.stages[-1]

    def do(self, one: Instruction) -> None:
        if one.name == "FROM":
            self._from(one)
        elif not self.stages:
            self.globals.update(self._arguments(one, dict.fromkeys(PREDEFINED, UNKNOWN) | self.globals))
        else:
            getattr(self, f"_{one.name.lower()}", lambda one: None)(one)

    def problem(self, one: Instruction, text: str) -> None:
        self.stage.problems.append(f"line {one.line}: {text}")

    def fill(self, text: str) -> str:
        return words.expand(text, self.stage.variables())

    # --- stages and variables

    def _from(self, one: Instruction) -> None:
        parts = one.body.split()
        reference = words.expand(parts[0], dict.fromkeys(PREDEFINED, UNKNOWN) | self.globals)
        if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].lower() != "as"):
            raise ValueError(f"line {one.line}: FROM takes an image and perhaps a name: {one.body[:60]}")
        if not reference:
            raise ValueError(f"line {one.line}: FROM names no image")
        name = parts[2].lower() if len(parts) == 3 else ""
        parent = self._named(reference)
        number = len(self.stages)
        self.stages.append(on_stage(number, name, parent) if parent else on_image(number, name, base_of(reference)))

    def _named(self, name: str) -> Stage | None:
        found = next((stage for stage in reversed(self.stages) if stage.name == name.lower() and name), None)
        if found is None and name.isdecimal() and len(name) < 4 and int(name) < len(self.stages):
            return self.stages[int(name)]
        return found

    def _arguments(self, one: Instruction, known: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for word in words.split(one.body):
            name, equals, value = word.partition("=")
            if equals:
                found[name] = words.expand(value, {**known, **found})
            elif name in known:
                found[name] = known[name]
        return found

    def _arg(self, one: Instruction) -> None:
        known = dict.fromkeys(PREDEFINED, UNKNOWN) | self.globals
        given = {word: known[word] for word in words.split(one.body) if word in known}
        self.stage.args |= self._arguments(one, self.stage.variables()) | given
        for word in words.split(one.body):
            self._look_for_secret(one, word.partition("=")[0], self.stage.args.get(word.partition("=")[0], ""))

    def _env(self, one: Instruction) -> None:
        before = self.stage.variables()
        for name, value in words.pairs(one.body):
            self.stage.env[name] = words.expand(value, before)
            self._look_for_secret(one, name, self.stage.env[name])

    def _look_for_secret(self, one: Instruction, name: str, value: str) -> None:
        parts = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper().split("_")
        looks = bool(SECRET & set(parts)) or bool(SECRET_PAIRS & set(zip(parts, parts[1:], strict=False)))
        harmless = (
            parts[-1] in ("FILE", "PATH", "DIR", "NAME", "URL")
            or value.startswith("/")
            or value.lower() in ("true", "false")
        )
        if looks and not harmless:
            self.stage.secrets.append(f"line {one.line}: {one.name} {name}")

    def _user(self, one: Instruction) -> None:
        self.stage.user = self.fill(one.body)
        if not self.stage.user:
            self.problem(one, f"USER {one.body} comes to nothing")

    def _workdir(self, one: Instruction) -> None:
        self.stage.workdir = self.stage.at(self.fill(one.body) or ".")
        if UNKNOWN not in self.stage.workdir:
            self.stage.disk.make_folder(self.stage.workdir, Node("folder"))

    # --- what is started

    def _cmd(self, one: Instruction) -> None:
        self.stage.cmd = list(one.words) if one.words is not None else [one.body]
        self.stage.cmd_in_shell_form = one.words is None
        self.stage.shell_form = self.stage.shell_form if self.stage.entrypoint else one.words is None

    def _entrypoint(self, one: Instruction) -> None:
        stage = self.stage
        own = stage.entrypoint is not None and bool(stage.entrypoint)
        stage.entrypoint = list(one.words) if one.words is not None else [one.body]
        stage.entrypoint_known = True
        stage.shell_form = one.words is None or (not stage.entrypoint and stage.cmd_in_shell_form)
        if stage.parent and not own and stage.cmd is stage.parent.cmd:
            stage.cmd = None  # an inherited CMD ends with a new ENTRYPOINT

    def _healthcheck(self, one: Instruction) -> None:
        if one.body.strip().upper() == "NONE":
            self.stage.health = None
            return
        kind, _, body = one.body.partition(" ")
        if kind.upper() != "CMD" or not body.strip():
            raise ValueError(f"line {one.line}: HEALTHCHECK takes NONE or CMD and a command")
        command = dockerfile._json_words(body.strip())
        times = {
            name: _seconds(self.fill(one.flag(name) or ""), one) for name in ("interval", "timeout", "start-period")
        }
        self.stage.health = Health(
            one.line, times["interval"] or 30.0, times["timeout"] or 30.0, times["start-period"] or 0.0, command, body.strip()
        )  # fmt: skip

    # --- files

    def _add(self, one: Instruction) -> None:
        self._copy(one)

    def _copy(self, one: Instruction) -> None:
        listed = list(one.words) if one.words is not None else words.split(one.body)
        paths = [self.fill(path) for path in listed]
        if len(paths) < 2:
            return self.problem(one, f"{one.name} takes a source and a destination")
        *sources, target = paths
        origin = one.flag("from")
        owner = self._owner(one)
        if origin is None:
            for source in sources:
                self._from_context(one, source, target, owner, alone=len(sources) == 1)
            return None
        self.stage.takes_over = True
        known = self._named(self.fill(origin))
        if known is None:
            return self._from_image(sources, target)
        if known not in self.stage.uses:
            self.stage.uses.append(known)
        for source in sources:
            self._from_stage(one, known, source, target, owner, alone=len(sources) == 1)
        return None

    def _owner(self, one: Instruction) -> dict[str, int | None]:
        text = one.flag("chown")
        if text is None:
            return {}
        who = self.stage.who(self.fill(text))
        user, colon, _ = self.fill(text).partition(":")
        known = user in self.stage.users or user.isdecimal()
        if not known and not self.stage.disk.opaque:
            self.problem(one, f"--chown={text}: there is no user {user} in this stage")
        return {"uid": who.uid, "gid": who.gid if colon or not user.isdecimal() else who.uid}

    def _from_context(
        self, one: Instruction, source: str, target: str, owner: dict[str, int | None], *, alone: bool
    ) -> None:
        if one.name == "ADD" and re.match(r"https?://|git@|git://", source):
            step = Step("download", one.line, f"ADD {source}"[:80], self.stage.stale, True)
            self.stage.steps.append(step)
            return
        if source.startswith("<<"):
            found = next((doc for doc in one.heredocs if doc.word in source), None)
            if found:
                text = (
                    found.text if found.literal else "\n".join(self.fill_text(line) for line in found.text.split("\n"))
                )
                self._land(one, found.word, Node("file", mode=0o644, content=text.encode()), target, owner)
            return
        self._bring(
            one, self.context, source, target, owner, alone=alone, where="the build context (after .dockerignore)"
        )

    def fill_text(self, line: str) -> str:
        """Expand the variables of a line of a here-document and leave its quotes."""
        return re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda found: self.stage.variables().get(found[1], ""), line)

    def _from_stage(
        self, one: Instruction, known: Stage, source: str, target: str, owner: dict[str, int | None], *, alone: bool
    ) -> None:
        if known.disk.opaque:
            self.stage.disk.opaque.append(one.line)
        self._bring(
            one,
            known.disk,
            source,
            target,
            owner,
            alone=alone,
            where=f"stage {known.name or known.number}",
            known=known,
        )

    def _from_image(self, sources: list[str], target: str) -> None:
        for source in sources:
            folder = target.endswith("/") or len(sources) > 1 or self._is_folder(target)
            place = (
                posixpath.join(self.stage.at(target), posixpath.basename(source.rstrip("/")))
                if folder
                else self.stage.at(target)
            )
            if UNKNOWN in place or place == "/":
                self.stage.disk.opaque.append(0)
            else:
                self.stage.disk.put(place, Node("vague"))

    def _is_folder(self, target: str) -> bool:
        node = self.stage.disk.get(self.stage.at(target))
        return node is not None and node.kind == "folder"

    def _bring(
        self,
        one: Instruction,
        origin: Disk,
        source: str,
        target: str,
        owner: dict[str, int | None],
        *,
        alone: bool,
        where: str,
        known: Stage | None = None,
    ) -> None:
        """Copy a file, or the contents of a folder."""
        left_out = Ignored("\n".join(self.fill(value) for flag, value in one.flags if flag == "exclude"))
        found = origin.glob(source)
        if not found and not set(source) & set("*?["):
            if not origin.vague(source):
                self.problem(one, f"{one.name} {source}: not in {where}")
            return
        if not found:
            self.problem(one, f"{one.name} {source}: nothing in {where} matches") if not origin.opaque else None
        for path in found:
            place = origin.place(path)
            node = origin.nodes[place]
            if node.kind != "folder":
                if path.lstrip("/") not in left_out:
                    self._land(one, path, node, target, owner, known)
                continue
            base = self.stage.at(target)
            if one.flag("parents") is not None:
                base = posixpath.join(base, path.lstrip("/"))
            if UNKNOWN in base:
                self.stage.disk.opaque.append(one.line)
                continue
            self.stage.disk.make_folder(
                base, replace(node, mode=0o755, **(owner or {"uid": 0, "gid": 0})) if owner else Node("folder")
            )
            for below in origin.below(place):
                relative = below.removeprefix(place.rstrip("/") + "/")
                if relative not in left_out:
                    self._set(one, posixpath.join(base, relative), origin.nodes[below], owner, known)

    def _land(
        self,
        one: Instruction,
        source: str,
        node: Node,
        target: str,
        owner: dict[str, int | None],
        known: Stage | None = None,
    ) -> None:
        base = self.stage.at(target)
        if UNKNOWN in base:
            self.stage.disk.opaque.append(one.line)
            return
        into = target.endswith(("/", "/.")) or target in (".", "./", "..") or self._is_folder(target)
        self._set(one, posixpath.join(base, posixpath.basename(source)) if into else base, node, owner, known)

    def _set(self, one: Instruction, path: str, node: Node, owner: dict[str, int | None], known: Stage | None) -> None:
        stage = self.stage
        keeps = {} if known and not one.flag("chown") else {"uid": 0, "gid": 0}
        node = replace(node, **{**keeps, **owner})
        mode = one.flag("chmod")
        if mode and node.kind != "link":
            node = replace(node, mode=int(mode, 8) & 0o777 if re.fullmatch(r"0?[0-7]{1,4}", mode) else None)
        stage.disk.put(path, node)
        stage.stale |= node.fresh
        if node.context:
            stage.placed.add(node.context)
        if known and node.origin in ("pip", "wheel") and known not in stage.shares:
            stage.shares.append(known)

    # --- RUN

    def _run(self, one: Instruction) -> None:
        mounts = [
            dict(part.partition("=")[::2] for part in value.split(",")) for flag, value in one.flags if flag == "mount"
        ]
        mounts = [{name: self.fill(value) for name, value in mount.items()} for mount in mounts]
        before = dict(self.stage.disk.nodes)
        mounted, stale = self._mount(one, mounts)
        runner = Runner(self.stage, one.line, mounts, self.stage.stale or stale, one.flag("network") == "none")
        self._script(one, runner)
        runner.close()
        nodes = self.stage.disk.nodes
        for target in mounted:
            for path in [target, *self.stage.disk.below(target)]:
                nodes.pop(path, None)
                if path in before:
                    nodes[path] = before[path]

    def _script(self, one: Instruction, runner: Runner) -> None:
        if one.words is not None:
            runner.command(list(one.words), {}, 0) if one.words else None
        elif not one.heredocs:
            runner.script(one.body)
        elif re.fullmatch(r"<<-?([\"']?)\w[\w.]*\1", one.body) and not re.match(r"#!(?!.*sh\b)", one.heredocs[0].text):
            runner.script(one.heredocs[0].text)
        else:
            runner.give_up()

    def _mount(self, one: Instruction, mounts: list[dict[str, str]]) -> tuple[list[str], bool]:
        """Show what a RUN mounts; return where, and whether it changes with main.py."""
        places: list[str] = []
        stale = False
        for mount in mounts:
            if mount.get("type", "bind") != "bind":
                continue
            name = mount.get("from", "")
            known = self._named(name)
            origin = known.disk if known else self.context
            target = mount.get("target") or mount.get("dst") or mount.get("destination") or ""
            if name:
                self.stage.takes_over = True
            if known and known not in self.stage.uses:
                self.stage.uses.append(known)
            if not target or (name and not known):
                continue
            place, source = self.stage.at(target), origin.place(mount.get("source") or mount.get("src") or "/")
            if source not in origin.nodes:
                self.problem(one, f"--mount: {source} is not in {f'stage {name}' if name else 'the build context'}")
                continue
            places.append(place)
            for path in [source, *origin.below(source)]:
                node = origin.nodes[path]
                stale |= node.fresh
                self.stage.disk.put(posixpath.normpath(f"{place}/{path.removeprefix(source)}"), node)
                if known and node.origin in ("pip", "wheel") and known not in self.stage.shares:
                    self.stage.shares.append(known)
        return places, stale


def _seconds(text: str, one: Instruction) -> float | None:
    """Read a duration of Go, such as `1m30s`."""
    if not text:
        return None
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"line {one.line}: {text[:30]!r} is no duration such as 5s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


__all__ = ["Image", "Pattern", "build"]
