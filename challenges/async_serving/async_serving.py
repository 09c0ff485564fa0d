"""Serve slow predictions by callback: submit to a queue, work it off, post the result."""

import random
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class QueueFull(RuntimeError):
    """The queue takes no more requests."""


class CallbackRejected(ValueError):
    """The callback URL is not one that this service will post to."""


class Message(Protocol):
    """One delivery."""

    body: Mapping[str, Any]
    receipt: str  # of this delivery
    receive_count: int  # 1 on first delivery


class Queue(Protocol):
    """At-least-once delivery: what is not acked comes back."""

    def send(self, body: Mapping[str, Any], delay_s: float = 0.0) -> None: ...
    def receive(self) -> Message | None: ...  # None: nothing is visible now
    def ack(self, receipt: str) -> None: ...
    def nack(self, receipt: str, delay_s: float) -> None: ...
    def dead_letter(self, receipt: str, reason: str) -> None: ...
    def depth(self) -> int: ...


@dataclass(frozen=True)
class AsyncConfig:
    """Say how often, how long and how much."""

    max_attempts: int = 3
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 60.0
    jitter: float = 0.5
    callback_max_attempts: int = 5
    callback_timeout_s: float = 15.0
    max_depth: int = 1000
    signing_secret: bytes = b"test-secret"


HttpPost = Callable[[str, bytes, Mapping[str, str], float], int]  # (url, body, headers, timeout_s) -> status; may raise
Resolver = Callable[[str], Sequence[str]]  # host -> IP addresses; may raise OSError


class AsyncPredictionService:
    """Take requests, and know how they stand."""

    def __init__(
        self,
        model: Any,
        queue: Queue,
        http_post: HttpPost,
        *,
        resolver: Resolver,
        store: MutableMapping[str, dict] | None = None,  # what you read from it is a copy: assign records back
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        id_factory: Callable[[], str] | None = None,
        config: AsyncConfig = AsyncConfig(),
    ) -> None:
        raise NotImplementedError

    def submit(
        self,
        features: Any,
        callback_url: str | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> str:
        """Enqueue one request and return its id."""
        raise NotImplementedError

    def status(self, request_id: str) -> dict:
        """Return request_id, state, prediction, attempts and error; raise KeyError for an unknown id."""
        raise NotImplementedError


@dataclass
class WorkerStats:
    """Count what one run of the worker did."""

    received: int
    succeeded: int
    retried: int
    dead_lettered: int
    expired: int
    callbacks_ok: int
    callbacks_failed: int


def prediction_worker(
    service: AsyncPredictionService, *, max_messages: int | None = None, stop: Callable[[], bool] = lambda: False
) -> WorkerStats:
    """Work off the queue until it is empty, `max_messages` were received or `stop()` is true."""
    raise NotImplementedError
