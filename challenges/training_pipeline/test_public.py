"""A few examples from the brief.  Run `pytest` beside your training_pipeline.py."""

import json

import numpy as np
import pandas as pd
import pytest
import training_pipeline as tp
from sklearn.linear_model import LogisticRegression


def customers(rows=300, seed=1):
    """Return a frame with numbers, text, gaps and a target that follows from them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.normal(40, 10, rows), "spend": rng.normal(100, 30, rows),
                          "city": rng.choice(["Rome", "Oslo", "Lima"], rows)})
    score = (frame["age"] - 40) / 10 + (frame["city"] == "Rome") * 2 + rng.normal(0, 0.5, rows)
    frame["target"] = (score > 0.7).astype(int)
    frame.loc[rng.choice(rows, rows // 10, replace=False), "spend"] = np.nan
    return frame


def run(data, registry=None, **settings):
    settings = {"estimator": LogisticRegression(max_iter=500), **settings}
    return tp.create_training_pipeline(data, config=tp.PipelineConfig(**settings), registry=registry).run()


def test_the_default_run_is_good_and_json_able():
    result = tp.create_training_pipeline().run()
    assert result["model"] is not None
    assert type(result["metrics"]["accuracy"]) is float
    assert result["metrics"]["accuracy"] > 0.8
    for part in ("metrics", "cv_results", "data_report", "metadata"):
        json.dumps(result[part], allow_nan=False)


def test_a_single_class_is_refused():
    with pytest.raises(tp.DataValidationError, match="class"):
        run(customers().assign(target=0))


def test_the_sides_are_disjoint_and_complete():
    data = customers()
    split = run(data)["split"]
    train, test = set(split["train_index"]), set(split["test_index"])
    assert not train & test
    assert train | test == set(data.index)


def test_the_model_takes_raw_frames():
    data = customers()
    model = run(data)["model"]
    raw = data.drop(columns="target").assign(city="Atlantis", note="extra")[["note", "city", "spend", "age"]]
    assert len(model.predict(raw)) == len(raw)
    with pytest.raises(ValueError, match="spend"):
        model.predict(raw.drop(columns="spend"))


def test_shifting_the_held_out_rows_leaves_the_model_alone():
    data, probe = customers(), customers(seed=2)
    before = run(data)
    shifted = data.copy()
    shifted.loc[list(before["split"]["test_index"]), ["age", "spend"]] += 90.0
    after = run(shifted)
    np.testing.assert_allclose(before["model"].predict_proba(probe), after["model"].predict_proba(probe), atol=1e-9)


def test_every_candidate_is_scored_once():
    result = run(customers(), param_grid={"C": [0.01, 1.0]}, cv_folds=4)
    assert sorted(entry["params"]["C"] for entry in result["cv_results"]) == [0.01, 1.0]
    assert all(len(entry["fold_scores"]) == 4 for entry in result["cv_results"])


class Shelf:
    """A registry in memory."""

    def __init__(self, champion=None):
        self.current, self.calls = champion, []

    def champion(self, name):
        return self.current

    def register(self, name, model, metrics, metadata):
        self.calls.append(name)
        return 7


def test_a_good_model_is_registered_and_a_better_champion_stays():
    shelf = Shelf()
    result = run(customers(), registry=shelf, model_name="churn")
    assert (result["registered"], result["version"], shelf.calls) == (True, 7, ["churn"])
    shelf = Shelf({"version": 7, "metrics": {"balanced_accuracy": 1.0}})
    result = run(customers(), registry=shelf)
    assert (result["registered"], result["version"], shelf.calls) == (False, None, [])
