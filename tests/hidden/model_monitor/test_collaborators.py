"""R12 and R13: what reaches the collaborators and the sink, and what happens when they fail."""

import json
import math

import pytest

from rounds.testing import lend, requirement


class Collaborators:
    """A tracker, a detector, business metrics and a sink that remember what they were asked."""

    def __init__(self, drift=lambda rows: False, impact=lambda prediction, actual: 1.0, fail=()):
        self.logged, self.batches, self.judged, self.alerts = [], [], [], []
        self.drift, self.impact, self.fail, self.raised = drift, impact, set(fail), 0

    def stumble(self, name):
        if name in self.fail:
            self.raised += 1
            raise OSError(f"{name} is down")

    def log(self, features, prediction, actual):
        self.logged.append((features, prediction, actual))
        self.stumble("tracker")

    def is_drift_detected(self, rows):
        self.batches.append(rows)
        self.stumble("detector")
        return self.drift(rows)

    def calculate_impact(self, prediction, actual):
        self.judged.append((prediction, actual))
        self.stumble("business")
        return self.impact(prediction, actual)

    def sink(self, alert):
        self.alerts.append(alert)
        self.stumble("sink")

    def monitor(self, submission, business_threshold=0.5, **options):
        return submission.AdvancedModelMonitor(
            lend(self, "log"),
            lend(self, "is_drift_detected"),
            lend(self, "calculate_impact"),
            alert_sink=lambda alert: self.sink(alert),
            business_threshold=business_threshold,
            **options,
        )

    def types(self):
        return [alert.get("type") for alert in self.alerts]


def row(i):
    return {"row": i, "region": "north"}


def feed(monitor, count, start=0):
    for i in range(start, start + count):
        monitor.monitor_prediction(row(i), i % 2)


def errors(monitor):
    return monitor.stats().get("n_errors")


def check_json(alert):
    try:
        json.dumps(alert, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"an alert is not JSON-able: {error}")


@requirement("R12")
def test_the_tracker_sees_every_prediction(submission):
    around = Collaborators()
    monitor = around.monitor(submission)
    monitor.monitor_prediction(row(1), "paid", "default")
    monitor.monitor_prediction(row(2), "paid")
    monitor.monitor_prediction(row(3), 0, 0)
    monitor.monitor_prediction(row(4), 0, actual=1)
    expected = [(row(1), "paid", "default"), (row(2), "paid", None), (row(3), 0, 0), (row(4), 0, 1)]
    assert around.logged == expected, f"the tracker should see {expected}, and saw {around.logged}"
    assert errors(monitor) == 0, f"nothing failed, and n_errors is {errors(monitor)}"


@requirement("R12")
def test_the_detector_is_asked_once_per_full_batch(submission):
    around = Collaborators()
    monitor = around.monitor(submission, drift_batch_size=5)
    sizes = []
    for i in range(17):
        monitor.monitor_prediction(row(i), 1)
        sizes.append(len(around.batches))
    expected = [0] * 4 + [1] * 5 + [2] * 5 + [3] * 3
    assert sizes == expected, f"with batches of 5, the detector had been asked {sizes} times after each of 17 rows"
    rows = [[row(i) for i in range(start, start + 5)] for start in (0, 5, 10)]
    assert around.batches == rows, (
        f"the batches should be the rows in order, without overlap; they were {around.batches}"
    )


@requirement("R12")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_a_batch_is_500_rows_by_default(submission, props):
    around = Collaborators()
    monitor = around.monitor(submission)
    props.feed(monitor, 499, 0)
    assert around.batches == [], "the detector was asked before 500 rows had come"
    props.feed(monitor, 1, 499)
    sizes = [len(rows) for rows in around.batches]
    assert sizes == [500], f"after 500 rows the detector should have had one batch of 500, and had {sizes}"


@requirement("R12")
def test_a_batch_of_one_row_is_a_batch(submission):
    around = Collaborators(drift=lambda rows: True)
    feed(around.monitor(submission, drift_batch_size=1), 3)
    assert around.batches == [[row(0)], [row(1)], [row(2)]], f"with batches of 1 the detector saw {around.batches}"
    assert around.types() == ["drift"] * 3, f"three drifted batches should send three alerts, and sent {around.types()}"


