"""R9: groups, times and columns that are no features."""

import numpy as np
import pandas as pd
import pytest
from training_runs import FEATURES, chances, customers, plain, sides, train

from rounds.testing import requirement


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
    learned, held_out = (
        set(data.loc[side, "patient"]) for side in sides(train(box, data, group_col="patient", **settings))
    )
    assert min(len(learned), len(held_out)) > 0, "with group_col, a side has no group"
    assert not learned & held_out, f"{len(learned & held_out)} of 160 groups have rows on both sides"


@requirement("R9")
def test_no_group_is_in_both_parts_of_a_fold(box, seed):
    result = train(box, patients(seed), kind="tree", options={"random_state": 0}, group_col="patient")
    entry = result["cv_results"][0]
    assert entry["mean"] < 0.75, f"labels are noise by group, and folds claim {entry['mean']:.3f}: groups are cut apart"


@requirement("R9")
def test_grouped_folds_hold_with_test_data(box, seed):
    result = train(
        box, patients(seed), test_data=patients(seed + 1), kind="tree", options={"random_state": 0}, group_col="patient"
    )
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
    learned, held_out = (
        data.loc[side, "when"] for side in sides(train(box, data, time_col="when", test_size=test_size))
    )
    assert learned.max() <= held_out.min(), (
        f"the latest training time is {learned.max()}, the earliest held-out time is {held_out.min()}"
    )


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
        assert gap <= 1e-9, (
            f"the {role} column was {what} in the frame to predict, and probabilities moved by {gap:.3g}"
        )
    assert "ident" not in list(result["metadata"]["feature_names"]), f"feature_names lists the {role} column"


@requirement("R9")
def test_several_dropped_text_columns_are_not_features(box, seed):
    data = customers(seed=seed)
    data["name"], data["mail"] = [f"n{place}" for place in range(240)], np.where(data["target"] == 1, "yes", "no")
    result = train(box, data, kind="tree", options={"random_state": 0}, drop_cols=("name", "mail"))
    probe = customers(50, seed=seed + 1)
    gap = np.abs(chances(result["model"], probe) - chances(result["model"], probe.assign(name="n1", mail="yes"))).max()
    assert gap <= 1e-9, f"dropped text columns moved probabilities by {gap:.3g}"
    assert set(result["metadata"]["feature_names"]) == set(FEATURES), (
        f"feature_names is {result['metadata']['feature_names']}"
    )


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
    assert set(result["metadata"]["feature_names"]) == set(FEATURES), (
        f"feature_names is {result['metadata']['feature_names']}"
    )
