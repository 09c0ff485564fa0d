"""One record per request and one lock: the worker posts at once, and a callback that failed waits as a message."""

import base64
import copy
import hashlib
import hmac
import ipaddress
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlparse


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

    received: int
    succeeded: int
    retried: int
    dead_lettered: int
    expired: int
    callbacks_ok: int
    callbacks_failed: int


def public(address: str) -> bool:
    """Say whether an address may be called."""
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or mapped.is_global)


class AsyncPredictionService:
    """All of the store is read and written under one lock, which a duplicate waits for."""

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
        self.model, self.queue, self.http_post, self.resolver = model, queue, http_post, resolver
        self.store = store if store is not None else {}
        self.clock, self.config = clock, config
        self.rng = rng if rng is not None else random.Random()
        self.id_factory = id_factory or (lambda: secrets.token_urlsafe(16))
        self.lock = threading.RLock()

    def submit(
        self,
        features: Any,
        callback_url: str | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> str:
        with self.lock:
            digest = json.dumps(features, sort_keys=True)
            slot = None
            if idempotency_key is not None:
                slot = "k" + hashlib.sha256(idempotency_key.encode()).hexdigest()
                if slot in self.store:
                    earlier = self.store[slot]
                    if earlier["digest"] != digest:
                        raise ValueError("the key belongs to another request")
                    return earlier["request"]
            if self.queue.depth() >= self.config.max_depth:
                raise QueueFull("try again later")
            if callback_url is not None and not self.allowed(callback_url):
                raise CallbackRejected(f"callbacks to {callback_url!r} are not allowed")
            request_id = self.id_factory()
            self.store["r" + request_id] = {
                "features": copy.deepcopy(features),
                "url": callback_url,
                "until": float("inf") if deadline_s is None else self.clock() + deadline_s,
                "state": "queued",
                "prediction": None,
                "attempts": 0,
                "error": None,
                "posts": 0,
                "settled": callback_url is None,
            }
            if slot is not None:
                self.store[slot] = {"digest": digest, "request": request_id}
            self.queue.send({"request": request_id})
            return request_id

    def status(self, request_id: str) -> dict:
        record = self.store["r" + request_id]
        shown = {name: record[name] for name in ("state", "prediction", "attempts", "error")}
        shown["request_id"] = request_id
        return shown

    def allowed(self, url: str) -> bool:
        try:
            parts = urlparse(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
                return False
            addresses = list(self.resolver(parts.hostname))
            return bool(addresses) and all(public(address) for address in addresses)
        except (OSError, ValueError):
            return False

    def pause(self, attempt: int) -> float:
        bound = min(self.config.backoff_cap_s, self.config.backoff_base_s * 2.0 ** (attempt - 1))
        return bound * (1.0 + self.config.jitter * (2.0 * self.rng.random() - 1.0))

    def work(self, message: Message, stats: WorkerStats) -> None:
        with self.lock:
            key = "r" + message.body["request"]
            record = self.store[key]
            if record["state"] in ("queued", "running"):
                if self.clock() > record["until"]:
                    record.update(state="expired", error="expired")
                    self.store[key] = record
                    stats.expired += 1
                elif not self.attempt(key, record, message, stats):
                    return
            self.announce(key, record, message, stats)

    def attempt(self, key: str, record: dict, message: Message, stats: WorkerStats) -> bool:
        """Predict once; say whether the request is finished."""
        record["attempts"] += 1
        record["state"] = "running"
        self.store[key] = record
        try:
            prediction = self.model.predict(record["features"])
        except Exception:
            if record["attempts"] < self.config.max_attempts:
                record["state"] = "queued"
                self.store[key] = record
                stats.retried += 1
                self.queue.nack(message.receipt, self.pause(record["attempts"]))
                return False
            record.update(state="failed", error="prediction_failed")
            self.store[key] = record
            stats.dead_lettered += 1
            self.queue.dead_letter(message.receipt, "no attempt is left")
        else:
            record.update(state="succeeded", prediction=prediction)
            self.store[key] = record
            stats.succeeded += 1
        return True

    def announce(self, key: str, record: dict, message: Message, stats: WorkerStats) -> None:
        if not record["settled"]:
            again = self.post(key[1:], record, stats)
            self.store[key] = record
            if again:
                self.queue.send({"request": key[1:]}, 0.5 + self.pause(record["posts"]))
        self.queue.ack(message.receipt)

    def post(self, request_id: str, record: dict, stats: WorkerStats) -> bool:
        """Make one POST; say whether another is to follow."""
        status = None
        try:
            if self.allowed(record["url"]):
                body = json.dumps(
                    {
                        "request_id": request_id,
                        "status": record["state"],
                        "prediction": record["prediction"],
                        "error": record["error"],
                    },
                    ensure_ascii=False,
                ).encode("utf-8")
                stamp = str(int(self.clock() // 1))
                mac = hmac.new(self.config.signing_secret, digestmod="sha256")
                mac.update(b".".join((request_id.encode(), stamp.encode(), body)))
                headers = {
                    "Content-Type": "application/json",
                    "Webhook-Id": request_id,
                    "Webhook-Timestamp": stamp,
                    "Webhook-Signature": "v1," + base64.b64encode(mac.digest()).decode("ascii"),
                }
                status = self.http_post(record["url"], body, headers, self.config.callback_timeout_s)
        except Exception:
            status = None
        record["posts"] += 1
        if status is not None and status // 100 == 2:
            stats.callbacks_ok += 1
            record["settled"] = True
            return False
        stats.callbacks_failed += 1
        record["settled"] = status == 410 or record["posts"] >= self.config.callback_max_attempts
        return not record["settled"]


def prediction_worker(
    service: AsyncPredictionService, *, max_messages: int | None = None, stop: Callable[[], bool] = lambda: False
) -> WorkerStats:
    stats = WorkerStats(0, 0, 0, 0, 0, 0, 0)
    while not stop():
        if max_messages is not None and stats.received >= max_messages:
            break
        message = service.queue.receive()
        if message is None:
            break
        stats.received += 1
        service.work(message, stats)
    return stats