@requirement("R12")
def test_labelled_and_unlabelled_rows_fill_a_batch_alike(submission):
    around = Collaborators()
    monitor = around.monitor(submission, drift_batch_size=4)
    for i in range(4):
        monitor.monitor_prediction(row(i), 1, 1 if i % 2 else None)
    assert around.batches == [[row(i) for i in range(4)]], f"the batch of 4 should hold every row: {around.batches}"


@requirement("R12")
def test_one_alert_per_drifted_batch(submission):
    around = Collaborators(drift=lambda rows: rows[0]["row"] in (4, 8))
    monitor = around.monitor(submission, drift_batch_size=4)
    seen = []
    for i in range(16):
        monitor.monitor_prediction(row(i), 1)
        seen.append(len(around.alerts))
    expected = [0] * 7 + [1] * 4 + [2] * 5
    assert seen == expected, f"the 2nd and 3rd batch of 4 drifted; alerts after each row were {seen}"
    assert set(around.types()) == {"drift"}, f"the alerts should be of type drift, and were {around.types()}"
    for alert in around.alerts:
        assert isinstance(alert.get("message"), str), f"an alert should have a message, and was {alert}"
        check_json(alert)


@requirement("R12")
def test_a_batch_holds_rows_as_they_were(submission, props):
    around = Collaborators()
    monitor = around.monitor(submission, drift_batch_size=3)
    props.monitor_with_one_reused_dict(monitor, 3)
    rows = [[features["row"] for features in batch] for batch in around.batches]
    assert rows == [[0, 1, 2]], f"the caller reused its dict for rows 0, 1, 2, and the detector saw {rows}"
    inside = [[features["nested"][0] for features in batch] for batch in around.batches]
    assert inside == [[0, 1, 2]], f"the caller changed a list inside to 0, 1, 2, and the detector saw {inside}"


@requirement("R12")
def test_impact_is_asked_only_with_a_label(submission):
    around = Collaborators()
    monitor = around.monitor(submission)
    for prediction, actual in [(1, 0), (1, None), (0, 0), ("a", "b"), (0, None)]:
        monitor.monitor_prediction(row(0), prediction, actual)
    expected = [(1, 0), (0, 0), ("a", "b")]
    assert around.judged == expected, f"impact should be asked of {expected}, and was asked of {around.judged}"


def impacts(submission, values, threshold):
    around = Collaborators(impact=lambda prediction, actual: values[prediction])
    monitor = around.monitor(submission, business_threshold=threshold)
    counts = []
    for i in range(len(values)):
        monitor.monitor_prediction(row(i), i, 1)
        counts.append(len(around.alerts))
    return around.alerts, counts


SPELLS = [
    ([0.4], 0.5, [1]),
    ([0.5], 0.5, [0]),
    ([0.6], 0.5, [0]),
    ([-3.0], -2.0, [1]),
    ([-1.0], -2.0, [0]),
    ([-1.0], 0.0, [1]),
    ([0.0], 0.0, [0]),
    ([7.0], 100.0, [1]),
    ([0.4, 0.3, 0.1, 0.4], 0.5, [1, 1, 1, 1]),
    ([0.4, 0.9, 0.3], 0.5, [1, 1, 2]),
    ([0.4, 0.5, 0.3, 0.2], 0.5, [1, 1, 2, 2]),
    ([0.9, 0.4, 0.4, 0.9, 0.9, 0.1], 0.5, [0, 1, 1, 1, 1, 2]),
]


@requirement("R12")
def test_a_business_alert_when_impact_falls_below(submission):
    for values, threshold, expected in SPELLS:
        alerts, counts = impacts(submission, values, threshold)
        assert counts == expected, f"impacts {values} under {threshold}: alerts so far {counts}, not {expected}"
        assert {alert.get("type") for alert in alerts} <= {"business"}, f"the alerts were {alerts}"


