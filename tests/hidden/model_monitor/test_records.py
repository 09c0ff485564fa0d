"""R1, R5, R6 and R11: what is stored, how labels find it, what a repeat does, what is forgotten."""

import random

import pytest

from rounds.testing import requirement

KEYS = ("id", "features", "prediction", "actual", "timestamp")


class Time:
    """A clock whose time the test sets."""

    def __init__(self, now=1000.0):
        self.now = now


def fresh(submission, time=None, **options):
    time = time or Time()
    return submission.ModelMonitor(clock=lambda: time.now, **options)


def by_id(monitor):
    return {record["id"]: record for record in monitor.records()}


def accuracy(monitor, window_size=100):
    return monitor.calculate_performance_metrics(window_size=window_size)["accuracy"]


def labels(monitor):
    return {identifier: record["actual"] for identifier, record in by_id(monitor).items()}


def refused(call, what):
    try:
        answer = call()
    except ValueError:
        return
    pytest.fail(f"{what} should raise ValueError, and gave {answer!r}")


@requirement("R1")
def test_a_record_holds_what_was_logged(submission):
    monitor = fresh(submission, Time(1234.5))
    features = {"income": 52_000, "region": "north", "owner": True, "score": 0.25, "phone": None}
    identifier = monitor.log_prediction(features, "default", "paid")
    assert isinstance(identifier, str), f"log_prediction should return a str, and returned {identifier!r}"
    expected = {
        "id": identifier,
        "features": features,
        "prediction": "default",
        "actual": "paid",
        "timestamp": 1234.5,
    }
    found = monitor.records()
    assert len(found) == 1, f"after one prediction records() held {len(found)}"
    for key in KEYS:
        assert found[0].get(key) == expected[key], f"{key} should be {expected[key]!r}, and was {found[0].get(key)!r}"


@requirement("R1")
def test_a_prediction_without_a_label_shows_none(submission):
    monitor = fresh(submission)
    identifier = monitor.log_prediction({"x": 1}, 0)
    record = by_id(monitor)[identifier]
    assert record["prediction"] == 0, f"the prediction 0 was stored as {record['prediction']!r}"
    assert record["actual"] is None, f"no label was given, and actual was {record['actual']!r}"


@requirement("R1")
def test_the_label_zero_is_stored(submission):
    monitor = fresh(submission)
    identifier = monitor.log_prediction({"x": 1}, 1, 0)
    stored = by_id(monitor)[identifier]["actual"]
    assert repr(stored) == "0", f"the label 0 was stored as {stored!r}"


@requirement("R1")
def test_the_caller_s_id_is_kept(submission):
    monitor = fresh(submission)
    returned = monitor.log_prediction({"x": 1}, 1, prediction_id="loan-7")
    assert returned == "loan-7", f"the id 'loan-7' was given, and log_prediction returned {returned!r}"
    assert set(by_id(monitor)) == {"loan-7"}, f"records() holds the ids {sorted(by_id(monitor))}"


@requirement("R1")
def test_equal_predictions_get_different_ids(submission, props):
    monitor = fresh(submission)
    identifiers = [monitor.log_prediction({"x": 1}, 1, timestamp=5.0) for _ in range(20)]
    identifiers += props.log_all(monitor, [(1, None, None, None)] * 300)
    distinct = len(set(identifiers))
    assert distinct == 320, f"320 predictions got {distinct} different ids"
    assert all(type(identifier) is str for identifier in identifiers), "an id was not a builtin str"
    assert set(by_id(monitor)) == set(identifiers), "records() does not show the ids that were returned"


@requirement("R1")
def test_a_generated_id_avoids_the_caller_s_ids(submission):
    first = fresh(submission)
    likely = [first.log_prediction({"x": 1}, 1) for _ in range(4)]
    monitor = fresh(submission)
    for identifier in likely[1:]:
        monitor.log_prediction({"x": 2}, 0, prediction_id=identifier)
    generated = [monitor.log_prediction({"x": 1}, 1) for _ in range(4)]
    assert len(set(generated) | set(likely[1:])) == 7, "a generated id was one that the caller had used already"
    assert len(monitor.records()) == 7, f"7 predictions were logged, and {len(monitor.records())} are held"


