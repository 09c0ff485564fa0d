"""Watch a model in production: join late labels, measure accuracy, detect drift, raise alerts that mean something."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


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


class ModelMonitor:
    """Hold the latest predictions and their labels, and judge them."""

    def __init__(
        self,
        *,
        rules: AlertRules = AlertRules(),
        clock: Callable[[], float] = time.time,
        max_records: int = 100_000,
    ) -> None:
        raise NotImplementedError

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
        raise NotImplementedError

    def log_actual(self, prediction_id: str, actual: Any) -> bool:
        """Attach a label; return whether the prediction is known."""
        raise NotImplementedError

    def calculate_performance_metrics(self, window_size: int = 100) -> dict:
        """Return n, n_unlabelled, accuracy, precision, recall and f1 over the newest labelled predictions."""
        raise NotImplementedError

    def detect_data_drift(self, new_data: pd.DataFrame, reference_data: pd.DataFrame, threshold: float = 0.05) -> dict:
        """Compare each column of two frames; threshold is the family-wise level."""
        raise NotImplementedError

    def generate_alerts(self) -> list[dict]:
        """Judge the rules now and return the alerts that this call emits."""
        raise NotImplementedError

    def records(self) -> list[dict]:
        """Return a copy of every prediction held."""
        raise NotImplementedError

    def stats(self) -> dict:
        """Return n_records, n_labelled and n_dropped."""
        raise NotImplementedError


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
        raise NotImplementedError

    def monitor_prediction(self, features: Mapping[str, Any], prediction: Any, actual: Any = None) -> None:
        """Pass one prediction on, and alert where it is due."""
        raise NotImplementedError

    def stats(self) -> dict:
        """Return n_errors, the number of exceptions swallowed."""
        raise NotImplementedError


def monitor_system_health(
    sources: Mapping[str, Callable[[], float]],
    thresholds: Mapping[str, Mapping[str, float]],
    alert_sink: Callable[[dict], None],
) -> dict:
    """Read every source, alert on what is out of bounds or missing, and return {name: value or None}."""
    raise NotImplementedError