@requirement("R12")
def test_a_business_alert_says_what_was_seen(submission):
    alerts, _ = impacts(submission, [0.9, 0.25], 0.5)
    assert len(alerts) == 1, f"impacts 0.9 and 0.25 with threshold 0.5 gave {len(alerts)} alerts"
    got = (alerts[0].get("type"), alerts[0].get("value"), alerts[0].get("threshold"))
    assert got == ("business", 0.25, 0.5), f"type, value and threshold should be business, 0.25, 0.5; they were {got}"
    assert isinstance(alerts[0].get("message"), str), f"the alert should have a message: {alerts[0]}"
    check_json(alerts[0])


@requirement("R12")
def test_unlabelled_predictions_leave_a_bad_spell_open(submission):
    around = Collaborators(impact=lambda prediction, actual: 0.0)
    monitor = around.monitor(submission)
    for actual in (1, None, None, 1):
        monitor.monitor_prediction(row(0), 1, actual)
    assert around.types() == ["business"], f"impact stayed below, with unlabelled rows between: {around.types()}"


def survives(monitor, *call):
    try:
        monitor.monitor_prediction(*call)
    except Exception as error:
        pytest.fail(f"{type(error).__name__} escaped monitor_prediction: {error}")


@requirement("R12")
@pytest.mark.parametrize(
    ("fail", "at_least"),
    [
        ([], 0),
        (["tracker"], 4),
        (["detector"], 2),
        (["business"], 4),
        (["sink"], 3),
        (["tracker", "detector"], 6),
        (["tracker", "business"], 8),
        (["tracker", "sink"], 7),
        (["detector", "sink"], 3),
        (["tracker", "detector", "business", "sink"], 10),
    ],
    ids=str,
)
def test_failures_are_swallowed_and_counted(submission, fail, at_least):
    around = Collaborators(drift=lambda rows: True, impact=lambda *_: 0.0, fail=fail)
    monitor = around.monitor(submission, drift_batch_size=2)
    for i in range(4):  # one bad spell and two drifted batches: three alerts while all are up
        survives(monitor, row(i), 1, 1)
    assert around.raised >= at_least, f"with {fail} failing, only {around.raised} calls of them came"
    assert errors(monitor) == around.raised, f"{fail} raised {around.raised} times, and n_errors is {errors(monitor)}"
    assert len(around.logged) == 4, f"with {fail} failing, the tracker saw {len(around.logged)} of 4 predictions"
    assert len(around.judged) == 4, f"with {fail} failing, the business metrics saw {len(around.judged)} of 4"
    sizes = [len(rows) for rows in around.batches]
    assert sizes == [2, 2], f"with {fail} failing, the detector should have had two batches of 2, and had {sizes}"


@requirement("R12")
@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RuntimeError, ZeroDivisionError, AttributeError])
def test_any_exception_is_swallowed(submission, error):
    def explode(*_):
        raise error("down")

    around = Collaborators(drift=explode, impact=explode)
    monitor = around.monitor(submission, drift_batch_size=1)
    survives(monitor, row(0), 1, 1)
    assert errors(monitor) == 2, f"detector and business metrics raised {error.__name__}; n_errors is {errors(monitor)}"


@requirement("R12")
def test_a_failed_check_is_done_with(submission):
    around = Collaborators(fail=["detector"])
    monitor = around.monitor(submission, drift_batch_size=3)
    feed(monitor, 5)
    around.fail.clear()
    feed(monitor, 4, start=5)
    expected = [[row(i) for i in range(start, start + 3)] for start in (0, 3, 6)]
    assert around.batches == expected, (
        f"the first check raised; the batches should be {expected}, and were {around.batches}"
    )


@requirement("R12")
def test_other_alerts_come_while_one_collaborator_is_down(submission):
    around = Collaborators(drift=lambda rows: True, impact=lambda *_: 0.0, fail=["tracker"])
    monitor = around.monitor(submission, drift_batch_size=2)
    survives(monitor, row(0), 1, 1)
    survives(monitor, row(1), 1, 1)
    assert sorted(around.types()) == ["business", "drift"], f"with the tracker down the alerts were {around.types()}"
    around = Collaborators(drift=lambda rows: True, impact=lambda *_: 0.0, fail=["detector"])
    monitor = around.monitor(submission, drift_batch_size=1)
    survives(monitor, row(0), 1, 1)
    assert around.types() == ["business"], f"with the detector down the alerts were {around.types()}"


