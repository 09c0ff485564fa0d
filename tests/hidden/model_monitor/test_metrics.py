"""R2 to R4: which predictions the window holds, and what is computed over it."""

import random

import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from rounds.testing import requirement

SCORES = ("accuracy", "precision", "recall", "f1")


def built(submission, props, rows, now=1000.0, **options):
    """Return a monitor that has logged (prediction, actual, id, timestamp) rows."""
    monitor = submission.ModelMonitor(clock=props.Clock(now), **options)
    props.log_all(monitor, rows)
    return monitor


def pairs(*pairs):
    return [(prediction, actual, None, None) for prediction, actual in pairs]


def hits(pattern):
    """Turn "1" into a right, "0" into a wrong and "." into an unlabelled prediction."""
    return [(1, {"1": 1, "0": 0, ".": None}[mark], None, None) for mark in pattern]


def expect(metrics, **expected):
    for name, value in expected.items():
        assert name in metrics, f"the metrics have no {name!r}: {sorted(metrics)}"
        got = metrics[name]
        right = got is None if value is None else got is not None and abs(got - value) < 1e-9
        assert right, f"{name} should be {value}, and was {got}"


@requirement("R2")
def test_a_window_of_100_is_the_last_100_of_150(submission, props):
    monitor = built(submission, props, hits("1" * 50 + "0" + "1" * 99))
    expect(monitor.calculate_performance_metrics(window_size=100), n=100, accuracy=0.99)


@requirement("R2")
def test_the_101st_newest_is_outside_the_window(submission, props):
    monitor = built(submission, props, hits("1" * 49 + "0" + "1" * 100))
    expect(monitor.calculate_performance_metrics(window_size=100), n=100, accuracy=1.0)


@requirement("R2")
def test_the_newest_prediction_is_inside_the_window(submission, props):
    monitor = built(submission, props, hits("1" * 149 + "0"))
    expect(monitor.calculate_performance_metrics(window_size=100), n=100, accuracy=0.99)
    expect(monitor.calculate_performance_metrics(window_size=1), n=1, accuracy=0.0)


@requirement("R2")
def test_the_window_is_100_by_default_whatever_the_rules_say(submission, props):
    rules = submission.AlertRules(window_size=7)
    monitor = built(submission, props, hits("0" * 50 + "1" * 25 + "0" * 75), rules=rules)
    expect(monitor.calculate_performance_metrics(), n=100, accuracy=0.25)


@requirement("R2")
def test_a_window_wider_than_the_data_holds_all_of_it(submission, props):
    monitor = built(submission, props, hits("1011"))
    expect(monitor.calculate_performance_metrics(window_size=500), n=4, n_unlabelled=0, accuracy=0.75)
    expect(monitor.calculate_performance_metrics(window_size=4), n=4, accuracy=0.75)
    expect(monitor.calculate_performance_metrics(window_size=3), n=3, accuracy=2 / 3)


@requirement("R2")
def test_unlabelled_predictions_take_no_place_in_the_window(submission, props):
    monitor = built(submission, props, hits("0" * 50 + "0.1.." * 50))
    expect(monitor.calculate_performance_metrics(window_size=100), n=100, accuracy=0.5)
    expect(monitor.calculate_performance_metrics(window_size=3), n=3, accuracy=2 / 3)


@requirement("R2")
def test_a_window_is_found_behind_many_unlabelled_predictions(submission, props):
    monitor = built(submission, props, hits("0110" + "." * 300))
    expect(monitor.calculate_performance_metrics(window_size=3), n=3, n_unlabelled=300, accuracy=2 / 3)
    expect(monitor.calculate_performance_metrics(), n=4, n_unlabelled=300, accuracy=0.5)


@requirement("R2")
def test_unlabelled_predictions_newer_than_the_window_s_oldest_are_counted(submission, props):
    rows = [(1, None if mark == "." else 1, None, 10.0 * i) for i, mark in enumerate("..1.1..1.")]
    monitor = built(submission, props, rows)
    for window_size, expected in [(3, 4), (2, 3), (1, 1), (100, 4)]:
        metrics = monitor.calculate_performance_metrics(window_size=window_size)
        expect(metrics, n=min(3, window_size), n_unlabelled=expected)


