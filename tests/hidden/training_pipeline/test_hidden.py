"""What grades a training pipeline: its model's predictions on rows it never saw, recomputed here."""

import hashlib
import json
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as scores

from rounds.testing import lend, requirement

NUMBERS = ["age", "spend"]
FEATURES = [*NUMBERS, "visits", "city"]
FIGURES = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc"]
JSON_PARTS = ["metrics", "baseline_metrics", "best_params", "cv_results", "data_report", "metadata"]


def customers(rows=240, seed=0, positives=0.4, noise=0.6):
    """Return numbers, text, gaps and a target that follows from them; labels of the index are not positions."""
    rng = np.random.default_rng([seed, rows, 7])
    frame = pd.DataFrame({"age": rng.normal(40, 10, rows), "spend": rng.normal(100, 30, rows),
                          "visits": rng.integers(0, 30, rows), "city": rng.choice(["Rome", "Oslo", "Lima"], rows)},
                         index=rng.permutation(rows) + 1000)
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


@pytest.fixture
def box(sandbox):
    return sandbox()


def train(box, data, *, kind="logistic", options=None, test_data=None, registry=None, clock=None, **settings):
    """Run the pipeline in `box` and return its result."""
    if kind is not None:
        options = {"max_iter": 500} if options is None and kind in ("logistic", "recording") else options or {}
        settings["estimator"] = box.props.estimator(kind, options)
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


def chances(model, frame):
    """Return the probabilities of class 1."""
    return np.asarray(model.predict_proba(frame), dtype=float)[:, 1]


def measured(model, frame, truth):
    """Score the model here, from its predictions."""
    return figures(truth, np.asarray(model.predict(frame), dtype=float), chances(model, frame))


def figures(truth, predicted, probability):
    truth = np.asarray(truth, dtype=float)
    return {"accuracy": scores.accuracy_score(truth, predicted),
            "balanced_accuracy": scores.balanced_accuracy_score(truth, predicted),
            "precision": scores.precision_score(truth, predicted, zero_division=0),
            "recall": scores.recall_score(truth, predicted, zero_division=0),
            "f1": scores.f1_score(truth, predicted, zero_division=0),
            "roc_auc": scores.roc_auc_score(truth, probability), "n_test": len(truth)}


def assert_figures(claimed, found, what):
    for name in [*FIGURES, "n_test"]:
        assert name in claimed, f"{what} has no {name!r}"
        assert claimed[name] == pytest.approx(found[name], abs=1e-6), (
            f"{what} says {name} = {claimed[name]!r}, and the held-out rows give {found[name]:.6f}")


def assert_same_model(before, after, probe, what):
    gap = np.abs(chances(before["model"], probe) - chances(after["model"], probe)).max()
    assert gap <= 1e-9, f"{what}, and probabilities on other rows moved by up to {gap:.3g}"
    assert labels(before["model"].predict(probe)) == labels(after["model"].predict(probe)), (
        f"{what}, and predicted labels on other rows changed")


def assert_same_split(before, after, what):
    assert [set(side) for side in sides(before)] == [set(side) for side in sides(after)], (
        f"{what}, and other rows were held out: the split must not follow from features")


# R1


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_the_default_run_gives_a_good_model(submission):
    result = submission.create_training_pipeline().run()
    accuracy = result["metrics"]["accuracy"]
    assert result["model"] is not None, "run() without arguments returned no model"
    assert type(accuracy) is float, f"metrics['accuracy'] of the default run is a {type(accuracy).__name__}, not a float"
    assert accuracy > 0.8, f"the default run says accuracy = {accuracy:.3f}"


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_the_default_accuracy_is_measured_on_the_held_out_rows_of_the_demo_table(submission):
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    result = submission.create_training_pipeline().run()
    learned, held_out = sides(result)
    assert sorted(learned + held_out) == list(range(569)), "the default split does not cover the demo table's 569 rows"
    rows = table.loc[held_out]
    found = np.mean(np.asarray(result["model"].predict(rows.drop(columns="target"))) == rows["target"].to_numpy())
    assert result["metrics"]["accuracy"] == pytest.approx(found, abs=1e-9), (
        f"the default run says accuracy = {result['metrics']['accuracy']}, its model has {found:.4f} on the held-out rows")


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_every_part_of_the_default_result_is_json_able(submission):
    assert_plain_values(submission.create_training_pipeline().run())


@requirement("R1")
def test_every_part_of_a_result_on_given_data_is_json_able(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[:5], "target"] = np.nan
    assert_plain_values(train(box, data, options={"max_iter": 300}, param_grid={"C": [1, 2.5], "class_weight": [None, "balanced"]}))


@requirement("R1")
def test_the_result_of_a_grouped_run_is_json_able(box, seed):
    data = customers(seed=seed)
    data["clinic"] = np.arange(len(data)) % 120
    assert_plain_values(train(box, data, kind="tree", options={"max_depth": 2}, group_col="clinic", primary_metric="f1"))


@requirement("R1")
def test_a_model_that_never_says_one_still_gives_json_able_figures(box, seed):
    assert_plain_values(train(box, plain(seed=seed, positives=0.3), kind="constant", primary_metric="f1"))


def assert_plain_values(result):
    for part in JSON_PARTS:
        try:
            json.dumps(result[part], allow_nan=False)
        except (TypeError, ValueError) as error:
            pytest.fail(f"json.dumps of {part} failed: {error}")
    for part in ("metrics", "baseline_metrics"):
        for name in FIGURES:
            assert name in result[part], f"{part} has no {name!r}"
            assert type(result[part][name]) is float, f"{part}[{name!r}] is a {type(result[part][name]).__name__}, not a float"
        assert type(result[part]["n_test"]) is int, f"{part}['n_test'] is a {type(result[part]['n_test']).__name__}, not an int"
    for name in ("n_missing_target", "n_duplicates"):
        value = result["data_report"][name]
        assert type(value) is int, f"data_report[{name!r}] is a {type(value).__name__}, not an int"


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_the_pipeline_brings_its_own_estimator_for_mixed_data(box, seed):
    data, fresh = customers(seed=seed, noise=0.2), customers(rows=300, seed=seed + 50, noise=0.2)
    result = train(box, data, kind=None)
    assert_plain_values(result)
    found = measured(result["model"], fresh[FEATURES], fresh["target"])["balanced_accuracy"]
    assert found > 0.6, f"the pipeline's own estimator has balanced accuracy {found:.3f} on fresh rows of an easy problem"
    assert result["best_params"] in [entry["params"] for entry in result["cv_results"]], (
        "best_params of the pipeline's own estimator is not among the params in cv_results")


@requirement("R1")
def test_the_demo_table_works_with_a_given_estimator(box):
    result = train(box, None, kind="tree", options={"max_depth": 3, "random_state": 0}, seed=3)
    assert result["metrics"]["accuracy"] > 0.8, "a shallow tree on the demo table stayed at or below 0.8"
    assert len(result["metadata"]["feature_names"]) == 30, "the demo table has 30 features, feature_names has another number"


# R2


def refused(box, data, error="DataValidationError", **settings):
    """Expect a refusal before any fit; return its message in lower case."""
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    with pytest.raises(getattr(box.submission, error) if error != "ValueError" else ValueError) as caught:
        train(box, data, kind="recording", **settings)
    assert fits.matrices == [], f"the estimator was fitted {len(fits.matrices)} times before the refusal"
    return str(caught.value)


@requirement("R2")
@pytest.mark.parametrize("name", ["churned", "target"])
def test_a_missing_target_column_is_refused_by_name(box, seed, name):
    message = refused(box, customers(seed=seed).rename(columns={"target": "label"}), target=name)
    assert name in message, f"the target column {name!r} was missing, and the message says {message!r}"


@requirement("R2")
def test_a_target_missing_from_test_data_is_refused_by_name(box, seed):
    data = customers(seed=seed).rename(columns={"target": "churned"})
    message = refused(box, data, test_data=data.drop(columns="churned"), target="churned")
    assert "churned" in message, f"test_data lacked 'churned', and the message says {message!r}"


