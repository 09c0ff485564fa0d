"""R5 and R6: nothing is learned from held-out rows, nothing is selected on their labels."""

import numpy as np
import pandas as pd
import pytest
from training_runs import (
    FEATURES,
    NUMBERS,
    Fits,
    assert_figures,
    chances,
    customers,
    labels,
    measured,
    plain,
    sides,
    train,
)

from rounds.testing import lend, requirement


def assert_same_model(before, after, probe, what):
    gap = np.abs(chances(before["model"], probe) - chances(after["model"], probe)).max()
    assert gap <= 1e-9, f"{what}, and probabilities on other rows moved by up to {gap:.3g}"
    assert labels(before["model"].predict(probe)) == labels(after["model"].predict(probe)), (
        f"{what}, and predicted labels on other rows changed"
    )


def assert_same_split(before, after, what):
    assert [set(side) for side in sides(before)] == [set(side) for side in sides(after)], (
        f"{what}, and other rows were held out: the split must not follow from features"
    )


def shifted(data, rows, columns, by=3.0):
    moved = data.copy()
    moved.loc[rows, columns] += by * data[columns].std()
    return moved


@requirement("R5")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_shifting_numbers_in_held_out_rows_changes_nothing(box, seed, kind):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    options = {"C": 0.05} if kind == "logistic" else {"max_depth": 4, "random_state": 0}
    before = train(box, data, kind=kind, options=options)
    after = train(box, shifted(data, sides(before)[1], NUMBERS), kind=kind, options=options)
    assert_same_split(before, after, "numbers of held-out rows were shifted by three standard deviations")
    assert_same_model(before, after, probe, "numbers of held-out rows were shifted by three standard deviations")


@requirement("R5")
def test_shifting_many_numbers_in_held_out_rows_changes_nothing(box, seed):
    data, probe = plain(160, seed=seed, columns=40), plain(50, seed=seed + 1, columns=40)
    columns = [name for name in data if name != "target"]
    before = train(box, data, options={"C": 0.1}, test_size=0.4)
    tail = sides(before)[1]
    moved = data.copy()
    moved.loc[tail, columns] = (
        np.random.default_rng(seed).normal(5, 9, (len(tail), len(columns))) + data.loc[tail, ["target"]].to_numpy()
    )
    after = train(box, moved, options={"C": 0.1}, test_size=0.4)
    assert_same_model(before, after, probe, "all numbers of the held-out rows were replaced")


@requirement("R5")
def test_other_text_in_held_out_rows_changes_nothing(box, seed):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    before = train(box, data, kind="tree", options={"max_depth": 5, "random_state": 0})
    other = data.copy()
    other.loc[sides(before)[1], "city"] = "Oslo"
    after = train(box, other, kind="tree", options={"max_depth": 5, "random_state": 0})
    assert_same_model(before, after, probe, "every held-out row got the city Oslo")
    other.loc[sides(before)[1], "city"] = "Atlantis"
    after = train(box, other, kind="tree", options={"max_depth": 5, "random_state": 0})
    assert_same_model(before, after, probe.assign(city="Atlantis"), "every held-out row got a city unknown elsewhere")


@requirement("R5")
def test_text_of_held_out_rows_does_not_reach_a_linear_model(box, seed):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    before = train(box, data, options={"C": 0.1})
    other = data.copy()
    other.loc[sides(before)[1], "city"] = "Oslo"
    assert_same_model(before, train(box, other, options={"C": 0.1}), probe, "every held-out row got the city Oslo")
    other.loc[sides(before)[1], "city"] = [f"new-{place % 9}" for place in range(len(sides(before)[1]))]
    after = train(box, other, options={"C": 0.1})
    assert_same_model(before, after, probe, "held-out rows got cities unknown elsewhere")
    assert_same_model(before, after, probe.assign(city="new-1"), "held-out rows got cities unknown elsewhere")


@requirement("R5")
def test_missing_values_in_held_out_rows_change_nothing(box, seed):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    before = train(box, data, options={"C": 0.1})
    other = data.copy()
    other.loc[sides(before)[1], "spend"] = np.nan
    other.loc[sides(before)[1], "city"] = None
    after = train(box, other, options={"C": 0.1})
    assert_same_model(before, after, probe, "spend and city of all held-out rows went missing")


@requirement("R5")
def test_leaving_out_a_column_is_not_decided_by_held_out_rows(box, seed):
    data, probe = plain(400, seed=seed), plain(50, seed=seed + 1)
    data.loc[np.random.default_rng(seed).choice(400, 150, replace=False), "x0"] = np.nan
    before = train(box, data, test_size=0.4)
    other = data.copy()
    other.loc[sides(before)[1], "x0"] = np.nan
    after = train(box, other, test_size=0.4)
    assert_same_model(before, after, probe, "x0 went missing in held-out rows (training rows miss under half of it)")


