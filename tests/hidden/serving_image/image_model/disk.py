"""The files of a stage: who owns them, who may reach them, and where they came from."""

import fnmatch
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .words import UNKNOWN

MAX_NODES = 20_000
MOST_WORK = 500_000
MAX_LINKS = 40
CLASSES = {"u": 6, "g": 3, "o": 0}
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXstugo]*)")


def clean(path: str) -> str:
    """Return a path from the root, without `.`, `..` and doubled slashes."""
    return posixpath.normpath("/" + path.lstrip("/"))


@dataclass(frozen=True)
class Node:
    """A file, folder or link. `None` for owner or mode: the model does not know."""

    kind: str  # file, folder, link, or vague: whatever lies here came from an image that the model does not know
    uid: int | None = 0
    gid: int | None = 0
    mode: int | None = 0o755
    origin: str = "generated"  # base, context, pip, wheel, generated
    context: str = ""  # the path in the build context
    content: bytes | None = None
    package: str = ""  # the distribution that it belongs to, or "python3.12" for an interpreter
    target: str = ""  # of a link; of a script, its interpreter
    fresh: bool = False  # made anew when main.py changes


@dataclass(frozen=True)
class Who:
    """A user as the kernel sees it."""

    uid: int | None
    gid: int | None

    def may(self, node: Node, bit: int) -> bool | None:
        """Say whether the user has a permission (4 read, 2 write, 1 run or enter); root has all."""
        if self.uid == 0:
            return True
        if node.mode is None:
            return None
        if None in (self.uid, self.gid, node.uid, node.gid):
            answers = {bool(node.mode >> shift & bit) for shift in (6, 3, 0)}
            return answers.pop() if len(answers) == 1 else None
        shift = 6 if self.uid == node.uid else 3 if self.gid == node.gid else 0
        return bool(node.mode >> shift & bit)


class Work:
    """How much was done for one build; ends it before a hostile file takes long."""

    def __init__(self) -> None:
        self.left = MOST_WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise ValueError("it asks for more than the judge follows: too many files, patterns or requirements")


class Disk:
    """A tree of nodes by absolute path. `opaque` holds the lines after which anything might be anywhere."""

    def __init__(self, work: Work | None = None) -> None:
        self.work = work or Work()
        self.nodes: dict[str, Node] = {"/": Node("folder", origin="base")}
        self.opaque: list[int] = []

    def copy(self) -> "Disk":
        self.work.spend(len(self.nodes))
        twin = Disk(self.work)
        twin.nodes, twin.opaque = dict(self.nodes), list(self.opaque)
        return twin

    # --- finding

    def place(self, path: str) -> str:
        """Follow the links in a path, the last one included."""
        path = clean(path)
        for _ in range(MAX_LINKS):
            parts, walked = path.strip("/").split("/"), ""
            for position, part in enumerate(parts):
                walked = f"{walked}/{part}"
                node = self.nodes.get(walked)
                if node and node.kind == "link":
                    base = posixpath.join(posixpath.dirname(walked), node.target)
                    path = clean(posixpath.join(base, *parts[position + 1 :]))
                    break
            else:
                return path
        return path

    def get(self, path: str) -> Node | None:
        return self.nodes.get(self.place(path))

    def vague(self, path: str) -> bool:
        """Say whether the model cannot tell what is at a path where it has nothing."""
        if self.opaque or UNKNOWN in path:
            return True
        return any(self.nodes[one].kind == "vague" for one in _ancestors(self.place(path)) if one in self.nodes)

    def below(self, path: str) -> Iterator[str]:
        """List the paths in a folder, at every depth."""
        self.work.spend(len(self.nodes))
        start = self.place(path).rstrip("/") + "/"
        return iter([one for one in self.nodes if one.startswith(start) and one != "/"])

    def glob(self, pattern: str) -> list[str]:
        """List the paths that a pattern of a shell stands for."""
        pattern = clean(pattern)
        if not set(pattern) & set("*?["):
            return [pattern] if self.get(pattern) else []
        self.work.spend(len(self.nodes))
        depth = pattern.count("/")
        return [one for one in self.nodes if one.count("/") == depth and _matches(one, pattern)]

    def reaches(self, who: Who, path: str, bit: int = 4) -> bool | None:
        """Say whether a user may enter every folder above a path and read (or run) what is there."""
        place = self.place(path)
        node = self.nodes.get(place)
        if node is None:
            return None if self.vague(path) else False
        answers = [who.may(self.nodes[one], 1) for one in _ancestors(place)[:-1] if one in self.nodes]
        answers.append(None if node.kind == "vague" else who.may(node, bit))
        if node.kind == "folder":
            answers.append(who.may(node, 1))
        return False if False in answers else None if None in answers else True

    # --- changing

    def put(self, path: str, node: Node) -> str:
        """Set a node and make the folders above it, root's and 0755."""
        self.work.spend(1)
        parent, name = posixpath.split(clean(path))
        place = posixpath.join(self.place(parent), name)
        for ancestor in _ancestors(place)[:-1]:
            self.nodes.setdefault(ancestor, Node("folder"))
        self.nodes[place] = node
        if len(self.nodes) > MAX_NODES:
            raise ValueError(f"it makes more than {MAX_NODES} files")
        return place

    def make_folder(self, path: str, node: Node) -> None:
        if self.get(path) is None:
            self.put(path, node)

    def remove(self, pattern: str) -> None:
        for path in self.glob(pattern):
            place = clean(path)
            for one in [place, *self.below(place)]:
                self.nodes.pop(one, None)

    def change(self, paths: list[str], *, deep: bool, **fields: int | None) -> None:
        """Change owner or mode of paths."""
        for path in self._each(paths, deep):
            self.nodes[path] = replace(self.nodes[path], **fields)

    def change_mode(self, paths: list[str], mode: str, *, deep: bool) -> None:
        for path in self._each(paths, deep):
            node = self.nodes[path]
            if node.kind != "link":
                self.nodes[path] = replace(node, mode=new_mode(node, mode))

    def _each(self, paths: list[str], deep: bool) -> Iterator[str]:
        for pattern in paths:
            for path in self.glob(pattern):
                place = self.place(path)
                yield from ([place] if place in self.nodes else [])
                yield from self.below(place) if deep else ()


