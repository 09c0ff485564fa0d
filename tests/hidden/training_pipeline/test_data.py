"""R1 and R2: the run out of the box, and what is refused before anything is fitted."""

import json

import numpy as np
import pandas as pd
import pytest
from training_runs import FEATURES, FIGURES, Fits, customers, measured, plain, sides, train, used

from rounds.testing import lend, requirement


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_the_default_run_gives_a_good_model(submission):
    result = submission.create_training_pipeline().run()
    accuracy = result["metrics"]["accuracy"]
    assert result["model"] is not None, "run() without arguments returned no model"
    assert type(accuracy) is float, (
        f"metrics['accuracy'] of the default run is a {type(accuracy).__name__}, not a float"
    )
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
        f"the default run says accuracy = {result['metrics']['accuracy']}, its model has {found:.4f} there"
    )


JSON_PARTS = ["metrics", "baseline_metrics", "best_params", "cv_results", "data_report", "metadata"]


def assert_plain_values(result):
    for part in JSON_PARTS:
        try:
            json.dumps(result[part], allow_nan=False)
        except (TypeError, ValueError) as error:
            pytest.fail(f"json.dumps of {part} failed: {error}")
    for part in ("metrics", "baseline_metrics"):
        for name in FIGURES:
            assert name in result[part], f"{part} has no {name!r}"
            assert type(result[part][name]) is float, (
                f"{part}[{name!r}] is a {type(result[part][name]).__name__}, not a float"
            )
        assert type(result[part]["n_test"]) is int, (
            f"{part}['n_test'] is a {type(result[part]['n_test']).__name__}, not an int"
        )
    for name in ("n_missing_target", "n_duplicates"):
        value = result["data_report"][name]
        assert type(value) is int, f"data_report[{name!r}] is a {type(value).__name__}, not an int"


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_every_part_of_the_default_result_is_json_able(submission):
    assert_plain_values(submission.create_training_pipeline().run())


@requirement("R1")
def test_every_part_of_a_result_on_given_data_is_json_able(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[:5], "target"] = np.nan
    assert_plain_values(
        train(box, data, options={"max_iter": 300}, param_grid={"C": [1, 2.5], "class_weight": [None, "balanced"]})
    )


@requirement("R1")
def test_the_result_of_a_grouped_run_is_json_able(box, seed):
    data = customers(seed=seed)
    data["clinic"] = np.arange(len(data)) % 120
    assert_plain_values(
        train(box, data, kind="tree", options={"max_depth": 2}, group_col="clinic", primary_metric="f1")
    )


@requirement("R1")
def test_a_model_that_never_says_one_still_gives_json_able_figures(box, seed):
    assert_plain_values(train(box, plain(seed=seed, positives=0.3), kind="constant", primary_metric="f1"))


@requirement("R1")
@pytest.mark.limits(seconds=60)
def test_the_pipeline_brings_its_own_estimator_for_mixed_data(box, seed):
    data, fresh = customers(seed=seed, noise=0.2), customers(rows=300, seed=seed + 50, noise=0.2)
    result = train(box, data, kind=None)
    assert_plain_values(result)
    found = measured(result["model"], fresh[FEATURES], fresh["target"])["balanced_accuracy"]
    assert found > 0.6, (
        f"the pipeline's own estimator has balanced accuracy {found:.3f} on fresh rows of an easy problem"
    )
    assert result["best_params"] in [entry["params"] for entry in result["cv_results"]], (
        "best_params of the pipeline's own estimator is not among the params in cv_results"
    )


@requirement("R1")
def test_the_demo_table_works_with_a_given_estimator(box):
    result = train(box, None, kind="tree", options={"max_depth": 3, "random_state": 0}, seed=3)
    assert result["metrics"]["accuracy"] > 0.8, "a shallow tree on the demo table stayed at or below 0.8"
    assert len(result["metadata"]["feature_names"]) == 30, (
        "the demo table has 30 features, feature_names has another number"
    )


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
@pytest.mark.parametrize(("value", "place"), [(np.inf, 0), (-np.inf, 77), (np.inf, -1)])
def test_an_infinite_value_is_refused_by_column(box, seed, value, place):
    data = customers(seed=seed)
    data.loc[data.index[place], "spend"] = value
    message = refused(box, data)
    assert "spend" in message, f"spend held {value}, and the message says {message!r}"


@requirement("R2")
def test_an_infinite_value_in_a_row_without_a_target_is_refused(box, seed):
    data = customers(seed=seed).astype({"target": float})
    data.loc[data.index[20], ["spend", "target"]] = [np.inf, np.nan]
    message = refused(box, data)
    assert "spend" in message, f"spend held inf in a row without a target, and the message says {message!r}"


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
@pytest.mark.parametrize(
    "settings",
    [
        {"primary_metric": "accuraccy"},
        {"primary_metric": "precision"},
        {"test_size": 0.0},
        {"test_size": 1.0},
        {"test_size": -0.2},
        {"test_size": 1.5},
        {"cv_folds": 1},
        {"cv_folds": 0},
    ],
)
def test_a_bad_setting_is_a_value_error(box, seed, settings):
    refused(box, plain(seed=seed), error="ValueError", **settings)


@requirement("R2")
def test_a_refusal_is_a_value_error(box, seed):
    with pytest.raises(ValueError, match=r"(?i)class"):
        train(box, plain(seed=seed).assign(target=0))


@requirement("R2")
def test_rows_without_target_are_dropped_and_counted(box, seed):
    data = customers(seed=seed)
    gone = list(data.index[3:20])
    data.loc[gone, "target"] = np.nan
    result = train(box, data)
    assert result["data_report"]["n_missing_target"] == 17, (
        f"17 targets were missing, the report says {result['data_report']['n_missing_target']}"
    )
    assert not set(gone) & used(result), "rows without a target are on a side of the split"


@requirement("R2")
def test_nothing_missing_is_counted_as_zero(box, seed):
    report = train(box, customers(seed=seed))["data_report"]
    assert report["n_missing_target"] == 0, f"no target was missing, the report says {report['n_missing_target']}"