@requirement("R1")
def test_generated_ids_are_not_reused_after_eviction(submission, props):
    monitor = fresh(submission, max_records=3)
    identifiers = props.log_all(monitor, [(1, None, None, None)] * 20)
    assert len(set(identifiers)) == 20, "an id that was generated before came again after its record was dropped"


@requirement("R1")
def test_the_timestamp_is_the_clock_s_unless_given(submission):
    time = Time(50.0)
    monitor = fresh(submission, time)
    expected = {monitor.log_prediction({"x": 1}, 1): 50.0}
    time.now = 75.5
    expected[monitor.log_prediction({"x": 1}, 1)] = 75.5
    expected[monitor.log_prediction({"x": 1}, 1, timestamp=12.25)] = 12.25
    expected[monitor.log_prediction({"x": 1}, 1, timestamp=0.0)] = 0.0
    time.now = 90.0
    got = {identifier: record["timestamp"] for identifier, record in by_id(monitor).items()}
    assert got == expected, f"timestamps should be {list(expected.values())}, and were {[got.get(i) for i in expected]}"


@requirement("R1")
def test_features_are_a_snapshot(submission, props):
    records = props.records_after_the_caller_changed_its_dict(fresh(submission))
    features = records[0]["features"]
    assert features.get("income") == 10, f"the caller changed income after the call, and the record now says {features}"
    assert "added" not in features, f"the caller added a feature after the call, and the record now says {features}"
    assert features["history"] == [1, 2], f"the caller changed a list in its dict, and the record now says {features}"
    assert features["home"] == {"rooms": 3}, f"the caller changed a dict in its dict; the record now says {features}"


@requirement("R1")
def test_records_cannot_be_changed_through_the_answer(submission, props):
    records = props.records_after_someone_changed_the_answer(fresh(submission))
    assert len(records) == 1, f"the list that records() returned was emptied, and the monitor now holds {len(records)}"
    got = {key: records[0][key] for key in ("features", "prediction", "actual")}
    expected = {"features": {"income": 10, "history": [1, 2]}, "prediction": 1, "actual": None}
    assert got == expected, f"what records() returned was changed, and the monitor now says {got}"


@requirement("R5")
def test_labels_join_by_id_in_any_order(submission, props, seed):
    monitor = fresh(submission)
    props.log_all(monitor, [(i % 2, None, f"p{i}", 100.0 + i) for i in range(40)])
    arriving = [(f"p{i}", 1 if i < 10 else i % 2) for i in range(40)]
    random.Random(seed).shuffle(arriving)
    answers = props.label_all(monitor, arriving)
    assert set(answers) == {True}, f"every id was known, and log_actual answered {set(answers)}"
    assert labels(monitor) == dict(arriving), "a label ended up at another prediction than the one it was for"
    assert accuracy(monitor) == pytest.approx(35 / 40), f"accuracy should be {35 / 40}, and was {accuracy(monitor)}"


@requirement("R5")
def test_a_missing_label_shifts_nothing(submission, props):
    monitor = fresh(submission)
    props.log_all(monitor, [(1, 1, "a", None), (0, None, "b", None), (1, 1, "c", None), (0, 1, "d", None)])
    assert accuracy(monitor) == pytest.approx(2 / 3), f"two of three labels match, and accuracy was {accuracy(monitor)}"
    monitor.log_actual("b", 0)
    assert accuracy(monitor) == pytest.approx(3 / 4), (
        f"three of four labels match, and accuracy was {accuracy(monitor)}"
    )


@requirement("R5")
def test_the_window_ignores_when_labels_came(submission, props):
    monitor = fresh(submission)
    props.log_all(monitor, [(1, None, f"p{i}", 100.0 + i) for i in range(20)])
    props.label_all(monitor, [(f"p{i}", 1 if i >= 10 else 0) for i in reversed(range(20))])
    assert accuracy(monitor, 10) == 1.0, (
        f"the newest ten predictions are right; with labels newest first: {accuracy(monitor, 10)}"
    )
    assert accuracy(monitor, 15) == pytest.approx(10 / 15), (
        f"ten of the newest fifteen are right: {accuracy(monitor, 15)}"
    )


