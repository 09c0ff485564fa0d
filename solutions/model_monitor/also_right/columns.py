"""Columns instead of records: parallel arrays keyed by row number, numpy for windows, scikit-learn for scores."""

import contextlib
import copy
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from uuid import uuid1, uuid4

import numpy as np
from scipy import special
from scipy import stats as st
from sklearn import metrics as sk


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


NAMES = "accuracy", "precision", "recall", "f1"


class ModelMonitor:
    """Keep one dict per column; the keys are row numbers that only grow."""

    def __init__(self, *, rules=AlertRules(), clock=time.time, max_records=100_000):
        self._rules, self._clock, self._capacity = rules, clock, max_records
        self._ids, self._rows, self._features, self._values, self._labels, self._stamps = {}, {}, {}, {}, {}, {}
        self._pending = {}
        self._next = 0
        self._alive_at = clock()
        self._open = defaultdict(lambda: None)

    def log_prediction(self, features, prediction, actual=None, *, prediction_id=None, timestamp=None):
        """Store one prediction and return its id."""
        key = prediction_id if prediction_id is not None else f"{uuid1().hex}{uuid4().hex}"
        if key in self._rows:
            self._check_repeat(self._rows[key], features, prediction, actual, timestamp)
            if actual is not None:
                self._labels[self._rows[key]] = actual
            return key
        row, self._next = self._next, self._next + 1
        self._alive_at = self._clock()
        self._ids[row], self._rows[key] = key, row
        self._features[row], self._values[row] = copy.deepcopy(features), prediction
        self._stamps[row] = self._alive_at if timestamp is None else timestamp
        pending = self._pending.pop(key, None)
        label = pending if actual is None else actual
        if label is not None:
            self._labels[row] = label
        expired = row - self._capacity
        if expired in self._ids:
            del self._rows[self._ids.pop(expired)]
            for column in (self._features, self._values, self._stamps):
                del column[expired]
            self._labels.pop(expired, None)
        return key

    def _check_repeat(self, row, features, prediction, actual, timestamp):
        known = self._features[row]
        same = set(known) == set(features) and prediction == self._values[row]
        for name in known if same else ():
            a, b = known[name], features[name]
            both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
            same = same and (both_nan or a == b)
        if timestamp is not None:
            same = same and timestamp == self._stamps[row]
        if actual is not None:
            same = same and self._labels.get(row, actual) == actual
        if not same:
            raise ValueError("this id was logged with other content")

    def log_actual(self, prediction_id, actual):
        """Attach a label; return whether the prediction is known."""
        if actual is None:
            raise ValueError("actual is None")
        known = prediction_id in self._rows
        if known:
            self._labels[self._rows[prediction_id]] = actual
        else:
            self._pending[prediction_id] = actual
            for oldest in list(islice(self._pending, max(0, len(self._pending) - self._capacity))):
                del self._pending[oldest]
        return known

    @staticmethod
    def _order(rows, stamps):
        rows = np.fromiter(rows, dtype=np.int64)
        times = np.fromiter((stamps[row] for row in rows.tolist()), dtype=float, count=len(rows))
        order = np.lexsort((rows, times))
        return rows[order], times[order]

    def _window(self, size):
        rows, times = self._order(self._labels, self._stamps)
        return rows[-size:].tolist(), times[-size:].tolist()

    def calculate_performance_metrics(self, window_size=100):
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        if window_size < 1:
            raise ValueError("window_size < 1")
        rows, times = self._window(window_size)
        unlabelled = [row for row in self._stamps if row not in self._labels]
        if not rows:
            return {"n": 0, "n_unlabelled": len(unlabelled), **dict.fromkeys(NAMES)}
        newer = sum((self._stamps[row], row) > (times[0], rows[0]) for row in unlabelled)
        y_pred, y_true = [self._values[row] for row in rows], [self._labels[row] for row in rows]
        binary = all(value in (0, 1) for value in y_pred + y_true)
        how = {"average": "binary", "pos_label": 1} if binary else {"average": "macro"}
        found = [sk.accuracy_score(y_true, y_pred)]
        found += [
            score(y_true, y_pred, zero_division=0, **how)
            for score in (sk.precision_score, sk.recall_score, sk.f1_score)
        ]
        return {"n": len(rows), "n_unlabelled": newer} | {name: float(x) for name, x in zip(NAMES, found, strict=True)}

    def detect_data_drift(self, new_data, reference_data, threshold=0.05):
        """Compare location and spread of each column; Šidák's level for the family."""
        columns = list(reference_data.columns)
        level = -math.expm1(math.log1p(-threshold) / max(1, len(columns)))
        features = {}
        for name in columns:
            new, old = (frame[name].to_numpy(dtype=float) for frame in (new_data, reference_data))
            new, old = new[~np.isnan(new)], old[~np.isnan(old)]
            if len(new) < 3 or len(old) < 3:
                features[name] = {"drift": False, "p_value": None}
                continue
            tests = (st.mannwhitneyu(new, old), st.levene(new, old, center="median"))
            p = min(1.0, 2 * min(float(np.nan_to_num(test.pvalue, nan=1.0)) for test in tests))
            features[name] = {"drift": bool(p <= level), "p_value": p}
        return {"drift_detected": True in [entry["drift"] for entry in features.values()], "features": features}

    def generate_alerts(self):
        """Judge the rules now and return the alerts that this call emits."""
        now, rules, alerts = self._clock(), self._rules, []

        def judge(kind, holds, value, threshold, n):
            since = self._open[kind]
            if holds == (since is not None) and not (holds and now > since + rules.cooldown_s):
                return
            self._open[kind] = now if holds else None
            state = "firing" if holds else "resolved"
            alerts.append(
                {
                    "type": kind,
                    "severity": "error" if holds else "ok",
                    "state": state,
                    "message": f"{kind} {state}",
                    "value": value,
                    "threshold": threshold,
                    "n": n,
                    "timestamp": now,
                }
            )

        rows, _ = self._window(rules.window_size)
        if rules.baseline_accuracy is not None and rows and len(rows) >= rules.min_samples:
            n, hits = len(rows), sum(self._values[row] == self._labels[row] for row in rows)
            unlikely = float(special.bdtr(hits, n, rules.baseline_accuracy)) < rules.alpha
            large = rules.baseline_accuracy - hits / n > rules.max_drop
            judge("performance", unlikely and large, hits / n, rules.baseline_accuracy - rules.max_drop, n)
        if rules.max_silence_s is not None:
            silence = now - self._alive_at
            judge("no_data", silence > rules.max_silence_s, silence, rules.max_silence_s, len(self._ids))
        if rules.min_label_coverage is not None:
            ripe = [row for row, stamp in self._stamps.items() if now - stamp >= rules.label_delay_s]
            newest = self._order(ripe, self._stamps)[0][-rules.window_size :].tolist()
            if newest and len(newest) >= rules.min_samples:
                share = sum(row in self._labels for row in newest) / len(newest)
                judge("label_coverage", share < rules.min_label_coverage, share, rules.min_label_coverage, len(newest))
        return alerts

    def records(self):
        """Return a copy of every prediction held."""
        return [
            {
                "id": key,
                "features": copy.deepcopy(self._features[row]),
                "prediction": self._values[row],
                "actual": self._labels.get(row),
                "timestamp": self._stamps[row],
            }
            for row, key in self._ids.items()
        ]

    def stats(self):
        """Return n_records, n_labelled and n_dropped."""
        return {
            "n_records": len(self._ids),
            "n_labelled": len(self._labels),
            "n_dropped": self._next - len(self._ids),
        }


