"""The patterns of a `.dockerignore`: the last one that matches a path or one of its folders decides.

Matched by following all possible positions in the pattern at once, so that no pattern takes long.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator

Place = tuple[int, bool]  # a token, and whether inside its folders
MAX_SIZE = 100_000
MAX_PATTERNS = 500
MAX_EFFORT = 2_000  # signs in fifty patterns with wildcards

_TOKEN = re.compile(r"(\*\*/?)|(\*)|(\?)|(\[\^?\]?[^\]]*\])|\\(.)|(.)", re.DOTALL)


class Ignored:
    """Which paths of a build context are left out."""

    def __init__(self, text: str) -> None:
        self.rules: list[tuple[bool, Pattern]] = []
        if len(text) > MAX_SIZE:
            raise ValueError(f".dockerignore has more than the {MAX_SIZE} characters that the judge reads")
        for line in text.splitlines():
            bare = line.strip()
            if not bare or line.startswith("#"):
                continue
            exception = bare.startswith("!")
            cleaned = posixpath.normpath(bare.lstrip("!").strip()).lstrip("/")
            if cleaned not in ("", "."):
                self.rules.append((exception, Pattern(cleaned)))
            if len(self.rules) > MAX_PATTERNS or sum(pattern.effort for _, pattern in self.rules[-50:]) > MAX_EFFORT:
                raise ValueError(".dockerignore has more or longer patterns than the judge follows")

    def __contains__(self, path: str) -> bool:
        ignored = False
        for exception, pattern in self.rules:
            if ignored == exception and pattern.covers(path):
                ignored = not exception
        return ignored


class Pattern:
    """One pattern of Go's `filepath.Match`, with Docker's `**`."""

    def __init__(self, text: str) -> None:
        self.plain = "" if set(text) & set("*?[\\") else text
        self.effort = 0 if self.plain else len(text)
        self.tokens: list[tuple[str, str]] = []
        for match in _TOKEN.finditer(text):
            deep, star, question, group, escaped, sign = match.groups()
            if deep:
                self.tokens.append(("everything", "") if match.end() == len(text) else ("folders", ""))
            elif star:
                self.tokens.append(("star", ""))
            elif question:
                self.tokens.append(("any", ""))
            elif group:
                self.tokens.append(("group", group))
            else:
                self.tokens.append(("sign", escaped or sign))

    def covers(self, path: str) -> bool:
        """Say whether the pattern matches the path or a folder that holds it."""
        if self.plain:
            return path == self.plain or path.startswith(self.plain + "/")
        parts = path.split("/")
        return any(self.matches("/".join(parts[: count + 1])) for count in range(len(parts)))

    def matches(self, path: str) -> bool:
        places = self._without_a_sign({(0, False)})
        for sign in path:
            places = self._without_a_sign(set(self._after(places, sign)))
        return (len(self.tokens), False) in places

    def _kind(self, place: int) -> str:
        return self.tokens[place][0] if place < len(self.tokens) else "end"

    def _without_a_sign(self, places: set[Place]) -> set[Place]:
        """Add the places that are reached by taking nothing: past a star, past `**/`, into `**/`."""
        waiting = list(places)
        while waiting:
            place, inside = waiting.pop()
            kind = self._kind(place)
            further: list[Place] = [(place, True)] if kind == "folders" else []
            if kind in ("star", "everything") or (kind == "folders" and not inside):
                further.append((place + 1, False))
            new = [one for one in further if one not in places]
            places.update(new)
            waiting += new
        return places

    def _after(self, places: Iterable[Place], sign: str) -> Iterator[Place]:
        for place, inside in places:
            kind = self._kind(place)
            if kind == "folders" and inside:
                yield place, True
                if sign == "/":
                    yield place + 1, False
            elif kind == "everything" or (kind == "star" and sign != "/"):
                yield place, False
            elif kind not in ("end", "folders") and _takes(kind, self.tokens[place][1], sign):
                yield place + 1, False


def _takes(kind: str, text: str, sign: str) -> bool:
    if kind == "sign":
        return sign == text
    if sign == "/":
        return False
    return kind == "any" or (kind == "group" and _in_group(text[1:-1], sign))


def _in_group(members: str, sign: str) -> bool:
    inverted = members.startswith("^")
    members = members[inverted:]
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            if members[position] <= sign <= members[position + 2]:
                return not inverted
            position += 3
        else:
            if members[position] == sign:
                return not inverted
            position += 1
    return inverted
