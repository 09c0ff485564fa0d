"""Folds written by hand: frames are encoded with pandas, every fold encodes and clones for itself."""

from __future__ import annotations

import hashlib
import io
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
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import ParameterGrid, StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit


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


class Encoder:
    """Turns raw frames into a numeric frame, with what it saw in the rows it was made from."""

    def __init__(self, rows: pd.DataFrame, features: list[str], max_missing: float) -> None:
        self.features = features
        self.used = [name for name in features if rows[name].isna().mean() <= max_missing]
        self.numbers = [name for name in self.used if pd.api.types.is_numeric_dtype(rows[name])]
        self.texts = [name for name in self.used if name not in self.numbers]
        self.means = rows[self.numbers].mean()
        self.spread = rows[self.numbers].std().replace(0, 1).fillna(1)
        self.columns = list(self._wide(rows).columns)

    def _wide(self, frame: pd.DataFrame) -> pd.DataFrame:
        numbers = (frame[self.numbers].astype(float).fillna(self.means) - self.means) / self.spread
        gaps = frame[self.numbers].isna().astype(float).add_suffix(" is missing")
        parts = [numbers, gaps]
        if self.texts:
            parts.append(pd.get_dummies(frame[self.texts].astype(object), columns=self.texts, dtype=float))
        return pd.concat(parts, axis=1)

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        for name in self.features:
            if name not in frame:
                raise ValueError(f"column {name!r} is missing")
        return self._wide(frame).reindex(columns=self.columns, fill_value=0.0).to_numpy()


@dataclass
class Fitted:
    """An encoder and the estimator that was fitted on what it encoded."""

    encoder: Encoder
    estimator: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.estimator.predict(self.encoder(frame))

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return self.estimator.predict_proba(self.encoder(frame))


def score_all(truth: np.ndarray, said: np.ndarray, chance: np.ndarray) -> dict:
    return {
        "accuracy": float(accuracy_score(truth, said)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, said)),
        "precision": float(precision_score(truth, said, zero_division=0.0)),
        "recall": float(recall_score(truth, said, zero_division=0.0)),
        "f1": float(f1_score(truth, said, zero_division=0.0)),
        "roc_auc": float(roc_auc_score(truth, chance)),
        "n_test": len(truth),
    }


