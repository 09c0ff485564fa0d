"""Rolls back for an Exception only, so that Ctrl-C leaves the canary serving.  Fails: R9."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any, Protocol


class Router(Protocol):
    """What sends traffic to the stable version and to the canary."""

    def deploy_canary(self, model: Any) -> None: ...
    def set_weight(self, fraction: float) -> None: ...  # 0.0 to 1.0, the canary's share of the traffic
    def promote(self) -> None: ...  # the canary becomes the stable version
    def rollback(self) -> None: ...  # weight 0 and the canary removed


class Metrics(Protocol):
    """What counts requests, errors and latencies on both sides."""

    def collect(self, since: float, until: float) -> Mapping[str, Mapping[str, Any]]: ...

    # {"canary": {"requests": int, "errors": int, "latencies_ms": [float]}, "baseline": {the same}}


@dataclass(frozen=True)
class CanaryConfig:
    """Say how fast a rollout goes and what stops it."""

    steps: Sequence[float] = (1, 5, 10, 25, 50, 100)  # per cent
    step_interval_s: float = 300.0
    min_samples: int = 500  # canary requests needed before a step is judged
    max_step_wait_s: float = 3600.0
    max_error_rate_delta: float = 0.005  # absolute, canary minus baseline
    alpha: float = 0.001  # one-sided, per judged step
    max_latency_ratio: float = 1.25  # canary p95 / baseline p95
    max_consecutive_errors: int = 4  # failed measurements tolerated in a row


@dataclass
class CanaryResult:
    """How a rollout ended, and what was decided at each step."""

    status: str  # promoted, holding, rolled_back, inconclusive
    final_weight: float  # fraction
    reason: str
    steps: list[dict]


class RollbackError(RuntimeError):
    """The rollback itself failed: the canary may still get traffic."""


class FailedMeasurement(Exception):
    """The metrics cannot be used; says nothing about the canary."""


@dataclass(frozen=True)
class Side:
    """What one version did in a window."""

    requests: int
    errors: int
    latencies_ms: list[float]

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests

    @cached_property
    def p95_ms(self) -> float:
        """The nearest-rank percentile."""
        return sorted(self.latencies_ms)[math.ceil(0.95 * len(self.latencies_ms)) - 1]


@dataclass
class Rollout:
    """One rollout under way; `steps` grows as it goes."""

    router: Router
    metrics: Metrics
    config: CanaryConfig
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    steps: list[dict] = field(default_factory=list)

    def run(self, new_model: Any, ceiling: float) -> CanaryResult:
        """Deploy, walk the weights, and end in one of the four states."""
        try:
            self.router.deploy_canary(new_model)
            for weight in weights(self.config.steps, ceiling):
                ended = self._step(weight)
                if ended is not None:
                    status, reason = ended
                    break
            else:
                if ceiling < 100:
                    return CanaryResult("holding", ceiling / 100, "every step up to the ceiling was good", self.steps)
                self.router.promote()
                return CanaryResult("promoted", 1.0, "every step was good", self.steps)
        except Exception as error:
            status, reason = "rolled_back", f"{type(error).__name__}: {error}"
            self._close("aborted", reason)
        self._roll_back()
        return CanaryResult(status, 0.0, reason, self.steps)

    def _roll_back(self) -> None:
        try:
            self.router.rollback()
        except Exception as error:
            raise RollbackError(f"the rollback failed: {error}") from error

    def _step(self, weight: float) -> tuple[str, str] | None:
        """Return None after a good step, else the status and the reason with which the rollout ends."""
        self.steps.append(dict.fromkeys(ENTRY) | {"weight": weight})
        self.router.set_weight(weight)
        started = self.steps[-1]["started_at"] = self.clock()
        failures = 0
        while True:
            self.sleep(self.config.step_interval_s)
            now = self.steps[-1]["ended_at"] = self.clock()
            try:
                canary, baseline = self._measure(started, now)
            except FailedMeasurement as failure:
                failures += 1
                if failures > self.config.max_consecutive_errors:
                    return self._close("aborted", f"{failures} failed measurements in a row, the last: {failure}")
            else:
                failures = 0
                if canary.requests >= self.config.min_samples:
                    return self._judge(canary, baseline)
            if now - started >= self.config.max_step_wait_s:
                return self._close("inconclusive", f"not enough to judge within {now - started:g} s")

    def _measure(self, since: float, until: float) -> tuple[Side, Side]:
        try:
            answer = self.metrics.collect(since, until)
        except Exception as error:
            raise FailedMeasurement(f"{type(error).__name__}: {error}") from error
        canary, baseline = side(answer, "canary"), side(answer, "baseline")
        if canary.requests >= self.config.min_samples:
            for name, one in (("canary", canary), ("baseline", baseline)):
                if not one.requests or not one.latencies_ms:
                    raise FailedMeasurement(f"{name} has no requests or no latencies")
        return canary, baseline

    def _judge(self, canary: Side, baseline: Side) -> tuple[str, str] | None:
        p_value = p_worse(canary, baseline)
        difference = canary.error_rate - baseline.error_rate
        ratio_limit = self.config.max_latency_ratio * baseline.p95_ms
        self.steps[-1] |= {
            "n_canary": canary.requests,
            "n_baseline": baseline.requests,
            "error_rate_canary": canary.error_rate,
            "error_rate_baseline": baseline.error_rate,
            "p95_canary_ms": canary.p95_ms,
            "p95_baseline_ms": baseline.p95_ms,
            "p_value": p_value,
        }
        if difference > self.config.max_error_rate_delta and p_value < self.config.alpha:
            rates = f"{canary.error_rate:.4f} against {baseline.error_rate:.4f}"
            return self._close("rollback", f"error rate {rates}, p = {p_value:.2g}")
        if canary.p95_ms > ratio_limit:
            return self._close("rollback", f"p95 {canary.p95_ms:g} ms against {baseline.p95_ms:g} ms")
        self._close("advance", "no worse than the baseline")
        return None

    def _close(self, decision: str, reason: str) -> tuple[str, str]:
        """Note the decision on the present step, if it has none; return the status and the reason."""
        if self.steps and self.steps[-1]["decision"] is None:
            self.steps[-1] |= {"decision": decision, "reason": reason}
        return "inconclusive" if decision == "inconclusive" else "rolled_back", reason


ENTRY = (
    "weight", "n_canary", "n_baseline", "error_rate_canary", "error_rate_baseline", "p95_canary_ms", "p95_baseline_ms",
    "p_value", "decision", "reason", "started_at", "ended_at",
)  # fmt: skip


def weights(steps: Sequence[float], ceiling: float) -> list[float]:
    """Return the steps below the ceiling, then the ceiling, as fractions."""
    return [percent / 100 for percent in (*(step for step in steps if step < ceiling), ceiling)]


def side(answer: Any, name: str) -> Side:
    """Read one side of what collect returned; raise FailedMeasurement if a value is missing or makes no sense."""
    try:
        counts = answer[name]
        requests, errors, latencies = counts["requests"], counts["errors"], list(counts["latencies_ms"])
        sound = 0 <= errors <= requests and all(latency >= 0 for latency in latencies)  # NaN compares as false
    except (KeyError, TypeError) as error:
        raise FailedMeasurement(f"{name} is incomplete: {error}") from error
    if not sound:
        raise FailedMeasurement(f"{name} has values that make no sense")
    return Side(int(requests), int(errors), latencies)


def p_worse(canary: Side, baseline: Side) -> float:
    """Return the one-sided p-value of a pooled two-proportion z test."""
    pooled = (canary.errors + baseline.errors) / (canary.requests + baseline.requests)
    variance = pooled * (1 - pooled) * (1 / canary.requests + 1 / baseline.requests)
    if variance == 0:  # nobody failed, or everybody
        return 1.0
    return NormalDist().cdf((baseline.error_rate - canary.error_rate) / math.sqrt(variance))


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
    """Roll the model out up to traffic_percentage; raise ValueError for a ceiling outside 0 < p <= 100."""
    if not 0 < traffic_percentage <= 100:  # NaN, too
        raise ValueError(f"traffic_percentage must lie within 0 < p <= 100, not {traffic_percentage}")
    return Rollout(router, metrics, config, clock, sleep).run(new_model, traffic_percentage)


def assign_to_canary(key: str, fraction: float, salt: str = "canary") -> bool:
    """Return whether this key belongs to the canary's share of the traffic."""
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