@requirement("R5")
def test_a_label_changes_no_timestamp(submission):
    time = Time(100.0)
    monitor = fresh(submission, time)
    monitor.log_prediction({"x": 1}, 1, prediction_id="old")
    time.now = 200.0
    monitor.log_prediction({"x": 2}, 1, 1, prediction_id="new")
    time.now = 300.0
    monitor.log_actual("old", 0)
    stamps = {identifier: record["timestamp"] for identifier, record in by_id(monitor).items()}
    assert stamps == {"old": 100.0, "new": 200.0}, f"after a label at 300 the timestamps were {stamps}"
    assert accuracy(monitor, 1) == 1.0, "a late label for an old prediction pushed the newest one out of the window"


@requirement("R5")
def test_ties_go_by_the_order_of_the_predictions_and_not_of_the_labels(submission, props):
    monitor = fresh(submission, Time(5.0))
    props.log_all(monitor, [(1, None, identifier, None) for identifier in "abcd"])
    props.label_all(monitor, [("d", 1), ("c", 1), ("b", 0), ("a", 0)])
    assert accuracy(monitor, 2) == 1.0, (
        f"c and d were logged last and are right; a window of 2 had {accuracy(monitor, 2)}"
    )


@requirement("R5")
def test_a_label_that_comes_first_waits_for_its_prediction(submission):
    monitor = fresh(submission)
    answer = monitor.log_actual("late", 1)
    assert answer is False, f"log_actual for an unknown id should return False, and returned {answer!r}"
    assert monitor.records() == [], "a label alone made a record"
    counted = monitor.calculate_performance_metrics()["n"]
    assert counted == 0, f"a label without a prediction counted in the metrics: n is {counted}"
    monitor.log_prediction({"x": 1}, 1, prediction_id="other")
    assert labels(monitor) == {"other": None}, f"the label was for 'late'; the records say {labels(monitor)}"
    monitor.log_prediction({"x": 1}, 0, prediction_id="late")
    assert labels(monitor)["late"] == 1, f"the waiting label 1 should join, and actual was {labels(monitor)['late']!r}"
    assert accuracy(monitor) == 0.0, f"prediction 0 met the label 1, and accuracy was {accuracy(monitor)}"
    assert monitor.stats()["n_labelled"] == 1, f"one prediction has a label, and stats() says {monitor.stats()}"


@requirement("R5")
def test_a_waiting_label_of_zero_joins(submission):
    monitor = fresh(submission)
    monitor.log_actual("late", 0)
    monitor.log_prediction({"x": 1}, 1, prediction_id="late")
    found = labels(monitor)["late"]
    assert repr(found) == "0", f"the waiting label was 0, and actual was {found!r}"


@requirement("R5")
def test_a_joined_label_comes_with_the_prediction_s_own_time(submission, props):
    monitor = fresh(submission)
    monitor.log_actual("old", 0)
    props.log_all(monitor, [(1, 1, "b", 20.0), (1, 1, "c", 30.0), (1, None, "old", 10.0)])
    assert accuracy(monitor, 2) == 1.0, "a label that had waited put its old prediction among the newest"
    assert accuracy(monitor, 3) == pytest.approx(2 / 3), (
        f"two of three are right, and accuracy was {accuracy(monitor, 3)}"
    )


@requirement("R5")
def test_of_several_waiting_labels_the_last_counts(submission):
    monitor = fresh(submission)
    answers = [monitor.log_actual("late", label) for label in (0, 1, 2)]
    assert answers == [False] * 3, f"the id was unknown three times, and log_actual answered {answers}"
    monitor.log_prediction({"x": 1}, 2, prediction_id="late")
    assert labels(monitor) == {"late": 2}, f"the last of three waiting labels was 2; the record says {labels(monitor)}"


@requirement("R5")
def test_the_prediction_s_own_label_beats_a_waiting_one(submission):
    monitor = fresh(submission)
    monitor.log_actual("late", 1)
    monitor.log_prediction({"x": 1}, 1, 0, prediction_id="late")
    assert labels(monitor) == {"late": 0}, f"log_prediction brought the label 0, and the record says {labels(monitor)}"


@requirement("R5")
def test_a_label_after_the_join_corrects_it(submission):
    monitor = fresh(submission)
    monitor.log_actual("late", 1)
    monitor.log_prediction({"x": 1}, 1, prediction_id="late")
    assert monitor.log_actual("late", 0) is True, "the prediction is known by now, and log_actual did not say True"
    assert labels(monitor) == {"late": 0}, f"the label was corrected to 0, and the record says {labels(monitor)}"


