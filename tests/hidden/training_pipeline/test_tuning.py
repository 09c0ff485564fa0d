"""R8: candidates, folds and the winner."""

import itertools

import numpy as np
import pytest
from training_runs import Fits, customers, labels, plain, sides, train

from rounds.testing import lend, requirement


@requirement("R8")
@pytest.mark.parametrize("folds", [2, 4])
def test_every_combination_appears_once_with_its_fold_scores(box, seed, folds):
    grid = {"max_depth": [1, None], "min_samples_leaf": [1, 5], "criterion": ["gini", "entropy"]}
    result = train(box, plain(seed=seed), kind="tree", options={"random_state": 0}, param_grid=grid, cv_folds=folds)
    wanted = list(itertools.product(*grid.values()))
    seen = [tuple(entry["params"].get(name, "absent") for name in grid) for entry in result["cv_results"]]
    assert sorted(seen, key=str) == sorted(wanted, key=str), f"the grid has 8 combinations, cv_results lists {seen}"
    for entry in result["cv_results"]:
        assert set(entry["params"]) == set(grid), f"params of a candidate has the keys {sorted(entry['params'])}"
        found = np.asarray(entry["fold_scores"], dtype=float)
        assert found.shape == (folds,), f"cv_folds is {folds}, and a candidate has {found.shape} fold scores"
        assert entry["mean"] == pytest.approx(found.mean(), abs=1e-9), "mean is not the mean of the fold scores"
        near = [pytest.approx(found.std(ddof=ddof), abs=1e-9) for ddof in (0, 1)]
        assert entry["std"] in near, "std is not the standard deviation of the fold scores"


@requirement("R8")
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc"])
def test_best_params_have_the_highest_mean(box, seed, metric):
    for grid in ({"C": [0.0001, 0.1], "class_weight": [None, "balanced"]}, {"C": [5.0, 0.0005]}):
        result = train(box, customers(seed=seed, positives=0.25), param_grid=grid, primary_metric=metric)
        means = [entry["mean"] for entry in result["cv_results"]]
        best = result["cv_results"][int(np.argmax(means))]["params"]
        assert set(result["best_params"]) == set(grid), f"best_params has the keys {sorted(result['best_params'])}"
        ours = [entry["mean"] for entry in result["cv_results"] if entry["params"] == result["best_params"]]
        assert max(ours, default=0.0) >= max(means) - 1e-12, (
            f"best_params is {result['best_params']}, the highest mean has {best}"
        )


@requirement("R8")
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("positives", [0.2, 0.8])
def test_the_model_uses_the_best_params(box, seed, order, positives):
    data = plain(seed=seed, positives=positives)
    result = train(box, data, kind="constant", param_grid={"label": order}, primary_metric="accuracy")
    wins = int(positives > 0.5)
    assert result["best_params"] == {"label": wins}, (
        f"{positives:.0%} are class 1, best_params is {result['best_params']}"
    )
    said = set(labels(result["model"].predict(data.drop(columns="target"))))
    assert said == {wins}, f"the best candidate always predicts {wins}, and the returned model predicts {said}"


@requirement("R8")
@pytest.mark.parametrize("echo", [["a", "b", "c"], ["c", "a", "b"]])
def test_a_tie_goes_to_the_first_in_cv_results(box, seed, echo):
    result = train(box, plain(seed=seed), kind="constant", param_grid={"echo": echo})
    first = result["cv_results"][0]["params"]
    assert result["best_params"] == first, (
        f"all candidates tie, the first is {first}, best_params is {result['best_params']}"
    )


