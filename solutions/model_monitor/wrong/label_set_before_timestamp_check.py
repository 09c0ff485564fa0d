"""A contradicting repeat attaches its label before its other timestamp is refused.  Fails: R6."""

import contextlib
import copy
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats
from sklearn.metrics import precision_recall_fscore_support


@dataclass(frozen=True)
class AlertRules:
    """Say when a monitor alerts."""

    baseline_accuracy: float | None = None
    max_drop: float = 0.05  # absolute
    alpha: float = 0.01  # one-sided significance of the drop
    min_samples: int = 30
    window_size: int = 100
    cooldown_s: float = 3600.0
    max_silence_s: float | None = None
    min_label_coverage: float | None = None  # labelled / logged
    label_delay_s: float = 0.0  # younger predictions are not expected to have a label yet


@dataclass(slots=True)
class _Record:
    id: str
    features: dict
    prediction: Any
    actual: Any
    timestamp: float


@dataclass(slots=True)
class _Episode:
    open: bool = False
    last_fired: float = -math.inf


def _same_value(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and a != a and b != b:
        return True
    return bool(a == b)


def _same_features(a: Mapping, b: Mapping) -> bool:
    return a.keys() == b.keys() and all(_same_value(a[k], b[k]) for k in a)


class ModelMonitor:
    """Hold the latest predictions and their labels, and judge them."""

    def __init__(
        self,
        *,
        rules: AlertRules = AlertRules(),
        clock: Callable[[], float] = time.time,
        max_records: int = 100_000,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._max_records = max_records
        self._records: OrderedDict[str, _Record] = OrderedDict()  # in log order
        self._waiting: OrderedDict[str, Any] = OrderedDict()
        self._n_labelled = 0
        self._n_dropped = 0
        self._last_sign_of_life = clock()
        self._episodes = {"performance": _Episode(), "no_data": _Episode(), "label_coverage": _Episode()}

    # ------------------------------------------------------------------ logging

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
        if prediction_id is None:
            prediction_id = self._new_id()
        else:
            held = self._records.get(prediction_id)
            if held is not None:
                self._repeat(held, features, prediction, actual, timestamp)
                return prediction_id

        now = self._clock()
        snapshot = copy.deepcopy(dict(features))
        waiting = self._waiting.pop(prediction_id, None)
        if actual is None:
            actual = waiting
        self._records[prediction_id] = _Record(
            prediction_id, snapshot, prediction, actual, now if timestamp is None else timestamp
        )
        self._n_labelled += actual is not None
        self._last_sign_of_life = now
        while len(self._records) > self._max_records:
            _, gone = self._records.popitem(last=False)
            self._n_labelled -= gone.actual is not None
            self._n_dropped += 1
        return prediction_id

    def _new_id(self) -> str:
        while True:
            candidate = uuid.uuid4().hex
            if candidate not in self._records and candidate not in self._waiting:
                return candidate

    def _repeat(self, held: _Record, features: Mapping, prediction: Any, actual: Any, timestamp: float | None) -> None:
        if not _same_features(held.features, features):
            raise ValueError(f"prediction {held.id!r} was logged with other features")
        if held.prediction != prediction:
            raise ValueError(f"prediction {held.id!r} was logged with another prediction")
        if actual is not None:
            if held.actual is None:
                held.actual = actual
                self._n_labelled += 1
            elif held.actual != actual:
                raise ValueError(f"prediction {held.id!r} was logged with another label")
        if timestamp is not None and timestamp != held.timestamp:
            raise ValueError(f"prediction {held.id!r} was logged with another timestamp")

    def log_actual(self, prediction_id: str, actual: Any) -> bool:
        """Attach a label; return whether the prediction is known."""
        if actual is None:
            raise ValueError("a label cannot be None")
        record = self._records.get(prediction_id)
        if record is not None:
            self._n_labelled += record.actual is None
            record.actual = actual
            return True
        self._waiting[prediction_id] = actual
        while len(self._waiting) > self._max_records:
            self._waiting.popitem(last=False)
        return False

    # ------------------------------------------------------------------ metrics

    def _by_time(self) -> list[_Record]:
        # sorted() is stable and the records are in log order: of two with one timestamp the later logged comes last.
        return sorted(self._records.values(), key=attrgetter("timestamp"))

    @staticmethod
    def _window(ordered: list[_Record], size: int) -> tuple[list[_Record], int]:
        """Return the newest labelled records and how many unlabelled ones are newer than the oldest of them."""
        window: list[_Record] = []
        unlabelled = unlabelled_inside = 0
        for record in reversed(ordered):
            if record.actual is None:
                unlabelled += 1
                continue
            window.append(record)
            unlabelled_inside = unlabelled
            if len(window) == size:
                break
        return window, unlabelled_inside if window else unlabelled

    def calculate_performance_metrics(self, window_size: int = 100) -> dict:
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        if window_size <= 0:
            raise ValueError("window_size must be positive")
        window, n_unlabelled = self._window(self._by_time(), window_size)
        result = {"n": len(window), "n_unlabelled": n_unlabelled}
        if not window:
            return result | dict.fromkeys(("accuracy", "precision", "recall", "f1"))
        codes: dict[Any, int] = {}
        predicted = [codes.setdefault(r.prediction, len(codes)) for r in window]
        actual = [codes.setdefault(r.actual, len(codes)) for r in window]
        if codes.keys() <= {0, 1}:
            predicted, actual = [int(r.prediction) for r in window], [int(r.actual) for r in window]
            average = "binary"
        else:
            average = "macro"
        precision, recall, f1, _ = precision_recall_fscore_support(
            np.array(actual), np.array(predicted), average=average, zero_division=0
        )
        correct = sum(r.prediction == r.actual for r in window)
        return result | {
            "accuracy": correct / len(window),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        }

    # ------------------------------------------------------------------ drift

    def detect_data_drift(self, new_data: pd.DataFrame, reference_data: pd.DataFrame, threshold: float = 0.05) -> dict:
        """Compare each column of two frames by Kolmogorov-Smirnov, with Holm's step-down over the columns."""
        p_values: dict[Any, float | None] = {}
        for name in reference_data.columns:
            new = new_data[name].dropna().to_numpy(dtype=float)
            reference = reference_data[name].dropna().to_numpy(dtype=float)
            if new.size == 0 or reference.size == 0:
                p_values[name] = None
                continue
            method = "exact" if max(new.size, reference.size) <= 100 else "asymp"
            p_values[name] = float(min(1.0, max(0.0, scipy_stats.ks_2samp(new, reference, method=method).pvalue)))
        ranked = sorted((p, name) for name, p in p_values.items() if p is not None)
        drifted = set()
        for rank, (p, name) in enumerate(ranked):
            if p * (len(ranked) - rank) >= threshold:
                break
            drifted.add(name)
        return {
            "drift_detected": bool(drifted),
            "features": {name: {"drift": name in drifted, "p_value": p} for name, p in p_values.items()},
        }

    # ------------------------------------------------------------------ alerts

    def generate_alerts(self) -> list[dict]:
        """Judge the rules now and return the alerts that this call emits."""
        now = self._clock()
        rules = self._rules
        ordered: list[_Record] = []
        if rules.baseline_accuracy is not None or rules.min_label_coverage is not None:
            ordered = self._by_time()
        alerts = []
        for kind, judge in (
            ("performance", self._judge_performance),
            ("no_data", self._judge_silence),
            ("label_coverage", self._judge_coverage),
        ):
            verdict = judge(ordered, now)
            if verdict is None:
                continue
            bad, value, threshold, n = verdict
            state = self._advance(self._episodes[kind], bad, now)
            if state is not None:
                alerts.append(
                    {
                        "type": kind,
                        "severity": "critical" if state == "firing" else "info",
                        "state": state,
                        "message": f"{kind} {state}: {value:.4g} against a limit of {threshold:.4g} (n={n})",
                        "value": value,
                        "threshold": threshold,
                        "n": n,
                        "timestamp": now,
                    }
                )
        return alerts

    def _advance(self, episode: _Episode, bad: bool, now: float) -> str | None:
        if not bad:
            was_open, episode.open = episode.open, False
            return "resolved" if was_open else None
        if episode.open and now - episode.last_fired <= self._rules.cooldown_s:
            return None
        episode.open = True
        episode.last_fired = now
        return "firing"

    def _judge_performance(self, ordered: list[_Record], now: float) -> tuple | None:
        rules = self._rules
        if rules.baseline_accuracy is None:
            return None
        window, _ = self._window(ordered, rules.window_size)
        n = len(window)
        if n == 0 or n < rules.min_samples:
            return None
        correct = sum(r.prediction == r.actual for r in window)
        accuracy = correct / n
        bad = rules.baseline_accuracy - accuracy > rules.max_drop and bool(
            scipy_stats.binom.cdf(correct, n, rules.baseline_accuracy) < rules.alpha
        )
        return bad, accuracy, float(rules.baseline_accuracy - rules.max_drop), n

    def _judge_silence(self, ordered: list[_Record], now: float) -> tuple | None:
        limit = self._rules.max_silence_s
        if limit is None:
            return None
        silence = now - self._last_sign_of_life
        return silence > limit, float(silence), float(limit), 0

    def _judge_coverage(self, ordered: list[_Record], now: float) -> tuple | None:
        rules = self._rules
        if rules.min_label_coverage is None:
            return None
        counted = []
        for record in reversed(ordered):
            if now - record.timestamp < rules.label_delay_s:
                continue
            counted.append(record)
            if len(counted) == rules.window_size:
                break
        n = len(counted)
        if n == 0 or n < rules.min_samples:
            return None
        coverage = sum(r.actual is not None for r in counted) / n
        return coverage < rules.min_label_coverage, coverage, float(rules.min_label_coverage), n

    # ------------------------------------------------------------------ views

    def records(self) -> list[dict]:
        """Return a copy of every prediction held."""
        return [
            {
                "id": r.id,
                "features": copy.deepcopy(r.features),
                "prediction": r.prediction,
                "actual": r.actual,
                "timestamp": r.timestamp,
            }
            for r in self._records.values()
        ]

    def stats(self) -> dict:
        """Return n_records, n_labelled and n_dropped."""
        return {"n_records": len(self._records), "n_labelled": int(self._n_labelled), "n_dropped": self._n_dropped}


class AdvancedModelMonitor:
    """Feed a tracker, a drift detector and business metrics from live predictions, and survive all three."""

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
        self._tracker = performance_tracker
        self._detector = drift_detector
        self._business = business_metrics
        self._sink = alert_sink
        self._threshold = business_threshold
        self._batch_size = drift_batch_size
        self._batch: list[dict] = []
        self._below = False
        self._n_errors = 0

    def monitor_prediction(self, features: Mapping[str, Any], prediction: Any, actual: Any = None) -> None:
        """Pass one prediction on, and alert where it is due."""
        self._batch.append(copy.deepcopy(dict(features)))
        try:
            self._tracker.log(features, prediction, actual)
        except Exception:
            self._n_errors += 1
        if len(self._batch) >= self._batch_size:
            self._check_drift()
        if actual is not None:
            self._check_business(prediction, actual)

    def _check_drift(self) -> None:
        batch, self._batch = self._batch, []
        n = len(batch)
        try:
            drifted = bool(self._detector.is_drift_detected(batch))
        except Exception:
            self._n_errors += 1
            return
        if drifted:
            self._send({"type": "drift", "message": f"drift in the last {n} predictions"})

    def _check_business(self, prediction: Any, actual: Any) -> None:
        try:
            impact = self._business.calculate_impact(prediction, actual)
            below = bool(impact < self._threshold)
        except Exception:
            self._n_errors += 1
            return
        was_below, self._below = self._below, below
        if below and not was_below:
            value = float(impact)
            self._send(
                {
                    "type": "business",
                    "message": f"impact {value:g} is below {self._threshold:g}",
                    "value": value if math.isfinite(value) else None,
                    "threshold": float(self._threshold),
                }
            )

    def _send(self, alert: dict) -> None:
        try:
            self._sink(alert)
        except Exception:
            self._n_errors += 1

    def stats(self) -> dict:
        """Return n_errors, the number of exceptions swallowed."""
        return {"n_errors": self._n_errors}


def monitor_system_health(
    sources: Mapping[str, Callable[[], float]],
    thresholds: Mapping[str, Mapping[str, float]],
    alert_sink: Callable[[dict], None],
) -> dict:
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""

    def send(alert: dict) -> None:
        with contextlib.suppress(Exception):  # the other metrics still have to be looked at
            alert_sink(alert)

    values: dict[str, float | None] = {}
    for name in list(dict.fromkeys([*sources, *thresholds])):
        value = _read(sources[name]) if name in sources else None
        values[name] = value
        if value is None:
            send({"type": "metric_unavailable", "metric": name, "message": f"{name} is unavailable"})
            continue
        limits = thresholds.get(name, {})
        low, high = limits.get("min"), limits.get("max")
        if low is not None and value < low:
            message = f"{name} is {value}, below {low}"
        elif high is not None and value > high:
            message = f"{name} is {value}, above {high}"
        else:
            continue
        send({"type": "threshold", "metric": name, "value": value, "message": message})
    return values


def _read(source: Callable[[], Any]) -> int | float | None:
    try:
        value = source()
    except Exception:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
