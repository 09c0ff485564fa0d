"""A database in memory: windows are queries, eviction is a delete; Cramér-von Mises with Bonferroni for drift."""

import contextlib
import math
import pickle
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import binomtest, cramervonmises_2samp
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

SCHEMA = """
CREATE TABLE prediction (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, features BLOB, value, label,
                         stamp REAL);
CREATE INDEX by_time ON prediction (stamp, seq);
CREATE INDEX labelled_by_time ON prediction (stamp, seq) WHERE label IS NOT NULL;
CREATE TABLE waiting (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, label);
"""


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
    """Hold the latest predictions in SQLite."""

    def __init__(
        self, *, rules: AlertRules = AlertRules(), clock: Callable[[], float] = time.time, max_records: int = 100_000
    ) -> None:
        self.rules, self.clock, self.max_records = rules, clock, max_records
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.db.executescript(SCHEMA)
        self.held = self.dropped = self.n_waiting = 0
        self.arrival = clock()
        self.fired: dict[str, float] = {}  # type of each open episode: time of its last page

    def one(self, query: str, *values: Any) -> Any:
        return self.db.execute(query, values).fetchone()

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
            prediction_id = str(uuid.uuid4())
        known = self.one("SELECT features, value, label, stamp FROM prediction WHERE id = ?", prediction_id)
        if known is not None:
            return self.repeated(prediction_id, known, features, prediction, actual, timestamp)
        now = self.clock()
        waiting = (
            self.one("DELETE FROM waiting WHERE id = ? RETURNING label", prediction_id) if self.n_waiting else None
        )
        if waiting is not None:
            self.n_waiting -= 1
        label = waiting[0] if waiting is not None and actual is None else actual
        stamp = now if timestamp is None else timestamp
        self.db.execute(
            "INSERT INTO prediction (id, features, value, label, stamp) VALUES (?, ?, ?, ?, ?)",
            (prediction_id, pickle.dumps(dict(features)), prediction, label, stamp),
        )
        self.arrival = now
        self.held += 1
        if self.held > self.max_records:
            self.db.execute("DELETE FROM prediction WHERE seq = (SELECT min(seq) FROM prediction)")
            self.held -= 1
            self.dropped += 1
        return prediction_id

    def repeated(
        self, prediction_id: str, known: tuple, features: Mapping, prediction: Any, actual: Any, timestamp: Any
    ) -> str:
        blob, value, label, stamp = known
        if canonical(pickle.loads(blob)) != canonical(features) or value != prediction:
            raise ValueError(f"{prediction_id} was logged with another content")
        if timestamp is not None and timestamp != stamp:
            raise ValueError(f"{prediction_id} was logged with the timestamp {stamp}")
        if actual is not None and label is not None and actual != label:
            raise ValueError(f"{prediction_id} has the label {label}")
        if actual is not None and label is None:
            self.log_actual(prediction_id, actual)
        return prediction_id

    def log_actual(self, prediction_id: str, actual: Any) -> bool:
        """Attach a label; return whether the prediction is known."""
        if actual is None:
            raise ValueError("None is not a label")
        if self.db.execute("UPDATE prediction SET label = ? WHERE id = ?", (actual, prediction_id)).rowcount:
            return True
        self.db.execute("INSERT OR REPLACE INTO waiting (id, label) VALUES (?, ?)", (prediction_id, actual))
        (self.n_waiting,) = self.one("SELECT count(*) FROM waiting")
        if self.n_waiting > self.max_records:
            self.db.execute("DELETE FROM waiting WHERE seq = (SELECT min(seq) FROM waiting)")
            self.n_waiting -= 1
        return False

    def window(self, size: int) -> list[tuple]:
        query = """SELECT value, label, stamp, seq FROM prediction WHERE label IS NOT NULL
                   ORDER BY stamp DESC, seq DESC LIMIT ?"""
        return self.db.execute(query, (size,)).fetchall()

    def calculate_performance_metrics(self, window_size: int = 100) -> dict:
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        if window_size <= 0:
            raise ValueError("window_size must be at least 1")
        rows = self.window(window_size)
        oldest = rows[-1][2:] if rows else (-1e300, -1)
        query = "SELECT count(*) FROM prediction WHERE label IS NULL AND (stamp, seq) > (?, ?)"
        (n_unlabelled,) = self.one(query, *oldest)
        counts = {"n": len(rows), "n_unlabelled": n_unlabelled}
        if not rows:
            return {**counts, "accuracy": None, "precision": None, "recall": None, "f1": None}
        predictions, labels = [row[0] for row in rows], [row[1] for row in rows]
        average = "binary" if set(predictions) | set(labels) <= {0, 1} else "macro"
        scores = precision_recall_fscore_support(labels, predictions, average=average, zero_division=0)[:3]
        names = ("accuracy", "precision", "recall", "f1")
        return counts | dict(zip(names, map(float, (accuracy_score(labels, predictions), *scores)), strict=True))

    def detect_data_drift(self, new_data: pd.DataFrame, reference_data: pd.DataFrame, threshold: float = 0.05) -> dict:
        """Compare each column of two frames; report p-values multiplied by the number of columns."""
        features = {}
        for name in new_data.columns:
            new, reference = new_data[name].dropna().to_numpy(), reference_data[name].dropna().to_numpy()
            if min(len(new), len(reference)) < 2:
                features[name] = {"drift": False, "p_value": None}
                continue
            p_value = min(1.0, float(cramervonmises_2samp(new, reference).pvalue) * len(new_data.columns))
            features[name] = {"drift": p_value < threshold, "p_value": max(0.0, p_value)}
        return {"drift_detected": any(column["drift"] for column in features.values()), "features": features}

    def generate_alerts(self) -> list[dict]:
        """Judge the rules now and return the alerts that this call emits."""
        now = self.clock()
        return [
            alert
            for judge in (self.performance, self.no_data, self.label_coverage)
            if (found := judge(now)) is not None and (alert := self.step(judge.__name__, now, *found)) is not None
        ]

    def step(self, kind: str, now: float, holds: bool, value: float, threshold: float, n: int) -> dict | None:
        if holds and kind in self.fired and now - self.fired[kind] <= self.rules.cooldown_s:
            return None
        if holds:
            self.fired[kind] = now
        elif self.fired.pop(kind, None) is None:
            return None
        state = "firing" if holds else "resolved"
        return {
            "type": kind,
            "severity": "page" if holds else "note",
            "state": state,
            "value": value,
            "message": f"{kind} is {state} at {value}",
            "threshold": threshold,
            "n": n,
            "timestamp": now,
        }

    def performance(self, now: float) -> tuple | None:
        baseline, rows = self.rules.baseline_accuracy, self.window(self.rules.window_size)
        if baseline is None or not rows or len(rows) < self.rules.min_samples:
            return None
        right = sum(row[0] == row[1] for row in rows)
        p_value = binomtest(right, len(rows), baseline, alternative="less").pvalue
        drop = baseline - right / len(rows)
        holds = bool(drop > self.rules.max_drop and p_value < self.rules.alpha)
        return holds, right / len(rows), baseline - self.rules.max_drop, len(rows)

    def no_data(self, now: float) -> tuple | None:
        if self.rules.max_silence_s is None:
            return None
        silence = now - self.arrival
        return silence > self.rules.max_silence_s, silence, self.rules.max_silence_s, self.held

    def label_coverage(self, now: float) -> tuple | None:
        minimum = self.rules.min_label_coverage
        if minimum is None:
            return None
        query = """SELECT count(*), count(label) FROM (SELECT label FROM prediction WHERE stamp <= ?
                   ORDER BY stamp DESC, seq DESC LIMIT ?)"""
        n, labelled = self.one(query, now - self.rules.label_delay_s, self.rules.window_size)
        if n < max(1, self.rules.min_samples):
            return None
        return labelled / n < minimum, labelled / n, minimum, n

    def records(self) -> list[dict]:
        """Return a copy of every prediction held."""
        rows = self.db.execute("SELECT id, features, value, label, stamp FROM prediction").fetchall()
        keys = ("id", "features", "prediction", "actual", "timestamp")
        return [dict(zip(keys, (row[0], pickle.loads(row[1]), *row[2:]), strict=True)) for row in rows]

    def stats(self) -> dict:
        """Return n_records, n_labelled and n_dropped."""
        (labelled,) = self.one("SELECT count(label) FROM prediction")
        return {"n_records": self.held, "n_labelled": labelled, "n_dropped": self.dropped}


