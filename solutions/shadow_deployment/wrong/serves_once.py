"""Only the first request is answered, as in a loop.  Fails: R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13."""

import copy
import hashlib
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

ENDS = ("n_production_errors", "n_not_sampled", "n_dropped", "n_pending", "n_compared", "n_shadow_errors")
Z = 1.96
KEPT_LATENCIES = 10_000


@dataclass(frozen=True)
class Request:
    """One request of a user."""

    id: str
    features: Any  # a dict, a list, an array


class Executor(Protocol):
    """Runs functions later, on a thread of its own choice."""

    def submit(self, fn: Callable[[], None]) -> Any:
        """Take fn and return at once, or raise to refuse it."""


@dataclass(frozen=True)
class ShadowConfig:
    """Say what is mirrored, when two answers agree, and when the shadow may be promoted."""

    sample_rate: float = 1.0
    max_in_flight: int = 100  # submitted and not finished
    atol: float = 1e-6
    rtol: float = 1e-6
    min_samples: int = 1000
    min_agreement: float = 0.99
    max_error_rate: float = 0.001


@dataclass(frozen=True)
class Mirror:
    """What the shadow's side needs of one request; nobody else holds any of it."""

    request_id: str
    features: Any
    production: Any
    production_ms: float


class ShadowDeployment:
    """Serve requests from production and mirror them to the shadow.

    The lock guards the counts and lists below and is never held while other people's code runs.
    """

    def __init__(
        self,
        production_model: Any,
        shadow_model: Any,
        executor: Executor,
        comparison_log: Callable[[dict], None],
        config: ShadowConfig,
        clock: Callable[[], float],
    ) -> None:
        self._production_model = production_model
        self._shadow_model = shadow_model
        self._executor = executor
        self._comparison_log = comparison_log
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._served = False
        self._matches = 0
        self._log_failures = 0
        self._abs_diff_sum = 0.0
        self._n_abs_diffs = 0
        self._production_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._shadow_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def handle(self, request: Request) -> Any:
        """Return production's answer; mirror the request."""
        if self._served:
            return None
        self._served = True
        sampled = in_sample(request.id, self._config.sample_rate)
        can_mirror, features = snapshot(request.features) if sampled else (False, None)
        started = self._clock()
        try:
            answer = self._production_model.predict(request.features)
        except Exception:
            self._count("n_production_errors")
            raise
        elapsed_ms = (self._clock() - started) * 1000.0
        with self._lock:
            self._production_ms.append(elapsed_ms)
        if not sampled:
            self._count("n_not_sampled")
            return answer
        can_compare, kept_answer = snapshot(answer)
        if can_mirror and can_compare:
            self._submit(Mirror(request.id, features, kept_answer, elapsed_ms))
        else:
            self._count("n_dropped")
        return answer

    def report(self) -> dict:
        """Return the counts, the agreement and the latencies so far."""
        with self._lock:
            counts = {name: self._counts[name] for name in ENDS}
            compared = counts["n_compared"]
            return {
                "n_requests": sum(counts.values()),
                **counts,
                "agreement": self._matches / compared if compared else None,
                "mean_abs_diff": finite(self._abs_diff_sum / self._n_abs_diffs) if self._n_abs_diffs else None,
                "log_failures": self._log_failures,
                "production_ms": percentiles(self._production_ms),
                "shadow_ms": percentiles(self._shadow_ms),
            }

    def ready_to_promote(self) -> tuple[bool, str]:
        """Say whether the shadow may go on to take traffic, and why."""
        with self._lock:
            compared, errors, matches = self._counts["n_compared"], self._counts["n_shadow_errors"], self._matches
        config = self._config
        if compared < config.min_samples:
            return False, f"{compared} compared is below min_samples {config.min_samples}"
        error_rate = errors / (compared + errors)
        if error_rate > config.max_error_rate:
            return False, f"{error_rate:.4f} of the shadow's calls failed, above max_error_rate {config.max_error_rate}"
        bound = wilson_lower_bound(matches, compared)
        if bound < config.min_agreement:
            return False, f"agreement is at least {bound:.4f}, below min_agreement {config.min_agreement}"
        return True, f"agreement is at least {bound:.4f} over {compared} compared"

    def _count(self, end: str) -> None:
        with self._lock:
            self._counts[end] += 1

    def _submit(self, mirror: Mirror) -> None:
        """Take a place and hand the mirror over; without a place or an executor it is dropped."""
        with self._lock:
            has_place = self._counts["n_pending"] < self._config.max_in_flight
            self._counts["n_pending" if has_place else "n_dropped"] += 1
        if not has_place:
            return
        try:
            self._executor.submit(lambda: self._run(mirror))
        except Exception:
            with self._lock:
                self._counts["n_pending"] -= 1
                self._counts["n_dropped"] += 1

    def _run(self, mirror: Mirror) -> None:
        """Ask the shadow, compare, log and settle the counts; raise nothing."""
        record = {
            "request_id": mirror.request_id,
            "production": mirror.production,
            "shadow": None,
            "match": None,
            "abs_diff": None,
            "production_ms": mirror.production_ms,
            "shadow_ms": None,
            "error": None,
        }
        started = self._clock()
        try:
            shadow = self._shadow_model.predict(mirror.features)
        except Exception as error:
            record["error"] = describe(error)
        else:
            record["shadow_ms"] = (self._clock() - started) * 1000.0
            record["shadow"] = shadow
            record["match"], record["abs_diff"] = self._compare(mirror.production, shadow)
        match, abs_diff, shadow_ms = record["match"], record["abs_diff"], record["shadow_ms"]
        logged = self._log(record)
        with self._lock:
            self._counts["n_pending"] -= 1
            self._log_failures += not logged
            if match is None:
                self._counts["n_shadow_errors"] += 1
                return
            self._counts["n_compared"] += 1
            self._matches += match
            self._shadow_ms.append(shadow_ms)
            if abs_diff is not None:
                self._abs_diff_sum += abs_diff
                self._n_abs_diffs += 1

    def _compare(self, production: Any, shadow: Any) -> tuple[bool, float | None]:
        """Return whether two answers agree and how far apart they are; what can't be compared disagrees."""
        try:
            match = agree(production, shadow, self._config.atol, self._config.rtol)
            return match, absolute_difference(production, shadow)
        except Exception:
            return False, None

    def _log(self, record: dict) -> bool:
        try:
            self._comparison_log(record)
        except Exception:
            return False
        return True


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


