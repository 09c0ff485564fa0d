"""R3: who is held out, and what the figures on them are."""

import numpy as np
import pytest
from training_runs import FEATURES, assert_figures, customers, figures, measured, plain, sides, train, used

from rounds.testing import requirement


@requirement("R3")
@pytest.mark.parametrize("test_size", [0.1, 0.25, 0.4])
def test_the_sides_are_disjoint_complete_and_of_the_right_size(box, seed, test_size):
    data = customers(400, seed=seed)
    learned, held_out = sides(train(box, data, test_size=test_size))
    assert len(learned + held_out) == len(set(learned + held_out)), (
        "an index label is repeated within or between the sides"
    )
    assert set(learned + held_out) == set(data.index), "the two sides together are not exactly the rows of data"
    share = len(held_out) / len(data)
    assert abs(share - test_size) <= 0.02, f"test_size was {test_size}, and {share:.3f} of the rows were held out"


@requirement("R3")
def test_text_index_labels_come_back_as_labels(box, seed):
    data = plain(seed=seed)
    data.index = [f"row-{place}" for place in np.random.default_rng(seed).permutation(len(data))]
    learned, held_out = sides(train(box, data))
    assert set(learned) | set(held_out) == set(data.index), (
        "with a text index, the split does not hold the index labels"
    )


@requirement("R3")
def test_rows_with_missing_features_are_kept(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[:40], "spend"] = np.nan
    data.loc[data.index[20:60], "city"] = None
    assert used(train(box, data)) == set(data.index), "rows with missing features vanished from the split"


@requirement("R3")
@pytest.mark.parametrize(("positives", "test_size"), [(0.1, 0.2), (0.5, 0.25), (0.7, 0.1)])
def test_each_class_has_the_same_share_on_both_sides(box, seed, positives, test_size):
    data = plain(520, seed=seed, positives=positives)
    learned, held_out = (data.loc[side, "target"].mean() for side in sides(train(box, data, test_size=test_size)))
    assert abs(learned - held_out) <= 0.02, (
        f"class 1 is {learned:.3f} of training and {held_out:.3f} of the held-out rows"
    )


@requirement("R3")
def test_class_shares_agree_for_several_seeds(box, seed):
    data = plain(500, seed=seed, positives=0.3)
    for number in range(3, 7):
        learned, held_out = (data.loc[side, "target"].mean() for side in sides(train(box, data, seed=number)))
        assert abs(learned - held_out) <= 0.02, (
            f"with seed {number}, class 1 is {learned:.3f} of training, {held_out:.3f} held out"
        )


@requirement("R3")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
@pytest.mark.parametrize("positives", [0.2, 0.5])
def test_metrics_are_those_of_the_model_on_the_held_out_rows(box, seed, kind, positives):
    data = customers(300, seed=seed, positives=positives)
    result = train(box, data, kind=kind, options={} if kind == "logistic" else {"random_state": 0})
    rows = data.loc[sides(result)[1]]
    assert_figures(result["metrics"], measured(result["model"], rows[FEATURES], rows["target"]), "metrics")


@requirement("R3")
def test_metrics_of_a_model_that_never_says_one_are_zero_where_undefined(box, seed):
    data = plain(seed=seed, positives=0.3)
    result = train(box, data, kind="constant", options={"label": 0})
    truth = data.loc[sides(result)[1], "target"]
    assert_figures(
        result["metrics"], figures(truth, np.zeros(len(truth)), np.zeros(len(truth))), "metrics of a constant model"
    )


@requirement("R3")
@pytest.mark.parametrize("positives", [0.3, 0.7])
def test_the_baseline_predicts_the_majority_class(box, seed, positives):
    data = plain(seed=seed, positives=positives)
    result = train(box, data, primary_metric="f1")
    truth = data.loc[sides(result)[1], "target"]
    always = np.full(len(truth), float(positives > 0.5))
    assert_figures(result["baseline_metrics"], figures(truth, always, np.full(len(truth), 0.5)), "baseline_metrics")


