"""The window holds what was labelled last, not what was predicted last.  Fails: R2, R5, R6."""

import copy
import heapq
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats


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


@dataclass
class Record:
    """One prediction; `order` breaks ties between equal timestamps."""

    order: int
    id: str
    features: dict
    prediction: Any
    actual: Any
    timestamp: float
    labelled_at: int = 0

    @property
    def age_key(self) -> tuple[float, int]:
        return self.timestamp, self.order

    def as_dict(self) -> dict:
        return {
            "id": self.id,
            "features": copy.deepcopy(self.features),
            "prediction": self.prediction,
            "actual": self.actual,
            "timestamp": self.timestamp,
        }


@dataclass
class Episode:
    """Whether a condition holds, and when it last paged."""

    is_open: bool = False
    fired_at: float = -math.inf


@dataclass(frozen=True)
class Condition:
    """What one rule found: `holds` is None when there is too little to judge."""

    holds: bool | None
    value: float | None = None
    threshold: float | None = None
    n: int = 0


UNKNOWN = Condition(None)


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
        self._records: dict[str, Record] = {}  # in log order
        self._waiting: OrderedDict[str, Any] = OrderedDict()  # labels whose prediction is not known yet
        self._episodes: dict[str, Episode] = {}
        self._arrivals = 0
        self._logged = self._labelled = self._dropped = 0
        self._last_sign_of_life = clock()

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
            prediction_id = uuid.uuid4().hex
        elif prediction_id in self._records:
            return self._repeat(self._records[prediction_id], features, prediction, actual, timestamp)
        now = self._clock()
        waiting = self._waiting.pop(prediction_id, None)
        record = Record(
            order=self._logged,
            id=prediction_id,
            features=copy.deepcopy(dict(features)),
            prediction=prediction,
            actual=waiting if actual is None else actual,
            timestamp=now if timestamp is None else timestamp,
        )
        self._records[prediction_id] = record
        self._arrivals += 1
        record.labelled_at = self._arrivals
        self._logged += 1
        self._labelled += record.actual is not None
        self._last_sign_of_life = now
        self._forget_the_oldest()
        return prediction_id

    def _repeat(self, known: Record, features: Mapping[str, Any], prediction: Any, actual: Any, timestamp: Any) -> str:
        contradictions = [
            name
            for name, differs in {
                "features": not same_features(known.features, features),
                "prediction": known.prediction != prediction,
                "timestamp": timestamp is not None and timestamp != known.timestamp,
                "actual": None not in (actual, known.actual) and actual != known.actual,
            }.items()
            if differs
        ]
        if contradictions:
            raise ValueError(f"prediction {known.id!r} is known with other {' and '.join(contradictions)}")
        if actual is not None:
            self._label(known, actual)
        return known.id

    def _forget_the_oldest(self) -> None:
        while len(self._records) > self._max_records:
            gone = self._records.pop(next(iter(self._records)))
            self._labelled -= gone.actual is not None
            self._dropped += 1

    def log_actual(self, prediction_id: str, actual: Any) -> bool:
        """Attach a label; return whether the prediction is known."""
        if actual is None:
            raise ValueError("a label is never None; do not call log_actual before there is one")
        if prediction_id in self._records:
            self._label(self._records[prediction_id], actual)
            return True
        self._waiting[prediction_id] = actual
        if len(self._waiting) > self._max_records:
            self._waiting.popitem(last=False)
        return False

    def _label(self, record: Record, actual: Any) -> None:
        self._labelled += record.actual is None
        record.actual = actual
        self._arrivals += 1
        record.labelled_at = self._arrivals

    def calculate_performance_metrics(self, window_size: int = 100) -> dict:
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        if window_size <= 0:
            raise ValueError(f"window_size must be positive, not {window_size}")
        labelled = (record for record in self._records.values() if record.actual is not None)
        window = heapq.nlargest(window_size, labelled, key=lambda record: record.labelled_at)
        oldest = window[-1].age_key if window else (-math.inf, -1)
        n_unlabelled = sum(record.actual is None and record.age_key > oldest for record in self._records.values())
        counts = {"n": len(window), "n_unlabelled": n_unlabelled}
        return counts | classification_metrics([(record.prediction, record.actual) for record in window])

    @staticmethod
    def _newest(count: int, records: Iterable[Record]) -> list[Record]:
        return heapq.nlargest(count, records, key=lambda record: record.age_key)

    def detect_data_drift(self, new_data: pd.DataFrame, reference_data: pd.DataFrame, threshold: float = 0.05) -> dict:
        """Compare each column of two frames by Kolmogorov-Smirnov; Holm's steps hold the family-wise level."""
        p_values = {name: two_sample_p(new_data[name], reference_data[name]) for name in reference_data.columns}
        drifted = rejected_by_holm(p_values, threshold)
        features = {name: {"drift": name in drifted, "p_value": p} for name, p in p_values.items()}
        return {"drift_detected": bool(drifted), "features": features}

    def generate_alerts(self) -> list[dict]:
        """Judge the rules now and return the alerts that this call emits."""
        now = self._clock()
        conditions = {
            "performance": self._performance(),
            "no_data": self._silence(now),
            "label_coverage": self._coverage(now),
        }
        alerts = []
        for kind, condition in conditions.items():
            state = self._next_state(kind, condition.holds, now)
            if state is not None:
                alerts.append(alert(kind, state, condition, now))
        return alerts

    def _next_state(self, kind: str, holds: bool | None, now: float) -> str | None:
        episode = self._episodes.setdefault(kind, Episode())
        if holds is None:
            return None
        if holds and (not episode.is_open or now - episode.fired_at > self._rules.cooldown_s):
            episode.is_open, episode.fired_at = True, now
            return "firing"
        if not holds and episode.is_open:
            episode.is_open = False
            return "resolved"
        return None

    def _performance(self) -> Condition:
        rules = self._rules
        if rules.baseline_accuracy is None:
            return UNKNOWN
        window = self._newest(rules.window_size, (r for r in self._records.values() if r.actual is not None))
        n = len(window)
        if n == 0 or n < rules.min_samples:
            return UNKNOWN
        correct = sum(record.prediction == record.actual for record in window)
        p_value = stats.binom.cdf(correct, n, rules.baseline_accuracy)
        accuracy = correct / n
        holds = rules.baseline_accuracy - accuracy > rules.max_drop and p_value < rules.alpha
        return Condition(bool(holds), accuracy, rules.baseline_accuracy - rules.max_drop, n)

    def _silence(self, now: float) -> Condition:
        limit = self._rules.max_silence_s
        if limit is None:
            return UNKNOWN
        silence = now - self._last_sign_of_life
        return Condition(silence > limit, silence, limit)

    def _coverage(self, now: float) -> Condition:
        rules = self._rules
        if rules.min_label_coverage is None:
            return UNKNOWN
        due = (record for record in self._records.values() if now - record.timestamp >= rules.label_delay_s)
        window = self._newest(rules.window_size, due)
        n = len(window)
        if n == 0 or n < rules.min_samples:
            return UNKNOWN
        coverage = sum(record.actual is not None for record in window) / n
        return Condition(coverage < rules.min_label_coverage, coverage, rules.min_label_coverage, n)

    def records(self) -> list[dict]:
        """Return a copy of every prediction held."""
        return [record.as_dict() for record in self._records.values()]

    def stats(self) -> dict:
        """Return n_records, n_labelled and n_dropped."""
        return {"n_records": len(self._records), "n_labelled": self._labelled, "n_dropped": self._dropped}


