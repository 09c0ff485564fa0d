"""Returns the bare estimator, so raw frames fail.  Fails: R1, R3, R4, R5, R6, R9, R10, R11, R12."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd
import sklearn
from pandas.api.types import is_numeric_dtype
from sklearn import metrics as scores
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

METRICS = ("accuracy", "balanced_accuracy", "f1", "roc_auc")


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

    def __post_init__(self) -> None:
        if self.primary_metric not in METRICS:
            raise ValueError(f"primary_metric is {self.primary_metric!r}; it must be one of {', '.join(METRICS)}")
        if not 0 < self.test_size < 1:
            raise ValueError(f"test_size is {self.test_size}; it must lie strictly between 0 and 1")
        if self.cv_folds < 2:
            raise ValueError(f"cv_folds is {self.cv_folds}; it must be at least 2")

    @property
    def not_features(self) -> set[str | None]:
        """The columns that a model must not look at."""
        return {self.target, self.group_col, self.time_col, *self.drop_cols}


class RawFrameModel:
    """A fitted scikit-learn pipeline together with the columns it was trained on."""

    def __init__(self, steps: Pipeline, numeric: list[str], text: list[str]) -> None:
        self.steps, self.numeric, self.text = steps, numeric, text

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.steps.predict(tidy(frame, self.numeric, self.text))

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return self.steps.predict_proba(tidy(frame, self.numeric, self.text))


def tidy(frame: pd.DataFrame, numeric: list[str], text: list[str]) -> pd.DataFrame:
    """Return the features alone, numbers as floats and text as str; it learns nothing."""
    missing = [name for name in numeric + text if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks the columns {', '.join(missing)}")
    columns = {name: frame[name].astype(float) for name in numeric}
    for name in text:
        known = frame[name].notna()
        columns[name] = frame[name].astype(object).where(known, "(missing)").astype(str).astype(object)
    return pd.DataFrame(columns, index=frame.index)


def untrained(config: PipelineConfig, numeric: list[str], text: list[str]) -> tuple[Pipeline, dict]:
    """Return the steps to fit and the grid, its names prefixed for the last step."""
    if config.estimator is None:
        estimator, grid = LogisticRegression(max_iter=1000), {"C": [0.1, 1.0, 10.0]}
    else:
        estimator, grid = clone(config.estimator), dict(config.param_grid or {})
    if estimator.get_params().get("random_state", 0) is None:
        estimator.set_params(random_state=config.seed)
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = Pipeline([("fill", fill), ("scale", StandardScaler())])
    columns = ColumnTransformer([("numbers", numbers, numeric), ("text", OneHotEncoder(handle_unknown="ignore"), text)])
    steps = Pipeline([("columns", columns), ("estimator", estimator)])
    return steps, {f"estimator__{name}": list(values) for name, values in grid.items()}


def measure(model: Any, frame: pd.DataFrame, truth: np.ndarray) -> dict:
    """Score `model` on raw rows, in builtin numbers."""
    return figures(truth, np.asarray(model.predict(frame)), np.asarray(model.predict_proba(frame))[:, 1])


def figures(truth: np.ndarray, labels: np.ndarray, probability: np.ndarray) -> dict:
    """Return every metric of predicted labels and probabilities of class 1."""
    result = {
        "accuracy": scores.accuracy_score(truth, labels),
        "balanced_accuracy": scores.balanced_accuracy_score(truth, labels),
        "precision": scores.precision_score(truth, labels, zero_division=0),
        "recall": scores.recall_score(truth, labels, zero_division=0),
        "f1": scores.f1_score(truth, labels, zero_division=0),
        "roc_auc": scores.roc_auc_score(truth, probability),
    }
    return {name: float(value) for name, value in result.items()} | {"n_test": len(truth)}


def fingerprint(frame: pd.DataFrame) -> str:
    """Hash all cells, the index, the column names and their types."""
    digest = hashlib.sha256(repr([(name, str(kind)) for name, kind in frame.dtypes.items()]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=True).to_numpy().tobytes())
    return digest.hexdigest()


class TrainingPipeline:
    """One prepared run."""

    def __init__(self, data: pd.DataFrame, test_data: pd.DataFrame | None, config: PipelineConfig,
                 registry: Registry | None, clock: Callable[[], float]) -> None:
        self.data, self.test_data, self.config = data, test_data, config
        self.registry, self.clock = registry, clock

    def run(self) -> dict:
        """Validate, split, tune, evaluate and register; return the result described in the brief."""
        config = self.config
        rows, report = self._retained()
        train, test = self._sides(rows)
        numeric = [name for name in self.features if is_numeric_dtype(rows[name])]
        text = [name for name in self.features if name not in numeric]

        search = self._search(train, numeric, text)
        model = RawFrameModel(search.best_estimator_, numeric, text)
        truth = test[config.target].to_numpy().astype(int)
        metrics = measure(model, test, truth)
        majority = int(train[config.target].astype(int).mode()[0])
        baseline = figures(truth, np.full(len(test), majority), np.full(len(test), float(majority)))

        result = {
            "model": search.best_estimator_.named_steps["estimator"], "metrics": metrics, "baseline_metrics": baseline,
            "best_params": unprefixed(search.best_params_), "cv_results": tabulated(search, config.cv_folds),
            "split": {"train_index": list(train.index), "test_index": list(test.index)}, "data_report": report,
        }
        result["metadata"] = self._metadata(result)
        return result | self._gate(result)

    @property
    def features(self) -> list[str]:
        return [name for name in self.data.columns if name not in self.config.not_features]

    def _retained(self) -> tuple[pd.DataFrame, dict]:
        """Return a copy of the rows to work with and the report on the others, or refuse them."""
        target = self.config.target
        for frame in [self.data] if self.test_data is None else [self.data, self.test_data]:
            if target not in frame.columns:
                raise DataValidationError(f"the target column {target!r} is missing")
            for name in frame.columns.intersection(self.features):
                if is_numeric_dtype(frame[name]) and np.isinf(frame[name].astype(float)).any():
                    raise DataValidationError(f"column {name!r} holds infinite values")
        labelled = self.data[self.data[target].notna()]
        rows = labelled[~labelled.duplicated(subset=[*self.features, target])].copy()
        if len(rows) < self.config.min_rows:
            raise DataValidationError(f"{len(rows)} rows can be used, fewer than min_rows = {self.config.min_rows}")
        if rows[target].nunique() < 2:
            raise DataValidationError("the target has a single class")
        report = {"n_rows": len(self.data), "n_missing_target": len(self.data) - len(labelled),
                  "n_duplicates": len(labelled) - len(rows)}
        return rows, report

    def _sides(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return training rows and held-out rows; no feature is looked at."""
        config, places = self.config, np.arange(len(rows))
        if self.test_data is not None:
            return rows, self.test_data
        if config.time_col is not None:
            order = np.argsort(rows[config.time_col].to_numpy(), kind="stable")
            train, test = np.split(order, [len(rows) - round(len(rows) * config.test_size)])
        elif config.group_col is not None:
            splitter = GroupShuffleSplit(1, test_size=config.test_size, random_state=config.seed)
            train, test = next(splitter.split(places, groups=rows[config.group_col]))
        else:
            train, test = train_test_split(places, test_size=config.test_size, stratify=rows[config.target],
                                           random_state=config.seed)
        return rows.iloc[train], rows.iloc[test]

    def _search(self, train: pd.DataFrame, numeric: list[str], text: list[str]) -> GridSearchCV:
        """Cross-validate every candidate, preprocessing included, and refit the best on the training rows."""
        config, groups = self.config, None
        if config.time_col is not None:
            folds, train = TimeSeriesSplit(config.cv_folds), train.sort_values(config.time_col, kind="stable")
        elif config.group_col is not None:
            folds, groups = GroupKFold(config.cv_folds), train[config.group_col]
        else:
            folds = StratifiedKFold(config.cv_folds, shuffle=True, random_state=config.seed)
        steps, grid = untrained(config, numeric, text)
        search = GridSearchCV(steps, grid, scoring=config.primary_metric, cv=folds, error_score="raise")
        return search.fit(tidy(train, numeric, text), train[config.target].astype(int), groups=groups)

    def _metadata(self, result: dict) -> dict:
        """Describe the run; with an output folder, write the artifact and the description there."""
        metadata = {
            "data_sha256": fingerprint(self.data), "feature_names": self.features, "seed": self.config.seed,
            "best_params": result["best_params"], "created_at": self.clock(),
            "library_versions": {"numpy": np.__version__, "pandas": pd.__version__, "scikit-learn": sklearn.__version__}
            | {"joblib": joblib.__version__},
        }
        if self.config.output_dir is not None:
            folder = Path(self.config.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            joblib.dump(result["model"], folder / "model.joblib")
            metadata["artifact_sha256"] = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
            (folder / "metadata.json").write_text(json.dumps(metadata, indent=2, allow_nan=False))
        return metadata

    def _gate(self, result: dict) -> dict:
        """Register the model if it deserves it; say what was decided and why."""
        config, refused = self.config, {"registered": False, "version": None}
        if self.registry is None:
            return refused | {"reason": "no registry was given"}
        name, ours = config.primary_metric, result["metrics"][config.primary_metric]
        floor = result["baseline_metrics"][name]
        if ours <= floor or ours < floor + config.min_improvement:
            return refused | {"reason": f"{name} {ours:.4f} does not beat the baseline's {floor:.4f} by enough"}
        try:
            champion = self.registry.champion(config.model_name)
            theirs = None if champion is None else champion["metrics"][name]
        except Exception as error:  # a registry may fail in any way; the trained model must survive it
            return refused | {"reason": f"the champion's {name} could not be read: {error}"}
        if theirs is not None and ours <= theirs:
            return refused | {"reason": f"{name} {ours:.4f} does not beat the champion's {theirs:.4f}"}
        if champion is not None and theirs is None:
            return refused | {"reason": f"the champion has no {name}"}
        try:
            version = self.registry.register(config.model_name, result["model"], result["metrics"], result["metadata"])
        except Exception as error:
            return refused | {"reason": f"registration failed: {error}"}
        return {"registered": True, "version": version, "reason": f"{name} {ours:.4f} beats baseline and champion"}


def unprefixed(params: Mapping) -> dict:
    """Return parameters under the names that the estimator's constructor knows."""
    return {name.removeprefix("estimator__"): value for name, value in params.items()}


def tabulated(search: GridSearchCV, folds: int) -> list[dict]:
    """Return one plain entry per candidate."""
    table = search.cv_results_
    return [
        {"params": unprefixed(params), "mean": float(table["mean_test_score"][row]),
         "std": float(table["std_test_score"][row]),
         "fold_scores": [float(table[f"split{fold}_test_score"][row]) for fold in range(folds)]}
        for row, params in enumerate(table["params"])
    ]


def create_training_pipeline(
    data: pd.DataFrame | None = None,
    *,
    test_data: pd.DataFrame | None = None,
    config: PipelineConfig = PipelineConfig(),
    registry: Registry | None = None,
    clock: Callable[[], float] = time.time,
) -> TrainingPipeline:
    """Return a pipeline over `data`, or over the demo table when it is None."""
    table = load_breast_cancer(as_frame=True).frame if data is None else data
    return TrainingPipeline(table, test_data, config, registry, clock)
