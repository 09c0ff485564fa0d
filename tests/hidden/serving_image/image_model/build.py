"""Builds the image in the model: goes through the instructions and keeps the state of each stage."""

import re
from collections.abc import Mapping
from itertools import pairwise

from . import copying, dockerfile, words
from .bases import base_of
from .context import context_of
from .copying import Copying
from .disk import Disk, Node, Work
from .dockerfile import Instruction
from .image import Image
from .run import command, script
from .running import Running
from .stage import Health, Stage, on_image, on_stage
from .words import UNKNOWN

PREDEFINED = ("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH",
              "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")  # fmt: skip
SECRET = frozenset(
    ["SECRET", "SECRETS", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL", "CREDENTIALS", "APIKEY", "PASSPHRASE"]
)
SECRET_PAIRS = frozenset([("API", "KEY"), ("ACCESS", "KEY"), ("PRIVATE", "KEY"), ("SECRET", "KEY"), ("SIGNING", "KEY")])
TIMES = {"interval": "30s", "timeout": "30s", "start-period": "0s"}  # and what Docker takes without them
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|us|µs|ns|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


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
        self.work = Work()
        self.context = Disk(self.work)
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
        self.stages.append(
            on_stage(number, name, parent) if parent else on_image(number, name, base_of(reference), self.work)
        )

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
        looks = bool(SECRET & set(parts)) or bool(SECRET_PAIRS & set(pairwise(parts)))
        harmless = (
            parts[-1] in ("FILE", "PATH", "DIR", "NAME", "URL")
            or value.startswith("/")
            or value.lower() in ("true", "false")
        )
        if looks and not harmless:
            self.stage.secrets.append(f"line {one.line}: {one.name} {name}")

    def _user(self, one: Instruction) -> None:
        self.stage.user = self.stage.fill(one.body)
        if not self.stage.user:
            self.stage.problem(one.line, f"USER {one.body} comes to nothing")

    def _workdir(self, one: Instruction) -> None:
        self.stage.workdir = self.stage.at(self.stage.fill(one.body) or ".")
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
        words_of_it = dockerfile.json_words(body.strip())
        times = {name: _seconds(self.stage.fill(one.flag(name) or default), one) for name, default in TIMES.items()}
        self.stage.health = Health(one.line, *times.values(), words_of_it, body.strip())

    # --- files

    def _add(self, one: Instruction) -> None:
        self._copy(one)

    def _copy(self, one: Instruction) -> None:
        stage, origin = self.stage, one.flag("from")
        paths = copying.sources_and_target(stage, one)
        if len(paths) < 2:
            stage.problem(one.line, f"{one.name} takes a source and a destination")
            return
        *sources, target = paths
        known = self._named(stage.fill(origin)) if origin else None
        stage.takes_over |= origin is not None
        if origin and not known:
            copying.copy_from_image(stage, one, sources, target)
            return
        if known:
            self._use(known)
            stage.disk.opaque += [one.line] if known.disk.opaque else []
        Copying(stage, one, known.disk if known else self.context, known).do(sources, target)

    def _use(self, known: Stage) -> None:
        if known not in self.stage.uses:
            self.stage.uses.append(known)

    # --- RUN

    def _run(self, one: Instruction) -> None:
        mounts = [
            dict(part.partition("=")[::2] for part in value.split(",")) for flag, value in one.flags if flag == "mount"
        ]
        mounts = [{name: self.stage.fill(value) for name, value in mount.items()} for mount in mounts]
        before = dict(self.stage.disk.nodes)
        mounted, stale = self._mount(one, mounts)
        running = Running(self.stage, one.line, mounts, self.stage.stale or stale, one.flag("network") == "none")
        self._script(one, running)
        running.close()
        nodes = self.stage.disk.nodes
        for path in [path for place in mounted for path in (place, *self.stage.disk.below(place))]:
            nodes.pop(path, None)
            if path in before:
                nodes[path] = before[path]

    def _mount(self, one: Instruction, mounts: list[dict[str, str]]) -> tuple[list[str], bool]:
        """Show what a RUN mounts; return where, and whether it changes with main.py."""
        places: list[str] = []
        stale = False
        for settings in mounts:
            if settings.get("type", "bind") != "bind":
                continue
            known = self._named(settings.get("from", ""))
            self.stage.takes_over |= "from" in settings
            if known:
                self._use(known)
            place, fresh = copying.mount(self.stage, one, settings, self.context, known)
            places += [place] if place else []
            stale |= fresh
        return places, stale

    def _script(self, one: Instruction, running: Running) -> None:
        if one.words is not None:
            command(running, list(one.words)) if one.words else None
        elif not one.heredocs:
            script(running, one.body)
        elif re.fullmatch(r"<<-?([\"']?)\w[\w.]*\1", one.body) and not re.match(r"#!(?!.*sh\b)", one.heredocs[0].text):
            script(running, one.heredocs[0].text)
        else:
            running.give_up()


def _seconds(text: str, one: Instruction) -> float:
    """Read a duration of Go, such as `1m30s`."""
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"line {one.line}: {text[:30]!r} is no duration such as 5s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
