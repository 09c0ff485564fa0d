"""R4: raw frames at serving time."""

import numpy as np
import pandas as pd
import pytest
from training_runs import FEATURES, NUMBERS, chances, customers, labels, measured, plain, train

from rounds.testing import requirement


@requirement("R4")
def test_the_order_of_the_columns_does_not_matter(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(60, seed=seed + 1)[FEATURES]
    for order in (FEATURES[::-1], sorted(FEATURES), ["city", "age", "visits", "spend"]):
        gap = np.abs(chances(model, probe) - chances(model, probe[order])).max()
        assert gap <= 1e-9, f"with the columns in the order {order}, probabilities moved by {gap:.3g}"
        assert labels(model.predict(probe)) == labels(model.predict(probe[order])), (
            f"columns ordered {order} changed labels"
        )


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
    assert labels(model.predict(probe[FEATURES])) == labels(model.predict(wide)), (
        "extra columns changed predicted labels"
    )


def assert_answers(model, frame, what):
    predicted, proba = np.asarray(model.predict(frame)), np.asarray(model.predict_proba(frame), dtype=float)
    assert predicted.shape == (len(frame),), f"{what}: {len(frame)} rows gave predictions of shape {predicted.shape}"
    assert set(predicted.tolist()) <= {0, 1}, f"{what}: predict() gave {sorted(set(predicted.tolist()))}"
    assert proba.shape == (len(frame), 2), f"{what}: predict_proba() has shape {proba.shape}"
    assert np.allclose(proba.sum(axis=1), 1), f"{what}: rows of predict_proba() do not add up to 1"
    assert (proba >= 0).all(), f"{what}: predict_proba() is negative somewhere"


@requirement("R4")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_missing_values_are_taken_in_any_feature(box, seed, kind):
    model, probe = (
        train(box, customers(seed=seed), kind=kind, options={})["model"],
        customers(60, seed=seed + 1)[FEATURES],
    )
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
    assert_answers(
        model, probe.assign(city=[f"new-{place}" for place in range(60)]), "every city was unknown in training"
    )


@requirement("R4")
def test_rows_are_answered_one_by_one_in_their_order(box, seed):
    model, probe = train(box, customers(seed=seed))["model"], customers(40, seed=seed + 1)[FEATURES]
    probe.loc[probe.index[17], NUMBERS] = np.nan
    probe.loc[probe.index[:17], NUMBERS] *= 1.5
    together, said = chances(model, probe), labels(model.predict(probe))
    for place in (0, 17, 39):
        alone = chances(model, probe.iloc[[place]])
        assert alone.shape == (1,), "a frame of one row did not give one answer"
        assert abs(alone[0] - together[place]) <= 1e-9, (
            "a row alone and the same row among others got different chances"
        )
        assert labels(model.predict(probe.iloc[[place]])) == [said[place]], (
            "a row alone got another label than among others"
        )
    gap = np.abs(chances(model, probe.iloc[::-1])[::-1] - together).max()
    assert gap <= 1e-9, f"rows in reverse order moved probabilities by {gap:.3g}"
    assert labels(model.predict(probe.iloc[::-1]))[::-1] == said, "rows in reverse order got other labels"


@requirement("R4")
@pytest.mark.parametrize("name", FEATURES)
def test_a_missing_feature_is_named(box, seed, name):
    model, probe = train(box, customers(seed=seed))["model"], customers(20, seed=seed + 1)[FEATURES].drop(columns=name)
    for method in (model.predict, model.predict_proba):
        with pytest.raises(ValueError) as caught:
            method(probe)
        assert name in str(caught.value), f"{name!r} was missing, and the message says {str(caught.value)!r}"


@requirement("R4")
def test_a_missing_feature_is_named_although_extra_columns_fill_its_place(box, seed):
    model, probe = train(box, plain(seed=seed))["model"], plain(20, seed=seed + 1)
    with pytest.raises(ValueError) as caught:
        model.predict(probe.rename(columns={"x1": "other"}))
    assert "x1" in str(caught.value), f"'x1' was missing, and the message says {str(caught.value)!r}"


@requirement("R4")
def test_text_informs_the_model(box, seed):
    rng = np.random.default_rng([seed, 3])
    plans = rng.choice(["gold", "iron", "jade", "zinc"], 700, p=[0.4, 0.3, 0.2, 0.1])
    frame = pd.DataFrame(
        {"noise": rng.normal(size=700), "plan": plans, "target": np.isin(plans, ["iron", "zinc"]).astype(int)}
    )
    model = train(box, frame.head(400), kind="tree", options={"random_state": 0})["model"]
    right = np.mean(
        np.asarray(model.predict(frame[["noise", "plan"]].tail(300))) == frame["target"].tail(300).to_numpy()
    )
    assert right > 0.9, (
        f"the target follows from a text column alone, and only {right:.3f} of fresh rows are predicted right"
    )


@requirement("R4")
def test_numbers_inform_the_model(box, seed):
    data, fresh = plain(300, seed=seed, signal=8.0), plain(300, seed=seed + 1, signal=8.0)
    model = train(box, data)["model"]
    right = measured(model, fresh.drop(columns="target"), fresh["target"])
    assert right["accuracy"] > 0.85, (
        f"the target follows from x0, and accuracy on fresh rows is {right['accuracy']:.3f}"
    )
    assert right["roc_auc"] > 0.9, (
        f"the second column of predict_proba ranks class 1 with an AUC of {right['roc_auc']:.3f}"
    )
