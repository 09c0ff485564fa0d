"""R7: which features are flagged, at one level for all of them, and in which form."""

import json

import numpy as np
import pandas as pd
import pytest

from rounds.testing import requirement


def drift(submission, new, reference, *threshold, **options):
    monitor = submission.ModelMonitor(clock=lambda: 1000.0)
    result = monitor.detect_data_drift(new, reference, *threshold, **options)
    for name in reference.columns:
        assert name in result["features"], f"the column {name!r} has no entry among {sorted(result['features'])}"
    return result


def flagged(result):
    return sorted(name for name, column in result["features"].items() if column["drift"])


def expect(result, names, situation):
    found = flagged(result)
    assert found == sorted(names), (
        f"{situation}: expected {sorted(names) or 'no column'} to be flagged, and found {found}"
    )
    assert result["drift_detected"] is bool(names), f"{situation}: drift_detected was {result['drift_detected']!r}"


def frames(seed, columns=5, rows=500):
    """Return two frames from one distribution. The seeds used below are calm: no test comes near 0.05 on them."""
    rng = np.random.default_rng(seed)
    names = [f"f{i}" for i in range(columns)]
    return tuple(pd.DataFrame(rng.normal(size=(rows, columns)), columns=names) for _ in range(2))


@requirement("R7")
@pytest.mark.limits(seconds=120, memory_mb=1024)
def test_twenty_unchanged_features_come_out_clean(submission):
    clean = 0
    for seed in range(20):
        reference, new = frames(seed, columns=20)
        clean += not drift(submission, new, reference)["drift_detected"]
    assert clean >= 16, f"20 unchanged features at 0.05: {clean} of 20 comparisons came out clean, fewer than 16"


@requirement("R7")
@pytest.mark.limits(seconds=120, memory_mb=1024)
def test_drifted_features_do_not_loosen_the_level_for_the_others(submission):
    alarms = 0
    for seed in range(80):
        reference, new = frames(seed, columns=20)
        drifted = list(new.columns[::2])
        found = flagged(drift(submission, new.assign(**{name: new[name] + 1 for name in drifted}), reference))
        assert set(drifted) <= set(found), f"10 of 20 columns were shifted by 1 sd, and only {found} were flagged"
        alarms += len(found) > len(drifted)
    assert alarms <= 9, f"with 10 of 20 columns drifted, an unchanged one was flagged in {alarms} of 80 runs at 0.05"


CHANGES = {
    "a shift by half a standard deviation": lambda x: x + 0.5,
    "a shift down by half a standard deviation": lambda x: x - 0.5,
    "a shift by one standard deviation": lambda x: x + 1,
    "a spread three times as wide": lambda x: x * 3,
    "a spread a third as wide": lambda x: x / 3,
}


@requirement("R7")
@pytest.mark.parametrize("seed", [59, 13, 7])
@pytest.mark.parametrize("what", CHANGES)
def test_one_changed_column_is_flagged_alone(submission, what, seed):
    reference, new = frames(seed)
    name = f"f{seed % 5}"
    result = drift(submission, new.assign(**{name: CHANGES[what](new[name])}), reference)
    expect(result, [name], f"{what} of {name} in 500 rows")


@requirement("R7")
@pytest.mark.parametrize("seed", [20, 40, 9, 19])
def test_one_shifted_column_of_twenty_is_flagged_alone(submission, seed):
    reference, new = frames(seed, columns=20)
    name = f"f{seed % 20}"
    result = drift(submission, new.assign(**{name: new[name] + 1}), reference)
    expect(result, [name], f"a shift of {name} by 1 sd, among 20 columns")


@requirement("R7")
def test_every_changed_column_is_flagged(submission):
    reference, new = frames(59)
    expect(drift(submission, new + 1, reference), list(new.columns), "a shift of all five columns")
    new[["f1", "f3"]] -= 1
    expect(drift(submission, new, reference), ["f1", "f3"], "a shift of f1 and f3")


@requirement("R7")
def test_equal_frames_have_no_drift(submission):
    reference, _ = frames(59)
    expect(drift(submission, reference, reference.copy()), [], "a frame against its copy")


@requirement("R7")
def test_the_threshold_sets_how_strong_the_evidence_must_be(submission):
    reference, new = frames(7, columns=1, rows=60)
    new = new + 1
    expect(drift(submission, new, reference), ["f0"], "1 sd in 60 rows at the default threshold")
    expect(drift(submission, new, reference, 0.05), ["f0"], "1 sd in 60 rows at 0.05")
    expect(drift(submission, new, reference, threshold=1e-30), [], "1 sd in 60 rows at 1e-30")


@requirement("R7")
def test_nan_cells_are_left_out(submission):
    reference, new = frames(59)
    new["f2"] += 1
    new.loc[::10, "f2"] = np.nan
    reference.loc[5::10, "f2"] = np.nan
    expect(drift(submission, new, reference), ["f2"], "a shift of f2 by 1 sd, with a tenth of its cells NaN")
    reference, new = frames(59)
    new.loc[::10, ["f0", "f2"]] = np.nan
    reference.loc[5::10, ["f0", "f2"]] = np.nan
    expect(drift(submission, new, reference), [], "unchanged columns with a tenth of their cells NaN")