class TrainingPipeline:
    """One prepared run."""

    def __init__(self, data, test_data, config, registry, clock) -> None:
        self.data = load_breast_cancer(as_frame=True).frame if data is None else data
        self.test_data, self.config, self.registry, self.clock = test_data, config, registry, clock
        if config.primary_metric not in {"accuracy", "balanced_accuracy", "f1", "roc_auc"}:
            raise ValueError("unknown primary_metric")
        if config.test_size <= 0 or config.test_size >= 1:
            raise ValueError("test_size must be in (0, 1)")
        if config.cv_folds < 2:
            raise ValueError("cv_folds must be 2 or more")
        hidden = [config.target, config.group_col, config.time_col, *config.drop_cols]
        self.features = [name for name in self.data.columns if name not in hidden]

    def check(self, frame: pd.DataFrame) -> None:
        if self.config.target not in frame:
            raise DataValidationError(f"no target column named {self.config.target}")
        numbers = frame[[name for name in self.features if name in frame]].select_dtypes("number")
        for name, column in numbers.items():
            if np.isinf(column.to_numpy(dtype=float)).any():
                raise DataValidationError(f"infinite value in {name}")

    def clean(self) -> tuple[pd.DataFrame, dict]:
        target = self.config.target
        self.check(self.data)
        if self.test_data is not None:
            self.check(self.test_data)
        known = self.data.dropna(subset=[target])
        unique = known.drop_duplicates(subset=[*self.features, target])
        if len(unique) < self.config.min_rows:
            raise DataValidationError(f"too few rows: {len(unique)}")
        if unique[target].nunique() == 1:
            raise DataValidationError("only one class in the target")
        unique = unique.assign(**{target: unique[target].astype(int)})
        return unique, {"n_missing_target": len(self.data) - len(known), "n_duplicates": len(known) - len(unique)}

    def cut(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        config = self.config
        if self.test_data is not None:
            return rows, self.test_data
        if config.time_col:
            rows = rows.sort_values(config.time_col, kind="mergesort")
            first = round(len(rows) * (1 - config.test_size))
            return rows.iloc[:first], rows.iloc[first:]
        if config.group_col:
            groups = np.array(sorted(rows[config.group_col].unique()))
            np.random.default_rng(config.seed).shuffle(groups)
            chosen = rows[config.group_col].isin(groups[: max(1, round(len(groups) * config.test_size))])
            return rows[~chosen], rows[chosen]
        splitter = StratifiedShuffleSplit(1, test_size=config.test_size, random_state=config.seed)
        train, test = next(splitter.split(rows, rows[config.target]))
        return rows.iloc[train], rows.iloc[test]

    def folds(self, train: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
        config = self.config
        if config.group_col:
            cutter = StratifiedGroupKFold(config.cv_folds, shuffle=True, random_state=config.seed)
            return list(cutter.split(train, train[config.target], train[config.group_col]))
        cutter = StratifiedKFold(config.cv_folds, shuffle=True, random_state=config.seed)
        return list(cutter.split(train, train[config.target]))

    def fit(self, rows: pd.DataFrame, params: Mapping) -> Fitted:
        encoder = Encoder(rows, self.features, self.config.max_missing_frac)
        estimator = RandomForestClassifier(60) if self.config.estimator is None else clone(self.config.estimator)
        estimator.set_params(**params)
        if "random_state" in estimator.get_params() and estimator.get_params()["random_state"] is None:
            estimator.set_params(random_state=self.config.seed)
        return Fitted(encoder, estimator.fit(encoder(rows), rows[self.config.target].to_numpy()))

    def score(self, model: Fitted, rows: pd.DataFrame) -> dict:
        truth = rows[self.config.target].to_numpy().astype(int)
        return score_all(truth, model.predict(rows), model.predict_proba(rows)[:, 1])

    def tune(self, train: pd.DataFrame) -> list[dict]:
        folds, table = self.folds(train), []
        grid = {"min_samples_leaf": [1, 4]} if self.config.estimator is None else self.config.param_grid or {}
        for params in ParameterGrid({name: list(values) for name, values in grid.items()}):
            found = [self.score(self.fit(train.iloc[left], params), train.iloc[right])[self.config.primary_metric]
                     for left, right in folds]
            table.append({"params": dict(params), "mean": float(np.mean(found)), "std": float(np.std(found)),
                          "fold_scores": found})
        return table

    def run(self) -> dict:
        rows, report = self.clean()
        train, test = self.cut(rows)
        table = self.tune(train)
        best = max(table, key=lambda entry: entry["mean"])["params"]
        model = self.fit(train, best)
        metrics = self.score(model, test)
        truth = test[self.config.target].to_numpy().astype(int)
        most = int(train[self.config.target].mean() > 0.5)
        baseline = score_all(truth, np.full(len(truth), most), np.full(len(truth), 0.5))
        metadata = self.describe(model, best)
        registered, version, reason = self.offer(model, metrics, baseline, metadata)
        return {"model": model, "metrics": metrics, "baseline_metrics": baseline, "best_params": best,
                "cv_results": table, "split": {"train_index": train.index, "test_index": test.index},
                "data_report": report, "metadata": metadata, "registered": registered, "version": version,
                "reason": reason}

    def describe(self, model: Fitted, best: dict) -> dict:
        text = io.StringIO()
        self.data.to_csv(text)
        text.write(repr(list(map(str, self.data.dtypes))))
        metadata = {"data_sha256": hashlib.sha256(text.getvalue().encode()).hexdigest(), "seed": self.config.seed,
                    "feature_names": self.features, "best_params": best, "created_at": self.clock(),
                    "library_versions": {"numpy": np.__version__, "pandas": pd.__version__,
                                         "scikit-learn": sklearn.__version__}}
        if self.config.output_dir is not None:
            buffer = io.BytesIO()
            joblib.dump(model, buffer)
            metadata["artifact_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
            folder = Path(self.config.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.joblib").write_bytes(buffer.getvalue())
            (folder / "metadata.json").write_text(json.dumps(metadata))
        return metadata

    def offer(self, model: Fitted, metrics: dict, baseline: dict, metadata: dict) -> tuple[bool, int | None, str]:
        name = self.config.primary_metric
        if self.registry is None:
            return False, None, "there is no registry"
        if not metrics[name] > baseline[name]:
            return False, None, "not better than the majority class"
        if not metrics[name] >= baseline[name] + self.config.min_improvement:
            return False, None, "not enough better than the majority class"
        try:
            champion = self.registry.champion(self.config.model_name)
        except Exception as error:
            return False, None, f"champion() failed: {error!r}"
        if champion is not None:
            theirs = (champion.get("metrics") or {}).get(name)
            if theirs is None:
                return False, None, f"the champion has no {name}"
            if not metrics[name] > theirs:
                return False, None, "the champion is at least as good"
        try:
            version = self.registry.register(
                name=self.config.model_name, model=model, metrics=metrics, metadata=metadata
            )
        except Exception as error:
            return False, None, f"register() failed: {error!r}"
        return True, version, "better than the baseline and the champion"


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