class Health:
    """A sink that remembers its alerts, and may refuse them."""

    def __init__(self, refuses=False):
        self.alerts, self.refuses = [], refuses

    def __call__(self, alert):
        self.alerts.append(alert)
        if self.refuses:
            raise OSError("the pager is down")


def health(submission, sources, thresholds, refuses=False):
    """Run monitor_system_health; return its answer and the (type, metric) pairs that were sent."""
    sink = Health(refuses)
    try:
        values = submission.monitor_system_health(sources, thresholds, lambda alert: sink(alert))
    except Exception as error:
        pytest.fail(f"{type(error).__name__} escaped monitor_system_health: {error}")
    return values, sink.alerts


def short(alerts):
    return sorted((alert.get("type"), alert.get("metric")) for alert in alerts)


def gives(value):
    return lambda: value


def raises(error):
    def source():
        raise error

    return source


LIMITS = [
    (0, {"min": 5}, True),
    (0.0, {"min": 5}, True),
    (4.999, {"min": 5}, True),
    (5, {"min": 5}, False),
    (5000, {"min": 5}, False),
    (201, {"max": 200}, True),
    (200, {"max": 200}, False),
    (0, {"max": 200}, False),
    (-7, {"max": 200}, False),
    (1, {"min": 2, "max": 8}, True),
    (9, {"min": 2, "max": 8}, True),
    (2, {"min": 2, "max": 8}, False),
    (5, {"min": 2, "max": 8}, False),
    (8, {"min": 2, "max": 8}, False),
    (1, {"max": 0}, True),
    (0.001, {"max": 0.0}, True),
    (0, {"max": 0}, False),
    (-1, {"min": 0}, True),
    (0, {"min": 0}, False),
    (-1, {"min": 0, "max": 5}, True),
    (1, {"min": -5, "max": 0}, True),
    (-5.5, {"min": -5, "max": -1}, True),
    (5, {}, False),
]


@requirement("R13")
def test_limits_on_both_sides(submission):
    for value, limits, fires in LIMITS:
        values, alerts = health(submission, {"metric": gives(value)}, {"metric": limits})
        expected = [("threshold", "metric")] if fires else []
        assert short(alerts) == expected, f"{value} under {limits} should send {expected}, and sent {short(alerts)}"
        assert values == {"metric": value}, f"the source gave {value}, and the answer was {values}"
        assert values["metric"] is not False, "a value of zero is a number"
        for alert in alerts:
            assert alert.get("value") == value, f"the alert should hold the value {value}: {alert}"
            check_json(alert)


UNAVAILABLE = {
    "None": gives(None),
    "NaN": gives(math.nan),
    "infinity": gives(math.inf),
    "minus infinity": gives(-math.inf),
    "True": gives(True),
    "False": gives(False),
    "a numeric string": gives("12"),
    "a word": gives("down"),
    "a dict": gives({"cpu": 0.5}),
    "a list": gives([1.0]),
    "an OSError": raises(OSError("no route")),
    "a KeyError": raises(KeyError("metric")),
    "a ZeroDivisionError": raises(ZeroDivisionError("no requests")),
}


@requirement("R13")
@pytest.mark.parametrize("what", UNAVAILABLE)
def test_what_is_no_number_is_unavailable(submission, what):
    for limits in ({"min": 5}, {"max": 0}, {"min": -1e9, "max": 1e9}, None):
        thresholds = {} if limits is None else {"metric": limits}
        values, alerts = health(submission, {"metric": UNAVAILABLE[what]}, thresholds)
        assert values == {"metric": None}, f"a source that gives {what} should be None in the answer: {values}"
        expected = [("metric_unavailable", "metric")]
        assert short(alerts) == expected, f"a source that gives {what}, with limits {limits}, sent {short(alerts)}"
        check_json(alerts[0])


