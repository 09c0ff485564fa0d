"""Today's script, its calls filled in.  Fails: R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
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


def acceptable(performance: Mapping[str, Any]) -> bool:
    """Return whether the canary fails rarely and answers fast."""
    latencies = sorted(performance["latencies_ms"]) or [0.0]
    error_rate = performance["errors"] / max(1, performance["requests"])
    return error_rate <= 0.05 and latencies[int(0.95 * len(latencies))] <= 300.0


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
    """Deploy, raise the traffic, look, sleep."""
    began = clock()
    router.deploy_canary(new_model)
    steps: list[dict] = []
    for percent in config.steps:
        if percent > traffic_percentage:
            break
        router.set_weight(percent / 100)
        performance = metrics.collect(began, clock())["canary"]
        steps.append({"weight": percent / 100, "n_canary": performance["requests"]})
        if not acceptable(performance):
            router.rollback()
            return CanaryResult("rolled_back", 0.0, "the canary's performance is not acceptable", steps)
        sleep(config.step_interval_s)
    if traffic_percentage < 100:
        return CanaryResult("holding", traffic_percentage / 100, "all steps are done", steps)
    router.promote()
    return CanaryResult("promoted", 1.0, "all steps are done", steps)


def assign_to_canary(key: str, fraction: float, salt: str = "canary") -> bool:
    """Return whether this key belongs to the canary's share of the traffic."""
    return int(sha256(f"{salt}/{key}".encode()).hexdigest()[:12], 16) < fraction * 16**12
