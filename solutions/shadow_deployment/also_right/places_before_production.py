"""A place is taken before production runs, so that nothing is copied in vain; the report folds a list of events."""

import copy
import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Request:
    """One request of a user."""

    id: str
    features: Any


class Executor(Protocol):
    """Runs functions later, on a thread of its own choice."""

    def submit(self, fn: Callable[[], None]) -> Any:
        """Take fn and return at once, or raise to refuse it."""


@dataclass(frozen=True)
class ShadowConfig:
    """Say what is mirrored, when two answers agree, and when the shadow may be promoted."""

    sample_rate: float = 1.0
    max_in_flight: int = 100
    atol: float = 1e-6
    rtol: float = 1e-6
    min_samples: int = 1000
    min_agreement: float = 0.99
    max_error_rate: float = 0.001


MOVES = {
    "failed": {"n_production_errors": 1},
    "left out": {"n_not_sampled": 1},
    "dropped": {"n_dropped": 1},
    "submitted": {"n_pending": 1},
    "refused": {"n_pending": -1, "n_dropped": 1},
    "compared": {"n_pending": -1, "n_compared": 1},
    "erred": {"n_pending": -1, "n_shadow_errors": 1},
}
COUNTS = ("n_production_errors", "n_not_sampled", "n_dropped", "n_pending", "n_compared", "n_shadow_errors")


class ShadowDeployment:
    """Append events (an append is atomic) and fold them when a report is asked for."""

    def __init__(self, production: Any, shadow: Any, executor: Any, log: Any, config: ShadowConfig, clock: Any) -> None:
        self._predict, self._imitate = production, shadow
        self._executor, self._log, self._config, self._clock = executor, log, config, clock
        self._places = threading.BoundedSemaphore(config.max_in_flight)
        self._events: list[tuple[str, Any]] = []

    def _note(self, event: str, detail: Any = None) -> None:
        self._events.append((event, detail))

    def handle(self, request: Request) -> Any:
        """Return production's answer; mirror the request."""
        if not chosen(request.id, self._config.sample_rate):
            answer, elapsed = self._ask_production(request.features)
            self._note("left out", elapsed)
            return answer
        holds_place = self._places.acquire(blocking=False)
        try:
            features = Copy(request.features, wanted=holds_place)
            answer, elapsed = self._ask_production(request.features)
            kept = Copy(answer, wanted=features.made)
            if not kept.made:
                self._note("dropped", elapsed)
                return answer
            self._note("submitted", elapsed)
            try:
                self._executor.submit(lambda: self._mirror(request.id, features.value, kept.value, elapsed))
                holds_place = False  # it is the mirror's now
            except Exception:
                self._note("refused")
            return answer
        finally:
            if holds_place:
                self._places.release()

    def _ask_production(self, features: Any) -> tuple[Any, float]:
        start = self._clock()
        try:
            answer = self._predict.predict(features)
        except Exception:
            self._note("failed")
            raise
        return answer, (self._clock() - start) * 1000

    def _mirror(self, request_id: str, features: Any, production: Any, elapsed: float) -> None:
        shadow = match = gap = error = None
        start = self._clock()
        try:
            shadow = self._imitate.predict(features)
        except Exception as raised:
            error = type(raised).__name__ + ": " + str(raised)
        took = (self._clock() - start) * 1000
        if error is None:
            match, gap = self._judge(production, shadow)
        fields = ("request_id", "production", "shadow", "match", "abs_diff", "production_ms", "shadow_ms", "error")
        values = (request_id, production, shadow, match, gap, elapsed, took, error)
        try:
            self._log(dict(zip(fields, values, strict=True)))
        except Exception:
            self._note("log failed")
        self._places.release()
        self._note(*(("erred",) if error else ("compared", (match, gap, took))))

    def _judge(self, production: Any, shadow: Any) -> tuple[bool, float | None]:
        try:
            gap = abs(float(shadow) - float(production)) if number(production) and number(shadow) else None
            return same(production, shadow, self._config), gap if gap is not None and math.isfinite(gap) else None
        except Exception:
            return False, None

    def report(self) -> dict:
        """Fold the events into the counts."""
        events = self._events[:]
        counts = dict.fromkeys(COUNTS, 0)
        for event, _ in events:
            for name, step in MOVES.get(event, {}).items():
                counts[name] += step
        outcomes = [detail for event, detail in events if event == "compared"]
        gaps = [gap for _, gap, _ in outcomes if gap is not None]
        mean = math.fsum(gap / len(gaps) for gap in gaps) if gaps else None
        return {
            "n_requests": sum(counts.values()),
            **counts,
            "agreement": sum(match for match, _, _ in outcomes) / len(outcomes) if outcomes else None,
            "mean_abs_diff": mean,
            "log_failures": sum(event == "log failed" for event, _ in events),
            "production_ms": spread([d for event, d in events if event in ("left out", "dropped", "submitted")]),
            "shadow_ms": spread([took for _, _, took in outcomes]),
        }

    def ready_to_promote(self) -> tuple[bool, str]:
        """Say whether the shadow may go on to take traffic, and why."""
        report, config = self.report(), self._config
        n, errors = report["n_compared"], report["n_shadow_errors"]
        checks = {
            "min_samples": n >= config.min_samples,
            "max_error_rate": not n + errors or errors / (n + errors) <= config.max_error_rate,
            "min_agreement": n == 0 or wilson(report["agreement"], n) >= config.min_agreement,
        }
        for name, holds in checks.items():
            if not holds:
                return False, name
        return True, "ready"


class Copy:
    """A deep copy, if it is wanted and can be made."""

    def __init__(self, value: Any, *, wanted: bool) -> None:
        self.made, self.value = wanted, None
        if wanted:
            try:
                self.value = copy.deepcopy(value)
            except Exception:
                self.made = False


def shadow_deployment(
    production_model: Any,
    shadow_model: Any,
    *,
    executor: Executor,
    comparison_log: Callable[[dict], None],
    config: ShadowConfig = ShadowConfig(),
    clock: Callable[[], float] = time.perf_counter,
) -> ShadowDeployment:
    """Return the handler that serves from production_model and mirrors to shadow_model."""
    return ShadowDeployment(production_model, shadow_model, executor, comparison_log, config, clock)


def chosen(request_id: str, rate: float) -> bool:
    digest = hashlib.blake2b(request_id.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") < rate * 2**32


def number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def same(one: Any, other: Any, config: ShadowConfig) -> bool:
    """Return whether two answers agree."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
        return arrays and one.shape == other.shape and same(one.tolist(), other.tolist(), config)
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key], config) for key in one)
        case (list(), list()) | (tuple(), tuple()):
            return len(one) == len(other) and all(same(a, b, config) for a, b in zip(one, other, strict=True))
    if number(one) and number(other):
        if one != one or other != other:
            return one != one and other != other
        if math.isinf(one) or math.isinf(other):
            return bool(one == other)
        return bool(abs(other - one) <= config.atol + config.rtol * abs(one))
    return bool(one == other)


def spread(values: list[float]) -> dict:
    """Return three percentiles, or None three times."""
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{p}": float(np.percentile(values, p, method="lower")) for p in (50, 95, 99)}


def wilson(share: float, n: int, z: float = 1.96) -> float:
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (share + z**2 / (2 * n) - half) / (1 + z**2 / n)
