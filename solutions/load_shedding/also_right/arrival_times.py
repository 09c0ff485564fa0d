"""Keep one number per client, when it will be full again; shed from a heap; count in buckets of a second."""

import heapq
import itertools
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


class TokenBucket:
    """A bucket that stores when it will be full again (the generic cell rate algorithm)."""

    def __init__(self, rate_per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if rate_per_s <= 0 or burst <= 0:
            raise ValueError("rate and burst must be positive")
        self.rate, self.burst, self.clock = rate_per_s, burst, clock
        self.full_at = -math.inf
        self.latest = -math.inf
        self.lock = threading.RLock()

    def now(self) -> float:
        """Return the latest time that was ever seen."""
        self.latest = max(self.latest, self.clock())
        return self.latest

    def wait(self, n: float, now: float) -> float:
        """Return how long it takes until n tokens are there."""
        if math.isnan(n) or n <= 0:
            raise ValueError("an amount must be positive")
        if n > self.burst:
            return math.inf
        return max(0.0, max(self.full_at, now) + n / self.rate - now - self.burst / self.rate)

    def look(self, n: float, *, take: bool) -> tuple[bool, float, float]:
        """Return whether n tokens are there, the level (after taking them) and the wait."""
        with self.lock:
            now = self.now()
            wait = self.wait(n, now)
            allowed = wait <= 1e-10
            if allowed and take:
                self.full_at = max(self.full_at, now) + n / self.rate
            level = self.burst - max(0.0, self.full_at - now) * self.rate
            return allowed, level, 0.0 if allowed else wait

    def try_acquire(self, n: float = 1.0) -> bool:
        return self.look(n, take=True)[0]

    def retry_after(self, n: float = 1.0) -> float:
        return self.look(n, take=False)[2]


@dataclass(frozen=True)
class Decision:
    allowed: bool
    remaining: float
    retry_after_s: float


class RateLimiter:
    """Sweep out all refilled clients when there is no room; if there are none, refuse the newcomer."""

    def __init__(
        self,
        rate_per_s: float,
        burst: float,
        *,
        max_clients: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make = lambda: TokenBucket(rate_per_s, burst, clock=clock)
        self.newcomer = self.make()
        self.max_clients = max_clients
        self.buckets: dict[str, TokenBucket] = {}
        self.lock = threading.RLock()

    def check(self, client_id: str, cost: float = 1.0) -> Decision:
        with self.lock:
            self.newcomer.wait(cost, 0.0)
            if client_id not in self.buckets and len(self.buckets) >= self.max_clients:
                now = self.newcomer.now()
                for name in [name for name, bucket in self.buckets.items() if bucket.full_at <= now]:
                    del self.buckets[name]
                if len(self.buckets) >= self.max_clients:
                    soonest = min(bucket.full_at for bucket in self.buckets.values())
                    return Decision(False, 0.0, soonest - now)
            return Decision(*self.buckets.setdefault(client_id, self.make()).look(cost, take=True))

    def size(self) -> int:
        return len(self.buckets)


@dataclass(eq=False)
class Ticket:
    priority: int
    deadline: float | None
    age: int
    phase: str = "queued"


@dataclass(frozen=True)
class Rejected:
    reason: str


class LoadShedder:
    """Two heaps over the same tickets, one for each end; what has left the queue is skipped when it comes up."""

    def __init__(self, max_in_flight: int, max_queue: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.slots, self.room, self.clock = max_in_flight, max_queue, clock
        self.ages = itertools.count()
        self.running: set[Ticket] = set()
        self.best: list[tuple[int, int, Ticket]] = []
        self.worst: list[tuple[int, int, Ticket]] = []

    def submit(self, *, priority: int = 0, deadline: float | None = None) -> Ticket | Rejected:
        ticket = Ticket(priority, deadline, next(self.ages))
        if self.state(ticket) == "expired":
            return Rejected("expired")
        if len(self.running) < self.slots:
            ticket.phase = "running"
            self.running.add(ticket)
            return ticket
        if self.stats()["queued"] >= self.room:
            self.prune(self.worst)
            if not self.worst or self.worst[0][0] >= priority:
                return Rejected("overload")
            heapq.heappop(self.worst)[2].phase = "shed"
        heapq.heappush(self.best, (-priority, ticket.age, ticket))
        heapq.heappush(self.worst, (priority, -ticket.age, ticket))
        return ticket

    def prune(self, heap: list[tuple[int, int, Ticket]]) -> None:
        """Drop from the top of a heap what is no longer queued."""
        while heap and self.state(heap[0][2]) != "queued":
            heapq.heappop(heap)

    def start_next(self) -> Ticket | None:
        self.prune(self.best)
        if not self.best or len(self.running) >= self.slots:
            return None
        ticket = heapq.heappop(self.best)[2]
        ticket.phase = "running"
        self.running.add(ticket)
        return ticket

    def state(self, ticket: Ticket) -> str:
        if ticket.phase == "queued" and ticket.deadline is not None and self.clock() > ticket.deadline:
            ticket.phase = "expired"
        return ticket.phase

    def release(self, ticket: Ticket) -> None:
        if ticket in self.running:
            self.running.discard(ticket)
            ticket.phase = "done"

    def stats(self) -> dict:
        queued = sum(self.state(ticket) == "queued" for _, _, ticket in self.best)
        return {"running": len(self.running), "queued": queued}


class AdaptiveThrottle:
    """Count requests and accepts in buckets of a second."""

    def __init__(
        self,
        k: float = 2.0,
        window_s: float = 120.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.k, self.window_s, self.clock = k, window_s, clock
        self.rng = random.Random() if rng is None else rng
        self.seconds: dict[int, list[int]] = {}

    def count(self, column: int) -> None:
        """Count one in the present second: a request in column 0, an accept in column 1."""
        self.seconds.setdefault(math.floor(self.clock()), [0, 0])[column] += 1

    def allow(self) -> bool:
        probability = self.rejection_probability()
        self.count(0)
        return probability == 0 or self.rng.uniform(0, 1) > probability

    def record(self, accepted: bool) -> None:
        if accepted:
            self.count(1)

    def rejection_probability(self) -> float:
        oldest = math.floor(self.clock()) - self.window_s
        self.seconds = {second: counts for second, counts in self.seconds.items() if second > oldest}
        requests = sum(counts[0] for counts in self.seconds.values())
        accepts = sum(counts[1] for counts in self.seconds.values())
        return max(0, (requests - self.k * accepts) / (requests + 1))