@requirement("R2")
def test_newest_goes_by_timestamp_and_not_by_the_order_of_the_calls(submission, props):
    wrong_are_newest = [(1, 0 if i >= 90 else 1, None, 1000.0 + i) for i in range(150)]
    random.Random(5).shuffle(wrong_are_newest)
    monitor = built(submission, props, wrong_are_newest)
    expect(monitor.calculate_performance_metrics(window_size=60), n=60, accuracy=0.0)
    expect(monitor.calculate_performance_metrics(window_size=61), n=61, accuracy=1 / 61)
    expect(monitor.calculate_performance_metrics(window_size=100), n=100, accuracy=0.4)


@requirement("R2")
def test_a_backfilled_prediction_is_an_old_one(submission, props):
    rows = [(1, 1, None, 500.0 + i) for i in range(10)] + [(1, 0, None, 100.0)] + [(1, None, None, 50.0)]
    monitor = built(submission, props, rows)
    expect(monitor.calculate_performance_metrics(window_size=10), n=10, n_unlabelled=0, accuracy=1.0)
    expect(monitor.calculate_performance_metrics(window_size=11), n=11, n_unlabelled=0, accuracy=10 / 11)


@requirement("R2")
def test_a_given_timestamp_and_the_clock_are_compared_with_each_other(submission, props):
    rows = [(1, 0, None, 2000.0), (1, 1, None, None), (1, 1, None, 999.0), (1, None, None, 1500.0)]
    monitor = built(submission, props, rows, now=1000.0)
    expect(monitor.calculate_performance_metrics(window_size=1), n=1, n_unlabelled=0, accuracy=0.0)
    expect(monitor.calculate_performance_metrics(window_size=2), n=2, n_unlabelled=1, accuracy=0.5)


@requirement("R2")
def test_of_two_equal_timestamps_the_later_logged_is_newer(submission, props):
    monitor = built(submission, props, [(1, 1, None, 70.0)] * 5 + [(1, 0, None, 70.0)] * 5)
    expect(monitor.calculate_performance_metrics(window_size=5), n=5, accuracy=0.0)
    expect(monitor.calculate_performance_metrics(window_size=6), n=6, accuracy=1 / 6)


@requirement("R2")
def test_ids_do_not_break_ties(submission, props):
    rows = [(1, i % 2, identifier, 70.0) for i, identifier in enumerate("zaybxcwd")]
    monitor = built(submission, props, rows)
    expect(monitor.calculate_performance_metrics(window_size=1), n=1, accuracy=1.0)
    expect(monitor.calculate_performance_metrics(window_size=3), n=3, accuracy=2 / 3)


@requirement("R2")
def test_ties_decide_which_unlabelled_predictions_are_newer(submission, props):
    rows = [(1, None if mark == "." else 1, None, 70.0) for mark in "..1..1."]
    monitor = built(submission, props, rows)
    expect(monitor.calculate_performance_metrics(window_size=2), n=2, n_unlabelled=3)
    expect(monitor.calculate_performance_metrics(window_size=1), n=1, n_unlabelled=1)


@requirement("R2")
def test_the_label_zero_is_a_label(submission, props):
    monitor = built(submission, props, pairs((0, 0), (0, 0), (1, 0)))
    expect(monitor.calculate_performance_metrics(), n=3, n_unlabelled=0, accuracy=2 / 3)


@requirement("R3")
def test_a_fresh_monitor_has_no_metrics(submission, props):
    metrics = built(submission, props, []).calculate_performance_metrics()
    expect(metrics, n=0, n_unlabelled=0, **dict.fromkeys(SCORES))


@requirement("R3")
def test_predictions_without_any_label_have_no_metrics(submission, props):
    metrics = built(submission, props, hits("." * 12)).calculate_performance_metrics(window_size=5)
    expect(metrics, n=0, n_unlabelled=12, **dict.fromkeys(SCORES))


@requirement("R3")
def test_one_label_is_enough_for_metrics(submission, props):
    metrics = built(submission, props, hits("..1")).calculate_performance_metrics(window_size=5)
    expect(metrics, n=1, n_unlabelled=0, accuracy=1.0)


@requirement("R3")
@pytest.mark.parametrize("window_size", [0, -1, -100])
@pytest.mark.parametrize("marks", ["", "...", "11"], ids=["empty", "unlabelled", "labelled"])
def test_a_window_of_zero_or_less_is_refused(submission, props, window_size, marks):
    monitor = built(submission, props, hits(marks))
    try:
        answer = monitor.calculate_performance_metrics(window_size=window_size)
    except ValueError:
        return
    pytest.fail(f"window_size={window_size} should raise ValueError, and gave {answer}")