@requirement("R8")
@pytest.mark.parametrize(
    ("metric", "never", "always"),
    [("balanced_accuracy", 0.5, 0.5), ("roc_auc", 0.5, 0.5), ("accuracy", 0.75, 0.25), ("f1", 0.0, 0.4)],
)
def test_fold_scores_are_values_of_the_primary_metric(box, seed, metric, never, always):
    result = train(
        box, plain(400, seed=seed, positives=0.25), kind="constant", param_grid={"label": [0, 1]}, primary_metric=metric
    )
    for entry in result["cv_results"]:
        wanted = always if entry["params"]["label"] else never
        assert np.allclose(entry["mean"], wanted, atol=0.03), (
            f"with 25 % ones, always predicting {entry['params']['label']} has {metric} {wanted}; "
            f"cv_results says {entry['mean']}"
        )
        if wanted in (0.0, 0.5):
            assert np.allclose(entry["fold_scores"], wanted), (
                f"fold scores of {metric} are {entry['fold_scores']}, not {wanted}"
            )


@requirement("R8")
def test_the_primary_metric_decides_between_candidates(box, seed):
    data = plain(500, seed=seed, positives=0.1, signal=0.8)
    grid = {"class_weight": [None, "balanced"]}
    chosen = {
        metric: train(box, data, param_grid=grid, primary_metric=metric)["best_params"]["class_weight"]
        for metric in ("accuracy", "balanced_accuracy", "f1")
    }
    assert chosen == {"accuracy": None, "balanced_accuracy": "balanced", "f1": "balanced"}, (
        f"with 10 % ones, accuracy prefers no class weights, the others prefer balanced ones; chosen were {chosen}"
    )


@requirement("R8")
def test_roc_auc_is_taken_from_probabilities(box, seed):
    data = plain(500, seed=seed, positives=0.1, signal=2.0)
    entry = train(box, data, options={"C": 0.0001}, primary_metric="roc_auc")["cv_results"][0]
    assert entry["mean"] > 0.75, (
        f"the model ranks well and never says 1; its cross-validated roc_auc is given as {entry['mean']:.3f}"
    )


@requirement("R8")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_without_a_grid_there_is_one_candidate(box, seed, kind):
    result = train(box, plain(seed=seed), kind=kind, options={}, cv_folds=4)
    assert [entry["params"] for entry in result["cv_results"]] == [{}], (
        "without a grid, cv_results is not one candidate {}"
    )
    assert len(result["cv_results"][0]["fold_scores"]) == 4, "without a grid, the candidate has not cv_folds scores"
    assert result["best_params"] == {}, f"without a grid, best_params is {result['best_params']}"


@requirement("R8")
@pytest.mark.parametrize("with_test_data", [False, True])
def test_the_number_of_fits_is_bounded(box, seed, with_test_data):
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    extra = {"test_data": plain(60, seed=seed + 1)} if with_test_data else {}
    train(box, plain(seed=seed), kind="recording", param_grid={"C": [0.1, 1.0, 10.0, 50.0]}, cv_folds=3, **extra)
    assert 12 <= len(fits.matrices) <= 14, (
        f"4 candidates, 3 folds: 12 to 14 fits, and fit() was called {len(fits.matrices)} times"
    )


@requirement("R8")
@pytest.mark.parametrize("folds", [2, 5])
def test_every_training_row_is_validated_once(box, seed, folds):
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    learned = len(sides(train(box, plain(seed=seed), kind="recording", cv_folds=folds))[0])
    sizes = sorted(len(matrix) for matrix in fits.matrices)
    assert sum(learned - size for size in sizes if size < learned) == learned, (
        f"{folds} folds of {learned} training rows: fit() received {sizes}; some were validated never or repeatedly"
    )
    assert learned in sizes, f"the winner was not fitted on all {learned} training rows: {sizes}"


@requirement("R8")
def test_fold_scores_are_measured_on_rows_that_the_fold_did_not_learn(box, seed):
    data = plain(seed=seed, signal=0.0)
    data["target"] = np.random.default_rng([seed, 8]).permutation(len(data)) % 2
    entry = train(box, data, kind="tree", options={"random_state": 0})["cv_results"][0]
    assert max(entry["fold_scores"]) < 0.8, (
        f"labels are noise, and an unpruned tree scores {entry['fold_scores']} in its folds"
    )
