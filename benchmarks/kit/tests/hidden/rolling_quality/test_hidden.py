"""One check for each requirement. `benchmarks/forms.py` has other graders run the same bodies."""

import numpy as np
import pandas as pd

from rounds.testing import requirement

MIXED = [(1, 0.9), (0, 0.2), (1, 0.4), (0, 0.5), (1, 0.7)]


def filled(submission, rows, **options):
    window = submission.RollingQuality(**options)
    for label, score in rows:
        window.add(label, score)
    return window


def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ValueError:
        return True
    return False


def scores(seed, low=0.0, rows=200):
    return np.random.default_rng(seed).uniform(low, 1, rows).tolist()


def columns(seed, shift=0.0, rows=200):
    rng = np.random.default_rng(seed)
    values = {"b": rng.normal(shift, 1, rows), "a": rng.normal(shift, 1, rows), "c": rng.uniform(0, 1, rows)}
    return pd.DataFrame(values | {"region": ["north"] * rows})


@requirement("R1")
def test_add_counts_the_rows(submission):
    window = submission.RollingQuality()
    counts = [window.add(1, 0.5), window.add(0, 0.5)]
    assert counts == [1, 2], f"two rows were added, and add() returned {counts}"


@requirement("R2")
def test_a_size_of_0_is_refused(submission):
    assert refused(submission.RollingQuality, size=0), "a size of 0 was taken"


@requirement("R3")
def test_an_alpha_outside_0_to_1_is_refused(submission):
    for alpha in (0, 1, -0.1, 2):
        assert refused(submission.RollingQuality, alpha=alpha), f"an alpha of {alpha} was taken"


@requirement("R4")
def test_a_label_of_2_is_refused(submission):
    assert refused(submission.RollingQuality().add, 2, 0.5), "a label of 2 was taken"


@requirement("R5")
def test_a_score_outside_0_to_1_is_refused(submission):
    window = submission.RollingQuality()
    for score in (-0.1, 1.1):
        assert refused(window.add, 1, score), f"a score of {score} was taken"


@requirement("R6")
def test_the_oldest_rows_are_dropped(submission):
    window = filled(submission, MIXED * 3, size=4)
    held = window.add(1, 0.5)
    assert held == 4, f"16 rows were added to a window of 4, and add() returned {held}"


@requirement("R7")
def test_no_rows_have_no_quality(submission):
    found = submission.RollingQuality().quality()
    assert found == {}, f"quality() of no rows was {found}"


@requirement("R8")
def test_accuracy_takes_a_half_as_1(submission):
    found = filled(submission, MIXED).quality()
    assert found["n"] == 5, f"5 rows were added, and n was {found['n']}"
    assert abs(found["accuracy"] - 0.6) < 1e-9, f"3 of 5 rows are right, and accuracy was {found['accuracy']}"


@requirement("R9")
def test_dropped_rows_do_not_count(submission):
    found = filled(submission, [(1, 0.1)] * 10 + [(1, 0.9)] * 5, size=5).quality()
    assert found["accuracy"] == 1.0, f"the last 5 rows are right, and accuracy was {found['accuracy']}"


@requirement("R10")
def test_auc_is_the_area_under_the_curve(submission):
    found = filled(submission, MIXED).quality()["auc"]
    assert abs(found - 5 / 6) < 1e-9, f"5 of 6 pairs are in order, and auc was {found}"


@requirement("R11")
def test_one_class_has_no_auc(submission):
    found = filled(submission, [(1, 0.9), (1, 0.4)]).quality()
    assert "auc" not in found, f"all labels were 1, and auc was {found['auc']}"


@requirement("R12")
def test_brier_is_the_mean_squared_error(submission):
    found = filled(submission, MIXED).quality()["brier"]
    assert abs(found - 0.15) < 1e-9, f"the mean squared error is 0.15, and brier was {found}"


@requirement("R13")
def test_like_scores_are_not_shifted(submission):
    found = filled(submission, [(1, score) for score in scores(1)[:60]]).shift(scores(2))
    assert not found["shifted"], f"both samples are uniform, and p_value was {found['p_value']}"


@requirement("R14")
def test_unlike_scores_are_shifted(submission):
    found = filled(submission, [(1, score) for score in scores(1, low=0.6)[:60]]).shift(scores(2))
    assert found["shifted"] is True, f"all scores lay above 0.6, and p_value was {found['p_value']}"
    assert found["statistic"] > 0.5, f"all scores lay above 0.6, and the statistic was {found['statistic']}"


@requirement("R15")
def test_no_rows_have_no_shift(submission):
    assert refused(submission.RollingQuality().shift, scores(1)), "shift() of no rows gave an answer"


@requirement("R16")
def test_the_table_holds_the_rows(submission):
    found = filled(submission, MIXED).table()
    pd.testing.assert_frame_equal(found, pd.DataFrame(MIXED, columns=["label", "score"]))


@requirement("R17")
def test_groups_have_their_own_accuracy(submission):
    frame = pd.DataFrame(MIXED, columns=["label", "score"]).assign(group=["x", "x", "y", "y", "y"])
    found = submission.RollingQuality().by_group(frame)
    assert found["n"].to_dict() == {"x": 2, "y": 3}, f"2 rows of x and 3 of y gave n = {found['n'].to_dict()}"
    assert abs(found["accuracy"]["y"] - 1 / 3) < 1e-9, f"1 of 3 rows of y is right, not {found['accuracy']['y']}"


@requirement("R18")
def test_rows_without_a_label_do_not_count(submission):
    frame = pd.DataFrame({"group": ["x", "x", "y"], "label": [1.0, np.nan, 0.0], "score": [0.9, 0.9, 0.1]})
    found = submission.RollingQuality().by_group(frame)["n"].to_dict()
    assert found == {"x": 1, "y": 1}, f"x and y have one label each, and n was {found}"


@requirement("R19")
def test_moved_columns_are_named_in_order(submission):
    new = columns(1, shift=1.5)
    found = submission.RollingQuality().drifted(new, columns(2))
    assert found == ["a", "b"], f"a and b moved by 1.5, and drifted() named {found}"


@requirement("R20")
def test_texts_and_missing_values_do_not_drift(submission):
    new = columns(1)
    new.loc[:50, "a"] = np.nan
    found = submission.RollingQuality().drifted(new, columns(2))
    assert found == [], f"a lost 51 values and nothing moved, and drifted() named {found}"
