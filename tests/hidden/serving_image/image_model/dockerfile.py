"""Reads a Dockerfile into instructions: continuation lines, comments, flags, here-documents and JSON form."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .words import names

MAX_SIZE = 100_000
MAX_INSTRUCTIONS = 300
KNOWN = names(
    """
    ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME
    WORKDIR
    """
)
WITH_FLAGS = frozenset(["ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"])
WITH_HEREDOCS = frozenset(["ADD", "COPY", "RUN"])
IN_JSON = frozenset(["ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"])

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"(?<!<)<<(-?)([\"']?)([A-Za-z_][\w.]*)\2(?!<)")


class NotADockerfile(ValueError):
    """The text is no Dockerfile, or none that the judge reads."""


@dataclass(frozen=True)
class Heredoc:
    """A here-document: its word, and its text with or without variables to expand."""

    word: str
    text: str
    literal: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction; `words` is its JSON form, None where it is written in shell form."""

    name: str
    line: int
    flags: tuple[tuple[str, str], ...]
    body: str
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = field(default=())

    def flag(self, name: str) -> str | None:
        return next((value for flag, value in reversed(self.flags) if flag == name), None)


def parse(source: bytes) -> list[Instruction]:
    """Return the instructions; raise NotADockerfile naming the line that cannot be read."""
    if len(source) > MAX_SIZE:
        raise NotADockerfile(f"it has {len(source)} bytes, and the judge reads up to {MAX_SIZE}")
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotADockerfile("it is not UTF-8 text") from None
    if "\0" in text:
        raise NotADockerfile("it holds a zero byte")
    instructions = list(_Reader(text).instructions())
    first = next((one for one in instructions if one.name != "ARG"), None)
    if first is None or first.name != "FROM":
        raise NotADockerfile("no FROM" if first is None else f"line {first.line}: {first.name} stands before any FROM")
    if len(instructions) > MAX_INSTRUCTIONS:
        raise NotADockerfile(f"it has more than {MAX_INSTRUCTIONS} instructions")
    return instructions


class _Reader:
    """Goes through the lines once."""

    def __init__(self, text: str) -> None:
        self.lines = re.split(r"\r?\n", text)
        self.position = 0
        self.escape = "\\"
        self._directives()

    def _directives(self) -> None:
        for line in self.lines:
            found = _DIRECTIVE.match(line.strip())
            if not found:
                return
            if found[1].lower() == "escape" and found[2] in ("\\", "`"):
                self.escape = found[2]

    def instructions(self) -> Iterator[Instruction]:
        while self.position < len(self.lines):
            line = self.position + 1
            text = self._logical_line()
            if text.strip():
                yield self._instruction(text.strip(), line)

    def _logical_line(self) -> str:
        """Join a line with those that continue it; comments and empty lines between them are left out."""
        parts: list[str] = []
        while self.position < len(self.lines):
            line = self.lines[self.position]
            self.position += 1
            bare = line.strip()
            if bare.startswith("#") or (parts and not bare):
                if not parts:
                    return ""
                continue
            continued = line.rstrip()
            if not continued.endswith(self.escape):
                parts.append(line)
                break
            parts.append(continued[:-1])
        return "".join(parts)

    def _instruction(self, text: str, line: int) -> Instruction:
        written, *rest = text.split(maxsplit=1)
        name, body = written.upper(), "".join(rest)
        if name not in KNOWN:
            raise NotADockerfile(f"line {line}: {name[:40]!r} is no instruction")
        if not body:
            raise NotADockerfile(f"line {line}: {name} says nothing")
        flags: list[tuple[str, str]] = []
        if name in WITH_FLAGS:
            while found := _FLAG.match(body):
                flags.append((found[1], found[2] or ""))
                body = body[found.end() :]
        heredocs = tuple(self._heredocs(body, line)) if name in WITH_HEREDOCS else ()
        return Instruction(name, line, tuple(flags), body, json_words(body) if name in IN_JSON else None, heredocs)

    def _heredocs(self, body: str, line: int) -> Iterator[Heredoc]:
        for dash, quote, word in _HEREDOC.findall(body):
            taken: list[str] = []
            while self.position < len(self.lines):
                found = self.lines[self.position]
                self.position += 1
                found = found.lstrip("\t") if dash else found
                if found == word:
                    break
                taken.append(found)
            else:
                raise NotADockerfile(f"line {line}: the here-document {word} has no end")
            yield Heredoc(word, "\n".join(taken) + "\n", bool(quote))


def json_words(body: str) -> tuple[str, ...] | None:
    """Return the words of an instruction in JSON form, None for shell form."""
    if not body.startswith("["):
        return None
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return tuple(words)