@requirement("R5")
@pytest.mark.parametrize("column", ["patient", "day"])
def test_held_out_rows_of_grouped_and_timed_runs_change_nothing(box, seed, column):
    data, probe = plain(400, seed=seed), plain(50, seed=seed + 1)
    data[column] = np.random.default_rng(seed).permutation(400) // (1 if column == "day" else 4)
    settings = {"time_col" if column == "day" else "group_col": column, "options": {"C": 0.05}}
    before = train(box, data, **settings)
    after = train(box, shifted(data, sides(before)[1], ["x0", "x1", "x2"]), **settings)
    assert_same_split(before, after, "numbers of held-out rows were shifted")
    assert_same_model(before, after, probe, "numbers of held-out rows were shifted")


@requirement("R5")
def test_the_content_and_size_of_test_data_change_nothing(box, seed):
    data, held_out, probe = customers(seed=seed), customers(120, seed=seed + 1), customers(50, seed=seed + 2)[FEATURES]
    before = train(box, data, test_data=held_out, options={"C": 0.05})
    other = shifted(held_out, held_out.index, NUMBERS).assign(city="Atlantis")
    after = train(box, data, test_data=other, options={"C": 0.05})
    assert_same_model(before, after, probe, "numbers and cities of test_data changed")
    after = train(box, data, test_data=held_out.head(30), options={"C": 0.05})
    assert_same_model(before, after, probe, "test_data shrank from 120 rows to 30")


@requirement("R5")
def test_tuning_ignores_the_features_of_held_out_rows(box, seed):
    data, probe = plain(300, seed=seed), plain(50, seed=seed + 1)
    grid = {"C": [0.0001, 0.01, 1.0]}
    before = train(box, data, param_grid=grid)
    after = train(box, shifted(data, sides(before)[1], ["x0", "x1"], by=-4.0), param_grid=grid)
    assert before["best_params"] == after["best_params"], "numbers of held-out rows changed, and so did best_params"
    assert_same_model(before, after, probe, "numbers of held-out rows changed")


def recorded(box, data):
    """Return what every fit received, and the label of the training row with the lowest x0."""
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    result = train(box, data, kind="recording")
    return fits.matrices, data.loc[sides(result)[0], "x0"].idxmin()


@requirement("R5")
def test_a_fold_learns_its_preprocessing_from_its_training_part_alone(box, seed):
    data = plain(200, seed=seed)
    first, row = recorded(box, data)
    moved = data.copy()
    moved.loc[row, ["x0", "x1", "x2"]] += 50.0
    second, _ = recorded(box, moved)
    assert len(first) == len(second) >= 3, "two runs that differ in one number made different numbers of fits"
    untouched = [a.shape == b.shape and np.abs(a - b).max() <= 1e-9 for a, b in zip(first, second, strict=True)]
    assert any(untouched), (
        "numbers of one training row changed, and so did what fit() received in every fold, "
        "also in the one that validates this row"
    )


@requirement("R5")
def test_noise_with_many_categories_stays_noise(box, seed):
    rng = np.random.default_rng([seed, 5])
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=900),
            "shop": [f"s{value}" for value in rng.integers(0, 450, 900)],
            "target": rng.permutation(900) % 2,
        }
    )
    result = train(box, frame, options={"C": 10.0}, test_size=0.3)
    claimed, tuned = result["metrics"]["balanced_accuracy"], result["cv_results"][0]["mean"]
    assert claimed < 0.64, f"labels are pure noise, and metrics claim a balanced accuracy of {claimed:.3f}"
    assert tuned < 0.64, f"labels are pure noise, and cross-validation claims a balanced accuracy of {tuned:.3f}"


@requirement("R5")
def test_noise_with_many_columns_stays_noise(box, seed):
    data = plain(400, seed=seed, columns=200, signal=0.0)
    data["target"] = np.random.default_rng([seed, 6]).permutation(400) % 2
    result = train(box, data, options={"C": 0.01}, test_size=0.4)
    claimed, tuned = result["metrics"]["balanced_accuracy"], result["cv_results"][0]["mean"]
    assert claimed < 0.66, f"labels are pure noise, and metrics claim a balanced accuracy of {claimed:.3f}"
    assert tuned < 0.66, f"labels are pure noise, and cross-validation claims a balanced accuracy of {tuned:.3f}"


@requirement("R5")
def test_noise_with_a_rare_class_stays_noise(box, seed):
    data = plain(480, seed=seed, columns=4, signal=0.0, positives=0.2)
    result = train(box, data, kind="tree", options={"random_state": 0})
    claimed, tuned = result["metrics"]["balanced_accuracy"], result["cv_results"][0]["mean"]
    assert claimed < 0.75, (
        f"labels are pure noise with 20 % ones, and metrics claim a balanced accuracy of {claimed:.3f}"
    )
    assert tuned < 0.76, f"labels are pure noise with 20 % ones, and cross-validation claims {tuned:.3f}"


