"""Frames, runs and figures that the hidden tests of the training pipeline share."""

import itertools
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as scores

from rounds.testing import lend

NUMBERS = ["age", "spend"]


FEATURES = [*NUMBERS, "visits", "city"]


FIGURES = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc"]


def customers(rows=240, seed=0, positives=0.4, noise=0.6):
    """Return numbers, text, gaps and a target that follows from them; labels of the index are not positions."""
    rng = np.random.default_rng([seed, rows, 7])
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows),
            "spend": rng.normal(100, 30, rows),
            "visits": rng.integers(0, 30, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
        },
        index=rng.permutation(rows) + 1000,
    )
    score = (frame["age"] - 40) / 10 + (frame["spend"] - 100) / 30 + 1.5 * (frame["city"] == "Rome")
    score += rng.normal(0, noise, rows)
    frame["target"] = (score > score.quantile(1 - positives)).astype(int)
    frame.loc[rng.choice(frame.index, rows // 10, replace=False), "spend"] = np.nan
    frame.loc[rng.choice(frame.index, rows // 12, replace=False), "city"] = None
    return frame


def plain(rows=240, seed=0, columns=3, positives=0.5, signal=2.0):
    """Return a frame of floats without gaps."""
    rng = np.random.default_rng([seed, rows, columns, 11])
    frame = pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"x{place}" for place in range(columns)])
    score = signal * frame["x0"] + rng.normal(0, 1, rows)
    return frame.assign(target=(score > score.quantile(1 - positives)).astype(int))


class Fits:
    """Remembers what every fit received."""

    def __init__(self):
        self.lock, self.matrices = threading.Lock(), []

    def fitted(self, matrix, labels):
        with self.lock:
            self.matrices.append(np.asarray(matrix))


class Shelf:
    """A registry that remembers its calls and fails on demand."""

    def __init__(self, champion=None, champion_error=None, register_error=None, version=7):
        self.current, self.version, self.asked, self.calls = champion, version, [], []
        self.champion_error, self.register_error = champion_error, register_error

    def champion(self, name):
        self.asked.append(name)
        if self.champion_error:
            raise self.champion_error
        return self.current

    def register(self, name, model, metrics, metadata):
        self.calls.append({"name": name, "model": model, "metrics": metrics, "metadata": metadata})
        if self.register_error:
            raise self.register_error
        return self.version


def train(box, data, *, kind="logistic", options=None, test_data=None, registry=None, clock=None, **settings):
    """Run the pipeline in `box` and return its result."""
    if kind is not None:
        options = {"max_iter": 500} if options is None and kind in ("logistic", "recording") else options or {}
        settings["estimator"] = box.props.estimator(kind, options)
    settings.setdefault("cv_folds", 2 if kind else 3)
    extra = {"clock": clock} if clock else {}
    if registry is not None:
        extra["registry"] = lend(registry, "champion", "register")
    if test_data is not None:
        extra["test_data"] = test_data
    config = box.props.config(box.submission, settings)
    return box.submission.create_training_pipeline(data, config=config, **extra).run()


def labels(index):
    return index.tolist() if hasattr(index, "tolist") else list(index)


def sides(result):
    return labels(result["split"]["train_index"]), labels(result["split"]["test_index"])


def used(result):
    """Return the labels on either side."""
    return set(itertools.chain(*sides(result)))


def chances(model, frame):
    """Return the probabilities of class 1."""
    return np.asarray(model.predict_proba(frame), dtype=float)[:, 1]


def measured(model, frame, truth):
    """Score the model here, from its predictions."""
    return figures(truth, np.asarray(model.predict(frame), dtype=float), chances(model, frame))


def figures(truth, predicted, probability):
    truth = np.asarray(truth, dtype=float)
    return {
        "accuracy": scores.accuracy_score(truth, predicted),
        "balanced_accuracy": scores.balanced_accuracy_score(truth, predicted),
        "precision": scores.precision_score(truth, predicted, zero_division=0),
        "recall": scores.recall_score(truth, predicted, zero_division=0),
        "f1": scores.f1_score(truth, predicted, zero_division=0),
        "roc_auc": scores.roc_auc_score(truth, probability),
        "n_test": len(truth),
    }


def assert_figures(claimed, found, what):
    for name in [*FIGURES, "n_test"]:
        assert name in claimed, f"{what} has no {name!r}"
        assert claimed[name] == pytest.approx(found[name], abs=1e-6), (
            f"{what} says {name} = {claimed[name]!r}, and the held-out rows give {found[name]:.6f}"
        )