class AdvancedModelMonitor:
    """Feed the collaborators in turn; each step is a generator of alerts that may break off."""

    def __init__(
        self,
        performance_tracker,
        drift_detector,
        business_metrics,
        *,
        alert_sink,
        business_threshold,
        drift_batch_size=500,
    ):
        self._tracker, self._detector, self._metrics = performance_tracker, drift_detector, business_metrics
        self._sink, self._threshold, self._size = alert_sink, business_threshold, drift_batch_size
        self._seen, self._below, self._errors = [], False, 0

    def monitor_prediction(self, features, prediction, actual=None):
        """Pass one prediction on, and alert where it is due."""
        self._seen.append(copy.deepcopy(features))
        for step in (self._track, self._drift, self._impact):
            try:
                alert = step(features, prediction, actual)
            except Exception:
                self._errors += 1
                continue
            if alert:
                try:
                    self._sink(alert)
                except Exception:
                    self._errors += 1

    def _track(self, features, prediction, actual):
        self._tracker.log(features, prediction, actual)

    def _drift(self, *_):
        if len(self._seen) >= self._size:
            rows, self._seen = self._seen[: self._size], self._seen[self._size :]
            if self._detector.is_drift_detected(rows):
                return {"type": "drift", "message": "drift in a batch", "n": self._size}
        return None

    def _impact(self, _, prediction, actual):
        if actual is None:
            return None
        impact = self._metrics.calculate_impact(prediction, actual)
        before, self._below = self._below, bool(impact < self._threshold)
        if self._below and not before:
            return {"type": "business", "message": "low", "value": impact, "threshold": self._threshold}
        return None

    def stats(self):
        """Return n_errors, the number of exceptions swallowed."""
        return {"n_errors": self._errors}


def monitor_system_health(sources, thresholds, alert_sink):
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""
    answer = {}
    for name in list(sources) + [name for name in thresholds if name not in sources]:
        alert = {"metric": name, "message": name}
        try:
            value = sources[name]()
            if isinstance(value, (bool, str, bytes)) or math.isnan(value) or math.isinf(value):
                raise TypeError(f"{name} is not a number: {value!r}")
            limits = thresholds.get(name) or {}
            answer[name] = alert["value"] = value
            bad = not limits.get("min", value) <= value <= limits.get("max", value)
            alert["type"] = "threshold" if bad else None
        except Exception:
            answer[name], alert["type"] = None, "metric_unavailable"
        if alert["type"]:
            with contextlib.suppress(Exception):
                alert_sink(alert)
    return answer
