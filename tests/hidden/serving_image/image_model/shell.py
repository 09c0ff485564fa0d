"""Takes a shell script apart into simple commands. What is more than simple is marked as uncertain."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .words import UNKNOWN, variable

OPERATORS = ("&&", "||", ";;", "|&", ";", "|", "&", "(", ")", "\n")
OPENING = frozenset(["if", "then", "elif", "else", "while", "until", "do", "!", "{"])  # a command may follow
CLOSING = frozenset(["fi", "done", "esac", "}"])
MAX_COMMANDS = 400
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_REDIRECTION = re.compile(r"(\d*)(>>|>\||>|<<<|<)(&\d|&-)?")


@dataclass(frozen=True)
class Piece:
    """A part of a word: text as it stands, or text with variables; the value of an unquoted one is split."""

    text: str
    raw: bool = False
    quoted: bool = False


@dataclass
class Word:
    """A word of a command before its variables are put in."""

    pieces: list[Piece] = field(default_factory=list)

    def values(self, env: Mapping[str, str]) -> list[str]:
        """Return the words that it becomes."""
        found, empty = [""], not any(piece.quoted or piece.raw for piece in self.pieces)
        for piece in self.pieces:
            value = piece.text if piece.raw else _filled(piece.text, env)
            parts = value.split(" ") if not piece.quoted and not piece.raw else [value]
            found[-1] += parts[0]
            found += parts[1:]
        return [one for one in found if one or not empty]

    @property
    def plain(self) -> str:
        """The word as a keyword is read: only if nothing in it is quoted."""
        return "".join(piece.text for piece in self.pieces) if not any(piece.quoted for piece in self.pieces) else ""


@dataclass
class Command:
    """One simple command, and the operator before it."""

    after: str
    words: list[Word] = field(default_factory=list)
    writes: list[Word] = field(default_factory=list)

    def split(self, env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Return its own variables and its words."""
        words, own = list(self.words), {}
        while words and (found := _ASSIGNMENT.fullmatch(words[0].plain or _joined(words[0], env))):
            own[found[1]] = "".join(words.pop(0).values(env)).partition("=")[2]
        return own, [value for word in words for value in word.values(env)]


@dataclass
class Script:
    """The commands in their order; `certain` is false where it depends on more which of them run."""

    commands: list[Command]
    certain: bool = True


def _joined(word: Word, env: Mapping[str, str]) -> str:
    first = word.pieces[0].text if word.pieces and not word.pieces[0].quoted else ""
    return " ".join(word.values(env)) if _ASSIGNMENT.match(first) else ""


def _filled(text: str, env: Mapping[str, str]) -> str:
    out, position = "", 0
    while position < len(text) and len(out) < 20_000:
        if text[position] == "$":
            value, position = variable(text, position, env)
            out += value
        else:
            out += UNKNOWN if text[position] == "`" else text[position]
            position += 1
    return out


def read(text: str) -> Script:
    """Take a script apart."""
    script = Script([Command("")])
    for token in _tokens(text):
        command = script.commands[-1]
        if isinstance(token, str):
            if token in ("(", ")", "&", ";;"):
                script.certain = False
            if command.words or command.writes:
                script.commands.append(Command(token))
            elif token not in ("(", ")", "\n"):
                command.after = token
        elif not command.words and token.plain in OPENING | CLOSING:
            script.certain = False
        elif not command.words and token.plain in ("for", "case", "function", "select"):
            script.certain = False
            command.words.append(Word([Piece(":", raw=True)]))
        else:
            command.words.append(token)
    script.commands = [_redirected(command) for command in script.commands if command.words]
    if len(script.commands) > MAX_COMMANDS:
        return Script([], certain=False)
    return script


def _redirected(command: Command) -> Command:
    """Take redirections out of a command's words."""
    kept: list[Word] = []
    words = iter(command.words)
    for word in words:
        found = _REDIRECTION.match(word.plain)
        if not found:
            kept.append(word)
            continue
        rest = word.plain[found.end() :]
        target = Word([Piece(rest)]) if rest else next(words, Word()) if not found[3] else Word()
        if found[2].startswith(">") and not found[3]:
            command.writes.append(target)
    command.words = kept
    return command


def _tokens(text: str) -> Iterator[str | Word]:
    word, position = Word(), 0
    while position < len(text):
        operator = next((one for one in OPERATORS if text.startswith(one, position)), "")
        sign = text[position]
        if text.startswith((">&", "<&"), position):
            word.pieces.append(Piece(text[position : position + 3]))
            position += 3
        elif operator or sign.isspace() or (sign == "#" and not word.pieces):
            if word.pieces:
                yield word
                word = Word()
            if sign == "#":
                end = text.find("\n", position)
                position = len(text) if end < 0 else end
                continue
            if operator:
                yield operator
            position += len(operator) or 1
        else:
            piece, position = _piece(text, position)
            word.pieces.append(piece)
    if word.pieces:
        yield word


def _piece(text: str, start: int) -> tuple[Piece, int]:
    """Read on to the end of a quotation, an escape, a substitution or plain text."""
    sign = text[start]
    if sign == "\\":
        return Piece("" if text[start + 1 : start + 2] == "\n" else text[start + 1 : start + 2], raw=True), start + 2
    if sign == "'":
        end = text.find("'", start + 1)
        end = len(text) if end < 0 else end
        return Piece(text[start + 1 : end], raw=True, quoted=True), end + 1
    if sign == '"':
        return _double_quoted(text, start + 1)
    if sign == "`":
        end = text.find("`", start + 1)
        return Piece(UNKNOWN, raw=True), (len(text) if end < 0 else end + 1)
    if sign == "$":
        _, end = variable(text, start, {})
        return Piece(text[start:end]), end
    end = start + 1
    while end < len(text) and text[end] not in " \t\r\n\\'\"`$&|;()":
        end += 1
    return Piece(text[start:end]), end


def _double_quoted(text: str, start: int) -> tuple[Piece, int]:
    out, position = "", start
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and text[position + 1 : position + 2] in tuple('"\\`'):
            out += text[position + 1]
            position += 2
        elif text[position] == "$":
            _, end = variable(text, position, {})
            out += text[position:end]
            position = end
        else:
            out += text[position]
            position += 1
    return Piece(out, quoted=True), position + 1
