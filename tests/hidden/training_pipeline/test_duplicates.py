"""R7: exact duplicates, and frames that stay as they were."""

import numpy as np
import pandas as pd
import pytest
from training_runs import customers, plain, sides, train, used

from rounds.testing import requirement


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
    kept = used(result)
    assert result["data_report"]["n_duplicates"] == 6, (
        f"6 rows were copies, the report says {result['data_report']['n_duplicates']}"
    )
    assert not kept & set(copies), "copies are on a side of the split"
    assert kept == set(original.index), "the first of identical rows, or another row, is on no side of the split"


@requirement("R7")
def test_the_first_stays_when_copies_come_before_their_neighbours(box, seed):
    original = customers(seed=seed)
    data, _ = with_duplicates(original, list(range(30)))
    data = data.iloc[np.random.default_rng(seed).permutation(len(data))]
    first = data.index[~data.duplicated(keep="first")]
    kept = used(train(box, data))
    assert kept == set(first), "of identical rows in mixed order, it is not the first that stays"


@requirement("R7")
def test_missing_agrees_with_missing(box, seed):
    original = customers(seed=seed)
    holes = np.flatnonzero(original["spend"].isna() | original["city"].isna())[:12]
    data, copies = with_duplicates(original, list(holes))
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 12, (
        f"12 copies had missing values in the same places, the report says {result['data_report']['n_duplicates']}"
    )
    assert not set(copies) & used(result), "copies of rows with missing values are on a side of the split"


@requirement("R7")
def test_the_same_features_with_another_target_are_no_duplicates(box, seed):
    original = plain(seed=seed)
    data, copies = with_duplicates(original, list(range(10)))
    data.loc[copies, "target"] = 1 - data.loc[copies, "target"]
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 0, (
        "rows with the same features and another target were counted as duplicates"
    )
    assert set(copies) <= used(result), "rows with the same features and another target were removed"


@requirement("R7")
def test_rows_that_differ_in_one_feature_are_no_duplicates(box, seed):
    data, copies = with_duplicates(customers(seed=seed).dropna(), list(range(9)))
    data.loc[copies[:3], "age"] += 0.001
    data.loc[copies[3:6], "visits"] += 1
    data.loc[copies[6:], "city"] = "Atlantis"
    result = train(box, data)
    assert result["data_report"]["n_duplicates"] == 0, "rows that differ in one feature were counted as duplicates"
    assert set(copies) <= used(result), "rows that differ in one feature were removed"


@requirement("R7")
@pytest.mark.parametrize("role", ["drop_cols", "group_col", "time_col"])
def test_identifiers_do_not_make_a_row_new(box, seed, role):
    data, copies = with_duplicates(plain(seed=seed), [1, 2, 3, 100])
    data["ident"] = np.arange(len(data)) % (len(data) if role != "group_col" else 121)
    result = train(box, data, **{role: ["ident"] if role == "drop_cols" else "ident"})
    assert result["data_report"]["n_duplicates"] == 4, (
        f"4 rows differed in {role} alone, the report says n_duplicates = {result['data_report']['n_duplicates']}"
    )
    assert not set(copies) & used(result), f"rows that differ in {role} alone are on a side of the split"


@requirement("R7")
def test_rows_without_target_count_as_missing_and_not_as_duplicates(box, seed):
    data, copies = with_duplicates(plain(seed=seed), [1, 2, 3, 3, 50])
    data.loc[[3, *copies[2:4]], "target"] = np.nan
    report = train(box, data)["data_report"]
    assert (report["n_missing_target"], report["n_duplicates"]) == (3, 3), (
        f"3 rows had no target, 3 others were copies; the report is {report}"
    )


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


def contents(frame):
    """Return all that a frame holds, in plain values; missing ones as None."""
    return [list(frame.index)] + [
        (name, str(frame[name].dtype), [None if pd.isna(value) else value for value in frame[name]])
        for name in frame.columns
    ]


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
                    f"after the run the caller's {name} has changed (values, columns, dtypes, index or order)"
                )
