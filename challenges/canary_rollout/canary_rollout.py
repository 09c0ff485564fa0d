"""Raise a canary's traffic step by step, judge it against its baseline, and leave the router safe."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    raise NotImplementedError


def assign_to_canary(key: str, fraction: float, salt: str = "canary") -> bool:
    """Return whether this key belongs to the canary's share of the traffic."""
    raise NotImplementedError