@requirement("R2")
@pytest.mark.parametrize(("rows", "least"), [(49, 50), (240, 241), (29, 30)])
def test_too_few_rows_are_refused(box, seed, rows, least):
    data = plain(seed=seed).head(rows)
    message = refused(box, data, min_rows=least)
    assert "rows" in message.lower(), f"{rows} rows with min_rows={least} were refused with {message!r}"


@requirement("R2")
def test_min_rows_counts_after_rows_without_target_are_dropped(box, seed):
    data = plain(60, seed=seed)
    data.loc[:14, "target"] = np.nan
    message = refused(box, data, min_rows=50)
    assert "rows" in message.lower(), f"45 rows had a target, min_rows is 50, and the message says {message!r}"


@requirement("R2")
def test_min_rows_counts_after_duplicates_are_removed(box, seed):
    data = plain(45, seed=seed)
    message = refused(box, pd.concat([data, data.head(15)], ignore_index=True), min_rows=50)
    assert "rows" in message.lower(), f"45 rows were distinct, min_rows is 50, and the message says {message!r}"


@requirement("R2")
def test_exactly_min_rows_are_enough(box, seed):
    data = plain(60, seed=seed)
    data = pd.concat([data, data.head(5)], ignore_index=True)
    result = train(box, data, min_rows=60)
    assert sum(map(len, sides(result))) == 60, "60 retained rows with min_rows=60 were not all used"


@requirement("R2")
def test_min_rows_does_not_apply_to_test_data(box, seed):
    result = train(box, plain(seed=seed), test_data=plain(20, seed=seed + 1), min_rows=50)
    assert result["metrics"]["n_test"] == 20, "test_data had 20 rows, n_test says otherwise"


@requirement("R2")
@pytest.mark.parametrize("value", [0, 1])
def test_a_single_class_is_refused(box, seed, value):
    message = refused(box, plain(seed=seed).assign(target=value))
    assert "class" in message.lower(), f"every target was {value}, and the message says {message!r}"


@requirement("R2")
def test_a_missing_target_is_not_a_second_class(box, seed):
    data = plain(seed=seed).assign(target=1.0)
    data.loc[::4, "target"] = np.nan
    message = refused(box, data)
    assert "class" in message.lower(), f"every known target was 1, and the message says {message!r}"


@requirement("R2")
@pytest.mark.parametrize("place", [0, 77, -1])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused_by_column(box, seed, value, place):
    data = customers(seed=seed)
    data.loc[data.index[place], "spend"] = value
    message = refused(box, data)
    assert "spend" in message, f"spend held {value}, and the message says {message!r}"


@requirement("R2")
def test_an_infinite_value_in_the_last_of_many_columns_is_refused(box, seed):
    data = plain(seed=seed, columns=6)
    data.loc[100, "x5"] = -np.inf
    message = refused(box, data, param_grid={"C": [0.1, 1.0]})
    assert "x5" in message, f"x5 held -inf, and the message says {message!r}"


@requirement("R2")
def test_an_infinite_value_in_test_data_is_refused(box, seed):
    held_out = customers(60, seed=seed + 1)
    held_out.loc[held_out.index[3], "age"] = np.inf
    message = refused(box, customers(seed=seed), test_data=held_out)
    assert "age" in message, f"age held inf in test_data, and the message says {message!r}"


@requirement("R2")
@pytest.mark.parametrize("settings", [{"primary_metric": "accuraccy"}, {"primary_metric": "precision"}, {"test_size": 0.0},
                                      {"test_size": 1.0}, {"test_size": -0.2}, {"test_size": 1.5}, {"cv_folds": 1},
                                      {"cv_folds": 0}])
def test_a_bad_setting_is_a_value_error(box, seed, settings):
    refused(box, plain(seed=seed), error="ValueError", **settings)


@requirement("R2")
def test_a_refusal_is_a_value_error(box, seed):
    with pytest.raises(ValueError, match="(?i)class"):
        train(box, plain(seed=seed).assign(target=0))


@requirement("R2")
def test_rows_without_target_are_dropped_and_counted(box, seed):
    data = customers(seed=seed)
    gone = list(data.index[3:20])
    data.loc[gone, "target"] = np.nan
    result = train(box, data)
    assert result["data_report"]["n_missing_target"] == 17, (
        f"17 targets were missing, the report says {result['data_report']['n_missing_target']}")
    assert not set(gone) & set(sum(sides(result), [])), "rows without a target are on a side of the split"


@requirement("R2")
def test_nothing_missing_is_counted_as_zero(box, seed):
    report = train(box, customers(seed=seed))["data_report"]
    assert report["n_missing_target"] == 0, f"no target was missing, the report says {report['n_missing_target']}"


# R3


@requirement("R3")
@pytest.mark.parametrize("test_size", [0.1, 0.25, 0.4])
def test_the_sides_are_disjoint_complete_and_of_the_right_size(box, seed, test_size):
    data = customers(400, seed=seed)
    learned, held_out = sides(train(box, data, test_size=test_size))
    assert len(learned + held_out) == len(set(learned + held_out)), "an index label is repeated within or between the sides"
    assert set(learned + held_out) == set(data.index), "the two sides together are not exactly the rows of data"
    share = len(held_out) / len(data)
    assert abs(share - test_size) <= 0.02, f"test_size was {test_size}, and {share:.3f} of the rows were held out"


@requirement("R3")
def test_text_index_labels_come_back_as_labels(box, seed):
    data = plain(seed=seed)
    data.index = [f"row-{place}" for place in np.random.default_rng(seed).permutation(len(data))]
    learned, held_out = sides(train(box, data))
    assert set(learned) | set(held_out) == set(data.index), "with a text index, the split does not hold the index labels"


@requirement("R3")
def test_rows_with_missing_features_are_kept(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[:40], "spend"] = np.nan
    data.loc[data.index[20:60], "city"] = None
    assert set(sum(sides(train(box, data)), [])) == set(data.index), "rows with missing features vanished from the split"


@requirement("R3")
@pytest.mark.parametrize(("positives", "test_size"), [(0.1, 0.2), (0.5, 0.25), (0.7, 0.1)])
def test_each_class_has_the_same_share_on_both_sides(box, seed, positives, test_size):
    data = plain(520, seed=seed, positives=positives)
    learned, held_out = (data.loc[side, "target"].mean() for side in sides(train(box, data, test_size=test_size)))
    assert abs(learned - held_out) <= 0.02, f"class 1 is {learned:.3f} of training and {held_out:.3f} of the held-out rows"


@requirement("R3")
def test_class_shares_agree_for_several_seeds(box, seed):
    data = plain(500, seed=seed, positives=0.3)
    for number in range(3, 7):
        learned, held_out = (data.loc[side, "target"].mean() for side in sides(train(box, data, seed=number)))
        assert abs(learned - held_out) <= 0.02, f"with seed {number}, class 1 is {learned:.3f} of training, {held_out:.3f} held out"


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
    assert_figures(result["metrics"], figures(truth, np.zeros(len(truth)), np.zeros(len(truth))), "metrics of a constant model")


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
    assert_figures(result["baseline_metrics"], found, "baseline_metrics, where training is mostly 0 and test_data mostly 1,")


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
    assert known > 0.99, f"an unpruned tree knows only {known:.3f} of data, all of which is for training when test_data is given"


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
    assert sorted(learned + held_out) == sorted(data.index), "with group_col, the sides are not exactly the rows of data"
    assert abs(len(held_out) / len(data) - 0.3) <= 0.1, f"test_size was 0.3, {len(held_out)} of {len(data)} rows were held out"


@requirement("R3")
def test_timed_sides_are_complete_and_of_the_right_size(box, seed):
    data = plain(300, seed=seed)
    data["day"] = np.random.default_rng(seed).permutation(len(data))
    learned, held_out = sides(train(box, data, time_col="day", test_size=0.2))
    assert sorted(learned + held_out) == sorted(data.index), "with time_col, the sides are not exactly the rows of data"
    assert abs(len(held_out) / len(data) - 0.2) <= 0.02, f"test_size was 0.2, {len(held_out)} of {len(data)} rows were held out"