def assert_same_choice(before, after, probe, what):
    assert before["best_params"] == after["best_params"], (
        f"{what}, and best_params went from {before['best_params']} to {after['best_params']}"
    )
    assert before["cv_results"] == after["cv_results"], f"{what}, and cv_results changed"
    assert_same_model(before, after, probe, what)


@requirement("R6")
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc"])
def test_flipping_the_labels_of_test_data_changes_no_choice(box, seed, share, metric):
    data, held_out, probe = customers(seed=seed), customers(150, seed=seed + 1), customers(50, seed=seed + 2)[FEATURES]
    settings = {"param_grid": {"C": [0.0001, 0.01, 1.0, 30.0]}, "primary_metric": metric}
    flipped = held_out.copy()
    rows = held_out.index[: int(share * len(held_out))]
    flipped.loc[rows, "target"] = 1 - flipped.loc[rows, "target"]
    before, after = (train(box, data, test_data=frame, **settings) for frame in (held_out, flipped))
    assert_same_choice(before, after, probe, f"{len(rows)} of 150 labels of test_data were flipped")
    assert before["metrics"]["accuracy"] != after["metrics"]["accuracy"], (
        "labels of test_data were flipped, metrics did not move"
    )


@requirement("R6")
def test_a_tree_is_chosen_without_the_labels_of_test_data(box, seed):
    data, held_out, probe = plain(seed=seed), plain(150, seed=seed + 1), plain(50, seed=seed + 2)
    settings = {"kind": "tree", "options": {"random_state": 0}, "param_grid": {"max_depth": [1, 2, 4, None]}}
    flipped = held_out.assign(target=1 - held_out["target"])
    before, after = (train(box, data, test_data=frame, **settings) for frame in (held_out, flipped))
    assert_same_choice(before, after, probe, "all labels of test_data were flipped")


@requirement("R6")
@pytest.mark.parametrize("better", [0, 1])
def test_a_tie_is_not_broken_by_the_labels_of_test_data(box, seed, better):
    data, held_out = plain(seed=seed), plain(120, seed=seed + 1, positives=0.9 if better else 0.1)
    held_out[["x0", "x1", "x2"]] *= 1000
    settings = {"kind": "faraway", "param_grid": {"label": [0, 1]}, "primary_metric": "accuracy"}
    result = train(box, data, test_data=held_out, **settings)
    tied = [entry["params"] for entry in result["cv_results"]]
    assert result["best_params"] == tied[0], (
        f"both candidates score the same in every fold, {tied[0]} came first; best_params is {result['best_params']}, "
        f"and on test_data label={better} is better"
    )


@requirement("R6")
def test_constant_candidates_are_chosen_without_the_labels_of_test_data(box, seed):
    data, held_out = plain(seed=seed, positives=0.3), plain(100, seed=seed + 1, positives=0.9)
    result = train(
        box, data, test_data=held_out, kind="constant", param_grid={"label": [0, 1]}, primary_metric="accuracy"
    )
    assert result["best_params"] == {"label": 0}, (
        f"training is 70 % zeros, test_data 90 % ones, so always-0 wins; best_params is {result['best_params']}"
    )


@requirement("R6")
def test_metrics_follow_the_labels_of_test_data(box, seed):
    data, held_out = plain(seed=seed), plain(150, seed=seed + 1)
    flipped = held_out.assign(target=1 - held_out["target"])
    result = train(box, data, test_data=flipped, kind="tree", options={"max_depth": 3, "random_state": 0})
    found = measured(result["model"], flipped.drop(columns="target"), flipped["target"])
    assert_figures(result["metrics"], found, "metrics on flipped labels")


def timed(seed, rows=320):
    data = customers(rows, seed=seed)
    data["day"] = np.random.default_rng([seed, 9]).permutation(rows)
    return data


@requirement("R6")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_labels_of_the_latest_rows_change_no_choice(box, seed, kind):
    data, probe = timed(seed), timed(seed + 1).head(60)
    grid = {"C": [0.0001, 0.01, 1.0]} if kind == "logistic" else {"max_depth": [1, 3, None]}
    settings = {"kind": kind, "options": {"random_state": 0}, "param_grid": grid, "time_col": "day"}
    before = train(box, data, **settings)
    flipped = data.copy()
    flipped.loc[sides(before)[1], "target"] = 1 - flipped.loc[sides(before)[1], "target"]
    after = train(box, flipped, **settings)
    assert_same_split(before, after, "labels of the latest rows were flipped")
    assert_same_choice(before, after, probe, "labels of the latest (held-out) rows were flipped")
