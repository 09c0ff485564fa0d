"""Functions and a dict of state: checked on creation, text target-encoded inside the pipeline of each fold."""

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
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, KFold, ParameterGrid, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, TargetEncoder


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


SCORES = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "precision": "precision",
          "recall": "recall", "f1": "f1", "roc_auc": "roc_auc"}


class Select(TransformerMixin, BaseEstimator):
    """First step: takes the known features out of any frame and fills text with a word."""

    def __init__(self, names: list[str], texts: list[str]) -> None:
        self.names, self.texts = names, texts

    def fit(self, X: pd.DataFrame, y: Any = None) -> Select:
        self.fitted_ = True
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        for name in self.names:
            if name not in X.columns:
                raise ValueError(f"feature {name} is not in the frame")
        chosen = {name: X[name].astype(object).fillna("?").astype(str).astype(object) if name in self.texts
                  else X[name].astype("float64") for name in self.names}
        return pd.DataFrame(chosen)


def build(config: PipelineConfig, names: list[str], texts: list[str], params: Mapping) -> Any:
    estimator = ExtraTreesClassifier(80) if config.estimator is None else clone(config.estimator)
    estimator.set_params(**params)
    if estimator.get_params(deep=False).get("random_state", 0) is None:
        estimator.set_params(random_state=config.seed)
    numbers = make_pipeline(SimpleImputer(strategy="mean", add_indicator=True), RobustScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (TargetEncoder(random_state=config.seed, target_type="binary"), texts), remainder="drop")
    return make_pipeline(Select(names, texts), columns, estimator)


def check(frame: pd.DataFrame, names: list[str], target: str) -> None:
    if target not in frame.columns:
        raise DataValidationError(f"{target!r} is not a column")
    for name in names:
        if name in frame.columns and frame[name].isin([np.inf, -np.inf]).any():
            raise DataValidationError(f"{name!r} has infinite values")


def prepare(data: pd.DataFrame, test_data: pd.DataFrame | None, config: PipelineConfig) -> dict:
    names = data.columns.drop([c for c in (config.target, config.group_col, config.time_col, *config.drop_cols)
                               if c in data.columns]).tolist()
    for frame in (data, test_data):
        if frame is not None:
            check(frame, names, config.target)
    rows = data.loc[data[config.target].notna()]
    repeated = rows.duplicated(subset=[*names, config.target], keep="first")
    report = {"n_missing_target": int(data[config.target].isna().sum()), "n_duplicates": int(repeated.sum())}
    rows = rows.loc[~repeated]
    if len(rows) < config.min_rows:
        raise DataValidationError(f"only {len(rows)} rows, need {config.min_rows}")
    if rows[config.target].nunique() < 2:
        raise DataValidationError("need more than one class")
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(data[name])]
    return {"rows": rows, "names": names, "texts": texts, "report": report}


