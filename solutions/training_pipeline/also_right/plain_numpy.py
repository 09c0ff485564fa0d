"""Plain numpy: no transformer, splitter or metric of scikit-learn; text becomes one column per category."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import pickle
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd


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


def divided(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def area_under_curve(truth: list[int], chance: list[float]) -> float:
    """Return the share of (one, zero) pairs that are ranked right; ties count half."""
    ranks = pd.Series(chance).rank().to_numpy()
    ones = np.asarray(truth) == 1
    pairs = ones.sum() * (~ones).sum()
    if not pairs:
        return 0.5
    return float((ranks[ones].sum() - ones.sum() * (ones.sum() + 1) / 2) / pairs)


def figures(truth: Sequence[float], said: Sequence[float], chance: Sequence[float]) -> dict:
    truth, said = [int(value) for value in truth], [int(value) for value in said]
    cells = dict.fromkeys(itertools.product((0, 1), repeat=2), 0)
    for pair in zip(truth, said, strict=True):
        cells[pair] += 1
    right, wrong = cells[1, 1], cells[0, 1]
    precision, recall = divided(right, right + wrong), divided(right, right + cells[1, 0])
    return {
        "accuracy": divided(right + cells[0, 0], len(truth)),
        "balanced_accuracy": (recall + divided(cells[0, 0], cells[0, 0] + wrong)) / 2,
        "precision": precision, "recall": recall, "f1": divided(2 * precision * recall, precision + recall),
        "roc_auc": area_under_curve(truth, list(chance)), "n_test": len(truth),
    }


class Model:
    """An estimator with the medians, spreads and categories of the rows that it learned from."""

    def __init__(self, estimator: Any, features: list[str]) -> None:
        self.estimator, self.features = estimator, features
        self.medians: dict[str, float] = {}
        self.spreads: dict[str, tuple[float, float]] = {}
        self.categories: dict[str, list[str]] = {}

    def fit(self, rows: pd.DataFrame, truth: np.ndarray) -> Model:
        for name in self.features:
            if rows[name].dtype.kind in "biuf":
                values = rows[name].to_numpy(dtype=float)
                self.medians[name] = float(np.nanmedian(values)) if not np.isnan(values).all() else 0.0
                filled = np.where(np.isnan(values), self.medians[name], values)
                self.spreads[name] = float(filled.mean()), float(filled.std()) or 1.0
            else:
                self.categories[name] = sorted({str(value) for value in rows[name] if isinstance(value, str)})
        self.estimator.fit(self.matrix(rows), truth)
        return self

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        absent = [name for name in self.features if name not in list(frame.columns)]
        if absent:
            raise ValueError("missing columns: " + ", ".join(absent))
        columns = []
        for name in self.features:
            if name in self.categories:
                for known in self.categories[name]:
                    columns.append(np.array([float(value == known) for value in frame[name]]))
            else:
                values = frame[name].to_numpy(dtype=float)
                mean, spread = self.spreads[name]
                columns.append((np.where(np.isnan(values), self.medians[name], values) - mean) / spread)
        return np.column_stack(columns)

    def predict(self, frame: pd.DataFrame) -> list[int]:
        return [int(value) for value in self.estimator.predict(self.matrix(frame))]

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return self.estimator.predict_proba(self.matrix(frame))


def dealt(rows: pd.DataFrame, config: PipelineConfig, share: float | None, parts: int, salt: str) -> np.ndarray:
    """Give every row a part: part 0 of `share`, or `parts` equal ones; by class, or by group."""
    order = random.Random(f"{config.seed} {salt}")
    result = np.zeros(len(rows), dtype=int)
    keys = rows[config.target].tolist() if config.group_col is None else [0] * len(rows)
    units = list(range(len(rows))) if config.group_col is None else rows[config.group_col].tolist()
    offset = 0
    for key in sorted(set(keys)):
        members = list(dict.fromkeys(unit for unit, kind in zip(units, keys, strict=True) if kind == key))
        order.shuffle(members)
        if share is None:
            part = {unit: (place + offset) % parts for place, unit in enumerate(members)}
            offset += len(members)
        else:
            limit = round(len(members) * share)
            part = {unit: int(place >= limit) for place, unit in enumerate(members)}
        for place, unit in enumerate(units):
            if keys[place] == key:
                result[place] = part[unit]
    return result


class TrainingPipeline:
    """One prepared run."""

    def __init__(self, data: pd.DataFrame, test_data: pd.DataFrame | None, config: PipelineConfig,
                 registry: Registry | None, clock: Callable[[], float]) -> None:
        self.data, self.test_data, self.config, self.registry, self.clock = data, test_data, config, registry, clock
        others = {config.target, config.group_col, config.time_col} | set(config.drop_cols)
        self.features = [name for name in data.columns if name not in others]

    def run(self) -> dict:
        self._check_settings()
        rows, report = self._retained()
        train, test = self._split(rows)
        truth = test[self.config.target].tolist()
        table = self._tune(train)
        best = table[max(range(len(table)), key=lambda place: (table[place]["mean"], -place))]
        model = self._fitted(best["params"], train)
        metrics = figures(truth, model.predict(test), model.predict_proba(test)[:, 1])
        ones = sum(train[self.config.target]) * 2 > len(train)
        baseline = figures(truth, [int(ones)] * len(truth), [float(ones)] * len(truth))
        result = {"model": model, "metrics": metrics, "baseline_metrics": baseline, "best_params": best["params"],
                  "cv_results": table, "data_report": report,
                  "split": {"train_index": train.index.to_numpy(), "test_index": test.index.to_numpy()}}
        result["metadata"] = self._metadata(result)
        decision, reason = self._decision(result)
        result.update(registered=False, version=None, reason=reason)
        if decision:
            try:
                number = self.registry.register(self.config.model_name, model, metrics, result["metadata"])
                result.update(registered=True, version=number)
            except Exception as error:
                result["reason"] = f"{type(error).__name__} in register: {error}"
        return result

    def _check_settings(self) -> None:
        config = self.config
        if config.primary_metric not in ("accuracy", "balanced_accuracy", "f1", "roc_auc"):
            raise ValueError(f"bad primary_metric {config.primary_metric!r}")
        if not (0.0 < config.test_size < 1.0) or config.cv_folds <= 1:
            raise ValueError("bad test_size or cv_folds")

    def _retained(self) -> tuple[pd.DataFrame, dict]:
        target = self.config.target
        for frame in (self.data, self.test_data):
            if frame is None:
                continue
            if target not in frame.columns:
                raise DataValidationError(f"target {target} not found")
            for name in self.features:
                if name in frame.columns and frame[name].dtype.kind == "f" and np.isinf(frame[name].to_numpy()).any():
                    raise DataValidationError(f"{name} is infinite somewhere")
        seen, keep, unlabelled = set(), [], 0
        columns = [self.data[name].tolist() for name in [*self.features, target]]
        for place, values in enumerate(zip(*columns, strict=True)):
            if pd.isna(values[-1]):
                unlabelled += 1
                continue
            key = tuple(None if pd.isna(value) else value for value in values)
            if key not in seen:
                keep.append(place)
            seen.add(key)
        if len(keep) < self.config.min_rows:
            raise DataValidationError(f"{len(keep)} rows are fewer than {self.config.min_rows}")
        rows = self.data.iloc[keep]
        if len(set(rows[target])) < 2:
            raise DataValidationError("there is one class only")
        report = {"n_missing_target": unlabelled, "n_duplicates": len(self.data) - unlabelled - len(keep)}
        return rows, report

    def _split(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        config = self.config
        if self.test_data is not None:
            return rows, self.test_data
        if config.time_col is not None:
            order = sorted(range(len(rows)), key=rows[config.time_col].tolist().__getitem__)
            cut = len(rows) - math.ceil(len(rows) * config.test_size)
            return rows.iloc[order[:cut]], rows.iloc[order[cut:]]
        held_out = dealt(rows, config, config.test_size, 2, "split") == 0
        return rows[~held_out], rows[held_out]

    def _fitted(self, params: Mapping, rows: pd.DataFrame) -> Model:
        if self.config.estimator is None:
            from sklearn.ensemble import HistGradientBoostingClassifier

            estimator = HistGradientBoostingClassifier(max_iter=40)
        else:
            estimator = copy.deepcopy(self.config.estimator)
        estimator.set_params(**params)
        if estimator.get_params().get("random_state", "absent") is None:
            estimator.set_params(random_state=self.config.seed)
        return Model(estimator, self.features).fit(rows, rows[self.config.target].to_numpy().astype(int))

    def _tune(self, train: pd.DataFrame) -> list[dict]:
        config = self.config
        grid = dict(config.param_grid or {}) if config.estimator is not None else {"max_depth": [2, None]}
        part = dealt(train, config, None, config.cv_folds, "folds")
        table = []
        for values in itertools.product(*grid.values()):
            params, found = dict(zip(grid, values, strict=True)), []
            for fold in range(config.cv_folds):
                model, rest = self._fitted(params, train[part != fold]), train[part == fold]
                result = figures(rest[config.target], model.predict(rest), model.predict_proba(rest)[:, 1])
                found.append(result[config.primary_metric])
            mean = sum(found) / len(found)
            spread = math.sqrt(sum((value - mean) ** 2 for value in found) / (len(found) - 1))
            table.append({"params": params, "mean": mean, "std": spread, "fold_scores": found})
        return table

    def _metadata(self, result: dict) -> dict:
        digest = hashlib.sha256(pickle.dumps([str(name) for name in self.data.columns]))
        for name in self.data.columns:
            for value in self.data[name].tolist():
                digest.update(b"-" if pd.isna(value) else repr(value).encode())
                digest.update(b";")
        for label in self.data.index.tolist():
            digest.update(repr(label).encode() + b";")
        metadata = {"data_sha256": digest.hexdigest(), "feature_names": list(self.features), "seed": self.config.seed,
                    "best_params": result["best_params"], "created_at": self.clock(),
                    "library_versions": {name: installed(name) for name in ("numpy", "pandas", "scikit-learn")}}
        if self.config.output_dir is not None:
            folder = Path(self.config.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            joblib.dump(result["model"], folder / "model.joblib", compress=3)
            metadata["artifact_sha256"] = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
            (folder / "metadata.json").write_text(json.dumps(metadata))
        return metadata

    def _decision(self, result: dict) -> tuple[bool, str]:
        name = self.config.primary_metric
        ours, floor = result["metrics"][name], result["baseline_metrics"][name]
        if self.registry is None:
            return False, "no registry"
        try:
            champion = self.registry.champion(self.config.model_name)
            bar = -math.inf if champion is None else champion["metrics"][name]
        except Exception as error:
            return False, f"{type(error).__name__} while reading the champion: {error}"
        good = ours > floor and ours >= floor + self.config.min_improvement and ours > bar
        return good, f"{name}: ours {ours}, baseline {floor}, champion {bar}"


def demo() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(as_frame=True).frame


def create_training_pipeline(
    data: pd.DataFrame | None = None,
    *,
    test_data: pd.DataFrame | None = None,
    config: PipelineConfig = PipelineConfig(),
    registry: Registry | None = None,
    clock: Callable[[], float] = time.time,
) -> TrainingPipeline:
    """Return a pipeline over `data`, or over the demo table when it is None."""
    return TrainingPipeline(demo() if data is None else data, test_data, config, registry, clock)
