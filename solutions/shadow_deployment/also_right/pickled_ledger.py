"""One ledger entry per request, counted when asked; snapshots are pickles; an answer is flattened to leaves."""

import math
import pickle
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist, fmean
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


@dataclass
class Entry:
    """Where one request stands."""

    state: str
    match: bool | None = None
    abs_diff: float | None = None
    production_ms: float | None = None
    shadow_ms: float | None = None


class ShadowDeployment:
    """Keep a ledger with one line per request whose production call has ended."""

    def __init__(self, production: Any, shadow: Any, executor: Any, log: Any, config: ShadowConfig, clock: Any) -> None:
        self.production, self.shadow, self.executor = production, shadow, executor
        self.log, self.config, self.clock = log, config, clock
        self.ledger: list[Entry] = []
        self.pending = self.log_failures = 0
        self.guard = threading.Lock()

    def handle(self, request: Request) -> Any:
        """Return production's answer; mirror the request."""
        wanted = zlib.crc32(request.id.encode()) < self.config.sample_rate * 2**32
        features = pickled(request.features) if wanted else None
        before = self.clock()
        try:
            answer = self.production.predict(request.features)
        except Exception:
            self.enter("n_production_errors")
            raise
        production_ms = (self.clock() - before) * 1e3
        if not wanted:
            self.enter("n_not_sampled", production_ms)
            return answer
        kept = pickled(answer)
        with self.guard:
            fits = features is not None and kept is not None and self.pending < self.config.max_in_flight
            entry = Entry("n_pending" if fits else "n_dropped", production_ms=production_ms)
            self.ledger.append(entry)
            self.pending += fits
        if fits:
            try:
                self.executor.submit(lambda: self.mirror(request.id, features, kept, entry))
            except Exception:
                self.settle(entry, "n_dropped")
        return answer

    def mirror(self, request_id: str, features: bytes, kept: bytes, entry: Entry) -> None:
        """Run the shadow's side of a request."""
        production, error = pickle.loads(kept), None
        own_features = pickle.loads(features)
        answer = match = abs_diff = None
        before = self.clock()
        try:
            answer = self.shadow.predict(own_features)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        shadow_ms = (self.clock() - before) * 1e3
        if error is None:
            try:
                match, abs_diff = compare(production, answer, self.config)
            except Exception:
                match = False
        try:
            self.log(
                {
                    "request_id": request_id,
                    "production": production,
                    "shadow": answer,
                    "match": match,
                    "abs_diff": abs_diff,
                    "production_ms": entry.production_ms,
                    "shadow_ms": shadow_ms,
                    "error": error,
                }
            )
        except Exception:
            with self.guard:
                self.log_failures += 1
        done = "n_compared" if error is None else "n_shadow_errors"
        self.settle(entry, done, match, abs_diff, shadow_ms if error is None else None)

    def enter(self, state: str, production_ms: float | None = None) -> None:
        with self.guard:
            self.ledger.append(Entry(state, production_ms=production_ms))

    def settle(self, entry: Entry, state: str, match: Any = None, abs_diff: Any = None, shadow_ms: Any = None) -> None:
        with self.guard:
            self.pending -= 1
            entry.state, entry.match, entry.abs_diff, entry.shadow_ms = state, match, abs_diff, shadow_ms

    def report(self) -> dict:
        """Count the ledger."""
        with self.guard:
            lines = [Entry(**vars(entry)) for entry in self.ledger]
            failures = self.log_failures
        states = Counter(line.state for line in lines)
        names = ("production_errors", "not_sampled", "dropped", "pending", "compared", "shadow_errors")
        distances = [line.abs_diff for line in lines if line.abs_diff is not None]
        compared = states["n_compared"]
        return {
            "n_requests": len(lines),
            **{f"n_{name}": states[f"n_{name}"] for name in names},
            "agreement": sum(line.match is True for line in lines) / compared if compared else None,
            "mean_abs_diff": fmean(distances) if distances else None,
            "log_failures": failures,
            "production_ms": ranks([line.production_ms for line in lines if line.production_ms is not None]),
            "shadow_ms": ranks([line.shadow_ms for line in lines if line.shadow_ms is not None]),
        }

    def ready_to_promote(self) -> tuple[bool, str]:
        """Say whether the shadow may go on to take traffic, and why."""
        report = self.report()
        compared, errors = report["n_compared"], report["n_shadow_errors"]
        failing = []
        if compared < self.config.min_samples:
            failing.append("min_samples")
        if compared and lower_bound(report["agreement"], compared) < self.config.min_agreement:
            failing.append("min_agreement")
        if errors > self.config.max_error_rate * (compared + errors):
            failing.append("max_error_rate")
        return not failing, "failing: " + ", ".join(failing)


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


def pickled(value: Any) -> bytes | None:
    """Return a pickle, or None when there can be none."""
    try:
        return pickle.dumps(value)
    except Exception:
        return None


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Yield (path, leaf) of an answer; a container is a leaf of its own that says its kind and its size."""
    if isinstance(value, dict):
        yield path, ("dict", frozenset(value))
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, np.ndarray):
        yield path, ("array", value.shape)
        for index, item in enumerate(value.ravel().tolist()):
            yield from leaves(item, (*path, index))
    elif isinstance(value, (list, tuple)):
        yield path, (type(value).__name__, len(value))
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value.item() if isinstance(value, np.generic) else value


def compare(production: Any, shadow: Any, config: ShadowConfig) -> tuple[bool, float | None]:
    """Return whether all leaves agree, and the largest distance of two numbers."""
    one, other = dict(leaves(production)), dict(leaves(shadow))
    match, distance = one.keys() == other.keys(), None
    for path in one.keys() & other.keys():
        a, b = one[path], other[path]
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            if math.isfinite(a) and math.isfinite(b):
                gap = abs(b - a)
                distance = max(distance or 0.0, float(gap))
                match = match and gap <= config.atol + config.rtol * abs(a)
            else:
                match = match and (a == b or (math.isnan(a) and math.isnan(b)))
        else:
            match = match and bool(a == b)
    return match, distance if distance is not None and math.isfinite(distance) else None


def ranks(values: list[float]) -> dict:
    """Return the percentiles by nearest rank."""
    ordered = sorted(values)
    return {f"p{p}": ordered[math.ceil(p / 100 * len(ordered)) - 1] if ordered else None for p in (50, 95, 99)}


def lower_bound(share: float, n: int) -> float:
    """Return the lower end of Wilson's interval."""
    z = NormalDist().inv_cdf(0.975)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    return centre - z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
