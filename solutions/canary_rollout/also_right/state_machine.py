"""Another design: a generator plans one command after the other, a driver carries them out; Fisher's exact test."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from scipy import stats


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


NOTHING = ("n_canary", "n_baseline", "error_rate_canary", "error_rate_baseline", "p95_canary_ms", "p95_baseline_ms")


def check(answer: Any, min_samples: int) -> str | None:
    """Say what is wrong with a measurement, or None."""
    for name in ("canary", "baseline"):
        side = answer.get(name) if isinstance(answer, Mapping) else None
        if not isinstance(side, Mapping):
            return f"{name} is missing"
        for key in ("requests", "errors"):
            count = side.get(key)
            if count is None or math.isnan(count) or count < 0:
                return f"{key} of {name} is {count}"
        if side["errors"] > side["requests"]:
            return f"{name} has more errors than requests"
        latencies = side.get("latencies_ms")
        if latencies is None:
            return f"latencies of {name} are missing"
        values = np.array([math.nan if value is None else value for value in latencies], dtype=float)
        if not (values >= 0).all():
            return f"{name} has latencies that are no latencies"
    if answer["canary"]["requests"] >= min_samples:
        for name in ("canary", "baseline"):
            if not answer[name]["requests"] or not len(answer[name]["latencies_ms"]):
                return f"{name} has nothing to compare"
    return None


def compare(answer: Mapping, config: CanaryConfig) -> dict:
    """Return the values of an entry, with its decision."""
    canary, baseline = answer["canary"], answer["baseline"]
    table = [[side["errors"], side["requests"] - side["errors"]] for side in (canary, baseline)]
    rates = [errors / (errors + fine) for errors, fine in table]
    p95 = [float(np.percentile(side["latencies_ms"], 95)) for side in (canary, baseline)]
    p_value = 1.0
    if rates[0] - rates[1] > config.max_error_rate_delta:
        p_value = float(stats.fisher_exact(table, alternative="greater").pvalue)
    values = dict(zip(NOTHING, (canary["requests"], baseline["requests"], *rates, *p95), strict=True))
    if p_value < config.alpha:
        return values | {"p_value": p_value, "decision": "rollback", "reason": "more errors than the baseline"}
    if p95[0] / p95[1] > config.max_latency_ratio:
        return values | {"p_value": p_value, "decision": "rollback", "reason": "slower than the baseline"}
    return values | {"p_value": p_value, "decision": "advance", "reason": "as good as the baseline"}


def plan(ceiling: float, config: CanaryConfig, steps: list[dict]) -> Generator[tuple, Any, tuple[str, str]]:
    """Yield commands, receive what they gave, and return the status and the reason."""
    for percent in sorted({step for step in config.steps if step < ceiling} | {ceiling}):
        entry = dict.fromkeys((*NOTHING, "p_value", "started_at", "ended_at"))
        entry |= {"weight": percent / 100, "decision": "aborted", "reason": "under way"}
        steps.append(entry)
        yield "set_weight", percent / 100
        entry["started_at"] = start = yield ("clock",)
        failures = 0
        while entry["decision"] == "aborted":
            yield "sleep", config.step_interval_s
            entry["ended_at"] = now = yield ("clock",)
            answer = yield "collect", start, now
            problem = answer if isinstance(answer, str) else check(answer, config.min_samples)
            failures = failures + 1 if problem else 0
            if failures > config.max_consecutive_errors:
                entry["reason"] = f"failed measurements, the last: {problem}"
                return "rolled_back", entry["reason"]
            if not problem and answer["canary"]["requests"] >= config.min_samples:
                entry |= compare(answer, config)
            elif now - start >= config.max_step_wait_s:
                entry |= {"decision": "inconclusive", "reason": "too few requests in time"}
                return "inconclusive", entry["reason"]
        if entry["decision"] == "rollback":
            return "rolled_back", entry["reason"]
    if ceiling < 100:
        return "holding", "good up to the ceiling"
    yield ("promote",)
    return "promoted", "good at every step"


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
    if math.isnan(traffic_percentage) or not 0 < traffic_percentage <= 100:
        raise ValueError("traffic_percentage is out of bounds")

    def collect(since: float, until: float) -> Any:
        try:
            return metrics.collect(since, until)
        except Exception as error:
            return f"collect raised {type(error).__name__}"

    commands: dict[str, Callable] = {
        "set_weight": router.set_weight, "promote": router.promote, "clock": clock, "sleep": sleep, "collect": collect
    }  # fmt: skip
    steps: list[dict] = []
    status, reason = "rolled_back", "interrupted"
    with contextlib.ExitStack() as stack:
        stack.callback(undo, router)
        try:
            router.deploy_canary(new_model)
            planned, given = plan(traffic_percentage, config, steps), None
            while True:
                name, *arguments = planned.send(given)
                given = commands[name](*arguments)
        except StopIteration as ended:
            status, reason = ended.value
        except Exception as error:
            reason = f"{type(error).__name__} ({error})"
        if status in ("holding", "promoted"):
            stack.pop_all()
    final = {"holding": traffic_percentage / 100, "promoted": 1.0}.get(status, 0.0)
    return CanaryResult(status, final, reason, steps)


def undo(router: Router) -> None:
    with contextlib.suppress(Exception):  # rollback() sets the weight, too
        router.set_weight(0.0)
    try:
        router.rollback()
    except Exception as error:
        raise RollbackError("the canary could not be removed") from error


def assign_to_canary(key: str, fraction: float, salt: str = "canary") -> bool:
    number = int.from_bytes(
        blake2b(key.encode(), key=blake2b(salt.encode()).digest(), digest_size=6).digest(), "little"
    )
    return bool(number < fraction * (1 << 48))