def canonical(features: Mapping[str, Any]) -> dict:
    return {
        name: "NaN of a float" if isinstance(value, float) and math.isnan(value) else value
        for name, value in features.items()
    }


class AdvancedModelMonitor:
    """Feed the collaborators, each behind its own guard."""

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
        self.tracker, self.detector, self.business = performance_tracker, drift_detector, business_metrics
        self.sink, self.floor, self.size = alert_sink, business_threshold, drift_batch_size
        self.rows: list[bytes] = []
        self.below = False
        self.n_errors = 0

    def guarded(self, function: Callable[..., Any], *values: Any) -> Any:
        try:
            return function(*values)
        except Exception:
            self.n_errors += 1
            return None

    def monitor_prediction(self, features: Mapping[str, Any], prediction: Any, actual: Any = None) -> None:
        """Pass one prediction on, and alert where it is due."""
        self.rows.append(pickle.dumps(features))
        self.guarded(lambda: self.tracker.log(features, prediction, actual))
        if len(self.rows) == self.size:
            rows = [pickle.loads(row) for row in self.rows]
            self.rows.clear()
            if self.guarded(lambda: self.detector.is_drift_detected(rows)):
                self.guarded(self.sink, {"type": "drift", "message": "the inputs have drifted"})
        if actual is None:
            return
        impact = self.guarded(lambda: self.business.calculate_impact(prediction, actual))
        if impact is not None:
            if impact < self.floor and not self.below:
                alert = {"type": "business", "message": "impact is low", "value": impact, "threshold": self.floor}
                self.guarded(self.sink, alert)
            self.below = impact < self.floor

    def stats(self) -> dict:
        """Return n_errors, the number of exceptions swallowed."""
        return {"n_errors": self.n_errors}


def monitor_system_health(
    sources: Mapping[str, Callable[[], float]],
    thresholds: Mapping[str, Mapping[str, float]],
    alert_sink: Callable[[dict], None],
) -> dict:
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""
    result, alerts = {}, []
    for name in {*sources, *thresholds}:
        try:
            value = sources[name]()
            if type(value) not in (int, float) or not math.isfinite(value):
                value = None
        except Exception:
            value = None
        result[name] = value
        limits = thresholds.get(name, {})
        if value is None:
            alerts.append({"type": "metric_unavailable", "metric": name, "value": None})
        elif ("min" in limits and value < limits["min"]) or ("max" in limits and value > limits["max"]):
            alerts.append({"type": "threshold", "metric": name, "value": value, "limits": dict(limits)})
    for alert in alerts:
        with contextlib.suppress(Exception):
            alert_sink(alert)
    return result
