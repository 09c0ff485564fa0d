"""The process that is made for the next test while the present one runs."""

import threading
import time

import pytest

from rounds.bridge import ahead as module
from rounds.bridge.ahead import HEAD_START, Ahead


class Made:
    def __init__(self, head_start: float) -> None:
        self.head_start = head_start
        self.events: list[str] = []

    def try_to_load(self) -> None:
        self.events.append("loaded")

    def belongs_to_this_thread(self) -> None:
        self.events.append(f"taken by {threading.current_thread().name}")

    def close(self) -> None:
        self.events.append("closed")


def test_what_was_made_ahead_is_taken_once() -> None:
    ahead = Ahead()
    ahead.begin("usual", Made, load=True)
    made = ahead.take("usual")
    assert made.head_start == HEAD_START
    assert made.events == ["loaded", f"taken by {threading.current_thread().name}"]
    assert ahead.take("usual") is None


def test_another_need_ends_what_was_made() -> None:
    made: list[Made] = []
    ahead = Ahead()
    ahead.begin("usual", lambda start: made.append(Made(start)) or made[0], load=False)
    assert ahead.take("special") is None
    assert made[0].events[-1] == "closed"
    assert "loaded" not in made[0].events


def test_what_waited_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = Ahead()
    ahead.begin("usual", Made, load=False)
    later = time.monotonic() + HEAD_START + 0.1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert ahead.take("usual") is None


def test_a_process_that_could_not_be_made_is_made_anew() -> None:
    def fail(head_start: float) -> Made:
        raise OSError("no process could be made")

    ahead = Ahead()
    ahead.begin("usual", fail, load=False)
    assert ahead.take("usual") is None
