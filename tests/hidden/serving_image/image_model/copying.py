"""COPY and ADD, and the bind mounts of RUN: how files come from the context, from a stage or from another image."""

import posixpath
import re
from dataclasses import replace

from . import words
from .disk import Disk, Node, clean
from .dockerfile import Heredoc, Instruction
from .ignore import Ignored
from .stage import Stage, Step
from .words import UNKNOWN

ADDRESS = re.compile(r"https?://|git@|git://|ssh://")
WHOLE_CONTEXT = "the build context (after .dockerignore)"


class Copying:
    """One COPY or ADD into a stage."""

    def __init__(self, stage: Stage, one: Instruction, origin: Disk, known: Stage | None) -> None:
        self.stage = stage
        self.one = one
        self.origin = origin
        self.known = known  # the stage that is copied from, None for the context
        self.where = f"stage {known.name or known.number}" if known else WHOLE_CONTEXT
        self.owner = self._owner()
        excluded = [stage.fill(value) for flag, value in one.flags if flag == "exclude"]
        self.left_out = Ignored("\n".join(excluded))

    def do(self, sources: list[str], target: str) -> None:
        for source in sources:
            heredoc = next((doc for doc in self.one.heredocs if source.startswith("<<") and doc.word in source), None)
            if heredoc:
                content = self._text(heredoc).encode()
                self._land(heredoc.word, Node("file", mode=0o644, content=content), target)
            elif self.one.name == "ADD" and ADDRESS.match(source):
                self.stage.steps.append(Step("download", self.one.line, f"ADD {source}"[:80], self.stage.stale, True))
            else:
                self._bring(source, target)

    def _text(self, heredoc: Heredoc) -> str:
        """Fill in the variables of a here-document; its quotes stay."""
        known = self.stage.variables()
        name = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
        return heredoc.text if heredoc.literal else name.sub(lambda found: known.get(found[1], ""), heredoc.text)

    def _owner(self) -> dict[str, int | None]:
        """Return what --chown says."""
        text = self.stage.fill(self.one.flag("chown") or "")
        if not text:
            return {}
        user, colon, _ = text.partition(":")
        if user not in self.stage.users and not user.isdecimal() and not self.stage.disk.opaque:
            self.stage.problem(self.one.line, f"--chown={text}: there is no user {user} in this stage")
        who = self.stage.who(text)
        return {"uid": who.uid, "gid": who.gid if colon or not user.isdecimal() else who.uid}

    def _bring(self, source: str, target: str) -> None:
        """Copy a file, or the contents of a folder."""
        found = self.origin.glob(source)
        if not found and not self.origin.vague(source):
            self.stage.problem(self.one.line, f"{self.one.name} {source}: not in {self.where}")
        if not found and self.origin.vague(source):
            self._unknown()
        for path in found:
            place = self.origin.place(path)
            node = self.origin.nodes[place]
            if node.kind == "folder":
                self._folder(path, place, node, target)
            elif path.lstrip("/") not in self.left_out:
                self._land(path, node, target)

    def _unknown(self) -> None:
        self.stage.disk.opaque.append(self.one.line)

    def _folder(self, path: str, place: str, node: Node, target: str) -> None:
        base = self.stage.at(target)
        if self.one.flag("parents") is not None:
            base = posixpath.join(base, path.lstrip("/"))
        if UNKNOWN in base:
            self._unknown()
            return
        self.stage.disk.make_folder(base, Node("folder", **self.owner))
        for below in self.origin.below(place):
            relative = below.removeprefix(place.rstrip("/") + "/")
            if relative not in self.left_out:
                self._set(posixpath.join(base, relative), self.origin.nodes[below])

    def _land(self, source: str, node: Node, target: str) -> None:
        """Copy a file to a path, or into a folder under its own name."""
        base = self.stage.at(target)
        if UNKNOWN in base:
            self._unknown()
            return
        there = self.stage.disk.get(base)
        into = target.endswith(("/", "/.")) or target in (".", "..") or (there is not None and there.kind == "folder")
        self._set(posixpath.join(base, posixpath.basename(source)) if into else base, node)

    def _set(self, path: str, node: Node) -> None:
        mode = self.one.flag("chmod")
        node = replace(node, **(self.owner or _owner_after_a_copy(node, self.known)))
        if mode and node.kind != "link":
            node = replace(node, mode=int(mode, 8) & 0o777 if re.fullmatch(r"0?[0-7]{1,4}", mode) else None)
        self.stage.disk.put(path, node)
        self.stage.stale |= node.fresh
        if node.context:
            self.stage.placed.add(node.context)
        share(self.stage, self.known, node)


def _owner_after_a_copy(node: Node, known: Stage | None) -> dict[str, int | None]:
    """From the context everything is root's; what was another user's in a stage, builders treat differently."""
    if known is None:
        return {"uid": 0, "gid": 0}
    return {"uid": 0 if node.uid == 0 else None, "gid": 0 if node.gid == 0 else None}


def share(stage: Stage, known: Stage | None, node: Node) -> None:
    """Note that packages or wheels of another stage come to this one."""
    if known and node.origin in ("pip", "wheel") and known not in stage.shares:
        stage.shares.append(known)


def copy_from_image(stage: Stage, one: Instruction, sources: list[str], target: str) -> None:
    """Copy from an image that the model does not know: something lies there now."""
    for source in sources:
        there = stage.disk.get(stage.at(target))
        into = target.endswith("/") or len(sources) > 1 or (there is not None and there.kind == "folder")
        place = stage.at(target)
        place = posixpath.join(place, posixpath.basename(source.rstrip("/"))) if into else place
        if UNKNOWN in place or place == "/":
            stage.disk.opaque.append(one.line)
        else:
            stage.disk.put(place, Node("vague"))


def mount(
    stage: Stage, one: Instruction, settings: dict[str, str], context: Disk, known: Stage | None
) -> tuple[str, bool]:
    """Show a bind mount in a stage; return where, and whether what it shows changes with main.py."""
    name = settings.get("from", "")
    target = settings.get("target") or settings.get("dst") or settings.get("destination") or ""
    if name and not known:
        return "", False
    origin = known.disk if known else context
    source = origin.place(settings.get("source") or settings.get("src") or "/")
    if source not in origin.nodes:
        if not origin.vague(source):
            stage.problem(one.line, f"--mount: {source} is not in {f'stage {name}' if name else WHOLE_CONTEXT}")
        return "", False
    place, fresh = stage.at(target), False
    for path in [source, *origin.below(source)]:
        node = origin.nodes[path]
        fresh |= node.fresh
        share(stage, known, node)
        stage.disk.put(clean(f"{place}/{path.removeprefix(source)}"), node)
    return place, fresh


def sources_and_target(stage: Stage, one: Instruction) -> list[str]:
    """Return the paths of a COPY or ADD, the target last."""
    listed = list(one.words) if one.words is not None else words.split(one.body)
    return [stage.fill(path) for path in listed]