@requirement("R3")
def test_the_baseline_takes_the_majority_of_the_training_labels(box, seed):
    data, held_out = plain(seed=seed, positives=0.3), plain(100, seed=seed + 1, positives=0.8)
    result = train(box, data, test_data=held_out)
    found = figures(held_out["target"], np.zeros(100), np.full(100, 0.5))
    assert_figures(
        result["baseline_metrics"], found, "baseline_metrics, where training is mostly 0 and test_data mostly 1,"
    )


@requirement("R3")
def test_with_test_data_all_of_data_is_for_training(box, seed):
    data, held_out = customers(seed=seed), customers(90, seed=seed + 1)
    result = train(box, data, test_data=held_out, kind="tree", options={"random_state": 0})
    learned, tested = sides(result)
    assert sorted(learned) == sorted(data.index), "with test_data, train_index is not exactly the rows of data"
    assert sorted(tested) == sorted(held_out.index), "with test_data, test_index is not the index of test_data"
    assert_figures(result["metrics"], measured(result["model"], held_out[FEATURES], held_out["target"]), "metrics")


@requirement("R3")
def test_a_tree_trained_on_all_of_data_knows_all_of_data(box, seed):
    data = plain(seed=seed)
    model = train(box, data, test_data=plain(80, seed=seed + 1), kind="tree", options={"random_state": 0})["model"]
    known = np.mean(np.asarray(model.predict(data.drop(columns="target"))) == data["target"].to_numpy())
    assert known > 0.99, (
        f"an unpruned tree knows only {known:.3f} of data, all of which is for training when test_data is given"
    )


@requirement("R3")
def test_the_claim_holds_on_fresh_rows(box, seed):
    data, fresh = customers(600, seed=seed), customers(2000, seed=seed + 50)
    result = train(box, data, test_size=0.4, kind="tree", options={"random_state": 0})
    found = measured(result["model"], fresh[FEATURES], fresh["target"])["accuracy"]
    claimed = result["metrics"]["accuracy"]
    assert abs(claimed - found) < 0.12, f"the pipeline claims accuracy {claimed:.3f}, fresh rows give {found:.3f}"


@requirement("R3")
def test_grouped_sides_are_complete_and_roughly_of_the_right_size(box, seed):
    data = plain(480, seed=seed)
    data["patient"] = [f"p{place % 120}" for place in range(len(data))]
    learned, held_out = sides(train(box, data, group_col="patient", test_size=0.3))
    assert sorted(learned + held_out) == sorted(data.index), (
        "with group_col, the sides are not exactly the rows of data"
    )
    assert abs(len(held_out) / len(data) - 0.3) <= 0.1, (
        f"test_size was 0.3, {len(held_out)} of {len(data)} rows were held out"
    )


@requirement("R3")
def test_timed_sides_are_complete_and_of_the_right_size(box, seed):
    data = plain(300, seed=seed)
    data["day"] = np.random.default_rng(seed).permutation(len(data))
    learned, held_out = sides(train(box, data, time_col="day", test_size=0.2))
    assert sorted(learned + held_out) == sorted(data.index), "with time_col, the sides are not exactly the rows of data"
    assert abs(len(held_out) / len(data) - 0.2) <= 0.02, (
        f"test_size was 0.2, {len(held_out)} of {len(data)} rows were held out"
    )


@requirement("R3")
def test_metrics_of_a_timed_run_are_measured_on_the_latest_rows(box, seed):
    data = plain(300, seed=seed)
    data["day"] = np.random.default_rng(seed).permutation(len(data))
    result = train(box, data, time_col="day", kind="tree", options={"random_state": 0})
    rows = data.loc[sides(result)[1]]
    assert_figures(result["metrics"], measured(result["model"], rows.drop(columns="target"), rows["target"]), "metrics")
