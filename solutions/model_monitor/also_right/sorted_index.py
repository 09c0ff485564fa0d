"""Indices kept sorted by bisection, a running heap of nothing: windows are slices; hand-made statistics throughout."""

import bisect
import copy
import itertools
import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class AlertRules:
    """Say when a monitor alerts."""

    baseline_accuracy: float | None = None
    max_drop: float = 0.05
    alpha: float = 0.01
    min_samples: int = 30
    window_size: int = 100
    cooldown_s: float = 3600.0
    max_silence_s: float | None = None
    min_label_coverage: float | None = None
    label_delay_s: float = 0.0


class ModelMonitor:
    """Keep two sorted lists of (timestamp, sequence): of all predictions, and of those with a label."""

    def __init__(
        self,
        *,
        rules: AlertRules = AlertRules(),
        clock: Callable[[], float] = time.time,
        max_records: int = 100_000,
    ) -> None:
        self.rules, self.clock, self.max_records = rules, clock, max_records
        self.by_id: dict[str, dict] = {}
        self.rows: dict[tuple[float, int], dict] = {}
        self.everything: list[tuple[float, int]] = []
        self.labelled: list[tuple[float, int]] = []
        self.log_order: deque[str] = deque()
        self.early: dict[str, Any] = {}
        self.sequence = itertools.count()
        self.names = itertools.count(1)
        self.n_dropped = 0
        self.heard_at = clock()
        self.machines = {kind: episode(rules.cooldown_s) for kind in ("performance", "no_data", "label_coverage")}

    def log_prediction(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        actual: Any = None,
        *,
        prediction_id: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """Store one prediction and return its id."""
        while prediction_id is None:
            candidate = f"prediction-{next(self.names)}"
            prediction_id = candidate if candidate not in self.by_id else None
        if (row := self.by_id.get(prediction_id)) is not None:
            asked = {"features": comparable(features), "prediction": prediction}
            stored = {"features": comparable(row["features"]), "prediction": row["prediction"]}
            for name, value in (("timestamp", timestamp), ("actual", actual)):
                if value is not None and row[name] is not None:
                    asked[name], stored[name] = value, row[name]
            if asked != stored:
                raise ValueError(f"{prediction_id} contradicts what is stored")
            if actual is not None and row["actual"] is None:
                self.set_label(row, actual)
            return prediction_id
        self.heard_at = self.clock()
        stamp = self.heard_at if timestamp is None else timestamp
        key = (stamp, next(self.sequence))
        row = {"id": prediction_id, "features": copy.deepcopy(dict(features)), "prediction": prediction}
        row |= {"actual": None, "timestamp": stamp, "key": key}
        self.by_id[prediction_id] = self.rows[key] = row
        bisect.insort(self.everything, key)
        self.log_order.append(prediction_id)
        label = self.early.pop(prediction_id, None)
        if actual is not None or label is not None:
            self.set_label(row, label if actual is None else actual)
        if len(self.by_id) > self.max_records:
            self.drop(self.log_order.popleft())
        return prediction_id

    def set_label(self, row: dict, actual: Any) -> None:
        if row["actual"] is None:
            bisect.insort(self.labelled, row["key"])
        row["actual"] = actual

    def drop(self, prediction_id: str) -> None:
        row = self.by_id.pop(prediction_id)
        del self.rows[row["key"]]
        del self.everything[bisect.bisect_left(self.everything, row["key"])]
        if row["actual"] is not None:
            del self.labelled[bisect.bisect_left(self.labelled, row["key"])]
        self.n_dropped += 1

    def log_actual(self, prediction_id: str, actual: Any) -> bool:
        """Attach a label; return whether the prediction is known."""
        if actual is None:
            raise ValueError("a label must not be None")
        if prediction_id in self.by_id:
            self.set_label(self.by_id[prediction_id], actual)
            return True
        self.early.pop(prediction_id, None)
        self.early[prediction_id] = actual
        while len(self.early) > self.max_records:
            del self.early[next(iter(self.early))]
        return False

    def calculate_performance_metrics(self, window_size: int = 100) -> dict:
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        if window_size <= 0:
            raise ValueError("an empty window has no metrics")
        keys = self.labelled[-window_size:]
        metrics = {"n": len(keys), "accuracy": None, "precision": None, "recall": None, "f1": None}
        if not keys:
            return metrics | {"n_unlabelled": len(self.everything)}
        newer = len(self.everything) - bisect.bisect_left(self.everything, keys[0])
        table = Counter((self.rows[key]["prediction"], self.rows[key]["actual"]) for key in keys)
        return metrics | {"n_unlabelled": newer - len(keys)} | scores(table)

    def detect_data_drift(self, new_data: pd.DataFrame, reference_data: pd.DataFrame, threshold: float = 0.05) -> dict:
        """Compare each column of two frames with the asymptotic Kolmogorov distribution."""
        p_values = {str(name): kolmogorov_p(new_data[name], reference_data[name]) for name in new_data.columns}
        tested = sum(p is not None for p in p_values.values())
        features = {
            name: {"drift": p is not None and p * tested < threshold, "p_value": p} for name, p in p_values.items()
        }
        return {"drift_detected": any(entry["drift"] for entry in features.values()), "features": features}

    def generate_alerts(self) -> list[dict]:
        """Judge the rules now and return the alerts that this call emits."""
        now = self.clock()
        alerts = []
        for kind, found in (
            ("performance", self.judge_accuracy()),
            ("no_data", self.judge_silence(now)),
            ("label_coverage", self.judge_coverage(now)),
        ):
            if found is None:
                continue
            state = self.machines[kind].send((found.pop("holds"), now))
            if state:
                text = f"{kind}: {found['value']:.3f} (limit {found['threshold']:.3f})"
                alerts.append(
                    {"type": kind, "state": state, "severity": "high", "message": text, "timestamp": now, **found}
                )
        return alerts

    def judge_accuracy(self) -> dict | None:
        rules = self.rules
        keys = self.labelled[-rules.window_size :]
        if rules.baseline_accuracy is None or len(keys) < max(rules.min_samples, 1):
            return None
        right = sum(self.rows[key]["prediction"] == self.rows[key]["actual"] for key in keys)
        accuracy = right / len(keys)
        holds = rules.baseline_accuracy - accuracy > rules.max_drop
        holds = holds and lower_tail(right, len(keys), rules.baseline_accuracy) < rules.alpha
        return {
            "holds": holds,
            "value": accuracy,
            "threshold": rules.baseline_accuracy - rules.max_drop,
            "n": len(keys),
        }

    def judge_silence(self, now: float) -> dict | None:
        limit = self.rules.max_silence_s
        if limit is None:
            return None
        return {"holds": now - self.heard_at > limit, "value": now - self.heard_at, "threshold": limit, "n": 0}

    def judge_coverage(self, now: float) -> dict | None:
        rules = self.rules
        if rules.min_label_coverage is None:
            return None
        end = bisect.bisect_right(self.everything, (now - rules.label_delay_s, math.inf))
        keys = self.everything[max(0, end - rules.window_size) : end]
        if len(keys) < max(rules.min_samples, 1):
            return None
        coverage = sum(self.rows[key]["actual"] is not None for key in keys) / len(keys)
        holds = coverage < rules.min_label_coverage
        return {"holds": holds, "value": coverage, "threshold": rules.min_label_coverage, "n": len(keys)}

    def records(self) -> list[dict]:
        """Return a copy of every prediction held."""
        names = ("id", "features", "prediction", "actual", "timestamp")
        return [{name: copy.deepcopy(self.rows[key][name]) for name in names} for key in self.everything]

    def stats(self) -> dict:
        """Return n_records, n_labelled and n_dropped."""
        return {"n_records": len(self.everything), "n_labelled": len(self.labelled), "n_dropped": self.n_dropped}


def episode(cooldown: float) -> Any:
    """Return a started generator that takes (holds, now) and yields the state to tell, or None."""

    def machine() -> Any:
        holds, now = yield
        while True:
            while not holds:
                holds, now = yield None
            paged = now
            holds, now = yield "firing"
            while holds:
                if now - paged > cooldown:
                    paged = now
                    holds, now = yield "firing"
                else:
                    holds, now = yield None
            holds, now = yield "resolved"

    started = machine()
    next(started)
    return started


def comparable(features: Mapping[str, Any]) -> str:
    return json.dumps(features, sort_keys=True, default=str)


def scores(table: Counter) -> dict:
    """Return the four scores of a confusion table."""
    predicted, actual = Counter(), Counter()
    for (guess, label), count in table.items():
        predicted[guess] += count
        actual[label] += count
    classes = predicted.keys() | actual.keys()
    if classes <= {0, 1}:
        classes = {1}
    per_class = []
    for name in classes:
        hit = table[name, name]
        precision = hit / predicted[name] if predicted[name] else 0.0
        recall = hit / actual[name] if actual[name] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        per_class.append((precision, recall, f1))
    precision, recall, f1 = (float(sum(column) / len(classes)) for column in zip(*per_class, strict=True))
    right = sum(count for (guess, label), count in table.items() if guess == label)
    return {"accuracy": right / table.total(), "precision": precision, "recall": recall, "f1": f1}


def kolmogorov_p(new: pd.Series, reference: pd.Series) -> float | None:
    """Return the two-sample Kolmogorov p-value by its asymptotic series."""
    a, b = (np.sort(column.to_numpy(dtype=float)[column.notna().to_numpy()]) for column in (new, reference))
    if not len(a) or not len(b):
        return None
    grid = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, grid, "right") / len(a) - np.searchsorted(b, grid, "right") / len(b)).max()
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    scaled = (root + 0.12 + 0.11 / root) * gap
    if scaled < 0.3:
        return 1.0
    series = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return float(min(1.0, max(0.0, series)))


