"""Lists challenges: a table for a reader, JSON for a program."""

import json
from collections.abc import Iterable

from rounds.challenge import Challenge

FIELDS = ("slug", "version", "title", "summary", "round", "level", "minutes", "topics", "submit", "tiers", "points")


def as_table(challenges: Iterable[Challenge]) -> str:
    """Give a line for each challenge, in columns."""
    rows = [(one.slug, f"{one.minutes} min", one.level, one.round, one.title) for one in challenges]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_json(challenges: Iterable[Challenge]) -> str:
    """Give a JSON list with what a challenge says of itself."""
    entries = [{name: getattr(one, name) for name in FIELDS} for one in challenges]
    return json.dumps(entries, indent=2) + "\n"