def check_against_scikit_learn(metrics, window, average):
    predictions, labels = [row[0] for row in window], [row[1] for row in window]
    expected = precision_recall_fscore_support(labels, predictions, average=average, zero_division=0)[:3]
    expect(metrics, n=len(window), accuracy=accuracy_score(labels, predictions))
    for name, value in zip(SCORES[1:], expected, strict=True):
        expect(metrics, **{name: value})


def draw(classes, count, seed, noise=0.35):
    rng = random.Random(seed)
    labels = [rng.choice(classes) for _ in range(count)]
    return [(rng.choice(classes) if rng.random() < noise else label, label) for label in labels]


@requirement("R4")
@pytest.mark.parametrize(
    ("classes", "average"),
    [
        ([0, 1], "binary"),
        ([0, 0, 0, 0, 1], "binary"),
        ([0, 1, 1, 1], "binary"),
        ([0, 1, 2], "macro"),
        ([0, 0, 0, 0, 1, 2, 2], "macro"),
        ([1, 2], "macro"),
        ([3, 7, 7, 7], "macro"),
        ([-1, 1, 1], "macro"),
        (["paid", "default", "default", "default"], "macro"),
        (["a", "b", "b", "b", "c"], "macro"),
        (["0", "1", "1"], "macro"),
    ],
    ids=str,
)
def test_scores_equal_scikit_learn_s(submission, props, seed, classes, average):
    rows = draw(classes, 80, seed)
    metrics = built(submission, props, pairs(*rows)).calculate_performance_metrics()
    check_against_scikit_learn(metrics, rows, average)


@requirement("R4")
@pytest.mark.parametrize(
    ("rows", "average"),
    [
        ([(0, 0), (0, 0)], "binary"),
        ([(1, 0), (1, 0)], "binary"),
        ([(0, 1), (0, 1)], "binary"),
        ([(1, 1), (1, 1)], "binary"),
        ([(1, 1)], "binary"),
        ([(0, 1), (1, 0)], "binary"),
        ([(2, 2), (2, 2)], "macro"),
        ([("paid", "paid")], "macro"),
        ([("paid", "default")], "macro"),
        ([("c", "a"), ("b", "b"), ("b", "a")], "macro"),
        ([(0, 2), (1, 1), (1, 1)], "macro"),
        ([(2, 0), (1, 1), (1, 1)], "macro"),
    ],
    ids=str,
)
def test_zero_denominators_and_lonely_classes(submission, props, rows, average):
    metrics = built(submission, props, pairs(*rows)).calculate_performance_metrics()
    check_against_scikit_learn(metrics, rows, average)


@requirement("R4")
def test_classes_outside_the_window_do_not_count(submission, props):
    inside = draw([0, 1], 40, 3)
    monitor = built(submission, props, pairs((2, 2), (2, 0), (5, 1), *inside))
    check_against_scikit_learn(monitor.calculate_performance_metrics(window_size=40), inside, "binary")
    words = draw(["a", "b"], 40, 4)
    monitor = built(submission, props, pairs(("c", "c"), ("c", "a"), *words))
    check_against_scikit_learn(monitor.calculate_performance_metrics(window_size=40), words, "macro")


@requirement("R4")
def test_unlabelled_predictions_add_no_class(submission, props):
    inside = draw([0, 1], 40, 3)
    monitor = built(submission, props, pairs((2, None), *inside, (2, None)))
    check_against_scikit_learn(monitor.calculate_performance_metrics(), inside, "binary")


@requirement("R4")
def test_scores_speak_of_the_window_only(submission, props):
    rows = draw([0, 1], 150, 8, noise=0.2)
    rows[:60] = [(1, 0)] * 60
    monitor = built(submission, props, pairs(*rows))
    check_against_scikit_learn(monitor.calculate_performance_metrics(window_size=90), rows[-90:], "binary")


@requirement("R4")
@pytest.mark.parametrize("rows", [[(1, 1), (0, 1)], [(0, 0)], [("a", "a"), ("b", "a")]], ids=["ints", "zeros", "words"])
def test_metrics_are_builtin_numbers(submission, props, rows):
    metrics = built(submission, props, pairs(*rows)).calculate_performance_metrics()
    for name, kind in dict.fromkeys(SCORES, float).items() | {("n", int), ("n_unlabelled", int)}:
        got = type(metrics[name])
        assert got is kind, f"{name} should be a builtin {kind.__name__}, and was a {got.__module__}.{got.__name__}"
