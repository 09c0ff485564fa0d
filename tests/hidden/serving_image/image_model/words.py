"""Splits and expands the words of a Dockerfile and of a shell, without running anything.

What cannot be known (the output of a command, a variable that only the build machine has) becomes the character
UNKNOWN inside the word.
"""

import re
from collections.abc import Iterator, Mapping

UNKNOWN = "\0"
MAX_LENGTH = 20_000  # of a value: `ARG A=$B$B` doubles with each line

_NAME = re.compile(r"[A-Za-z_]\w*")
_BRACED = re.compile(r"\{([A-Za-z_]\w*)(?:(:?[-+])([^{}$]*))?\}")


def names(text: str) -> frozenset[str]:
    """Read a table of names."""
    return frozenset(text.split())


class TooLong(ValueError):
    """A value grew beyond what the judge follows."""


def variable(text: str, start: int, env: Mapping[str, str]) -> tuple[str, int]:
    """Return the value of the `$…` at `start` and where it ends."""
    braced = _BRACED.match(text, start + 1)
    if braced:
        return _value(braced, env), braced.end()
    plain = _NAME.match(text, start + 1)
    if plain:
        return env.get(plain[0], ""), plain.end()
    if text[start + 1 : start + 2] in ("{", "("):
        return UNKNOWN, _end_of_group(text, start + 1)
    if text[start + 1 : start + 2] in tuple("@*#?$!0123456789"):
        return UNKNOWN, start + 2
    return "$", start + 1


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    name, operator, word = found.groups()
    value = env.get(name)
    present = bool(value) if operator and operator.startswith(":") else value is not None
    if operator and operator.endswith("-"):
        return (value or "") if present else word
    if operator and operator.endswith("+"):
        return word if present else ""
    return value or ""


def _end_of_group(text: str, start: int) -> int:
    """Return where the bracket at `start` is closed."""
    closing = {"{": "}", "(": ")"}[text[start]]
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == text[start]) - (text[position] == closing)
        if not depth:
            return position + 1
    return len(text)


def expand(text: str, env: Mapping[str, str]) -> str:
    """Take the quotes off a word of a Dockerfile and put in its variables."""
    found = "".join(_expanded(text, env))
    if len(found) > MAX_LENGTH:
        raise TooLong(f"a value of more than {MAX_LENGTH} characters")
    return found


def _expanded(text: str, env: Mapping[str, str]) -> Iterator[str]:
    quote, position = "", 0
    while position < len(text):
        sign = text[position]
        if sign == "\\" and quote != "'" and position + 1 < len(text):
            keeps = quote == '"' and text[position + 1] not in '"$\\'
            yield text[position : position + 2] if keeps else text[position + 1]
            position += 2
        elif sign in "'\"" and quote in ("", sign):
            quote = "" if quote else sign
            position += 1
        elif sign == "$" and quote != "'":
            value, position = variable(text, position, env)
            yield value
        else:
            yield sign
            position += 1


def split(text: str) -> list[str]:
    """Split at white space outside quotes; the quotes stay."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        sign = text[position]
        if sign == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if sign in "'\"" and quote in ("", sign):
            quote = "" if quote else sign
        if sign.isspace() and not quote:
            words += [word] if word else []
            word = ""
        else:
            word += sign
        position += 1
    return words + ([word] if word else [])


def pairs(body: str) -> list[tuple[str, str]]:
    """Return the raw names and values of an ENV, an ARG or a LABEL."""
    words = split(body)
    if words and "=" not in words[0]:
        return [(words[0], body[len(words[0]) :].strip())]
    return [(name, value) for name, equals, value in (word.partition("=") for word in words) if equals]
