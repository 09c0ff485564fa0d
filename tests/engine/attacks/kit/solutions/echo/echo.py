"""The reference."""

import json
from pathlib import Path

import pandas as pd


class EchoError(ValueError):
    """More was asked for than there is."""

    def __init__(self, missing):
        super().__init__(f"{missing} too few")
        self.missing = missing


class Box:
    """Holds a number."""

    def __init__(self, content):
        self.content = content

    def add(self, n):
        return self.content + n

    def take(self, n):
        if n > self.content:
            raise EchoError(n - self.content)
        return self.content - n


def double(number):
    return 2 * number


def table(rows):
    return pd.DataFrame(rows, columns=["name", "size"])


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.dumps(scope["query_string"].decode()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def relay(recorder, items):
    for item in items:
        recorder.note(item)
    return len(items)


def save(folder, lines):
    Path(folder, "lines.txt").write_text("\n".join(lines))


def countdown(n):
    yield from range(n, 0, -1)


async def say(text):
    return text