def same_features(known: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Compare two sets of features; NaN equals NaN."""
    return known.keys() == given.keys() and all(
        known[name] == given[name] or (known[name] != known[name] and given[name] != given[name]) for name in known
    )


def classification_metrics(pairs: list[tuple[Any, Any]]) -> dict:
    """Return accuracy, precision, recall and f1 of (prediction, actual) pairs, as scikit-learn defines them."""
    if not pairs:
        return dict.fromkeys(("accuracy", "precision", "recall", "f1"))
    seen = {value for pair in pairs for value in pair}
    classes = [1] if seen <= {0, 1} else list(seen)
    scores = [class_scores(pairs, label) for label in classes]
    precision, recall, f1 = (math.fsum(column) / len(classes) for column in zip(*scores, strict=True))
    accuracy = sum(prediction == actual for prediction, actual in pairs) / len(pairs)
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}


def class_scores(pairs: list[tuple[Any, Any]], label: Any) -> tuple[float, float, float]:
    """Return precision, recall and f1 of one class; a zero denominator gives 0.0."""
    hits = sum(prediction == label == actual for prediction, actual in pairs)
    predicted = sum(prediction == label for prediction, _ in pairs)
    actual_count = sum(actual == label for _, actual in pairs)
    return ratio(hits, predicted), ratio(hits, actual_count), ratio(2 * hits, predicted + actual_count)


def ratio(numerator: int, denominator: int) -> float:
    """Divide; nothing of nothing is 0.0."""
    return numerator / denominator if denominator else 0.0


def two_sample_p(new: pd.Series, reference: pd.Series) -> float | None:
    """Return the Kolmogorov-Smirnov p-value of two columns, or None when one of them is empty."""
    new, reference = new.dropna(), reference.dropna()
    if new.empty or reference.empty:
        return None
    return float(stats.ks_2samp(new, reference).pvalue)


def rejected_by_holm(p_values: Mapping[Any, float | None], level: float) -> set[Any]:
    """Return the names that Holm's step-down procedure rejects at a family-wise level."""
    ranked = sorted((p, name) for name, p in p_values.items() if p is not None)
    rejected = set()
    for place, (p, name) in enumerate(ranked):
        if p > level / (len(ranked) - place):
            break
        rejected.add(name)
    return rejected


def alert(kind: str, state: str, condition: Condition, now: float) -> dict:
    """Word one alert."""
    return {
        "type": kind,
        "severity": "info" if state == "resolved" else "critical" if kind == "no_data" else "warning",
        "state": state,
        "message": f"{kind} {state}: {condition.value:.4g} against a limit of {condition.threshold:.4g}",
        "value": condition.value,
        "threshold": condition.threshold,
        "n": condition.n,
        "timestamp": now,
    }


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
        self._batch: list[Any] = []
        self._is_losing = False
        self._n_errors = 0

    def monitor_prediction(self, features: Mapping[str, Any], prediction: Any, actual: Any = None) -> None:
        """Pass one prediction on, and alert where it is due."""
        self._batch.append(copy.deepcopy(features))
        self._attempt(lambda: self._tracker.log(features, prediction, actual))
        self._check_drift()
        if actual is not None:
            self._check_business(prediction, actual)

    def _check_drift(self) -> None:
        if len(self._batch) < self._batch_size:
            return
        batch, self._batch = self._batch, []
        if self._attempt(lambda: bool(self._detector.is_drift_detected(batch))):
            self._send("drift", f"the last {len(batch)} predictions have drifted", n=len(batch))

    def _check_business(self, prediction: Any, actual: Any) -> None:
        impact = self._attempt(lambda: float(self._business.calculate_impact(prediction, actual)))
        if impact is None:
            return
        was_losing, self._is_losing = self._is_losing, impact < self._threshold
        if self._is_losing and not was_losing:
            message = f"business impact {impact:.4g} is below {self._threshold:.4g}"
            self._send("business", message, value=impact, threshold=self._threshold)

    def _send(self, kind: str, message: str, **details: Any) -> None:
        self._attempt(lambda: self._sink({"type": kind, "message": message, **details}))

    def _attempt(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception:
            self._n_errors += 1
            return None

    def stats(self) -> dict:
        """Return n_errors, the number of exceptions swallowed."""
        return {"n_errors": self._n_errors}


def monitor_system_health(
    sources: Mapping[str, Callable[[], float]],
    thresholds: Mapping[str, Mapping[str, float]],
    alert_sink: Callable[[dict], None],
) -> dict:
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""
    values = {}
    for name in dict.fromkeys([*sources, *thresholds]):
        value = values[name] = reading(sources.get(name))
        found = health_alert(name, value, thresholds.get(name, {}))
        if found is not None:
            try:
                alert_sink(found)
            except Exception:
                continue
    return values


def reading(source: Callable[[], Any] | None) -> float | None:
    """Call a source; anything that is not a finite number is None."""
    try:
        value = source() if source is not None else None
    except Exception:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def health_alert(name: str, value: float | None, limits: Mapping[str, float]) -> dict | None:
    """Return the alert that one metric deserves, if any."""
    if value is None:
        return {"type": "metric_unavailable", "metric": name, "message": f"{name} has no value"}
    for bound, is_broken in (
        ("min", value < limits.get("min", -math.inf)),
        ("max", value > limits.get("max", math.inf)),
    ):
        if is_broken:
            message = f"{name} is {value}, its {bound} is {limits[bound]}"
            return {"type": "threshold", "metric": name, "message": message, "value": value, "threshold": limits[bound]}
    return None
