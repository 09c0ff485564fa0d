"""Leases in the store, networks by list, and URLs by one regular expression."""

import base64
import hashlib
import hmac
import ipaddress
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
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


LEASE_S = 900.0
LOOK_AGAIN_S = 60.0
CLOSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "::/127", "::ffff:0:0/96", "64:ff9b::/96", "fc00::/7",
        "fe80::/9", "ff00::/8", "2002::/16",
    )
]  # fmt: skip
URL = re.compile(r"(?i:https?)://(?:\[([0-9a-fA-F:.]+)\]|([^/?#@:\[\]\s\\]+))(?::(\d+))?(?:[/?#]\S*)?")


@dataclass
class Job:
    """A request, as it lies in the store."""

    features: Any
    url: str | None
    deadline: float | None
    state: str = "queued"
    prediction: Any = None
    attempts: int = 0
    error: str | None = None
    lease: list = field(default_factory=lambda: [None, 0.0])  # owner, until
    callback: str = "none"  # none, due, sent, done


class AsyncPredictionService:
    """Own a request for a while, and let go of it in time."""

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
        self._queue, self._model, self._http_post, self._resolver = queue, model, http_post, resolver
        self._store = {} if store is None else store
        self._clock, self._config = clock, config
        self._rng = rng or random.SystemRandom()
        self._id_factory = id_factory or (lambda: str(uuid.uuid4()))
        self._guard = threading.Lock()

    def submit(
        self,
        features: Any,
        callback_url: str | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> str:
        key = json.dumps(["key", idempotency_key])
        if idempotency_key is not None and key in self._store:
            entry = self._store[key]
            if entry["features"] != features:
                raise ValueError(f"the key {idempotency_key!r} stands for other features")
            return entry["id"]
        if callback_url is not None:
            self._verify(callback_url)
        if not self._queue.depth() < self._config.max_depth:
            raise QueueFull
        identifier = self._id_factory()
        until = None if deadline_s is None else self._clock() + deadline_s
        self._put(identifier, Job(features, callback_url, until))
        self._queue.send({"job": identifier})
        if idempotency_key is not None:
            self._store[key] = {"id": identifier, "features": features}
        return identifier

    def status(self, request_id: str) -> dict:
        job = self._get(request_id)
        return {
            "request_id": request_id,
            "state": job.state,
            "prediction": job.prediction,
            "attempts": job.attempts,
            "error": job.error,
        }

    def _get(self, identifier: str) -> Job:
        return Job(**self._store[json.dumps(["job", identifier])])

    def _put(self, identifier: str, job: Job) -> None:
        self._store[json.dumps(["job", identifier])] = asdict(job)

    def _process(self, message: Message, stats: WorkerStats) -> None:
        if "callback" in message.body:
            self._deliver(message, stats)
            return
        identifier, owner = message.body["job"], uuid.uuid4().hex
        with self._guard:
            job = self._get(identifier)
            finished = job.state not in ("queued", "running")
            if not finished and job.lease[0] is not None and self._clock() < job.lease[1]:
                self._queue.nack(message.receipt, LOOK_AGAIN_S)
                return
            if not finished:
                job.lease = [owner, self._clock() + LEASE_S]
                self._put(identifier, job)
        if not finished and not self._run(identifier, job, message, stats):
            return
        job = self._get(identifier)
        if job.callback == "due":
            self._queue.send({"callback": identifier, "tried": 0})
            job.callback = "sent"
            self._put(identifier, job)
        self._queue.ack(message.receipt)

    def _run(self, identifier: str, job: Job, message: Message, stats: WorkerStats) -> bool:
        """Make one attempt; say whether the request is finished."""
        if job.deadline is not None and job.deadline < self._clock():
            job.state = job.error = "expired"
            stats.expired += 1
        else:
            job.attempts += 1
            try:
                job.prediction = self._model.predict(job.features)
                job.state = "succeeded"
            except Exception:
                job.state = "queued" if job.attempts < self._config.max_attempts else "failed"
            stats.succeeded += job.state == "succeeded"
            stats.retried += job.state == "queued"
            stats.dead_lettered += job.state == "failed"
            if job.state == "failed":
                job.error = "prediction_failed"
        job.lease = [None, 0.0]
        job.callback = "due" if job.url is not None and job.state != "queued" else "none"
        self._put(identifier, job)
        if job.state == "queued":
            self._queue.send({"job": identifier}, self._delay(job.attempts))
            self._queue.ack(message.receipt)
        elif job.state == "failed":
            self._queue.dead_letter(message.receipt, "prediction_failed")
        return job.state != "queued"

    def _delay(self, attempt: int) -> float:
        seconds = self._config.backoff_base_s
        for _ in range(attempt - 1):
            seconds = min(seconds * 2, self._config.backoff_cap_s)
        low, high = 1 - self._config.jitter, 1 + self._config.jitter
        return min(seconds, self._config.backoff_cap_s) * (low + (high - low) * self._rng.random())

    def _deliver(self, message: Message, stats: WorkerStats) -> None:
        identifier = message.body["callback"]
        job = self._get(identifier)
        tried = message.body["tried"] + 1
        status = None if job.callback == "done" else self._send(identifier, job)
        if status is not None:
            delivered = status in range(200, 300)
            stats.callbacks_ok += delivered
            stats.callbacks_failed += not delivered
            if delivered:
                job.callback = "done"
                self._put(identifier, job)
            elif status != 410 and tried < self._config.callback_max_attempts:
                self._queue.send({"callback": identifier, "tried": tried}, 5.0 * 6 ** (tried - 1))
            elif status != 410:
                self._queue.dead_letter(message.receipt, "the receiver does not answer")
                return
        self._queue.ack(message.receipt)

    def _send(self, identifier: str, job: Job) -> int:
        body = json.dumps(
            {"error": job.error, "prediction": job.prediction, "request_id": identifier, "status": job.state}
        ).encode()
        moment = f"{int(self._clock()):d}"
        mac = hmac.digest(self._config.signing_secret, f"{identifier}.{moment}.".encode() + body, hashlib.sha256)
        try:
            self._verify(job.url)
            return self._http_post(
                job.url,
                body,
                {
                    "webhook-id": identifier,
                    "webhook-timestamp": moment,
                    "webhook-signature": f"v1,{base64.standard_b64encode(mac).decode()}",
                },
                self._config.callback_timeout_s,
            )
        except Exception:
            return -1

    def _verify(self, url: str) -> None:
        found = URL.fullmatch(url)
        if found is None:
            raise CallbackRejected("not a URL for callbacks")
        try:
            addresses = [ipaddress.ip_address(address) for address in self._resolver(found[1] or found[2])]
        except OSError:
            addresses = []
        open_ones = [a for a in addresses if not any(a in network for network in CLOSED)]
        if not addresses or len(open_ones) < len(addresses):
            raise CallbackRejected("not a host for callbacks")


def prediction_worker(
    service: AsyncPredictionService, *, max_messages: int | None = None, stop: Callable[[], bool] = lambda: False
) -> WorkerStats:
    stats = WorkerStats()
    while True:
        if stop() or stats.received == max_messages:
            return stats
        message = service._queue.receive()
        if message is None:
            return stats
        stats.received += 1
        service._process(message, stats)
