"""Falls back on a dict of its own when the store is empty.  Fails: R4, R5, R6, R7, R8, R12."""

import base64
import hashlib
import hmac
import ipaddress
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

FINISHED = ("succeeded", "failed", "expired")
GONE = 410


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
    """Take requests, and know how they stand.

    The store holds `request:<id>` and `key:<idempotency key>`. A message is {"kind": "predict", "id"} or {"kind":
    "callback", "id", "attempt"}: it says what to do, and the store says whether that is still needed.
    """

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
        self._model = model
        self._queue = queue
        self._http_post = http_post
        self._resolver = resolver
        self._store: MutableMapping[str, dict] = store or {}
        self._clock = clock
        self._rng = rng or random.Random()
        self._new_id = id_factory or (lambda: uuid.uuid4().hex)
        self._config = config
        self._in_work: set[str] = set()
        self._lock = threading.Lock()

    # --- for clients

    def submit(
        self,
        features: Any,
        callback_url: str | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> str:
        """Enqueue one request and return its id."""
        known = None if idempotency_key is None else self._store.get(f"key:{idempotency_key}")
        if known is not None:
            if known["features"] != features:
                raise ValueError("this idempotency key was used with other features")
            return known["id"]
        if callback_url is not None:
            self._check(callback_url)
        if self._queue.depth() >= self._config.max_depth:
            raise QueueFull(f"{self._config.max_depth} messages wait already")
        request_id = self._new_id()
        self._store[f"request:{request_id}"] = {
            "id": request_id,
            "features": features,
            "url": callback_url,
            "deadline": None if deadline_s is None else self._clock() + deadline_s,
            "state": "queued",
            "prediction": None,
            "attempts": 0,
            "error": None,
            "announced": False,
            "called_back": False,
        }
        if idempotency_key is not None:
            self._store[f"key:{idempotency_key}"] = {"id": request_id, "features": features}
        self._queue.send({"kind": "predict", "id": request_id})
        return request_id

    def status(self, request_id: str) -> dict:
        """Return request_id, state, prediction, attempts and error; raise KeyError for an unknown id."""
        record = self._store[f"request:{request_id}"]
        return {"request_id": request_id, **{key: record[key] for key in ("state", "prediction", "attempts", "error")}}

    # --- for the worker

    def handle(self, message: Message, stats: WorkerStats) -> None:
        """Do what a message asks for, and settle it."""
        if message.body["kind"] == "callback":
            self._call_back(message, stats)
        elif self._claim(message.body["id"]):
            try:
                self._predict(message, stats)
            finally:
                self._release(message.body["id"])
        else:
            self._queue.ack(message.receipt)  # whoever works on it holds a delivery of its own, which comes back

    def _claim(self, request_id: str) -> bool:
        """Let one thread of this process work on a request; a dead process holds no claim."""
        with self._lock:
            if request_id in self._in_work:
                return False
            self._in_work.add(request_id)
            return True

    def _release(self, request_id: str) -> None:
        with self._lock:
            self._in_work.discard(request_id)

    def _predict(self, message: Message, stats: WorkerStats) -> None:
        record = self._store[f"request:{message.body['id']}"]
        if record["state"] in FINISHED:
            self._announce(record)  # unless that was done: its worker may have died in between
            self._queue.ack(message.receipt)
            return
        if record["deadline"] is not None and self._clock() > record["deadline"]:
            self._finish(record, "expired", error="expired")
            stats.expired += 1
            self._queue.ack(message.receipt)
            return
        record["attempts"] += 1
        self._save({**record, "state": "running"})
        try:
            prediction = self._model.predict(record["features"])
        except Exception:
            self._failed(record, message, stats)
        else:
            self._finish(record, "succeeded", prediction=prediction)
            stats.succeeded += 1
            self._queue.ack(message.receipt)

    def _failed(self, record: dict, message: Message, stats: WorkerStats) -> None:
        if record["attempts"] < self._config.max_attempts:
            self._save({**record, "state": "queued"})
            stats.retried += 1
            self._queue.nack(message.receipt, self._backoff(record["attempts"]))
            return
        self._finish(record, "failed", error="prediction_failed")
        stats.dead_lettered += 1
        self._queue.dead_letter(message.receipt, f"{record['attempts']} attempts failed")

    def _finish(self, record: dict, state: str, prediction: Any = None, error: str | None = None) -> None:
        """Store the outcome, and only then have it announced."""
        record = {**record, "state": state, "prediction": prediction, "error": error}
        self._save(record)
        self._announce(record)

    def _announce(self, record: dict) -> None:
        """Enqueue the callback, once; twice if a worker died between the two steps, rather than never."""
        if record["url"] is not None and not record["announced"]:
            self._queue.send({"kind": "callback", "id": record["id"], "attempt": 1})
            self._save({**record, "announced": True})

    def _save(self, record: dict) -> None:
        self._store[f"request:{record['id']}"] = record

    def _backoff(self, attempt: int) -> float:
        """Return the seconds to wait after that attempt."""
        config = self._config
        longest = min(config.backoff_cap_s, config.backoff_base_s * 2 ** (attempt - 1))
        return longest * self._rng.uniform(1 - config.jitter, 1 + config.jitter)

    # --- callbacks

    def _call_back(self, message: Message, stats: WorkerStats) -> None:
        record = self._store[f"request:{message.body['id']}"]
        attempt = message.body["attempt"]
        if not record["called_back"]:
            status = self._post(record)
            if 200 <= status < 300:
                self._save({**record, "called_back": True})
                stats.callbacks_ok += 1
            else:
                stats.callbacks_failed += 1
                if status != GONE and attempt < self._config.callback_max_attempts:
                    following = {"kind": "callback", "id": record["id"], "attempt": attempt + 1}
                    self._queue.send(following, max(0.001, self._backoff(attempt)))
        self._queue.ack(message.receipt)

    def _post(self, record: dict) -> int:
        """Return the status of one POST, 0 if there was none."""
        content = {
            "request_id": record["id"],
            "status": record["state"],
            "prediction": record["prediction"],
            "error": record["error"],
        }
        body = json.dumps(content).encode()
        try:
            self._check(record["url"])
            return self._http_post(
                record["url"], body, self._signed(record["id"], body), self._config.callback_timeout_s
            )
        except Exception:
            return 0

    def _signed(self, request_id: str, body: bytes) -> dict[str, str]:
        """Return the headers of the Standard Webhooks scheme."""
        seconds = str(int(self._clock()))
        signed = f"{request_id}.{seconds}.".encode() + body
        digest = hmac.new(self._config.signing_secret, signed, hashlib.sha256).digest()
        return {
            "content-type": "application/json",
            "webhook-id": request_id,
            "webhook-timestamp": seconds,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }

    def _check(self, url: str) -> None:
        """Raise CallbackRejected unless every address of the URL's host is public."""
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError as error:
            raise CallbackRejected("the callback URL cannot be read") from error
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise CallbackRejected("the callback URL must be http or https, with a host and without user info")
        try:
            addresses = [ipaddress.ip_address(address) for address in self._resolver(host)]
        except (OSError, ValueError) as error:
            raise CallbackRejected("the host of the callback URL does not resolve") from error
        if not addresses or any(not address.is_global or address.is_multicast for address in addresses):
            raise CallbackRejected("the host of the callback URL has an address that is not public")


def prediction_worker(
    service: AsyncPredictionService, *, max_messages: int | None = None, stop: Callable[[], bool] = lambda: False
) -> WorkerStats:
    """Work off the queue until it is empty, `max_messages` were received or `stop()` is true."""
    stats = WorkerStats()
    while (max_messages is None or stats.received < max_messages) and not stop():
        message = service._queue.receive()
        if message is None:
            break
        stats.received += 1
        service.handle(message, stats)
    return stats
