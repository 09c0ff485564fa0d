"""A RUN in progress: where it is, as whom, with which variables, and what it leaves behind."""

import posixpath
import re
from collections.abc import Container, Sequence
from dataclasses import replace

from .disk import Lookup, Node, Who, clean, look_up
from .stage import Stage, Step
from .words import UNKNOWN


class Running:
    """The state of one RUN; the modules of commands change it and the stage's disk."""

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

    def close(self) -> None:
        """Note what was left behind, now that the RUN is over."""
        for path, step in self.left:
            gone = any(covers(one, path) for one in self.removed)
            self.stage.steps.append(replace(step, left_behind="") if gone else step)

    def give_up(self) -> None:
        self.disk.opaque.append(self.line)

    def at(self, path: str) -> str:
        return clean(posixpath.join(self.cwd, path))

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

    def must_find(self, word: str) -> None:
        """Note a problem where a command is certainly not there."""
        why = self.find(word).why
        if why:
            self.stage.problem(self.line, why)

    def uid_of(self, name: str) -> int | None:
        return self.stage.who(name).uid

    def gid_of(self, name: str) -> int | None:
        if name.isdecimal() and len(name) < 10:
            return int(name)
        known = self.stage.users.get(name)
        return self.stage.groups.get(name, known.gid if known else None)

    def note(self, step: Step, cache: str = "") -> None:
        """Note a step; `cache` is the path where it leaves something behind."""
        self.left.append((cache, step))


def options(words: Sequence[str], short: str, long: Container[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into options and the rest; the options in `short` and `long` take a value."""
    given: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += queue
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            given[name] = value if equals else queue.pop(0) if name in long and queue else ""
        elif word.startswith("-") and len(word) > 1:
            for position, letter in enumerate(word[1:], 1):
                if letter in short:
                    given[letter] = word[position + 1 :] or (queue.pop(0) if queue else "")
                    break
                given[letter] = ""
        else:
            rest.append(word)
    return given, rest


def number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def above(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def covers(pattern: str, path: str) -> bool:
    """Say whether removing (or mounting) one path takes another with it; a trailing `*` takes all in a folder."""
    bare = re.sub(r"/\*$", "", pattern).rstrip("/")
    return path == bare or path.startswith(bare + "/")
