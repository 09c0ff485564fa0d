"""Infinity is looked for only in rows that are left after cleaning.  Fails: R2.

Design: plain classes, with numpy and pandas alone for preprocessing, splitting and measuring.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import numbers
import random
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd
import scipy
import sklearn
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression


class DataValidationError(ValueError):
    """The data cannot be trained on; the message says why."""


class Registry(Protocol):
    """Where models are registered."""

    def champion(self, name: str) -> Mapping | None:
        """Return `{"version": ..., "metrics": {...}}` of the current champion, or None."""

    def register(self, name: str, model: Any, metrics: Mapping, metadata: Mapping) -> int:
        """Store the model and return its version."""


@dataclass(frozen=True)
class PipelineConfig:
    """The settings of one run."""

    target: str = "target"
    estimator: Any | None = None
    param_grid: Mapping[str, Sequence] | None = None
    primary_metric: str = "balanced_accuracy"
    seed: int = 0
    test_size: float = 0.25
    cv_folds: int = 3
    group_col: str | None = None
    time_col: str | None = None
    drop_cols: Sequence[str] = ()
    max_missing_frac: float = 0.5
    min_rows: int = 50
    min_improvement: float = 0.0
    model_name: str = "model"
    output_dir: Path | None = None


# ------------------------------------------------------------- preprocessing


class NumberColumn:
    """Median for the gaps, zero mean, unit spread, and a column that says where the gaps were."""

    def __init__(self, column: pd.Series):
        values = self._floats(column)
        known = values[~np.isnan(values)]
        self.fill = float(np.median(known)) if len(known) else 0.0
        filled = np.where(np.isnan(values), self.fill, values)
        self.mean = float(filled.mean())
        spread = float(filled.std())
        self.scale = spread if spread > 1e-12 * max(abs(self.mean), 1e-200) else 1.0

    @staticmethod
    def _floats(column: pd.Series) -> np.ndarray:
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)

    def encode(self, column: pd.Series) -> np.ndarray:
        values = self._floats(column)
        gaps = np.isnan(values)
        scaled = (np.where(gaps, self.fill, values) - self.mean) / self.scale
        return np.column_stack([np.clip(scaled, -1e30, 1e30), gaps.astype(float)])


class TextColumn:
    """One column per word known from training; a gap is a word of its own, an unknown word is all zeros."""

    def __init__(self, column: pd.Series):
        words = sorted({str(value) for value in column.dropna()})
        self.place = {word: i for i, word in enumerate(words)}

    def encode(self, column: pd.Series) -> np.ndarray:
        out = np.zeros((len(column), len(self.place) + 1))
        for row, (value, gap) in enumerate(zip(column.tolist(), column.isna().tolist(), strict=True)):
            j = len(self.place) if gap else self.place.get(str(value))
            if j is not None:
                out[row, j] = 1.0
        return out


class Encoder:
    """All features of a frame as one matrix of floats."""

    def __init__(self, frame: pd.DataFrame):
        self.columns = {name: self._learn(frame[name]) for name in frame.columns}

    @staticmethod
    def _learn(column: pd.Series):
        return NumberColumn(column) if is_number(column) else TextColumn(column)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        absent = [str(name) for name in self.columns if name not in frame.columns]
        if absent:
            raise ValueError(f"the frame has no column {', '.join(absent)}")
        return np.hstack([column.encode(frame[name]) for name, column in self.columns.items()])


def is_number(column: pd.Series) -> bool:
    """Tell numbers from text."""
    return pd.api.types.is_numeric_dtype(column.infer_objects().dtype)


class Constant:
    """The only class that a training part has."""

    def __init__(self, label):
        self.classes_, self.label = np.array([label]), label

    def predict(self, matrix):
        return np.full(len(matrix), self.label)

    def predict_proba(self, matrix):
        return np.ones((len(matrix), 1))


class Model:
    """An encoder and a classifier, both fitted on the same rows."""

    def __init__(self, encoder: Encoder, classifier: Any):
        self.encoder, self.classifier = encoder, classifier

    @classmethod
    def fit(cls, frame: pd.DataFrame, y: np.ndarray, classifier: Any) -> Model:
        """Fit both on exactly these rows."""
        encoder = Encoder(frame)
        if y.min() == y.max():
            return cls(encoder, Constant(int(y[0])))
        classifier = clone(classifier)
        classifier.fit(encoder.encode(frame), y)
        return cls(encoder, classifier)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return 0 or 1 for each row."""
        return np.asarray(self.classifier.predict(self.encoder.encode(frame))).astype(int)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of 0 and of 1 for each row."""
        given = np.asarray(self.classifier.predict_proba(self.encoder.encode(frame)), dtype=float)
        out = np.zeros((len(given), 2))
        for j, label in enumerate(self.classifier.classes_):
            out[:, int(label)] = given[:, j]
        return out


# ----------------------------------------------------------------- measuring


class Figures:
    """The six figures of a model, by counting."""

    NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc")
    PRIMARY = ("accuracy", "balanced_accuracy", "f1", "roc_auc")

    @classmethod
    def of(cls, y: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> dict:
        tp = int(((y == 1) & (labels == 1)).sum())
        tn = int(((y == 0) & (labels == 0)).sum())
        positives, negatives, claimed = int((y == 1).sum()), int((y == 0).sum()), int((labels == 1).sum())
        rates = [hit / all_ for hit, all_ in ((tp, positives), (tn, negatives)) if all_]
        auc = 0.5
        if positives and negatives:
            ranks = rankdata(scores)[y == 1].sum()
            auc = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
        figures = {
            "accuracy": float((tp + tn) / len(y)),
            "balanced_accuracy": float(sum(rates) / len(rates)),
            "precision": tp / claimed if claimed else 0.0,
            "recall": tp / positives if positives else 0.0,
            "f1": 2 * tp / (claimed + positives) if claimed + positives else 0.0,
            "roc_auc": float(auc),
        }
        return {**figures, "n_test": len(y)}

    @classmethod
    def of_model(cls, model: Model, frame: pd.DataFrame, y: np.ndarray) -> dict:
        return cls.of(y, model.predict(frame), model.predict_proba(frame)[:, 1])


# ----------------------------------------------------------------- splitting


class Splitter:
    """Cuts rows by seed, labels, groups and times; it never sees a feature."""

    def __init__(self, config: PipelineConfig, y: np.ndarray, groups=None, times=None):
        self.config, self.y, self.groups, self.times = config, y, groups, times

    def holdout(self) -> np.ndarray:
        """Return the sorted positions of the held-out rows (in order of time if there are times)."""
        n, share = len(self.y), self.config.test_size
        size = max(1, min(n - 1, round(n * share)))
        if self.times is not None:
            return np.sort(np.argsort(self.times, kind="stable")[n - size :])
        if self.groups is not None:
            units = np.unique(self.groups)
            chosen = self._rng(0).permutation(units)[: max(1, min(len(units) - 1, round(len(units) * share)))]
            return np.flatnonzero(np.isin(self.groups, chosen))
        # Shuffle, order by class, and take every (1/share)-th row: each class gives its share.
        order = self._shuffled_by_class(self._rng(0))
        return np.sort(order[((np.arange(size) + 0.5) * n / size).astype(int)])

    def folds(self, positions: np.ndarray):
        """Yield (fit, validate) for each fold, as places within `positions`."""
        k = self.config.cv_folds
        if self.times is not None:
            order = np.argsort(self.times[positions], kind="stable")
            edges = np.linspace(0, len(order), k + 2).astype(int)[1:]
            for start, stop in itertools.pairwise(edges):
                yield order[:start], order[start:stop]
            return
        if self.groups is not None:
            units, inverse = np.unique(self.groups[positions], return_inverse=True)
            fold_of = self._rng(1).permutation(np.arange(len(units)) % k)[inverse]
        else:
            part = Splitter(self.config, self.y[positions])
            fold_of = np.empty(len(positions), dtype=int)
            fold_of[part._shuffled_by_class(self._rng(1))] = np.arange(len(positions)) % k
        for i in range(k):
            yield np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, purpose])

    def _shuffled_by_class(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(self.y))
        return order[np.argsort(self.y[order], kind="stable")]


# ------------------------------------------------------------------ the run


class TrainingPipeline:
    """One prepared run."""

    def __init__(self, data, test_data, config, registry, clock):
        if config.primary_metric not in Figures.PRIMARY:
            raise ValueError(f"primary_metric {config.primary_metric!r} is none of {Figures.PRIMARY}")
        if not 0.0 < config.test_size < 1.0:
            raise ValueError(f"test_size {config.test_size!r} is not between 0 and 1")
        if config.cv_folds < 2:
            raise ValueError(f"cv_folds {config.cv_folds!r} is below 2")
        self.data = load_breast_cancer(as_frame=True).frame if data is None else data
        self.test_data, self.config, self.registry, self.clock = test_data, config, registry, clock
        ignored = {config.target, config.group_col, config.time_col, *config.drop_cols}
        self.features = [name for name in self.data.columns if name not in ignored]

    def run(self) -> dict:
        """Validate, split, tune, evaluate and register; return the result described in the brief."""
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            random.seed(self.config.seed)
            np.random.seed(self.config.seed % 2**32)
            return self._run()
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)

    def _run(self) -> dict:
        config = self.config
        self._validate_columns()
        rows, report = self._clean()
        self._validate_values(rows)
        train, test, splitter, positions = self._split(rows)
        y_train, y_test = self._labels(train), self._labels(test)

        classifier = self._classifier()
        folds = list(splitter.folds(positions))
        cv_results, choices = [], list(self._candidates())
        for params in choices:
            candidate = clone(classifier).set_params(**params)
            scores = [self._score(candidate, train, y_train, fit, validate) for fit, validate in folds]
            cv_results.append(
                {
                    "params": jsonable(params),
                    "fold_scores": scores,
                    "mean": float(np.mean(scores)),
                    "std": float(np.std(scores, ddof=1)),
                }
            )
        winner = int(np.argmax([entry["mean"] for entry in cv_results]))
        best_params = cv_results[winner]["params"]
        final = clone(classifier).set_params(**choices[winner])
        model = Model.fit(train[self.features], y_train, final)

        metrics = Figures.of_model(model, test, y_test)
        majority = int(np.bincount(y_train, minlength=2).argmax())
        flat = np.full(len(y_test), majority)
        baseline = Figures.of(y_test, flat, flat)

        metadata = self._metadata(best_params)
        if config.output_dir is not None:
            self._store(model, metadata)
        registered, version, reason = self._offer(model, metrics, baseline, metadata)
        return {
            "model": model,
            "metrics": metrics,
            "baseline_metrics": baseline,
            "best_params": best_params,
            "cv_results": cv_results,
            "split": {"train_index": train.index.tolist(), "test_index": test.index.tolist()},
            "data_report": report,
            "metadata": metadata,
            "registered": registered,
            "version": version,
            "reason": reason,
        }

    # ---------------------------------------------------------- the steps

    def _validate_columns(self) -> None:
        config = self.config
        needed = {"data": [config.target, config.group_col, config.time_col], "test_data": [config.target]}
        for where, frame in (("data", self.data), ("test_data", self.test_data)):
            if frame is None:
                continue
            for name in [name for name in needed[where] if name is not None] + self.features:
                if name not in frame.columns:
                    raise DataValidationError(f"{where} has no column {name!r}")
        if not self.features:
            raise DataValidationError("data has no features")

    def _validate_values(self, rows) -> None:
        for where, frame in (("data", rows), ("test_data", self.test_data)):
            if frame is None:
                continue
            for name in self.features:
                column = frame[name]
                if is_number(column) and np.isinf(NumberColumn._floats(column)).any():
                    raise DataValidationError(f"{where} has infinite values in {name!r}")

    def _clean(self) -> tuple[pd.DataFrame, dict]:
        config = self.config
        rows = self.data.dropna(subset=[config.target])
        n_missing = len(self.data) - len(rows)
        copies = rows[[config.target, *self.features]].duplicated(keep="first")
        rows = rows[~copies.to_numpy()]
        if len(rows) < max(config.min_rows, 2):
            raise DataValidationError(f"too few rows: {len(rows)}, wanted {config.min_rows}")
        if rows[config.target].nunique() < 2:
            raise DataValidationError("all targets are of one class")
        return rows, {"n_missing_target": int(n_missing), "n_duplicates": int(copies.sum())}

    def _split(self, rows):
        config = self.config
        groups = times = None
        if config.group_col is not None:
            groups = pd.factorize(rows[config.group_col])[0]
        if config.time_col is not None:
            times = rows[config.time_col].rank(method="dense").to_numpy()
        splitter = Splitter(config, self._labels(rows), groups, times)
        if self.test_data is not None:
            train, test, positions = rows, self.test_data, np.arange(len(rows))
        else:
            held_out = splitter.holdout()
            positions = np.setdiff1d(np.arange(len(rows)), held_out)
            train, test = rows.iloc[positions], rows.iloc[held_out]
        if len(train) < config.cv_folds + 1:
            raise DataValidationError(f"too few training rows ({len(train)}) for {config.cv_folds} folds")
        return train, test, splitter, positions

    def _labels(self, frame) -> np.ndarray:
        return frame[self.config.target].to_numpy(dtype=float).astype(int)

    def _classifier(self):
        config = self.config
        if config.estimator is None:
            return LogisticRegression(max_iter=3000, random_state=config.seed)
        own = clone(config.estimator)
        for name, value in own.get_params().items():
            if value is None and (name == "random_state" or name.endswith("__random_state")):
                own.set_params(**{name: config.seed})
        return own

    def _candidates(self):
        grid = self.config.param_grid
        if self.config.estimator is None:
            grid = {"C": [0.03, 0.3, 3.0]}
        grid = grid or {}
        for values in itertools.product(*grid.values()):
            yield dict(zip(grid.keys(), values, strict=True))

    def _score(self, candidate, train, y, fit, validate) -> float:
        frame = train[self.features]
        model = Model.fit(frame.iloc[fit], y[fit], candidate)
        return Figures.of_model(model, frame.iloc[validate], y[validate])[self.config.primary_metric]

    def _metadata(self, best_params) -> dict:
        return {
            "data_sha256": frame_sha256(self.data),
            "feature_names": [jsonable(name) for name in self.features],
            "seed": jsonable(self.config.seed),
            "best_params": best_params,
            "library_versions": {
                "numpy": np.__version__,
                "pandas": pd.__version__,
                "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__,
            },
            "created_at": jsonable(self.clock()),
        }

    def _store(self, model, metadata) -> None:
        folder = Path(self.config.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.joblib"
        joblib.dump(model, path)
        metadata["artifact_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        with (folder / "metadata.json").open("w", encoding="utf-8") as file:
            json.dump(metadata, file, allow_nan=False, indent=1)

    def _offer(self, model, metrics, baseline, metadata) -> tuple[bool, int | None, str]:
        config, name = self.config, self.config.primary_metric
        if self.registry is None:
            return False, None, "no registry"
        m, floor = metrics[name], baseline[name]
        if m <= floor or m < floor + config.min_improvement:
            return False, None, f"{name} {m} against the baseline's {floor} (+ {config.min_improvement}) is too low"
        try:
            champion = self.registry.champion(config.model_name)
        except Exception as error:
            return False, None, f"champion failed: {error!s} ({type(error).__name__})"
        if champion is not None:
            best = (champion.get("metrics") or {}).get(name)
            if best is None:
                return False, None, f"the champion's {name} is not known"
            if not m > best:
                return False, None, f"{name} {m} does not beat the champion's {best}"
        try:
            version = self.registry.register(config.model_name, model, metrics, metadata)
        except Exception as error:
            return False, None, f"register failed: {error!s} ({type(error).__name__})"
        return True, version, f"registered with {name} {m}"


# -------------------------------------------------------------- small helpers


def jsonable(value: Any) -> Any:
    """Return `value` as JSON can hold it."""
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(jsonable(item) for item in value)
    if isinstance(value, (list, np.ndarray)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def frame_sha256(frame: pd.DataFrame) -> str:
    """Hash every cell with its place; all kinds of missing are one, and so are 0.0 and -0.0."""
    digest = hashlib.sha256()

    def feed(tag: bytes, payload: bytes = b"") -> None:
        digest.update(tag + struct.pack("<Q", len(payload)) + payload)

    for name, column in frame.items():
        feed(b"column", str(name).encode("utf-8", "surrogatepass"))
        for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True):
            if missing:
                feed(b"-")
            elif isinstance(value, float) or (column.dtype == object and isinstance(value, numbers.Number)):
                feed(b"f", struct.pack("<d", float(value) + 0.0))
            else:
                feed(b"s", str(value).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def create_training_pipeline(
    data: pd.DataFrame | None = None,
    *,
    test_data: pd.DataFrame | None = None,
    config: PipelineConfig = PipelineConfig(),
    registry: Registry | None = None,
    clock: Callable[[], float] = time.time,
) -> TrainingPipeline:
    """Return a pipeline over `data`, or over the demo table when it is None."""
    return TrainingPipeline(data, test_data, config, registry, clock)