@requirement("R3")
def test_metrics_of_a_timed_run_are_measured_on_the_latest_rows(box, seed):
    data = plain(300, seed=seed)
    data["day"] = np.random.default_rng(seed).permutation(len(data))
    result = train(box, data, time_col="day", kind="tree", options={"random_state": 0})
    rows = data.loc[sides(result)[1]]
    assert_figures(result["metrics"], measured(result["model"], rows.drop(columns="target"), rows["target"]), "metrics")


# R4


@requirement("R4")
def test_the_order_of_the_columns_does_not_matter(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(60, seed=seed + 1)[FEATURES]
    for order in (FEATURES[::-1], sorted(FEATURES), ["city", "age", "visits", "spend"]):
        gap = np.abs(chances(model, probe) - chances(model, probe[order])).max()
        assert gap <= 1e-9, f"with the columns in the order {order}, probabilities moved by {gap:.3g}"
        assert labels(model.predict(probe)) == labels(model.predict(probe[order])), f"columns ordered {order} changed labels"


@requirement("R4")
def test_the_order_of_numeric_columns_does_not_matter(box, seed):
    model, probe = train(box, plain(seed=seed))["model"], plain(60, seed=seed + 1)
    gap = np.abs(chances(model, probe[["x0", "x1", "x2"]]) - chances(model, probe[["x2", "x0", "x1"]])).max()
    assert gap <= 1e-9, f"numeric columns in another order moved probabilities by {gap:.3g}"


@requirement("R4")
def test_extra_columns_do_not_matter(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(60, seed=seed + 1)
    wide = probe.assign(note="hello", zip=12345, target=1 - probe["target"])[["note", *probe.columns, "zip"]]
    gap = np.abs(chances(model, probe[FEATURES]) - chances(model, wide)).max()
    assert gap <= 1e-9, f"extra columns, the target among them, moved probabilities by {gap:.3g}"
    assert labels(model.predict(probe[FEATURES])) == labels(model.predict(wide)), "extra columns changed predicted labels"


@requirement("R4")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_missing_values_are_taken_in_any_feature(box, seed, kind):
    model, probe = train(box, customers(seed=seed), kind=kind, options={})["model"], customers(60, seed=seed + 1)[FEATURES]
    for name in FEATURES:
        holed = probe.copy()
        holed.loc[holed.index[::3], name] = None if name == "city" else np.nan
        assert_answers(model, holed, f"every third value of {name} was missing")


@requirement("R4")
def test_missing_values_are_taken_where_training_had_none(box, seed):
    data = customers(seed=seed).dropna()
    model, probe = train(box, data)["model"], customers(60, seed=seed + 1)[FEATURES]
    probe.loc[probe.index[:20], ["age", "visits"]] = np.nan
    probe.loc[probe.index[10:30], "city"] = None
    assert_answers(model, probe, "values were missing in columns that were complete in training")


@requirement("R4")
def test_unknown_categories_are_taken(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(60, seed=seed + 1)[FEATURES]
    probe.loc[probe.index[::2], "city"] = "Atlantis"
    assert_answers(model, probe, "half of the cities were unknown in training")
    assert_answers(model, probe.assign(city=[f"new-{place}" for place in range(60)]), "every city was unknown in training")


@requirement("R4")
def test_rows_are_answered_one_by_one_in_their_order(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(40, seed=seed + 1)[FEATURES]
    together = chances(model, probe)
    for place in (0, 17, 39):
        alone = chances(model, probe.iloc[[place]])
        assert alone.shape == (1,), "a frame of one row did not give one answer"
        assert abs(alone[0] - together[place]) <= 1e-9, "a row alone and the same row among others got different answers"
    gap = np.abs(chances(model, probe.iloc[::-1])[::-1] - together).max()
    assert gap <= 1e-9, f"rows in reverse order moved probabilities by {gap:.3g}"


def assert_answers(model, frame, what):
    predicted, proba = np.asarray(model.predict(frame)), np.asarray(model.predict_proba(frame), dtype=float)
    assert predicted.shape == (len(frame),), f"{what}: {len(frame)} rows gave predictions of shape {predicted.shape}"
    assert set(predicted.tolist()) <= {0, 1}, f"{what}: predict() gave {sorted(set(predicted.tolist()))}"
    assert proba.shape == (len(frame), 2), f"{what}: predict_proba() has shape {proba.shape}"
    assert np.allclose(proba.sum(axis=1), 1) and (proba >= 0).all(), f"{what}: predict_proba() rows are not probabilities"


@requirement("R4")
@pytest.mark.parametrize("name", FEATURES)
def test_a_missing_feature_is_named(box, seed, name):
    model, probe = train(box, customers(seed=seed))["model"], customers(20, seed=seed + 1)[FEATURES].drop(columns=name)
    for method in (model.predict, model.predict_proba):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  (any message that names the column)
            method(probe)
        assert name in str(caught.value), f"{name!r} was missing, and the message says {str(caught.value)!r}"


@requirement("R4")
def test_a_missing_feature_is_named_although_extra_columns_fill_its_place(box, seed):
    model, probe = train(box, plain(seed=seed))["model"], plain(20, seed=seed + 1)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (any message that names the column)
        model.predict(probe.rename(columns={"x1": "other"}))
    assert "x1" in str(caught.value), f"'x1' was missing, and the message says {str(caught.value)!r}"


@requirement("R4")
def test_text_informs_the_model(box, seed):
    rng = np.random.default_rng([seed, 3])
    plans = rng.choice(["gold", "iron", "jade", "zinc"], 700, p=[0.4, 0.3, 0.2, 0.1])
    frame = pd.DataFrame({"noise": rng.normal(size=700), "plan": plans, "target": np.isin(plans, ["iron", "zinc"]).astype(int)})
    model = train(box, frame.head(400), kind="tree", options={"random_state": 0})["model"]
    right = np.mean(np.asarray(model.predict(frame[["noise", "plan"]].tail(300))) == frame["target"].tail(300).to_numpy())
    assert right > 0.9, f"the target follows from a text column alone, and only {right:.3f} of fresh rows are predicted right"


@requirement("R4")
def test_numbers_inform_the_model(box, seed):
    data, fresh = plain(300, seed=seed, signal=8.0), plain(300, seed=seed + 1, signal=8.0)
    model = train(box, data)["model"]
    right = measured(model, fresh.drop(columns="target"), fresh["target"])
    assert right["accuracy"] > 0.85, f"the target follows from x0, and accuracy on fresh rows is {right['accuracy']:.3f}"
    assert right["roc_auc"] > 0.9, f"the second column of predict_proba ranks class 1 with an AUC of {right['roc_auc']:.3f}"


# R5


@requirement("R5")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_shifting_numbers_in_held_out_rows_changes_nothing(box, seed, kind):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    options = {"C": 0.05} if kind == "logistic" else {"max_depth": 4, "random_state": 0}
    before = train(box, data, kind=kind, options=options)
    after = train(box, shifted(data, sides(before)[1], NUMBERS), kind=kind, options=options)
    assert_same_split(before, after, "numbers of held-out rows were shifted by three standard deviations")
    assert_same_model(before, after, probe, "numbers of held-out rows were shifted by three standard deviations")


def shifted(data, rows, columns, by=3.0):
    moved = data.copy()
    moved.loc[rows, columns] += by * data[columns].std()
    return moved


@requirement("R5")
def test_shifting_many_numbers_in_held_out_rows_changes_nothing(box, seed):
    data, probe = plain(160, seed=seed, columns=40), plain(50, seed=seed + 1, columns=40)
    columns = [name for name in data if name != "target"]
    before = train(box, data, options={"C": 0.1}, test_size=0.4)
    tail = sides(before)[1]
    moved = data.copy()
    moved.loc[tail, columns] = np.random.default_rng(seed).normal(5, 9, (len(tail), len(columns))) + data.loc[tail, ["target"]].to_numpy()
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
        "numbers of one training row changed, and what fit() received changed in every fold, also in the one that validates this row")


def recorded(box, data):
    """Return what every fit received, and the label of the training row with the lowest x0."""
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    result = train(box, data, kind="recording")
    return fits.matrices, data.loc[sides(result)[0], "x0"].idxmin()


@requirement("R5")
def test_noise_with_many_categories_stays_noise(box, seed):
    rng = np.random.default_rng([seed, 5])
    frame = pd.DataFrame({"x": rng.normal(size=900), "shop": [f"s{value}" for value in rng.integers(0, 450, 900)],
                          "target": rng.permutation(900) % 2})
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
    assert claimed < 0.75, f"labels are pure noise with 20 % ones, and metrics claim a balanced accuracy of {claimed:.3f}"
    assert tuned < 0.76, f"labels are pure noise with 20 % ones, and cross-validation claims {tuned:.3f}"


# R6


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
    assert before["metrics"]["accuracy"] != after["metrics"]["accuracy"], "labels of test_data were flipped, metrics did not move"


def assert_same_choice(before, after, probe, what):
    assert before["best_params"] == after["best_params"], (
        f"{what}, and best_params went from {before['best_params']} to {after['best_params']}")
    assert before["cv_results"] == after["cv_results"], f"{what}, and cv_results changed"
    assert_same_model(before, after, probe, what)


@requirement("R6")
def test_a_tree_is_chosen_without_the_labels_of_test_data(box, seed):
    data, held_out, probe = plain(seed=seed), plain(150, seed=seed + 1), plain(50, seed=seed + 2)
    settings = {"kind": "tree", "options": {"random_state": 0}, "param_grid": {"max_depth": [1, 2, 4, None]}}
    flipped = held_out.assign(target=1 - held_out["target"])
    before, after = (train(box, data, test_data=frame, **settings) for frame in (held_out, flipped))
    assert_same_choice(before, after, probe, "all labels of test_data were flipped")


@requirement("R6")
def test_constant_candidates_are_chosen_without_the_labels_of_test_data(box, seed):
    data, held_out = plain(seed=seed, positives=0.3), plain(100, seed=seed + 1, positives=0.9)
    result = train(box, data, test_data=held_out, kind="constant", param_grid={"label": [0, 1]}, primary_metric="accuracy")
    assert result["best_params"] == {"label": 0}, (
        f"training is 70 % zeros and test_data 90 % ones; always-0 wins on training rows, best_params is {result['best_params']}")


@requirement("R6")
def test_metrics_follow_the_labels_of_test_data(box, seed):
    data, held_out = plain(seed=seed), plain(150, seed=seed + 1)
    flipped = held_out.assign(target=1 - held_out["target"])
    result = train(box, data, test_data=flipped, kind="tree", options={"max_depth": 3, "random_state": 0})
    found = measured(result["model"], flipped.drop(columns="target"), flipped["target"])
    assert_figures(result["metrics"], found, "metrics on flipped labels")


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


def timed(seed, rows=320):
    data = customers(rows, seed=seed)
    data["day"] = np.random.default_rng([seed, 9]).permutation(rows)
    return data


# R7


def with_duplicates(data, rows):
    """Append copies of the rows at the given places, under fresh labels."""
    copies = data.iloc[rows].copy()
    copies.index = range(9000, 9000 + len(rows))
    return pd.concat([data, copies]), list(copies.index)


@requirement("R7")
def test_duplicates_are_removed_and_the_first_stays(box, seed):
    original = customers(seed=seed)
    data, copies = with_duplicates(original, [0, 5, 5, 5, 60, 239])
    result = train(box, data)
    used = set(sum(sides(result), []))
    assert result["data_report"]["n_duplicates"] == 6, f"6 rows were copies, the report says {result['data_report']['n_duplicates']}"
    assert not used & set(copies), "copies are on a side of the split"
    assert used == set(original.index), "the first of identical rows, or another row, is on no side of the split"


@requirement("R7")
def test_the_first_stays_when_copies_come_before_their_neighbours(box, seed):
    original = customers(seed=seed)
    data, copies = with_duplicates(original, list(range(30)))
    data = data.iloc[np.random.default_rng(seed).permutation(len(data))]
    first = data.index[~data.duplicated(keep="first")]
    used = set(sum(sides(train(box, data)), []))
    assert used == set(first), "of identical rows in mixed order, it is not the first that stays"


@requirement("R7")
def test_missing_agrees_with_missing(box, seed):
    original = customers(seed=seed)
    holes = np.flatnonzero(original["spend"].isna() | original["city"].isna())[:12]
    data, copies = with_duplicates(original, list(holes))
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 12, (
        f"12 copies had missing values in the same places, the report says {result['data_report']['n_duplicates']}")
    assert not set(copies) & set(sum(sides(result), [])), "copies of rows with missing values are on a side of the split"


@requirement("R7")
def test_the_same_features_with_another_target_are_no_duplicates(box, seed):
    original = plain(seed=seed)
    data, copies = with_duplicates(original, list(range(10)))
    data.loc[copies, "target"] = 1 - data.loc[copies, "target"]
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 0, "rows with the same features and another target were counted as duplicates"
    assert set(copies) <= set(sum(sides(result), [])), "rows with the same features and another target were removed"


@requirement("R7")
def test_rows_that_differ_in_one_feature_are_no_duplicates(box, seed):
    data, copies = with_duplicates(customers(seed=seed).dropna(), list(range(9)))
    data.loc[copies[:3], "age"] += 0.001
    data.loc[copies[3:6], "visits"] += 1
    data.loc[copies[6:], "city"] = "Atlantis"
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 0, "rows that differ in one feature were counted as duplicates"
    assert set(copies) <= set(sum(sides(result), [])), "rows that differ in one feature were removed"


@requirement("R7")
@pytest.mark.parametrize("role", ["drop_cols", "group_col", "time_col"])
def test_identifiers_do_not_make_a_row_new(box, seed, role):
    data, copies = with_duplicates(plain(seed=seed), [1, 2, 3, 100])
    data["ident"] = np.arange(len(data)) % (len(data) if role != "group_col" else 121)
    result = train(box, data, **{role: ["ident"] if role == "drop_cols" else "ident"})
    assert result["data_report"]["n_duplicates"] == 4, (
        f"4 rows differed in {role} alone, the report says n_duplicates = {result['data_report']['n_duplicates']}")
    assert not set(copies) & set(sum(sides(result), [])), f"rows that differ in {role} alone are on a side of the split"


@requirement("R7")
def test_rows_without_target_count_as_missing_and_not_as_duplicates(box, seed):
    data, copies = with_duplicates(plain(seed=seed), [1, 2, 3, 3, 50])
    data.loc[[3, *copies[2:4]], "target"] = np.nan
    report = train(box, data)["data_report"]
    assert (report["n_missing_target"], report["n_duplicates"]) == (3, 3), (
        f"3 rows had no target and 3 others were copies; the report says {report['n_missing_target']} and {report['n_duplicates']}")


@requirement("R7")
def test_no_duplicates_are_counted_as_zero(box, seed):
    report = train(box, customers(seed=seed))["data_report"]
    assert report["n_duplicates"] == 0, f"no row was a copy, the report says {report['n_duplicates']}"


@requirement("R7")
def test_test_data_keeps_its_copies_and_takes_none_from_data(box, seed):
    data = plain(seed=seed)
    held_out, _ = with_duplicates(plain(60, seed=seed + 1), [0, 1, 2])
    held_out = pd.concat([held_out, data.iloc[:20].set_axis(range(5000, 5020))])
    result = train(box, data, test_data=held_out)
    learned, tested = sides(result)
    assert sorted(learned) == sorted(data.index), "a row of data vanished because test_data holds the same row"
    assert sorted(tested) == sorted(held_out.index), "a row of test_data vanished as a duplicate"
    assert result["metrics"]["n_test"] == 83, f"test_data had 83 rows, n_test is {result['metrics']['n_test']}"
    assert result["data_report"]["n_duplicates"] == 0, "copies within test_data were counted as duplicates of data"


@requirement("R7")
@pytest.mark.parametrize("role", [None, "group_col", "time_col"])
def test_the_callers_frames_stay_as_they_were(box, seed, role):
    data, _ = with_duplicates(customers(seed=seed), [0, 1])
    data["ident"] = np.random.default_rng(seed).permutation(len(data)) // 2
    data.loc[data.index[4:9], "target"] = np.nan
    held_out = customers(60, seed=seed + 1).assign(ident=1)
    settings = {"drop_cols": ["ident"]} if role is None else {role: "ident"}
    config = box.props.config(box.submission, {**settings, "estimator": box.props.estimator("tree", {"max_depth": 2})})
    for given in (held_out, None):
        left = box.props.frames_after_run(box.submission, data.copy(), None if given is None else given.copy(), config)
        for name, frame, now in (("data", data, left[0]), ("test_data", given, left[1])):
            if frame is not None:
                assert contents(now) == contents(frame), (
                    f"after the run the caller's {name} has changed (values, columns, dtypes, index or order)")


def contents(frame):
    """Return all that a frame holds, in plain values; missing ones as None."""
    return [list(frame.index)] + [(name, str(frame[name].dtype), [None if pd.isna(value) else value for value in frame[name]])
                                  for name in frame.columns]


# R8


@requirement("R8")
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_combination_appears_once_with_its_fold_scores(box, seed, folds):
    grid = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5], "criterion": ["gini", "entropy"]}
    result = train(box, plain(seed=seed), kind="tree", options={"random_state": 0}, param_grid=grid, cv_folds=folds)
    wanted = {(depth, leaf, name) for depth in grid["max_depth"] for leaf in grid["min_samples_leaf"] for name in grid["criterion"]}
    seen = [tuple(entry["params"].get(name, "absent") for name in grid) for entry in result["cv_results"]]
    assert len(seen) == 12 and set(seen) == wanted, f"the grid has 12 combinations, cv_results lists {len(seen)}: {seen}"
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
    for grid in ({"C": [0.0001, 0.003, 0.1, 3.0], "class_weight": [None, "balanced"]}, {"C": [5.0, 0.1, 0.0005]}):
        result = train(box, customers(seed=seed, positives=0.25), param_grid=grid, primary_metric=metric)
        means = [entry["mean"] for entry in result["cv_results"]]
        best = result["cv_results"][int(np.argmax(means))]["params"]
        assert set(result["best_params"]) == set(grid), f"best_params has the keys {sorted(result['best_params'])}"
        ours = [entry["mean"] for entry in result["cv_results"] if entry["params"] == result["best_params"]]
        assert ours and ours[0] >= max(means) - 1e-12, f"best_params is {result['best_params']}, the highest mean has {best}"


@requirement("R8")
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("positives", [0.2, 0.8])
def test_the_model_uses_the_best_params(box, seed, order, positives):
    data = plain(seed=seed, positives=positives)
    result = train(box, data, kind="constant", param_grid={"label": order}, primary_metric="accuracy")
    wins = int(positives > 0.5)
    assert result["best_params"] == {"label": wins}, f"{positives:.0%} are class 1, best_params is {result['best_params']}"
    said = set(labels(result["model"].predict(data.drop(columns="target"))))
    assert said == {wins}, f"the best candidate always predicts {wins}, and the returned model predicts {said}"


@requirement("R8")
@pytest.mark.parametrize("echo", [["a", "b", "c"], ["c", "a", "b"]])
def test_a_tie_goes_to_the_first_in_cv_results(box, seed, echo):
    result = train(box, plain(seed=seed), kind="constant", param_grid={"echo": echo})
    first = result["cv_results"][0]["params"]
    assert result["best_params"] == first, f"all candidates tie, the first is {first}, best_params is {result['best_params']}"


@requirement("R8")
@pytest.mark.parametrize(("metric", "never", "always"), [("balanced_accuracy", 0.5, 0.5), ("roc_auc", 0.5, 0.5),
                                                        ("accuracy", 0.75, 0.25), ("f1", 0.0, 0.4)])
def test_fold_scores_are_values_of_the_primary_metric(box, seed, metric, never, always):
    result = train(box, plain(400, seed=seed, positives=0.25), kind="constant", param_grid={"label": [0, 1]}, primary_metric=metric)
    for entry in result["cv_results"]:
        wanted = always if entry["params"]["label"] else never
        assert np.allclose(entry["mean"], wanted, atol=0.03), (
            f"a model that always predicts {entry['params']['label']} on 25 % ones has {metric} {wanted}, cv_results says {entry['mean']}")
        if wanted in (0.0, 0.5):
            assert np.allclose(entry["fold_scores"], wanted), f"fold scores of {metric} are {entry['fold_scores']}, not {wanted}"


@requirement("R8")
def test_the_primary_metric_decides_between_candidates(box, seed):
    data = plain(500, seed=seed, positives=0.1, signal=0.8)
    grid = {"class_weight": [None, "balanced"]}
    chosen = {metric: train(box, data, param_grid=grid, primary_metric=metric)["best_params"]["class_weight"]
              for metric in ("accuracy", "balanced_accuracy", "f1")}
    assert chosen == {"accuracy": None, "balanced_accuracy": "balanced", "f1": "balanced"}, (
        f"with 10 % ones, accuracy prefers no class weights, the others prefer balanced ones; chosen were {chosen}")


@requirement("R8")
def test_roc_auc_is_taken_from_probabilities(box, seed):
    data = plain(500, seed=seed, positives=0.1, signal=2.0)
    entry = train(box, data, options={"C": 0.0001}, primary_metric="roc_auc")["cv_results"][0]
    assert entry["mean"] > 0.75, f"the model ranks well and never says 1; its cross-validated roc_auc is given as {entry['mean']:.3f}"


@requirement("R8")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_without_a_grid_there_is_one_candidate(box, seed, kind):
    result = train(box, plain(seed=seed), kind=kind, options={}, cv_folds=4)
    assert [entry["params"] for entry in result["cv_results"]] == [{}], "without a grid, cv_results is not one candidate {}"
    assert len(result["cv_results"][0]["fold_scores"]) == 4, "without a grid, the candidate has not cv_folds scores"
    assert result["best_params"] == {}, f"without a grid, best_params is {result['best_params']}"


@requirement("R8")
@pytest.mark.parametrize("with_test_data", [False, True])
def test_the_number_of_fits_is_bounded(box, seed, with_test_data):
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    extra = {"test_data": plain(60, seed=seed + 1)} if with_test_data else {}
    train(box, plain(seed=seed), kind="recording", param_grid={"C": [0.1, 1.0, 10.0, 50.0]}, cv_folds=3, **extra)
    assert 12 <= len(fits.matrices) <= 14, f"4 candidates, 3 folds: 12 to 14 fits, and fit() was called {len(fits.matrices)} times"


@requirement("R8")
@pytest.mark.parametrize("folds", [2, 5])
def test_every_training_row_is_validated_once(box, seed, folds):
    fits = Fits()
    box.props.report_to(lend(fits, "fitted"))
    learned = len(sides(train(box, plain(seed=seed), kind="recording", cv_folds=folds))[0])
    sizes = sorted(len(matrix) for matrix in fits.matrices)
    assert sum(learned - size for size in sizes) == learned, (
        f"{folds} folds of {learned} training rows: fit() received {sizes} rows, so rows were validated never or several times")
    assert sizes[0] < learned and sizes[-1] == learned, f"the winner was not fitted on all {learned} training rows: {sizes}"


@requirement("R8")
def test_fold_scores_are_measured_on_rows_that_the_fold_did_not_learn(box, seed):
    data = plain(seed=seed, signal=0.0)
    data["target"] = np.random.default_rng([seed, 8]).permutation(len(data)) % 2
    entry = train(box, data, kind="tree", options={"random_state": 0})["cv_results"][0]
    assert max(entry["fold_scores"]) < 0.8, f"labels are noise, and an unpruned tree scores {entry['fold_scores']} in its folds"


# R9


def patients(seed, groups=160, visits=3):
    """Return groups whose members look alike and share a label that follows from nothing."""
    rng = np.random.default_rng([seed, 13])
    centre = np.repeat(rng.normal(size=(groups, 3)), visits, axis=0) + rng.normal(0, 1e-3, (groups * visits, 3))
    data = pd.DataFrame(centre, columns=["x0", "x1", "x2"])
    data["patient"] = np.repeat([f"p{place:03d}" for place in rng.permutation(groups)], visits)
    data["target"] = np.repeat(rng.permutation(groups) % 2, visits)
    return data.iloc[rng.permutation(len(data))]


@requirement("R9")
@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("settings", [{}, {"seed": 5, "test_size": 0.4}])
def test_no_group_is_on_both_sides(box, seed, settings, numbered):
    data = patients(seed)
    if numbered:
        data["patient"] = data["patient"].str[1:].astype(int)
    learned, held_out = (set(data.loc[side, "patient"]) for side in sides(train(box, data, group_col="patient", **settings)))
    assert learned and held_out, "with group_col, a side has no group"
    assert not learned & held_out, f"{len(learned & held_out)} of 160 groups have rows on both sides"


@requirement("R9")
def test_no_group_is_in_both_parts_of_a_fold(box, seed):
    result = train(box, patients(seed), kind="tree", options={"random_state": 0}, group_col="patient")
    entry = result["cv_results"][0]
    assert entry["mean"] < 0.75, (
        f"labels are noise by group, and cross-validation claims {entry['mean']:.3f}: groups are cut apart between folds")


@requirement("R9")
def test_grouped_folds_hold_with_test_data(box, seed):
    result = train(box, patients(seed), test_data=patients(seed + 1), kind="tree", options={"random_state": 0}, group_col="patient")
    mean = result["cv_results"][0]["mean"]
    assert mean < 0.75, f"with test_data, labels are noise by group, and cross-validation claims {mean:.3f}"


def moments(form, rows, seed):
    order = np.random.default_rng([seed, 17]).permutation(rows)
    if form == "dates":
        return pd.Timestamp("2024-01-01") + pd.to_timedelta(order * 7, unit="h")
    if form == "seconds":
        return order * 60.5 - 1000.0
    return order // 5 if form == "ties" else order


@requirement("R9")
@pytest.mark.parametrize("form", ["dates", "seconds", "days", "ties"])
@pytest.mark.parametrize("test_size", [0.2, 0.35])
def test_training_ends_before_the_held_out_rows_begin(box, seed, form, test_size):
    data = plain(300, seed=seed)
    data["when"] = moments(form, 300, seed)
    learned, held_out = (data.loc[side, "when"] for side in sides(train(box, data, time_col="when", test_size=test_size)))
    assert learned.max() <= held_out.min(), (
        f"the latest training time is {learned.max()}, the earliest held-out time is {held_out.min()}")


@requirement("R9")
@pytest.mark.parametrize("role", ["group_col", "time_col", "drop_cols"])
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_identifiers_are_not_features(box, seed, role, kind):
    data = plain(400, seed=seed, signal=0.3)
    data["ident"] = data["target"] * 1000 + np.random.default_rng(seed).permutation(400) % 150
    if role == "time_col":
        data["ident"] = np.random.default_rng(seed).permutation(400) + 0.0
    result = train(box, data, kind=kind, options={}, **{role: ["ident"] if role == "drop_cols" else "ident"})
    probe = plain(50, seed=seed + 1)
    before = chances(result["model"], probe.assign(ident=0))
    for what, frame in (("changed", probe.assign(ident=1050)), ("left out", probe)):
        gap = np.abs(before - chances(result["model"], frame)).max()
        assert gap <= 1e-9, f"the {role} column was {what} in the frame to predict, and probabilities moved by {gap:.3g}"
    assert "ident" not in list(result["metadata"]["feature_names"]), f"feature_names lists the {role} column"


@requirement("R9")
def test_several_dropped_text_columns_are_not_features(box, seed):
    data = customers(seed=seed)
    data["name"], data["mail"] = [f"n{place}" for place in range(240)], np.where(data["target"] == 1, "yes", "no")
    result = train(box, data, kind="tree", options={"random_state": 0}, drop_cols=("name", "mail"))
    probe = customers(50, seed=seed + 1)
    gap = np.abs(chances(result["model"], probe) - chances(result["model"], probe.assign(name="n1", mail="yes"))).max()
    assert gap <= 1e-9, f"dropped text columns moved probabilities by {gap:.3g}"
    assert set(result["metadata"]["feature_names"]) == set(FEATURES), f"feature_names is {result['metadata']['feature_names']}"


@requirement("R9")
def test_identifiers_do_not_become_features_through_test_data(box, seed):
    data, held_out = patients(seed), patients(seed + 1)
    model = train(box, data, test_data=held_out, group_col="patient")["model"]
    gap = np.abs(chances(model, held_out) - chances(model, held_out.drop(columns="patient"))).max()
    assert gap <= 1e-9, f"leaving out the group column moved probabilities by {gap:.3g}"


@requirement("R9")
def test_dates_are_not_needed_to_predict(box, seed):
    data = customers(300, seed=seed)
    data["when"] = moments("dates", 300, seed)
    result = train(box, data, time_col="when")
    probe = customers(50, seed=seed + 1)[FEATURES]
    gap = np.abs(chances(result["model"], probe) - chances(result["model"], probe.assign(when="never"))).max()
    assert gap <= 1e-9, f"another time column in the frame to predict moved probabilities by {gap:.3g}"
    assert set(result["metadata"]["feature_names"]) == set(FEATURES), f"feature_names is {result['metadata']['feature_names']}"


# R10


def assert_same_run(before, after, probe, what):
    assert [sorted(side, key=str) for side in sides(before)] == [sorted(side, key=str) for side in sides(after)], f"{what}: the split differs"
    for name in FIGURES:
        assert before["metrics"][name] == pytest.approx(after["metrics"][name], abs=1e-9), f"{what}: {name} differs"
    assert before["best_params"] == after["best_params"], f"{what}: best_params differ"
    for one, two in zip(before["cv_results"], after["cv_results"], strict=True):
        assert one["params"] == two["params"], f"{what}: cv_results have another order"
        assert one["fold_scores"] == pytest.approx(two["fold_scores"], abs=1e-9), f"{what}: fold scores differ"
    gap = np.abs(chances(before["model"], probe) - chances(after["model"], probe)).max()
    assert gap <= 1e-9, f"{what}: probabilities differ by up to {gap:.3g}"


@requirement("R10")
@pytest.mark.parametrize("role", [None, "group_col", "time_col"])
def test_another_process_gives_the_same_result(sandbox, seed, role):
    data = customers(seed=seed)
    data["ident"] = [f"g{place}" for place in np.arange(240) % 120] if role == "group_col" else np.arange(240)
    settings = {"drop_cols": ["ident"]} if role is None else {role: "ident"}
    settings |= {"kind": "tree", "options": {"max_features": 1}, "param_grid": {"max_depth": [2, 4]}, "seed": 3}
    before, after = (train(sandbox(hash_seed=number), data, **settings) for number in (0, 1))
    assert_same_run(before, after, customers(50, seed=seed + 1)[FEATURES], "the same run in two processes")


@requirement("R10")
@pytest.mark.limits(seconds=60)
def test_the_default_run_is_the_same_in_another_process(sandbox):
    before, after = (sandbox(hash_seed=number).submission.create_training_pipeline().run() for number in (0, 1))
    from sklearn.datasets import load_breast_cancer

    probe = load_breast_cancer(as_frame=True).frame.drop(columns="target").head(50)
    assert_same_run(before, after, probe, "the default run in two processes")


@requirement("R10")
@pytest.mark.parametrize("kind", ["tree", "forest"])
def test_global_generators_have_no_say(box, seed, kind):
    data, results = customers(seed=seed), []
    options = {"max_features": 1} if kind == "tree" else {"n_estimators": 4}
    for number in (1, 2):
        box.props.seed_globals(number)
        results.append(train(box, data, kind=kind, options=options))
    assert_same_run(*results, customers(50, seed=seed + 1)[FEATURES], f"an unseeded {kind} after other calls of np.random.seed")


@requirement("R10")
@pytest.mark.parametrize("role", [None, "group_col"])
def test_another_seed_gives_another_split(box, seed, role):
    data = customers(seed=seed)
    data["ident"] = np.arange(240) % 120
    settings = {"drop_cols": ["ident"]} if role is None else {role: "ident"}
    splits = [frozenset(sides(train(box, data, seed=number, **settings))[1]) for number in (0, 1, 2, 42)]
    assert len(set(splits)) == 4, f"four seeds gave {len(set(splits))} different splits"


@requirement("R10")
def test_an_unset_random_state_becomes_the_seed(box, seed):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    unset = train(box, data, kind="tree", options={"max_features": 1}, seed=11)
    fixed = train(box, data, kind="tree", options={"max_features": 1, "random_state": 11}, seed=11)
    assert_same_run(unset, fixed, probe, "random_state unset with seed=11, and random_state=11")


@requirement("R10")
def test_the_callers_estimator_keeps_its_random_state(box, seed):
    estimator = box.props.estimator("tree", {"max_features": 1})
    train(box, customers(seed=seed), kind=None, estimator=estimator, param_grid={"max_depth": [2, 3]}, seed=5)
    found = estimator.get_params()
    assert found["random_state"] is None, f"the run set random_state = {found['random_state']!r} on the caller's own estimator"


@requirement("R10")
@pytest.mark.parametrize("settings", [{}, {"group_col": "ident"}, {"time_col": "ident"}, {"seed": 9, "kind": "forest"}])
def test_the_states_of_the_global_generators_are_left_alone(box, seed, settings):
    data = customers(seed=seed)
    data["ident"] = np.arange(240) // 2
    settings = {"kind": "tree", **settings}
    kind = settings.pop("kind")
    options = {"n_estimators": 3} if kind == "forest" else {"max_features": 1}
    settings["estimator"] = box.props.estimator(kind, options)
    box.props.seed_globals(77)
    before, after = box.props.generator_states(box.submission, data, box.props.config(box.submission, settings))
    assert before[0] == after[0], "the state of `random` is another one after the run"
    assert before[1:] == after[1:], "the state of `np.random` is another one after the run"


@requirement("R10")
@pytest.mark.limits(seconds=60)
def test_the_default_estimator_leaves_the_generators_alone(box, seed):
    before, after = box.props.generator_states(box.submission, customers(seed=seed), box.props.config(box.submission, {}))
    assert before == after, "with the pipeline's own estimator, the state of a global generator is another one after the run"


# R11


def assert_refused(result, shelf, what):
    assert shelf is None or shelf.calls == [], f"{what}, and register() was called"
    assert result["registered"] is False, f"{what}, and registered is {result['registered']!r}"
    assert result["version"] is None, f"{what}, and version is {result['version']!r}"
    assert isinstance(result["reason"], str) and result["reason"].strip(), f"{what}, and reason is {result['reason']!r}"


@requirement("R11")
@pytest.mark.parametrize("version", [1, 42])
def test_a_good_model_is_registered_once_with_the_results_own_values(box, seed, version):
    shelf, probe = Shelf(version=version), customers(40, seed=seed + 1)[FEATURES]
    result = train(box, customers(seed=seed), registry=shelf, model_name="churn-eu")
    assert len(shelf.calls) == 1, f"a good model without a champion: register() was called {len(shelf.calls)} times"
    call = shelf.calls[0]
    assert (result["registered"], result["version"]) == (True, version), (
        f"register() returned {version}; the result says registered={result['registered']}, version={result['version']}")
    assert (call["name"], set(shelf.asked)) == ("churn-eu", {"churn-eu"}), "the registry was not called with model_name"
    assert {name: call["metrics"][name] for name in FIGURES} == {name: result["metrics"][name] for name in FIGURES}, (
        "register() got other metrics than the result has")
    assert call["metadata"]["data_sha256"] == result["metadata"]["data_sha256"], "register() got other metadata than the result"
    assert np.abs(chances(call["model"], probe) - chances(result["model"], probe)).max() <= 1e-9, "register() got another model"
    assert isinstance(result["reason"], str) and result["reason"].strip(), "reason of a registered model is empty"


@requirement("R11")
def test_without_a_registry_nothing_is_registered(box, seed):
    assert_refused(train(box, customers(seed=seed)), None, "no registry was given")


@requirement("R11")
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc"])
def test_only_a_strictly_better_model_replaces_the_champion(box, seed, metric):
    data = customers(400, seed=seed, positives=0.3, noise=0.2)
    ours = train(box, data, primary_metric=metric)["metrics"][metric]
    for theirs, wins in ((ours - 1e-4, True), (ours, False), (ours + 1e-4, False)):
        others = {name: 1.0 if wins else 0.0 for name in FIGURES}
        shelf = Shelf({"version": 3, "metrics": {**others, metric: theirs}})
        result = train(box, data, primary_metric=metric, registry=shelf)
        if wins:
            assert len(shelf.calls) == 1 and result["registered"] is True, (
                f"{metric} was above the champion's, and the model was not registered: {result['reason']}")
        else:
            assert_refused(result, shelf, f"the model's {metric} was {ours}, the champion's {theirs}")


@requirement("R11")
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc"])
def test_the_improvement_over_the_baseline_counts(box, seed, metric):
    data = customers(400, seed=seed, positives=0.6, noise=0.2)
    first = train(box, data, primary_metric=metric)
    lead = first["metrics"][metric] - first["baseline_metrics"][metric]
    assert lead > 0.01, f"the model leads the baseline by {lead:.3f} in {metric} on an easy problem"
    for wanted, wins in ((lead - 1e-4, True), (lead + 1e-4, False)):
        shelf = Shelf()
        result = train(box, data, primary_metric=metric, registry=shelf, min_improvement=wanted)
        if wins:
            assert len(shelf.calls) == 1, f"{metric} leads by {lead:.4f}, min_improvement is {wanted:.4f}, not registered"
        else:
            assert_refused(result, shelf, f"{metric} leads by {lead:.4f}, min_improvement is {wanted:.4f}")


@requirement("R11")
def test_the_improvement_is_not_asked_over_the_champion(box, seed):
    data = customers(seed=seed, noise=0.2)
    ours = train(box, data)["metrics"]["balanced_accuracy"]
    shelf = Shelf({"version": 1, "metrics": {"balanced_accuracy": ours - 0.01}})
    result = train(box, data, registry=shelf, min_improvement=0.1)
    assert len(shelf.calls) == 1, f"0.01 above the champion and far above the baseline: not registered, {result['reason']!r}"


@requirement("R11")
def test_exactly_the_wanted_improvement_is_enough(box, seed):
    data = plain(seed=seed, positives=0.3)
    held_out = plain(64, seed=seed + 1).assign(target=[0] * 16 + [1] * 48)
    for wanted, wins in ((0.5, True), (0.501, False)):
        shelf = Shelf()
        train(box, data, test_data=held_out, kind="constant", options={"label": 1}, primary_metric="accuracy",
              min_improvement=wanted, registry=shelf)
        assert len(shelf.calls) == wins, (
            f"accuracy 0.75, baseline 0.25, min_improvement {wanted}: register() was called {len(shelf.calls)} times")


@requirement("R11")
@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy", "f1", "roc_auc"])
def test_a_constant_model_is_never_registered(box, seed, metric):
    shelf = Shelf()
    result = train(box, plain(500, seed=seed, positives=0.08), kind="constant", registry=shelf, primary_metric=metric)
    assert result["metrics"]["accuracy"] > 0.88, "a constant model on 92 % zeros has another accuracy than its majority share"
    assert_refused(result, shelf, f"the model always predicts the majority class ({metric})")


@requirement("R11")
def test_a_constant_model_does_not_replace_a_weak_champion(box, seed):
    shelf = Shelf({"version": 1, "metrics": {"accuracy": 0.1, "balanced_accuracy": 0.1}})
    result = train(box, plain(500, seed=seed, positives=0.08), kind="constant", registry=shelf)
    assert_refused(result, shelf, "the model only predicts the majority class, the champion is even weaker")


@requirement("R11")
def test_both_conditions_must_hold(box, seed):
    shelf = Shelf({"version": 1, "metrics": {"balanced_accuracy": 0.2}})
    result = train(box, customers(seed=seed), registry=shelf, min_improvement=0.6)
    assert_refused(result, shelf, "the model beats the champion and misses min_improvement")


@requirement("R11")
@pytest.mark.parametrize("champion", [{"version": 2, "metrics": {"accuracy": 0.1}}, {"version": 2, "metrics": {}}])
def test_a_champion_without_the_primary_metric_stays(box, seed, champion):
    shelf = Shelf(champion)
    result = train(box, customers(seed=seed), registry=shelf, primary_metric="f1")
    assert_refused(result, shelf, "the champion has no f1")


@requirement("R11")
@pytest.mark.parametrize("error", [RuntimeError("shelf 12 is closed"), OSError("no route to shelf 12"), KeyError("shelf 12")])
def test_a_registry_that_cannot_name_its_champion_gets_no_model(box, seed, error):
    shelf = Shelf(champion_error=error)
    result = train(box, customers(seed=seed), registry=shelf)
    assert_refused(result, shelf, "champion() raised")
    assert "shelf 12" in result["reason"], f"champion() raised {error!r}, and reason is {result['reason']!r}"
    assert len(result["model"].predict(customers(9, seed=1)[FEATURES])) == 9, "champion() raised, and the result has no model"


@requirement("R11")
@pytest.mark.parametrize("error", [RuntimeError("disk quota 9 exceeded"), ConnectionError("quota 9"), ValueError("quota 9")])
def test_a_registry_that_fails_to_register_does_not_lose_the_run(box, seed, error):
    shelf, data = Shelf(register_error=error), customers(seed=seed)
    result = train(box, data, registry=shelf)
    assert len(shelf.calls) == 1, f"register() raised, and was called {len(shelf.calls)} times"
    shelf.calls.clear()
    assert_refused(result, shelf, "register() raised")
    assert "quota 9" in result["reason"], f"register() raised {error!r}, and reason is {result['reason']!r}"
    rows = data.loc[sides(result)[1]]
    assert_figures(result["metrics"], measured(result["model"], rows[FEATURES], rows["target"]), "metrics")


# R12


def sha256_of(box, data, **settings):
    value = train(box, data, **settings)["metadata"]["data_sha256"]
    assert isinstance(value, str) and len(value) == 64 and not set(value.lower()) - set("0123456789abcdef"), (
        f"data_sha256 is {value!r}, not 64 hexadecimal digits")
    return value


@requirement("R12")
@pytest.mark.parametrize("place", [0, 120, 239])
@pytest.mark.parametrize("column", ["age", "visits", "city", "target"])
def test_one_changed_cell_changes_the_hash(box, seed, column, place):
    data = customers(seed=seed)
    other, row = data.copy(), data.index[place]
    other.loc[row, column] = {"age": data.loc[row, "age"] + 1e-6, "visits": 99, "city": "Atlantis",
                              "target": 1 - data.loc[row, "target"]}[column]
    assert sha256_of(box, data) != sha256_of(box, other), f"one value of {column} in row {place} of 240 changed, data_sha256 did not"


@requirement("R12")
def test_a_value_gone_missing_changes_the_hash(box, seed):
    data = customers(seed=seed)
    other = data.copy()
    other.loc[data.index[130], "age"] = np.nan
    assert sha256_of(box, data) != sha256_of(box, other), "one age went missing, data_sha256 did not change"


@requirement("R12")
def test_a_change_in_a_row_that_is_not_retained_changes_the_hash(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[50], "target"] = np.nan
    other = data.copy()
    other.loc[data.index[50], "age"] += 5.0
    assert sha256_of(box, data) != sha256_of(box, other), "a row without target changed, data_sha256 (of data as passed) did not"


@requirement("R12")
def test_equal_frames_agree_in_another_process(sandbox, seed):
    data = customers(seed=seed)
    one, two = (sha256_of(sandbox(hash_seed=number), frame) for number, frame in ((0, data), (1, data.copy())))
    assert one == two, "equal frames gave different data_sha256 in two processes"


@requirement("R12")
def test_equal_frames_agree_whatever_the_other_settings(box, seed):
    data = customers(seed=seed)
    one = sha256_of(box, data, seed=1, clock=lambda: 1.0)
    two = sha256_of(box, data, seed=2, kind="tree", options={"max_depth": 2}, test_size=0.4, clock=lambda: 2.0)
    assert one == two, "the same data with another seed, estimator and clock gave another data_sha256"


@requirement("R12")
@pytest.mark.parametrize("boxed", [False, True])
def test_equal_frames_agree_however_they_were_built(box, seed, boxed):
    data = customers(seed=seed)
    if boxed:
        data["city"] = data["city"].astype(object)
    config = box.props.config(box.submission, {"estimator": box.props.estimator("tree", {"max_depth": 2})})
    equal, one, two = box.props.hashes_of_equal_frames(box.submission, data, config)
    assert not equal or one == two, "two frames that are equal, built in different ways, gave different data_sha256"


@requirement("R12")
@pytest.mark.parametrize("now", [1234.5, 1_700_000_000.25])
def test_the_metadata_describe_the_run(box, seed, now):
    data = customers(seed=seed).assign(ident=1.0)
    result = train(box, data, param_grid={"C": [0.1, 1.0]}, seed=12, clock=lambda: now, drop_cols=["ident"])
    metadata = result["metadata"]
    assert metadata["created_at"] == now, f"the clock said {now}, created_at is {metadata['created_at']!r}"
    assert metadata["seed"] == 12, f"seed was 12, metadata say {metadata['seed']!r}"
    assert sorted(metadata["feature_names"]) == sorted(FEATURES), f"feature_names is {metadata['feature_names']}"
    assert metadata["best_params"] == result["best_params"], f"best_params of metadata is {metadata['best_params']}"
    for name, version in box.props.versions().items():
        assert metadata["library_versions"].get(name) == version, f"library_versions[{name!r}] is not {version!r}"


@requirement("R12")
@pytest.mark.parametrize(("champion", "folder"), [("no registry", "out"), (None, "a/b/c"), (1.0, "")])
def test_the_artifact_is_written_whatever_the_gate_says(box, seed, champion, folder):
    shelf = Shelf(champion and {"version": 1, "metrics": {"balanced_accuracy": champion}})
    result = train(box, customers(seed=seed), registry=None if champion == "no registry" else shelf, clock=lambda: 55.5, param_grid={"C": [0.5]},
                   output_dir=f"{box.scratch.path}/{folder}", seed=4)
    prefix = f"{folder}/" if folder else ""
    for name in ("model.joblib", "metadata.json"):
        assert prefix + name in box.scratch.files(), f"{name} is not in output_dir; registered is {result['registered']}"
    digest = hashlib.sha256(box.scratch.read(f"{prefix}model.joblib")).hexdigest()
    written = json.loads(box.scratch.read(f"{prefix}metadata.json"))
    assert result["metadata"]["artifact_sha256"] == digest, "artifact_sha256 of the result is not the hash of model.joblib"
    for name in ("artifact_sha256", "data_sha256", "seed", "best_params", "library_versions", "created_at"):
        assert written.get(name) == result["metadata"][name], f"metadata.json and the result differ in {name}"
    assert sorted(written["feature_names"]) == sorted(FEATURES), "metadata.json has other feature_names than the data"


@requirement("R12")
def test_the_registry_gets_the_hash_of_the_artifact(box, seed):
    shelf = Shelf()
    train(box, customers(seed=seed), registry=shelf, output_dir=f"{box.scratch.path}/out", clock=lambda: 8.5)
    digest = hashlib.sha256(box.scratch.read("out/model.joblib")).hexdigest()
    given = shelf.calls[0]["metadata"]
    assert given.get("artifact_sha256") == digest, "artifact_sha256 that register() got is not the hash of model.joblib"
    assert given.get("created_at") == 8.5, "register() got other metadata than the result has"


@requirement("R12")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_the_reloaded_model_predicts_the_same(sandbox, seed, kind):
    first, probe = sandbox(), customers(60, seed=seed + 1)[FEATURES].iloc[:, ::-1]
    probe.loc[probe.index[:5], "city"] = "Atlantis"
    result = train(first, customers(seed=seed), kind=kind, options={}, output_dir=f"{first.scratch.path}/out",
                   param_grid={"class_weight": ["balanced"]})
    second = sandbox(hash_seed=1, files={"model.joblib": first.scratch.read("out/model.joblib")})
    assert second.submission is not None
    model = second.props.load(f"{second.scratch.path}/model.joblib")
    gap = np.abs(chances(model, probe) - chances(result["model"], probe)).max()
    assert gap <= 1e-9, f"the reloaded model's probabilities differ by up to {gap:.3g}"
    assert labels(model.predict(probe)) == labels(result["model"].predict(probe)), "the reloaded model predicts other labels"