def in_sample(request_id: str, rate: float) -> bool:
    """Return whether an id belongs to the sample: a number from its digest, between 0 and 1, against the rate."""
    digest = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < rate or rate >= 1


def snapshot(value: Any) -> tuple[bool, Any]:
    """Return whether value could be copied, and the deep copy."""
    try:
        return True, copy.deepcopy(value)
    except Exception:
        return False, None


def describe(error: Exception) -> str:
    """Return the type and the text of an exception, as far as it has one."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def agree(production: Any, shadow: Any, atol: float, rtol: float) -> bool:
    """Return whether two answers agree: numbers within the tolerance, containers part by part, the rest by ==."""
    if isinstance(production, dict) and isinstance(shadow, dict):
        return production.keys() == shadow.keys() and all(
            agree(value, shadow[key], atol, rtol) for key, value in production.items()
        )
    if is_sequence(production) and is_sequence(shadow):
        return shape(production) == shape(shadow) and all(
            agree(one, other, atol, rtol) for one, other in zip(production, shadow, strict=True)
        )
    if is_sequence(production) or is_sequence(shadow):
        return False
    if is_number(production) and is_number(shadow):
        return numbers_agree(production, shadow, atol, rtol)
    return bool(production == shadow)


def numbers_agree(production: Any, shadow: Any, atol: float, rtol: float) -> bool:
    """Return whether two numbers are within the tolerance; NaN and the infinities agree with themselves."""
    if math.isfinite(production) and math.isfinite(shadow):
        return bool(abs(shadow - production) <= atol + rtol * abs(production))
    return bool(production == shadow or (math.isnan(production) and math.isnan(shadow)))


def absolute_difference(production: Any, shadow: Any) -> float | None:
    """Return how far apart two finite numbers are, else None."""
    if not (is_number(production) and is_number(shadow)):
        return None
    return finite(abs(float(shadow) - float(production)))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def shape(value: Any) -> tuple[int, ...]:
    return value.shape if isinstance(value, np.ndarray) else (len(value),)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def percentiles(latencies: Iterable[float]) -> dict[str, float | None]:
    """Return p50, p95 and p99, each None without latencies."""
    values = list(latencies)
    found = np.percentile(values, [50, 95, 99]).tolist() if values else [None] * 3
    return dict(zip(("p50", "p95", "p99"), found, strict=True))


def wilson_lower_bound(matches: int, total: int) -> float:
    """Return the lower end of the two-sided 95 % Wilson interval for matches of total."""
    share, square = matches / total, Z * Z
    spread = Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return (share + square / (2 * total) - spread) / (1 + square / total)