@requirement("R13")
def test_a_threshold_without_a_source_is_unavailable(submission):
    values, alerts = health(submission, {"p95_ms": gives(100)}, {"p95_ms": {"max": 200}, "throughput": {"min": 5}})
    assert values == {"p95_ms": 100, "throughput": None}, f"throughput has no source, and the answer was {values}"
    assert short(alerts) == [("metric_unavailable", "throughput")], f"throughput has no source: {short(alerts)}"


@requirement("R13")
def test_a_source_without_a_threshold_is_reported(submission):
    values, alerts = health(submission, {"queue": gives(10**9), "p95_ms": gives(0.5)}, {"p95_ms": {"max": 200}})
    assert values == {"queue": 10**9, "p95_ms": 0.5}, f"both sources gave a number, and the answer was {values}"
    assert alerts == [], f"queue has no threshold and p95_ms is fine; the alerts were {short(alerts)}"


MIXED = {
    "errors": raises(RuntimeError("exporter died")),
    "throughput": gives(0),
    "p95_ms": gives(math.nan),
    "memory": gives({"rss": 5}),
    "cpu": gives(0.97),
    "queue": gives(3),
    "lag": gives(None),
    "p99_ms": gives(950.5),
}
MIXED_LIMITS = {
    "errors": {"max": 0.01},
    "throughput": {"min": 5},
    "p95_ms": {"max": 200},
    "memory": {"max": 10},
    "cpu": {"min": 0.01, "max": 0.9},
    "queue": {"max": 100},
    "p99_ms": {"max": 500},
    "gpu": {"max": 0.9},
}
MIXED_VALUES = {
    "errors": None,
    "throughput": 0,
    "p95_ms": None,
    "memory": None,
    "cpu": 0.97,
    "queue": 3,
    "lag": None,
    "p99_ms": 950.5,
    "gpu": None,
}
MIXED_ALERTS = sorted(
    [("threshold", name) for name in ("throughput", "cpu", "p99_ms")]
    + [("metric_unavailable", name) for name in ("errors", "p95_ms", "memory", "lag", "gpu")]
)


@requirement("R13")
@pytest.mark.parametrize("turn", range(0, 8, 3))
@pytest.mark.parametrize("refuses", [False, True], ids=["sink up", "sink down"])
def test_every_metric_is_looked_at(submission, turn, refuses):
    names = list(MIXED)[turn:] + list(MIXED)[:turn]
    values, alerts = health(submission, {name: MIXED[name] for name in names}, MIXED_LIMITS, refuses)
    assert values == MIXED_VALUES, f"eight sources and a threshold without one gave {values}"
    assert short(alerts) == MIXED_ALERTS, f"eight sources and a threshold without one sent {short(alerts)}"


@requirement("R13")
def test_each_source_is_called_once(submission):
    calls = []

    def counted(name, value):
        def source():
            calls.append(name)
            if value is None:
                raise OSError("down")
            return value

        return source

    sources = {name: counted(name, value) for name, value in {"a": 1, "b": 99, "c": None, "d": 0}.items()}
    health(submission, sources, {"a": {"min": 5}, "b": {"max": 9}, "c": {"max": 9}})
    assert sorted(calls) == ["a", "b", "c", "d"], f"each of a, b, c, d should be called once; the calls were {calls}"


@requirement("R13")
def test_nothing_to_look_at(submission):
    values, alerts = health(submission, {}, {})
    assert (values, alerts) == ({}, []), f"no source and no threshold gave {values} and {alerts}"


@requirement("R13")
def test_the_answer_holds_builtin_numbers(submission):
    values, _ = health(submission, {"a": gives(3), "b": gives(2.5)}, {"a": {"min": 1}, "b": {"max": 9}})
    kinds = {name: type(value) for name, value in values.items()}
    assert kinds["b"] is float, f"2.5 came back as a {kinds['b']}"
    assert kinds["a"] in (int, float), f"3 came back as a {kinds['a']}"
