"""Keep a log of what was granted and compute each level from it; keep tickets in one list and sort when asked."""

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction


class Grants:
    """What was granted since the bucket was last full, as (time, amount)."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.log: list[tuple[float, float]] = []

    def level(self, now: float) -> float:
        """Replay the log up to now; forget it when the bucket is full."""
        level, last = float(self.burst), self.log[0][0] if self.log else now
        for then, amount in self.log:
            level = min(self.burst, level + max(0.0, then - last) * self.rate) - amount
            last = max(then, last)
        level = min(self.burst, level + max(0.0, now - last) * self.rate)
        if level >= self.burst:
            self.log.clear()
        elif len(self.log) > 50:
            self.log = [(max(now, last), self.burst - level)]
        return level


@dataclass(frozen=True)
class Decision:
    allowed: bool
    remaining: float
    retry_after_s: float


class RateLimiter:
    """One lock, one dict of logs, and a scan for the fullest when there is no room."""

    def __init__(
        self,
        rate_per_s: float,
        burst: float,
        *,
        max_clients: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min(rate_per_s, burst) <= 0:
            raise ValueError(f"rate {rate_per_s}, burst {burst}")
        self.rate, self.burst, self.max_clients, self.clock = rate_per_s, burst, max_clients, clock
        self.clients: dict[str, Grants] = {}
        self.lock = threading.Lock()

    def check(self, client_id: str, cost: float = 1.0) -> Decision:
        return self.look(client_id, cost, charge=True)

    def look(self, client_id: str, cost: float, charge: bool) -> Decision:
        """Decide, and charge if told to."""
        if cost <= 0 or cost != cost:
            raise ValueError(f"cost {cost}")
        with self.lock:
            now = self.clock()
            if client_id not in self.clients:
                while len(self.clients) >= self.max_clients:
                    self.forget_the_fullest(now)
                self.clients[client_id] = Grants(self.rate, self.burst)
            grants = self.clients[client_id]
            level = grants.level(now)
            if level >= cost:
                if charge:
                    grants.log.append((now, cost))
                    level -= cost
                return Decision(True, level, 0.0)
            return Decision(False, level, math.inf if cost > self.burst else (cost - level) / self.rate)

    def forget_the_fullest(self, now: float) -> None:
        """Forget a refilled client, the first that a scan meets, else the one with the highest level."""
        best, most = None, -1.0
        for name, grants in self.clients.items():
            level = grants.level(now)
            if level >= self.burst:
                best = name
                break
            if level > most:
                best, most = name, level
        if best is not None:
            del self.clients[best]

    def size(self) -> int:
        with self.lock:
            return len(self.clients)


class TokenBucket:
    """A limiter with a single client."""

    def __init__(self, rate_per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limiter = RateLimiter(rate_per_s, burst, max_clients=1, clock=clock)

    def try_acquire(self, n: float = 1.0) -> bool:
        return self.limiter.check("", n).allowed

    def retry_after(self, n: float = 1.0) -> float:
        return self.limiter.look("", n, charge=False).retry_after_s


@dataclass
class Ticket:
    """A ticket knows only its number."""

    number: int


@dataclass
class Entry:
    priority: int
    deadline: float | None
    state: str


@dataclass(frozen=True)
class Rejected:
    reason: str = field(default="overload")


class LoadShedder:
    """A list of everything that was ever taken in, scanned at each call."""

    def __init__(self, max_in_flight: int, max_queue: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_in_flight, self.max_queue, self.clock = max_in_flight, max_queue, clock
        self.entries: list[Entry] = []

    def those(self, state: str) -> list[int]:
        """Return the numbers of the tickets in a state, oldest first."""
        now = self.clock()
        for entry in self.entries:
            if entry.state == "queued" and entry.deadline is not None and entry.deadline < now:
                entry.state = "expired"
        return [number for number, entry in enumerate(self.entries) if entry.state == state]

    def submit(self, *, priority: int = 0, deadline: float | None = None) -> Ticket | Rejected:
        if deadline is not None and deadline < self.clock():
            return Rejected("expired")
        waiting = self.those("queued")
        state = "running" if len(self.those("running")) < self.max_in_flight else "queued"
        if state == "queued" and len(waiting) >= self.max_queue:
            lower = [number for number in waiting if self.entries[number].priority < priority]
            if not lower:
                return Rejected()
            lowest = min(self.entries[number].priority for number in lower)
            self.entries[max(n for n in lower if self.entries[n].priority == lowest)].state = "shed"
        self.entries.append(Entry(priority, deadline, state))
        return Ticket(len(self.entries) - 1)

    def start_next(self) -> Ticket | None:
        waiting = self.those("queued")
        if not waiting or len(self.those("running")) >= self.max_in_flight:
            return None
        number = max(waiting, key=lambda n: (self.entries[n].priority, -n))
        self.entries[number].state = "running"
        return Ticket(number)

    def state(self, ticket: Ticket) -> str:
        self.those("queued")
        return self.entries[ticket.number].state

    def release(self, ticket: Ticket) -> None:
        entry = self.entries[ticket.number]
        if entry.state == "running":
            entry.state = "done"

    def stats(self) -> dict:
        return {"queued": len(self.those("queued")), "running": len(self.those("running")), "seen": len(self.entries)}


class AdaptiveThrottle:
    """One list of (time, was it an accept), cut at each look."""

    def __init__(
        self,
        k: float = 2.0,
        window_s: float = 120.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.k, self.window_s, self.clock, self.rng = k, window_s, clock, rng or random.Random()
        self.events: list[tuple[float, bool]] = []

    def allow(self) -> bool:
        refused = self.rng.random() < self.rejection_probability()
        self.events.append((self.clock(), False))
        return not refused

    def record(self, accepted: bool) -> None:
        if accepted:
            self.events.append((self.clock(), True))

    def rejection_probability(self) -> float:
        start = self.clock() - self.window_s
        if self.events and self.events[0][0] <= start:
            self.events = [event for event in self.events if event[0] > start]
        accepts = sum(accepted for _, accepted in self.events)
        requests = len(self.events) - accepts
        return float(max(Fraction(0), Fraction(requests - Fraction(self.k) * accepts) / (requests + 1)))
