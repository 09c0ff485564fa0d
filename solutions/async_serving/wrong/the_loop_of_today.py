"""The loop of today, with an id and an ack.  Fails: R3, R4, R5, R6, R7, R8, R9, R10, R11, R12."""

import json
import random
import time
import uuid
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


@dataclass
class WorkerStats:
    """Count what one run of the worker did."""

    received: int = 0
    succeeded: int = 0
    retried: int = 0
    dead_lettered: int = 0
    expired: int = 0
    callbacks_ok: int = 0
    callbacks_failed: int = 0


class AsyncPredictionService:
    """Put requests on the queue."""

    def __init__(
        self,
        model: Any,
        queue: Queue,
        http_post: HttpPost,
        *,
        resolver: Resolver,
        store: MutableMapping[str, dict] | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        id_factory: Callable[[], str] | None = None,
        config: AsyncConfig = AsyncConfig(),
    ) -> None:
        self.model = model
        self.queue = queue
        self.http_post = http_post
        self.store = {} if store is None else store
        self.config = config
        self.id_factory = id_factory or (lambda: str(uuid.uuid4()))

    def submit(
        self,
        features: Any,
        callback_url: str | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> str:
        """Enqueue one request and return its id."""
        request_id = self.id_factory()
        self.store[request_id] = {"state": "queued", "prediction": None, "attempts": 0, "error": None}
        self.queue.send({"id": request_id, "features": features, "callback_url": callback_url})
        return request_id

    def status(self, request_id: str) -> dict:
        """Return how a request stands."""
        return {"request_id": request_id, **self.store[request_id]}


def prediction_worker(
    service: AsyncPredictionService, *, max_messages: int | None = None, stop: Callable[[], bool] = lambda: False
) -> WorkerStats:
    """Receive, predict, post."""
    stats = WorkerStats()
    while not stop() and stats.received != max_messages:
        message = service.queue.receive()
        if message is None:
            break
        stats.received += 1
        request = message.body
        prediction = service.model.predict(request["features"])
        service.store[request["id"]] = {
            "state": "succeeded",
            "prediction": prediction,
            "attempts": 1,
            "error": None,
        }
        stats.succeeded += 1
        if request["callback_url"] is not None:
            content = {"request_id": request["id"], "status": "succeeded", "prediction": prediction, "error": None}
            body = json.dumps(content).encode()
            service.http_post(request["callback_url"], body, {}, service.config.callback_timeout_s)
            stats.callbacks_ok += 1
        service.queue.ack(message.receipt)
    return stats