def split(
    rows: pd.DataFrame, test_data: pd.DataFrame | None, config: PipelineConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if test_data is not None:
        return rows, test_data
    if config.time_col is not None:
        order = rows[config.time_col].argsort(kind="stable").to_numpy()
        count = int(len(rows) * config.test_size)
        return rows.iloc[order[:-count]], rows.iloc[order[-count:]]
    rng = np.random.default_rng(config.seed)
    if config.group_col is not None:
        codes, groups = pd.factorize(rows[config.group_col])
        chosen = rng.permutation(len(groups))[: round(len(groups) * config.test_size)]
        held_out = np.isin(codes, chosen)
    else:
        held_out = np.zeros(len(rows), dtype=bool)
        for value in (0, 1):
            places = np.flatnonzero(rows[config.target].to_numpy() == value)
            held_out[rng.permutation(places)[: round(len(places) * config.test_size)]] = True
    return rows.iloc[~held_out], rows.iloc[held_out]


def cross_validate(train: pd.DataFrame, truth: pd.Series, config: PipelineConfig, state: dict) -> list[dict]:
    groups = None
    if config.group_col is not None:
        folds, groups = GroupKFold(config.cv_folds, shuffle=True, random_state=config.seed), train[config.group_col]
    elif config.time_col is not None:
        folds = KFold(config.cv_folds)
    else:
        folds = StratifiedKFold(config.cv_folds)
    grid = config.param_grid if config.estimator is not None else {"max_depth": [4, None]}
    results = []
    for params in ParameterGrid(dict(grid or {})):
        steps = build(config, state["names"], state["texts"], params)
        found = cross_val_score(
            steps, train, truth, groups=groups, cv=folds, scoring=config.primary_metric, error_score="raise"
        )
        results.append({"params": params, "mean": float(found.mean()), "std": float(found.std(ddof=1)),
                        "fold_scores": found.tolist()})
    return results


def evaluate(model: Any, frame: pd.DataFrame, truth: pd.Series) -> dict:
    found = {name: float(get_scorer(scorer)(model, frame, truth)) for name, scorer in SCORES.items()}
    return found | {"n_test": len(frame)}


def sha256(frame: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in frame:
        digest.update(f"{column}|{frame[column].dtype}|".encode())
        digest.update("\x1f".join(map(repr, frame[column].astype(object).where(frame[column].notna(), None))).encode())
    digest.update("\x1f".join(map(repr, frame.index)).encode())
    return digest.hexdigest()


def gate(config: PipelineConfig, registry: Registry | None, result: dict) -> dict:
    metric, verdict = config.primary_metric, {"registered": False, "version": None}
    ours, floor = result["metrics"][metric], result["baseline_metrics"][metric]
    try:
        if registry is None:
            reason = "no registry to register with"
        elif ours <= floor:
            reason = f"{metric} is not above the baseline"
        elif ours < floor + config.min_improvement:
            reason = f"{metric} is less than {config.min_improvement} above the baseline"
        elif (champion := registry.champion(config.model_name)) is not None and metric not in champion["metrics"]:
            reason = f"the champion does not know {metric}"
        elif champion is not None and ours <= champion["metrics"][metric]:
            reason = f"{metric} is not above the champion's"
        else:
            version = registry.register(config.model_name, result["model"], result["metrics"], result["metadata"])
            verdict, reason = {"registered": True, "version": version}, "it beats baseline and champion"
    except Exception as error:
        reason = f"the registry failed with {error}"
    return verdict | {"reason": reason}


class TrainingPipeline:
    """One prepared run: the data is checked on creation."""

    def __init__(self, state: dict, data: pd.DataFrame, test_data: pd.DataFrame | None, config: PipelineConfig,
                 registry: Registry | None, clock: Callable[[], float]) -> None:
        self.given = state, data, test_data, config, registry, clock

    def run(self) -> dict:
        state, data, test_data, config, registry, clock = self.given
        train, test = split(state["rows"], test_data, config)
        truth = {"train": train[config.target].astype(int), "test": test[config.target].astype(int)}
        results = cross_validate(train, truth["train"], config, state)
        best = results[int(np.argmax([entry["mean"] for entry in results]))]["params"]
        model = build(config, state["names"], state["texts"], best).fit(train, truth["train"])
        dummy = DummyClassifier(strategy="most_frequent").fit(train, truth["train"])
        metadata = {"data_sha256": sha256(data), "feature_names": state["names"], "seed": config.seed,
                    "best_params": dict(best), "created_at": clock(),
                    "library_versions": {"numpy": np.__version__, "pandas": pd.__version__,
                                         "scikit-learn": sklearn.__version__, "joblib": joblib.__version__}}
        if config.output_dir is not None:
            config.output_dir.mkdir(parents=True, exist_ok=True)
            artifact = config.output_dir / "model.joblib"
            joblib.dump(model, artifact)
            metadata["artifact_sha256"] = hashlib.sha256(artifact.read_bytes()).hexdigest()
            (config.output_dir / "metadata.json").write_text(json.dumps(metadata))
        result = {"model": model, "metrics": evaluate(model, test, truth["test"]),
                  "baseline_metrics": evaluate(dummy, test, truth["test"]), "best_params": dict(best),
                  "cv_results": results, "data_report": state["report"], "metadata": metadata,
                  "split": {"train_index": train.index.tolist(), "test_index": test.index.tolist()}}
        return result | gate(config, registry, result)


def create_training_pipeline(
    data: pd.DataFrame | None = None,
    *,
    test_data: pd.DataFrame | None = None,
    config: PipelineConfig = PipelineConfig(),
    registry: Registry | None = None,
    clock: Callable[[], float] = time.time,
) -> TrainingPipeline:
    """Check the settings and the data, and return a pipeline over `data` or over the demo table."""
    if config.primary_metric not in ("accuracy", "balanced_accuracy", "f1", "roc_auc"):
        raise ValueError(f"primary_metric {config.primary_metric!r} is not known")
    if not 0 < config.test_size < 1:
        raise ValueError("test_size must be a share")
    if config.cv_folds < 2:
        raise ValueError("cv_folds must be at least 2")
    table = load_breast_cancer(as_frame=True).frame if data is None else data
    return TrainingPipeline(prepare(table, test_data, config), table, test_data, config, registry, clock)
