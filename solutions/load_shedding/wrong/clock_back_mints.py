"""Pays tokens for the size of a step back.  Fails: R6."""

import bisect
import heapq
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


def _check_limits(rate_per_s: float, burst: float) -> None:
    if not rate_per_s > 0 or not burst > 0:
        raise ValueError(f"rate and burst must be positive, not {rate_per_s} and {burst}")


def _check_amount(n: float) -> None:
    if not n > 0:  # so that NaN is caught too
        raise ValueError(f"an amount must be positive, not {n}")


class TokenBucket:
    """Hold up to `burst` tokens and gain `rate_per_s` of them per second."""

    def __init__(self, rate_per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        _check_limits(rate_per_s, burst)
        self._rate = rate_per_s
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._last = clock()

    def try_acquire(self, n: float = 1.0) -> bool:
        """Take n tokens if they are there; return whether they were."""
        return self.take(n).allowed

    def retry_after(self, n: float = 1.0) -> float:
        """Return the seconds until try_acquire(n) would succeed; 0.0 means now."""
        _check_amount(n)
        with self._lock:
            self._refill()
            return self._wait(n)

    def take(self, n: float) -> "Decision":
        """Take n tokens if they are there, and tell what is left."""
        _check_amount(n)
        with self._lock:
            self._refill()
            wait = self._wait(n)
            if wait == 0.0:
                self._tokens -= n
            return Decision(wait == 0.0, self._tokens, wait)

    def full_at(self) -> float:
        """Return when the bucket will be full if nobody takes anything; it only ever moves later."""
        with self._lock:
            return self._last + (self._burst - self._tokens) / self._rate

    def _refill(self) -> None:
        now = self._clock()
        elapsed = abs(now - self._last)
        self._tokens = min(float(self._burst), self._tokens + elapsed * self._rate)
        self._last = now

    def _wait(self, n: float) -> float:
        if n > self._burst:
            return math.inf
        return max(0.0, (n - self._tokens) / self._rate)


@dataclass(frozen=True)
class Decision:
    """Say whether a request may pass, and what its client has left."""

    allowed: bool
    remaining: float
    retry_after_s: float


class RateLimiter:
    """Give each client a token bucket, and hold no more than `max_clients` of them."""

    def __init__(
        self,
        rate_per_s: float,
        burst: float,
        *,
        max_clients: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_limits(rate_per_s, burst)
        self._rate = rate_per_s
        self._burst = burst
        self._max_clients = max_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}
        self._soonest_full: list[tuple[float, str]] = []  # one entry per client, never later than the truth

    def check(self, client_id: str, cost: float = 1.0) -> Decision:
        """Charge the client if its bucket allows it."""
        _check_amount(cost)
        with self._lock:
            bucket = self._buckets.get(client_id)
            if bucket is None:
                bucket = self._add(client_id)
            return bucket.take(cost)

    def size(self) -> int:
        """Return how many clients are held."""
        with self._lock:
            return len(self._buckets)

    def _add(self, client_id: str) -> TokenBucket:
        if len(self._buckets) >= self._max_clients:
            self._forget_one()
        bucket = TokenBucket(self._rate, self._burst, clock=self._clock)
        self._buckets[client_id] = bucket
        heapq.heappush(self._soonest_full, (bucket.full_at(), client_id))
        return bucket

    def _forget_one(self) -> None:
        while True:
            believed, client_id = self._soonest_full[0]
            actual = self._buckets[client_id].full_at()
            if actual <= believed:
                break
            heapq.heapreplace(self._soonest_full, (actual, client_id))
        heapq.heappop(self._soonest_full)
        del self._buckets[client_id]


class Ticket:
    """One request that was taken in."""

    def __init__(self, status: str, priority: int, deadline: float | None, number: int) -> None:
        self.status = status
        self.priority = priority
        self.deadline = deadline
        self.number = number

    def order(self) -> tuple[int, int]:
        """Return what sorts the best ticket first: priority, then age."""
        return -self.priority, self.number


@dataclass(frozen=True)
class Rejected:
    """Say why a request was not taken in."""

    reason: str  # "overload" | "expired"


class LoadShedder:
    """Let a few requests run, a few wait, and turn the others away."""

    def __init__(self, max_in_flight: int, max_queue: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self._clock = clock
        self._running = 0
        self._queue: list[Ticket] = []  # the next to start first, the one to shed last
        self._number = 0

    def submit(self, *, priority: int = 0, deadline: float | None = None) -> Ticket | Rejected:
        """Take a request in, running or queued, or turn it away."""
        if deadline is not None and self._clock() > deadline:
            return Rejected("expired")
        self._number += 1
        if self._running < self._max_in_flight:
            self._running += 1
            return Ticket("running", priority, deadline, self._number)
        if not self._make_room(priority):
            return Rejected("overload")
        ticket = Ticket("queued", priority, deadline, self._number)
        bisect.insort(self._queue, ticket, key=Ticket.order)
        return ticket

    def start_next(self) -> Ticket | None:
        """Start the best queued ticket if a slot is free."""
        self._drop_expired()
        if self._running >= self._max_in_flight or not self._queue:
            return None
        ticket = self._queue.pop(0)
        ticket.status = "running"
        self._running += 1
        return ticket

    def state(self, ticket: Ticket) -> str:
        """Return running, queued, done, shed or expired."""
        self._drop_expired()
        return ticket.status

    def release(self, ticket: Ticket) -> None:
        """End a running ticket and free its slot; do nothing the second time."""
        if ticket.status == "running":
            ticket.status = "done"
            self._running -= 1

    def stats(self) -> dict:
        """Return how many tickets are running and queued."""
        self._drop_expired()
        return {"running": self._running, "queued": len(self._queue)}

    def _make_room(self, priority: int) -> bool:
        self._drop_expired()
        if len(self._queue) < self._max_queue:
            return True
        if not self._queue or self._queue[-1].priority >= priority:
            return False
        self._queue.pop().status = "shed"
        return True

    def _drop_expired(self) -> None:
        now = self._clock()
        kept = []
        for ticket in self._queue:
            if ticket.deadline is not None and now > ticket.deadline:
                ticket.status = "expired"
            else:
                kept.append(ticket)
        self._queue = kept


class AdaptiveThrottle:
    """Refuse requests on the client's side, in proportion to what the backend refuses."""

    def __init__(
        self,
        k: float = 2.0,
        window_s: float = 120.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._k = k
        self._window_s = window_s
        self._clock = clock
        self._rng = rng or random.Random()
        self._requests: deque[float] = deque()
        self._accepts: deque[float] = deque()

    def allow(self) -> bool:
        """Count one request and return whether it may be sent."""
        allowed = self._rng.random() >= self.rejection_probability()
        self._requests.append(self._clock())
        return allowed

    def record(self, accepted: bool) -> None:
        """Note the backend's answer."""
        if accepted:
            self._accepts.append(self._clock())

    def rejection_probability(self) -> float:
        """Return the chance that the next request is refused here."""
        oldest = self._clock() - self._window_s
        for times in (self._requests, self._accepts):
            while times and times[0] < oldest:
                times.popleft()
        requests, accepts = len(self._requests), len(self._accepts)
        return max(0.0, (requests - self._k * accepts) / (requests + 1))
