"""Places are the slots of a bounded queue; one re-entrant lock is held while a mirror is handed over."""

import copy
import hashlib
import queue
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


class ShadowDeployment:
    """Answer from production; `tally` holds the counts and `places` one token per pending mirror."""

    def __init__(
        self, models: tuple[Any, Any], executor: Executor, log: Callable, config: ShadowConfig, clock: Callable
    ):
        self.live, self.dark = models
        self.executor, self.log, self.config, self.clock = executor, log, config, clock
        self.places: queue.Queue[str] = queue.Queue(maxsize=config.max_in_flight)
        self.lock = threading.RLock()
        names = ["requests", "production_errors", "not_sampled", "dropped", "pending", "compared", "shadow_errors"]
        self.tally = {f"n_{name}": 0 for name in names}
        self.failures = self.matches = 0
        self.gaps: list[float] = []
        self.times: dict[str, list[float]] = {"production_ms": [], "shadow_ms": []}

    def add(self, *names: str) -> None:
        for name in names:
            self.tally[name] += 1

    def handle(self, request: Request) -> Any:
        """Return production's answer; mirror the request."""
        chosen = self.chooses(request.id)
        try:
            features = copy.deepcopy(request.features) if chosen else None
            copied = True
        except Exception:
            copied = False
        start = self.clock()
        try:
            answer = self.live.predict(request.features)
        except Exception:
            with self.lock:
                self.add("n_requests", "n_production_errors")
            raise
        took = 1000 * (self.clock() - start)
        try:
            kept = copy.deepcopy(answer) if chosen else None
        except Exception:
            copied = False
        with self.lock:
            self.times["production_ms"].append(took)
            if not chosen:
                self.add("n_requests", "n_not_sampled")
            elif not (copied and self.hand_over(request.id, features, kept, took)):
                self.add("n_requests", "n_dropped")
        return answer

    def hand_over(self, request_id: str, features: Any, kept: Any, took: float) -> bool:
        """Submit a mirror if it finds a place and the executor takes it."""
        try:
            self.places.put_nowait(request_id)
        except queue.Full:
            return False
        self.add("n_requests", "n_pending")
        try:
            self.executor.submit(lambda: self.mirror(request_id, features, kept, took))
        except Exception:
            self.places.get_nowait()
            self.tally["n_requests"] -= 1
            self.tally["n_pending"] -= 1
            return False
        return True

    def mirror(self, request_id: str, features: Any, kept: Any, took: float) -> None:
        """Run the shadow's side of a request."""
        record = {"request_id": request_id, "production": kept, "production_ms": float(took)}
        start = self.clock()
        try:
            answer, failure = self.dark.predict(features), None
        except Exception as error:
            answer, failure = None, repr(error)
        spent = 1000 * (self.clock() - start)
        verdict = gap = None
        if failure is None:
            try:
                verdict = alike(kept, answer, self.config.atol, self.config.rtol)
                gap = distance(kept, answer)
            except Exception:
                verdict = False
        record.update(shadow=answer, match=verdict, abs_diff=gap, shadow_ms=float(spent), error=failure)
        try:
            self.log(record)
            failed = 0
        except Exception:
            failed = 1
        with self.lock:
            self.places.get_nowait()
            self.tally["n_pending"] -= 1
            self.failures += failed
            if failure is not None:
                self.add("n_shadow_errors")
                return
            self.add("n_compared")
            self.matches += verdict
            self.times["shadow_ms"].append(spent)
            if gap is not None and np.isfinite(gap):
                self.gaps.append(gap)

    def chooses(self, request_id: str) -> bool:
        number = int(hashlib.md5(request_id.encode(), usedforsecurity=False).hexdigest(), 16)
        return number % 10**9 < self.config.sample_rate * 10**9

    def report(self) -> dict:
        """Return the counts, the agreement and the latencies so far."""
        with self.lock:
            compared = self.tally["n_compared"]
            mean = sum(self.gaps) / len(self.gaps) if self.gaps else None
            return {
                **self.tally,
                "agreement": self.matches / compared if compared else None,
                "mean_abs_diff": mean if mean is not None and np.isfinite(mean) else None,
                "log_failures": self.failures,
                **{name: percentiles(values) for name, values in self.times.items()},
            }

    def ready_to_promote(self) -> tuple[bool, str]:
        """Say whether the shadow may go on to take traffic, and why."""
        with self.lock:
            n, k, errors = self.tally["n_compared"], self.matches, self.tally["n_shadow_errors"]
        if n + errors and errors / (n + errors) > self.config.max_error_rate:
            return False, "max_error_rate exceeded"
        if n < self.config.min_samples:
            return False, "min_samples not reached"
        z2 = 1.959964**2
        bound = (k + z2 / 2 - (z2 * (k * (n - k) / n + z2 / 4)) ** 0.5) / (n + z2)
        if bound < self.config.min_agreement:
            return False, "min_agreement not reached"
        return True, "all checks hold"


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
    return ShadowDeployment((production_model, shadow_model), executor, comparison_log, config, clock)


def alike(one: Any, other: Any, atol: float, rtol: float) -> bool:
    """Return whether two answers agree; arrays of numbers go through numpy after their shapes were compared."""
    kinds = (np.ndarray, list, tuple, dict)
    if isinstance(one, kinds) or isinstance(other, kinds):
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return one.shape == other.shape and arrays_alike(one, other, atol, rtol)
        if isinstance(one, dict) and isinstance(other, dict):
            return set(one) == set(other) and all(alike(one[key], other[key], atol, rtol) for key in one)
        if type(one) is not type(other) or len(one) != len(other):
            return False
        return all(alike(a, b, atol, rtol) for a, b in zip(one, other, strict=True))
    if is_number(one) and is_number(other):
        return arrays_alike(np.asarray(one, dtype=float), np.asarray(other, dtype=float), atol, rtol)
    return bool(one == other)


def arrays_alike(one: np.ndarray, other: np.ndarray, atol: float, rtol: float) -> bool:
    if one.dtype.kind in "US" or other.dtype.kind in "US":
        return one.dtype.kind == other.dtype.kind and bool(np.array_equal(one, other))
    return bool(np.isclose(other, one, rtol=rtol, atol=atol, equal_nan=True).all())


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def distance(one: Any, other: Any) -> float | None:
    """Return the largest distance of two numbers or arrays of numbers, else None."""
    if not (is_number(one) and is_number(other)):
        return None
    gap = abs(float(other) - float(one))
    return gap if np.isfinite(gap) else None


def percentiles(values: list[float]) -> dict:
    """Return three percentiles, or None three times."""
    return {f"p{p}": float(np.quantile(values, p / 100)) if values else None for p in (50, 95, 99)}