@requirement("R5")
def test_a_label_that_joined_waits_no_more(submission):
    monitor = fresh(submission, max_records=2)
    monitor.log_actual("a", 1)
    for identifier in ("a", "b", "c", "a"):
        monitor.log_prediction({"x": identifier}, 1, prediction_id=identifier)
    found = labels(monitor)
    assert found == {"c": None, "a": None}, f"'a' came back after it was dropped, its label was used up: {found}"


@requirement("R5")
def test_as_many_labels_wait_as_records_are_held_and_no_more(submission, props):
    monitor = fresh(submission, max_records=5)
    props.label_all(monitor, [(f"p{i}", 1) for i in range(6)])
    props.log_all(monitor, [(1, None, f"p{i}", None) for i in range(1, 6)])
    found = labels(monitor)
    assert found == {f"p{i}": 1 for i in range(1, 6)}, (
        f"the newest 5 of 6 waiting labels should join, and joined: {found}"
    )
    monitor = fresh(submission, max_records=5)
    props.label_all(monitor, [(f"p{i}", 1) for i in range(6)])
    props.log_all(monitor, [(1, None, "p0", None), (1, None, "p1", None)])
    assert labels(monitor)["p0"] is None, "six labels waited where max_records is 5: the oldest was not forgotten"


@requirement("R5")
def test_labels_that_joined_do_not_fill_the_waiting_room(submission, props):
    monitor = fresh(submission, max_records=3)
    for i in range(10):
        monitor.log_actual(f"p{i}", 1)
        monitor.log_prediction({"row": i}, 1, prediction_id=f"p{i}")
    props.label_all(monitor, [("x", 1), ("y", 0), ("z", 1)])
    props.log_all(monitor, [(1, None, "x", None), (1, None, "y", None), (1, None, "z", None)])
    assert labels(monitor) == {"x": 1, "y": 0, "z": 1}, (
        f"three waiting labels should join, and joined: {labels(monitor)}"
    )


@requirement("R5")
def test_none_is_not_a_label(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, 1, prediction_id="a")
    refused(lambda: monitor.log_actual("a", None), "log_actual('a', None)")
    refused(lambda: monitor.log_actual("unknown", None), "log_actual('unknown', None)")
    assert labels(monitor) == {"a": 1}, f"a refused label changed the record to {labels(monitor)}"


@requirement("R6")
def test_the_same_call_twice_counts_once(submission):
    monitor = fresh(submission)
    for _ in range(3):
        returned = monitor.log_prediction({"x": 1, "y": "a"}, 1, 1, prediction_id="a", timestamp=5.0)
        assert returned == "a", f"a repeat should return its id 'a', and returned {returned!r}"
    metrics = monitor.calculate_performance_metrics()
    assert len(monitor.records()) == 1, f"one prediction was logged three times; {len(monitor.records())} are held"
    assert metrics["n"] == 1, f"one prediction was logged three times, and the window holds {metrics['n']}"
    stats = monitor.stats()
    assert (stats["n_records"], stats["n_labelled"]) == (1, 1), f"after repeats stats() says {stats}"


@requirement("R6")
def test_a_retry_after_the_clock_moved_keeps_the_first_timestamp(submission):
    time = Time(100.0)
    monitor = fresh(submission, time)
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    monitor.log_prediction({"x": 2}, 1, prediction_id="b", timestamp=40.0)
    time.now = 107.0
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    monitor.log_prediction({"x": 2}, 1, prediction_id="b")
    stamps = {identifier: record["timestamp"] for identifier, record in by_id(monitor).items()}
    assert stamps == {"a": 100.0, "b": 40.0}, f"after retries without a timestamp the timestamps were {stamps}"


@requirement("R6")
def test_a_repeat_does_not_make_the_prediction_newer(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, 0, prediction_id="old")
    monitor.log_prediction({"x": 2}, 1, 1, prediction_id="new")
    monitor.log_prediction({"x": 1}, 1, 0, prediction_id="old")
    assert accuracy(monitor, 1) == 1.0, "a repeat of the older prediction took the newest place in the window"


