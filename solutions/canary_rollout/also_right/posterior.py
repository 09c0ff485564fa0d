"""Another design: a posterior probability of "worse by more than the tolerance", and confidence in the p95 ratio."""

import hmac
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Protocol


class Router(Protocol):
    def deploy_canary(self, model: Any) -> None: ...
    def set_weight(self, fraction: float) -> None: ...
    def promote(self) -> None: ...
    def rollback(self) -> None: ...


class Metrics(Protocol):
    def collect(self, since: float, until: float) -> Mapping[str, Mapping[str, Any]]: ...


@dataclass(frozen=True)
class CanaryConfig:
    steps: Sequence[float] = (1, 5, 10, 25, 50, 100)
    step_interval_s: float = 300.0
    min_samples: int = 500
    max_step_wait_s: float = 3600.0
    max_error_rate_delta: float = 0.005
    alpha: float = 0.001
    max_latency_ratio: float = 1.25
    max_consecutive_errors: int = 4


@dataclass
class CanaryResult:
    status: str
    final_weight: float
    reason: str
    steps: list[dict]


class RollbackError(RuntimeError):
    pass


class Stop(Exception):
    """Ends a rollout with a rollback."""

    def __init__(self, status: str, decision: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.decision, self.reason = status, decision, reason


@dataclass
class Entry:
    weight: float
    started_at: float | None = None
    ended_at: float | None = None
    decision: str = "aborted"
    reason: str = "not judged"
    n_canary: int | None = None
    n_baseline: int | None = None
    error_rate_canary: float | None = None
    error_rate_baseline: float | None = None
    p95_canary_ms: float | None = None
    p95_baseline_ms: float | None = None
    p_value: float | None = None


class Sample:
    """One side of a window; raises ValueError if it cannot be one."""

    def __init__(self, side: Any) -> None:
        if side is None or any(side.get(key) is None for key in ("requests", "errors", "latencies_ms")):
            raise ValueError("a value is missing")
        self.requests, self.errors = side["requests"], side["errors"]
        if not (self.requests >= 0 and self.errors >= 0 and self.errors <= self.requests):
            raise ValueError(f"{self.errors} errors in {self.requests} requests")
        if any(value is None or not value >= 0 for value in side["latencies_ms"]):
            raise ValueError("a latency is no latency")
        self.latencies = sorted(side["latencies_ms"])

    def rank(self, sigmas: float) -> float:
        """Return the 95th percentile, moved by so many standard deviations of its rank."""
        n = len(self.latencies)
        rank = 0.95 * n + sigmas * math.sqrt(n * 0.95 * 0.05)
        return float(self.latencies[min(n - 1, max(0, int(rank)))])


def chance_of_worse(canary: Sample, baseline: Sample, tolerance: float) -> float:
    """Draw from the two beta posteriors, by their first two moments."""
    moments = []
    for side in (canary, baseline):
        a, b = side.errors + 0.5, side.requests - side.errors + 0.5
        moments.append((a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))))
    (one, variance), (other, further) = moments
    return NormalDist().cdf((one - other - tolerance) / math.sqrt(variance + further))


class Controller:
    def __init__(
        self, router: Router, metrics: Metrics, config: CanaryConfig, clock: Callable, sleep: Callable
    ) -> None:
        self.router, self.metrics, self.config, self.clock, self.sleep = router, metrics, config, clock, sleep
        self.entries: list[Entry] = []

    def walk(self, ceiling: float) -> None:
        for percent in [step for step in self.config.steps if step < ceiling] + [ceiling]:
            self.entries.append(entry := Entry(percent / 100))
            self.router.set_weight(percent / 100)
            entry.started_at = self.clock()
            self.judge(entry, *self.samples(entry))

    def samples(self, entry: Entry) -> tuple[Sample, Sample]:
        failed = 0
        while True:
            self.sleep(self.config.step_interval_s)
            entry.ended_at = self.clock()
            try:
                answer = self.metrics.collect(entry.started_at, entry.ended_at)
                canary, baseline = Sample(answer["canary"]), Sample(answer["baseline"])
                enough = canary.requests >= self.config.min_samples
                if enough and not (canary.latencies and baseline.latencies and baseline.requests):
                    raise ValueError("nothing to compare")
                if enough:
                    return canary, baseline
                failed = 0
            except Exception as error:
                failed += 1
                if failed > self.config.max_consecutive_errors:
                    raise Stop("rolled_back", "aborted", f"unusable metrics: {type(error).__name__}") from error
            if entry.ended_at - entry.started_at >= self.config.max_step_wait_s:
                raise Stop("inconclusive", "inconclusive", "waited for too long")

    def judge(self, entry: Entry, canary: Sample, baseline: Sample) -> None:
        entry.n_canary, entry.n_baseline = canary.requests, baseline.requests
        entry.error_rate_canary = canary.errors / canary.requests
        entry.error_rate_baseline = baseline.errors / baseline.requests
        entry.p95_canary_ms, entry.p95_baseline_ms = canary.rank(0), baseline.rank(0)
        worse = chance_of_worse(canary, baseline, self.config.max_error_rate_delta)
        if 1 - worse < self.config.alpha:
            raise Stop("rolled_back", "rollback", f"worse with a probability of {worse:.5f}")
        if canary.rank(-2) > self.config.max_latency_ratio * baseline.rank(2):
            raise Stop("rolled_back", "rollback", "slower for sure")
        entry.decision, entry.reason = "advance", f"worse with a probability of {worse:.5f} only"


def canary_deployment(
    new_model: Any,
    traffic_percentage: float = 10,
    *,
    router: Router,
    metrics: Metrics,
    config: CanaryConfig = CanaryConfig(),
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> CanaryResult:
    if not (traffic_percentage > 0 and traffic_percentage <= 100):
        raise ValueError(traffic_percentage)
    controller = Controller(router, metrics, config, clock, sleep)
    safe, status, reason = False, "rolled_back", ""
    try:
        router.deploy_canary(new_model)
        controller.walk(traffic_percentage)
        if traffic_percentage == 100:
            router.promote()
        safe = True
    except Stop as stop:
        status, reason = stop.status, stop.reason
        controller.entries[-1].decision, controller.entries[-1].reason = stop.decision, stop.reason
    except Exception as error:
        reason = repr(error)
    finally:
        if not safe:
            try:
                router.rollback()
            except Exception as error:
                raise RollbackError(str(error)) from error
    if safe:
        status, reason = ("promoted" if traffic_percentage == 100 else "holding"), "no step was bad"
    return CanaryResult(
        status, traffic_percentage / 100 if safe else 0, reason, [asdict(entry) for entry in controller.entries]
    )


def assign_to_canary(key: str, fraction: float, salt: str = "canary") -> bool:
    digest = hmac.digest(salt.encode(), key.encode(), "sha1")
    return random.Random(digest).random() < fraction