def lower_tail(right: int, n: int, p: float) -> float:
    """Return P(X <= right) of a binomial, term by term in logarithms."""
    if p >= 1.0:
        return float(right >= n)
    if p <= 0.0:
        return 1.0
    log_choose = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(right + 1)]
    return math.fsum(math.exp(c + k * math.log(p) + (n - k) * math.log1p(-p)) for k, c in enumerate(log_choose))


class AdvancedModelMonitor:
    """Feed the collaborators; a context manager counts what they raise."""

    def __init__(
        self,
        performance_tracker: Any,
        drift_detector: Any,
        business_metrics: Any,
        *,
        alert_sink: Callable[[dict], None],
        business_threshold: float,
        drift_batch_size: int = 500,
    ) -> None:
        self.tracker, self.detector, self.metrics = performance_tracker, drift_detector, business_metrics
        self.sink, self.threshold, self.batch_size = alert_sink, business_threshold, drift_batch_size
        self.buffer: deque = deque()
        self.healthy = True
        self.failures: list[str] = []

    @contextmanager
    def survive(self) -> Any:
        try:
            yield
        except Exception as error:
            self.failures.append(type(error).__name__)

    def tell(self, **alert: Any) -> None:
        with self.survive():
            self.sink(alert)

    def monitor_prediction(self, features: Mapping[str, Any], prediction: Any, actual: Any = None) -> None:
        """Pass one prediction on, and alert where it is due."""
        self.buffer.append(copy.deepcopy(features))
        if actual is not None:
            with self.survive():
                impact = self.metrics.calculate_impact(prediction, actual)
                was_healthy, self.healthy = self.healthy, impact >= self.threshold
                if was_healthy and not self.healthy:
                    self.tell(type="business", message="impact fell", value=impact, threshold=self.threshold)
        if len(self.buffer) >= self.batch_size:
            batch = [self.buffer.popleft() for _ in range(self.batch_size)]
            with self.survive():
                if self.detector.is_drift_detected(batch):
                    self.tell(type="drift", message=f"{len(batch)} rows drifted")
        with self.survive():
            self.tracker.log(features, prediction, actual)

    def stats(self) -> dict:
        """Return n_errors, the number of exceptions swallowed."""
        return {"n_errors": len(self.failures), "errors": dict(Counter(self.failures))}


def monitor_system_health(
    sources: Mapping[str, Callable[[], float]],
    thresholds: Mapping[str, Mapping[str, float]],
    alert_sink: Callable[[dict], None],
) -> dict:
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""

    def read(name: str) -> float | None:
        try:
            value = sources[name]()
        except Exception:
            return None
        match value:
            case bool():
                return None
            case int() | float() if math.isfinite(value):
                return value
            case _:
                return None

    def send(**alert: Any) -> None:
        try:
            alert_sink(alert)
        except Exception:
            return

    values = {name: read(name) for name in [*sources, *(set(thresholds) - set(sources))]}
    for name, value in values.items():
        if value is None:
            send(type="metric_unavailable", metric=name)
            continue
        low, high = (thresholds.get(name, {}).get(bound) for bound in ("min", "max"))
        if (low is not None and value < low) or (high is not None and value > high):
            send(type="threshold", metric=name, value=value, low=low, high=high)
    return values