@dataclass(frozen=True)
class Lookup:
    """What a command's name leads to: a path; or none, and why; or neither, where the model cannot tell."""

    path: str = ""
    why: str = ""


def look_up(disk: Disk, word: str, search: str, cwd: str, who: Who) -> Lookup:
    """Find a command as the kernel and a shell do: a path as it stands, a name on the search path."""
    if UNKNOWN in word or UNKNOWN in search:
        return Lookup()
    if "/" in word:
        places = [posixpath.normpath(posixpath.join(cwd, word))]
    else:
        places = [posixpath.join(cwd, folder, word) for folder in search.split(":")][:200]
    why = f"`{word}` is not there" if "/" in word else f"`{word}` is not on PATH ({search})"
    for place in places:
        answer = disk.reaches(who, place, 1)
        node = disk.get(place)
        if answer is None:
            return Lookup()
        if answer and node and node.kind == "file":
            return Lookup(place)
        if node and node.kind == "file":
            why = f"{place} is there, and user {who.uid} may not run it"
        elif (link := disk.nodes.get(place)) and link.kind == "link":
            why = f"{place} is a link to {link.target}, which is not there"
    return Lookup(why=why)


def new_mode(node: Node, text: str) -> int | None:
    """Return a node's mode after `chmod text`, None where that is not clear."""
    if re.fullmatch(r"0?[0-7]{1,4}", text):
        return int(text, 8) & 0o777
    mode = node.mode
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if not found or mode is None:
            return None
        bits = sum({"r": 4, "w": 2, "x": 1}.get(sign, 0) for sign in set(found[3]))
        for source in set(found[3]) & set(CLASSES):
            bits |= node.mode >> CLASSES[source] & 7 if node.mode is not None else 0
        bits |= 1 if "X" in found[3] and (node.kind == "folder" or mode & 0o111) else 0
        for name in CLASSES if "a" in found[1] or not found[1] else found[1]:
            shift = CLASSES[name]
            if found[2] == "+":
                mode |= bits << shift
            elif found[2] == "-":
                mode &= ~(bits << shift)
            else:
                mode = mode & ~(7 << shift) | bits << shift
    return mode


def _ancestors(path: str) -> list[str]:
    """List a path and the folders above it, from the top."""
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))]


def _matches(path: str, pattern: str) -> bool:
    pairs = zip(path.split("/"), pattern.split("/"), strict=True)
    return all(len(glob) < 200 and glob.count("*") < 5 and fnmatch.fnmatchcase(part, glob) for part, glob in pairs)