@requirement("R7")
@pytest.mark.parametrize("side", ["new", "reference"])
def test_a_changed_share_of_nan_is_no_drift(submission, side):
    reference, new = frames(59)
    {"new": new, "reference": reference}[side].loc[::3, ["f1", "f4"]] = np.nan
    expect(drift(submission, new, reference), [], f"a third of f1 and f4 is NaN in the {side} frame alone")


@requirement("R7")
@pytest.mark.parametrize("side", ["new", "reference", "both"])
def test_an_empty_column_disturbs_no_other(submission, side):
    reference, new = frames(59)
    new["f1"] += 1
    for name, frame in (("new", new), ("reference", reference)):
        if side in (name, "both"):
            frame["f3"] = np.nan
    result = drift(submission, new, reference)
    others = [name for name in flagged(result) if name != "f3"]
    assert others == ["f1"], f"f1 is shifted and f3 has no value ({side}); besides f3, {others} were flagged"
    assert result["drift_detected"] is True, f"f1 drifted, and drift_detected was {result['drift_detected']!r}"
    check_form(result)


@requirement("R7")
def test_columns_are_matched_by_name(submission):
    reference, new = frames(59)
    offsets = pd.Series({name: 10.0 * i for i, name in enumerate(new.columns)})
    reference, new = reference + offsets, (new + offsets)[["f4", "f2", "f0", "f3", "f1"]]
    expect(drift(submission, new, reference), [], "unchanged columns in another order")
    new["f3"] += 1
    expect(drift(submission, new, reference), ["f3"], "a shift of f3, with the columns in another order")


@requirement("R7")
@pytest.mark.parametrize(("new_rows", "reference_rows"), [(300, 500), (500, 300)])
def test_frames_may_differ_in_length_and_index(submission, new_rows, reference_rows):
    reference, new = frames(59)
    reference, new = reference.iloc[:reference_rows], new.iloc[-new_rows:]
    new.index = [f"row {i}" for i in range(new_rows)]
    result = drift(submission, new, reference)
    expect(result, [], f"unchanged columns in {new_rows} rows against {reference_rows}, with another index")
    result = drift(submission, new.assign(f2=new["f2"] + 1), reference)
    expect(result, ["f2"], f"a shift of f2 in {new_rows} rows against {reference_rows}, with another index")


@requirement("R7")
def test_the_order_of_the_rows_does_not_matter(submission):
    reference, new = frames(59)
    by_value = new.apply(lambda column: np.sort(column.to_numpy()))
    expect(drift(submission, by_value, reference), [], "the same values in ascending order")


@requirement("R7")
def test_integer_columns_are_columns(submission):
    rng = np.random.default_rng(4)
    ages = rng.integers(18, 80, size=500)
    reference = pd.DataFrame({"age": ages, "rooms": rng.integers(1, 6, size=500)})
    new = reference.sample(frac=1, random_state=1).reset_index(drop=True)
    expect(drift(submission, new, reference), [], "the same integers in another order")
    expect(drift(submission, new.assign(age=new["age"] + 20), reference), ["age"], "ages 20 years higher")


@requirement("R7")
@pytest.mark.parametrize("kind", ["float32", "int32", "int8"])
def test_every_numeric_type_is_compared(submission, kind):
    reference, new = ((frame * 10).round().astype(kind) for frame in frames(59))
    expect(drift(submission, new, reference), [], f"unchanged columns of {kind}")
    new["f2"] += np.array(10, dtype=kind)
    expect(drift(submission, new, reference), ["f2"], f"a shift of f2 by 1 sd, in columns of {kind}")


def same(after, before):
    """Compare two frames here, missing values included."""
    if type(after) is not pd.DataFrame or list(after.columns) != list(before.columns):
        return False
    if list(after.index) != list(before.index) or list(after.dtypes) != list(before.dtypes):
        return False
    return bool(((after == before) | (after.isna() & before.isna())).all(axis=None))


@requirement("R7")
def test_neither_frame_is_changed(submission, props):
    reference, new = frames(59)
    new.loc[::10, "f2"] = np.nan
    reference.loc[5::10, "f0"] = np.nan
    monitor = submission.ModelMonitor(clock=lambda: 1000.0)
    new_after, reference_after = props.frames_after_a_comparison(monitor, new.copy(), reference.copy())
    assert same(new_after, new), "detect_data_drift changed new_data"
    assert same(reference_after, reference), "detect_data_drift changed reference_data"


def check_form(result):
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"the result is not JSON-able: {error}")
    assert type(result["drift_detected"]) is bool, f"drift_detected was a {type(result['drift_detected'])}"
    for name, column in result["features"].items():
        assert type(column["drift"]) is bool, f"drift of {name} should be a builtin bool: {type(column['drift'])}"
        p = column["p_value"]
        fine = p is None or (type(p) in (float, int) and 0 <= p <= 1)
        assert fine, f"p_value of {name} should be a builtin float from 0 to 1, or None, and was {p!r}"


@requirement("R7")
@pytest.mark.parametrize("shift", [0.0, 0.2, 5.0])
def test_the_result_is_builtin_and_json_able(submission, shift):
    reference, new = frames(13)
    new.loc[::7, "f1"] = np.nan
    result = drift(submission, new.assign(f0=new["f0"] + shift), reference)
    check_form(result)
    assert set(result["features"]) == set(reference.columns), f"features holds {sorted(result['features'])}"
    assert result["drift_detected"] is bool(flagged(result)), "drift_detected does not agree with the features"