@requirement("R6")
def test_the_order_of_the_features_does_not_matter(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1, "y": [1, {"z": 2}]}, 1, prediction_id="a")
    monitor.log_prediction({"y": [1, {"z": 2}], "x": 1}, 1, prediction_id="a")
    assert len(monitor.records()) == 1, "the same features in another order made a second record"


@requirement("R6")
def test_nan_features_equal_each_other(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": float("nan"), "y": 1}, 1, prediction_id="a")
    try:
        monitor.log_prediction({"x": float("inf") - float("inf"), "y": 1}, 1, prediction_id="a")
    except ValueError as error:
        pytest.fail(f"a repeat with the same NaN feature was refused: {error}")
    refused(lambda: monitor.log_prediction({"x": 0.0, "y": 1}, 1, prediction_id="a"), "0.0 where NaN was logged")
    refused(lambda: monitor.log_prediction({"x": None, "y": 1}, 1, prediction_id="a"), "None where NaN was logged")
    assert len(monitor.records()) == 1, f"one prediction was logged, and {len(monitor.records())} are held"
    monitor.log_prediction({"x": 2.5, "y": 1}, 1, prediction_id="b")
    nan = {"x": float("nan"), "y": 1}
    refused(lambda: monitor.log_prediction(nan, 1, prediction_id="b"), "NaN where 2.5 was logged")


@requirement("R6")
def test_a_repeat_without_a_label_leaves_the_label(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, 0, prediction_id="a")
    monitor.log_prediction({"x": 2}, 1, prediction_id="b")
    monitor.log_actual("b", 0)
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    monitor.log_prediction({"x": 2}, 1, prediction_id="b")
    assert labels(monitor) == {"a": 0, "b": 0}, f"repeats without a label turned the labels 0, 0 into {labels(monitor)}"


@requirement("R6")
@pytest.mark.parametrize("label", [0, 1])
def test_a_repeat_with_a_label_sets_a_missing_one(submission, label):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    monitor.log_prediction({"x": 1}, 1, label, prediction_id="a")
    assert labels(monitor) == {"a": label}, f"a repeat brought the label {label}, and the record says {labels(monitor)}"
    assert monitor.stats()["n_labelled"] == 1, f"one label is known, and stats() says {monitor.stats()}"
    assert accuracy(monitor) == float(label), f"accuracy should be {float(label)}, and was {accuracy(monitor)}"


CONTRADICTIONS = {
    "another prediction": {"prediction": 0},
    "another value": {"features": {"x": 2, "y": "a", "z": [1]}},
    "a feature less": {"features": {"x": 1, "y": "a"}},
    "a feature more": {"features": {"x": 1, "y": "a", "z": [1], "w": None}},
    "another name": {"features": {"x": 1, "y": "a", "w": [1]}},
    "a value inside": {"features": {"x": 1, "y": "a", "z": [2]}},
    "another timestamp": {"timestamp": 6.0},
    "an earlier timestamp": {"timestamp": 0.0},
    "another label": {"actual": 1},
}


@requirement("R6")
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_contradiction_is_refused_and_changes_nothing(submission, what):
    monitor = fresh(submission)
    call = {"features": {"x": 1, "y": "a", "z": [1]}, "prediction": 1, "actual": 0, "timestamp": 5.0}
    monitor.log_prediction(**call, prediction_id="a")
    before = by_id(monitor)["a"]
    refused(
        lambda: monitor.log_prediction(**(call | CONTRADICTIONS[what]), prediction_id="a"),
        f"the id 'a' again with {what}",
    )
    records = monitor.records()
    assert len(records) == 1, f"a refused prediction was added: {len(records)} are held"
    after = {key: records[0][key] for key in KEYS}
    assert after == {key: before[key] for key in KEYS}, f"a refused prediction changed the record to {after}"


@requirement("R6")
def test_a_contradiction_without_label_and_timestamp_is_refused(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    refused(lambda: monitor.log_prediction({"x": 1}, 0, prediction_id="a"), "the id 'a' with another prediction")
    refused(lambda: monitor.log_prediction({"x": 3}, 1, prediction_id="a"), "the id 'a' with other features")
    refused(lambda: monitor.log_prediction({"x": 3}, 1, 1, prediction_id="a"), "other features and a first label")
    assert labels(monitor) == {"a": None}, f"a refused prediction left its label: {labels(monitor)}"


@requirement("R6")
@pytest.mark.parametrize("what", ["another prediction", "a value inside", "another timestamp", "an earlier timestamp"])
def test_a_contradiction_leaves_no_first_label_behind(submission, what):
    monitor = fresh(submission)
    call = {"features": {"x": 1, "y": "a", "z": [1]}, "prediction": 1, "timestamp": 5.0}
    monitor.log_prediction(**call, prediction_id="a")
    refused(
        lambda: monitor.log_prediction(**(call | {"actual": 1} | CONTRADICTIONS[what]), prediction_id="a"),
        f"the id 'a' again with {what} and a first label",
    )
    assert labels(monitor) == {"a": None}, f"a prediction refused for {what} left its label: {labels(monitor)}"


@requirement("R6")
def test_equal_content_under_two_ids_is_two_predictions(submission):
    monitor = fresh(submission)
    monitor.log_prediction({"x": 1}, 1, 1, prediction_id="a", timestamp=5.0)
    monitor.log_prediction({"x": 1}, 1, 1, prediction_id="b", timestamp=5.0)
    assert monitor.calculate_performance_metrics()["n"] == 2, "two ids with equal content are two predictions"


@requirement("R6")
def test_a_later_label_corrects_the_first(submission, props):
    monitor = fresh(submission)
    props.log_all(monitor, [(1, 0, "a", 10.0), (1, 1, "b", 20.0)])
    answers = [monitor.log_actual("a", label) for label in (1, 0, 1)]
    assert answers == [True] * 3, f"the prediction is known, and log_actual answered {answers}"
    metrics = monitor.calculate_performance_metrics()
    assert (metrics["n"], metrics["accuracy"]) == (2, 1.0), f"after the correction the metrics were {metrics}"
    stats = monitor.stats()
    assert (stats["n_records"], stats["n_labelled"]) == (2, 2), f"two predictions with labels; stats() says {stats}"
    monitor.log_actual("b", 0)
    assert accuracy(monitor, 1) == 0.0, "b is the newest prediction and its label was corrected to a miss"


def held(monitor):
    return sorted(record["id"] for record in monitor.records())


@requirement("R11")
@pytest.mark.parametrize(("max_records", "count"), [(10, 30), (10, 11), (10, 10), (10, 9), (1, 3), (7, 50)])
def test_the_newest_max_records_are_held(submission, props, max_records, count):
    monitor = fresh(submission, max_records=max_records)
    props.log_all(monitor, [(1, i % 2, f"p{i:03}", None) for i in range(count)])
    expected = [f"p{i:03}" for i in range(max(0, count - max_records), count)]
    assert held(monitor) == expected, (
        f"of {count} predictions with max_records={max_records}, these were held: {held(monitor)}"
    )
    wanted = {
        "n_records": len(expected),
        "n_labelled": len(expected),
        "n_dropped": count - len(expected),
    }
    stats = {key: monitor.stats().get(key) for key in wanted}
    assert stats == wanted, f"after {count} predictions with max_records={max_records}, stats() said {stats}"


@requirement("R11")
def test_the_limit_holds_after_every_single_call(submission):
    monitor = fresh(submission, max_records=4)
    for count in range(1, 15):
        monitor.log_prediction({"x": 1}, 1)
        stats = monitor.stats()
        got = (stats["n_records"], stats["n_dropped"], len(monitor.records()))
        wanted = (min(4, count), max(0, count - 4), min(4, count))
        assert got == wanted, f"after {count} logs with max_records=4: held, dropped, records() = {got}, not {wanted}"


@requirement("R11")
def test_a_dropped_prediction_leaves_the_metrics(submission, props):
    monitor = fresh(submission, max_records=20)
    props.log_all(monitor, [(1, 0, None, None)] * 40 + [(1, 1, None, None)] * 5 + [(1, None, None, None)] * 10)
    metrics = monitor.calculate_performance_metrics()
    got = (metrics["n"], metrics["n_unlabelled"], metrics["accuracy"])
    assert got == (10, 10, 0.5), (
        f"of the 20 held, 5 are wrong, 5 right, 10 unlabelled; n, n_unlabelled, accuracy: {got}"
    )
    assert monitor.stats()["n_labelled"] == 10, f"10 of the 20 held have a label, and stats() says {monitor.stats()}"


@requirement("R11")
def test_a_dropped_id_is_an_unknown_id(submission, props):
    monitor = fresh(submission, max_records=3)
    props.log_all(monitor, [(1, 1, identifier, None) for identifier in "abcde"])
    assert monitor.log_actual("a", 0) is False, "'a' is gone, and log_actual did not return False for it"
    monitor.log_prediction({"entirely": "new"}, 0, prediction_id="b")
    assert held(monitor) == ["b", "d", "e"], f"'b' was logged anew after it was gone; these are held: {held(monitor)}"
    record = by_id(monitor)["b"]
    assert (record["prediction"], record["actual"]) == (0, None), f"the new 'b' has something of the old: {record}"
    monitor.log_prediction({"x": 1}, 1, prediction_id="a")
    assert labels(monitor)["a"] == 0, f"the label for 'a' came when it was gone, and should wait: {labels(monitor)}"
    assert monitor.stats()["n_dropped"] == 4, f"a, b, c and d were dropped, and stats() says {monitor.stats()}"


@requirement("R11")
def test_labels_and_repeats_drop_nothing(submission, props):
    monitor = fresh(submission, max_records=3)
    props.log_all(monitor, [(1, None, identifier, None) for identifier in "abc"])
    monitor.log_prediction({"row": 0}, 1, prediction_id="a")
    props.label_all(monitor, [("a", 1), ("a", 0), ("unknown", 1)])
    assert held(monitor) == ["a", "b", "c"], f"a repeat and labels drop nothing; these are held: {held(monitor)}"
    monitor.log_prediction({"row": 9}, 1, prediction_id="d")
    assert held(monitor) == ["b", "c", "d"], (
        f"'a' is still the oldest after its repeat; these are held: {held(monitor)}"
    )


@requirement("R11")
def test_stats_count_as_labels_come_and_go(submission):
    monitor = fresh(submission, max_records=3)
    assert monitor.stats()["n_records"] == 0, f"a fresh monitor says {monitor.stats()}"
    seen = []
    for identifier, label in [("a", None), ("b", 0), ("c", None), ("d", None), ("e", 1)]:
        monitor.log_prediction({"x": 1}, 1, label, prediction_id=identifier)
        if identifier == "c":
            monitor.log_actual("a", 1)
        seen.append(monitor.stats()["n_labelled"])
    assert seen == [0, 1, 2, 1, 1], f"n_labelled after each call should be [0, 1, 2, 1, 1], and was {seen}"
    kinds = {key: type(monitor.stats()[key]) for key in ("n_records", "n_labelled", "n_dropped")}
    assert set(kinds.values()) == {int}, f"stats() should hold builtin ints, and holds {kinds}"


@requirement("R11")
@pytest.mark.limits(seconds=120, memory_mb=1024)
def test_a_hundred_thousand_predictions_take_seconds(submission, props):
    rules = submission.AlertRules(baseline_accuracy=0.9, max_silence_s=60.0, min_label_coverage=0.5)
    check_speed(props.timings(submission, rules, 100_000))


@requirement("R11")
@pytest.mark.limits(seconds=120, memory_mb=1024)
def test_dropping_is_as_fast_as_storing(submission, props):
    seconds, stats = props.seconds_of_logging(submission, 100_000, 10_000)
    assert seconds < 10, f"100,000 logs with max_records=10000 took {seconds:.1f} s, more than 10 s"
    assert stats["n_dropped"] == 90_000, f"90,000 of 100,000 should be dropped, and stats() says {stats}"


def check_speed(took):
    limits = {"logs": 10.0, "labels": 10.0, "metrics": 0.5, "alerts": 0.5}
    names = {
        "logs": "100,000 calls of log_prediction",
        "labels": "100,000 calls of log_actual",
        "metrics": "one calculate_performance_metrics() over 100,000 predictions",
        "alerts": "one generate_alerts() over 100,000 predictions",
    }
    for name, limit in limits.items():
        seconds = took.get(name, float("inf"))
        assert seconds < limit, f"{names[name]} took {seconds:.2f} s, more than {limit:g} s"
