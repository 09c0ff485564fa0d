"""Protect a shared service: a rate limiter at the door, a shedder in front of the model, a throttle for clients."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


class TokenBucket:
    """Hold up to `burst` tokens and gain `rate_per_s` of them per second."""

    def __init__(self, rate_per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        raise NotImplementedError

    def try_acquire(self, n: float = 1.0) -> bool:
        """Take n tokens if they are there; return whether they were."""
        raise NotImplementedError

    def retry_after(self, n: float = 1.0) -> float:
        """Return the seconds until try_acquire(n) would succeed; 0.0 means now."""
        raise NotImplementedError


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
        raise NotImplementedError

    def check(self, client_id: str, cost: float = 1.0) -> Decision:
        """Charge the client if its bucket allows it."""
        raise NotImplementedError

    def size(self) -> int:
        """Return how many clients are held."""
        raise NotImplementedError


class Ticket:
    """One request that was taken in. What it holds is yours."""


@dataclass(frozen=True)
class Rejected:
    """Say why a request was not taken in."""

    reason: str  # "overload" | "expired"


class LoadShedder:
    """Let a few requests run, a few wait, and turn the others away."""

    def __init__(self, max_in_flight: int, max_queue: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        raise NotImplementedError

    def submit(self, *, priority: int = 0, deadline: float | None = None) -> Ticket | Rejected:
        """Take a request in, running or queued, or turn it away."""
        raise NotImplementedError

    def start_next(self) -> Ticket | None:
        """Start the best queued ticket if a slot is free."""
        raise NotImplementedError

    def state(self, ticket: Ticket) -> str:
        """Return running, queued, done, shed or expired."""
        raise NotImplementedError

    def release(self, ticket: Ticket) -> None:
        """End a running ticket and free its slot; do nothing the second time."""
        raise NotImplementedError

    def stats(self) -> dict:
        """Return how many tickets are running and queued."""
        raise NotImplementedError


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
        raise NotImplementedError

    def allow(self) -> bool:
        """Count one request and return whether it may be sent."""
        raise NotImplementedError

    def record(self, accepted: bool) -> None:
        """Note the backend's answer."""
        raise NotImplementedError

    def rejection_probability(self) -> float:
        """Return the chance that the next request is refused here."""
        raise NotImplementedError
