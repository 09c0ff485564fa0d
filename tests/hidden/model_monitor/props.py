"""Run inside the submission's process what cannot be seen or timed across the boundary."""

import time

cpu_seconds = time.process_time  # what the code costs, however busy the machine is
BUDGET_S = 12.0  # a loop that is hopeless is cut short


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; the clock that was passed in is the only source of time")

    time.sleep = refuse


class Clock:
    """A clock beside the submission, for tests that log a lot: reading it crosses no boundary."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now

    def move(self, now):
        """Set the time."""
        self.now = now


def feed(advanced, count, start):
    """Pass count numbered rows to monitor_prediction."""
    for i in range(start, start + count):
        advanced.monitor_prediction({"row": i, "region": "north"}, i % 2)


def log_all(monitor, rows):
    """Log (prediction, actual, prediction_id, timestamp) rows; return the ids."""
    return [
        monitor.log_prediction({"row": i}, prediction, actual, prediction_id=identifier, timestamp=timestamp)
        for i, (prediction, actual, identifier, timestamp) in enumerate(rows)
    ]


def label_all(monitor, labels):
    """Log (prediction_id, actual) pairs; return the answers."""
    return [monitor.log_actual(identifier, actual) for identifier, actual in labels]


def records_after_the_caller_changed_its_dict(monitor):
    """Change a dict after it was logged, on top and inside; return the records."""
    features = {"income": 10, "history": [1, 2], "home": {"rooms": 3}}
    monitor.log_prediction(features, 1)
    features["income"] = 99
    features["added"] = True
    features["history"].append(3)
    features["home"]["rooms"] = 4
    return monitor.records()


def records_after_someone_changed_the_answer(monitor):
    """Change what records() returned; return what it returns next."""
    monitor.log_prediction({"income": 10, "history": [1, 2]}, 1)
    answer = monitor.records()
    record = answer[0]
    record["prediction"] = 0
    record["actual"] = 0
    record["features"]["income"] = 99
    record["features"]["history"].append(3)
    answer.clear()
    return monitor.records()


def frames_after_a_comparison(monitor, new, reference):
    """Return both frames as detect_data_drift left them."""
    monitor.detect_data_drift(new, reference)
    return new, reference


def monitor_with_one_reused_dict(advanced, count):
    """Pass count predictions through a single dict, as a serving loop does."""
    features = {}
    for i in range(count):
        features["row"] = i
        features.setdefault("nested", [0])[0] = i
        advanced.monitor_prediction(features, 1)


def ticking_clock():
    """Return a clock that moves by a second per call."""
    state = {"now": 1_000_000.0}

    def clock():
        state["now"] += 1.0
        return state["now"]

    return clock


def seconds_of(call, times):
    """Time call(i) for i in range(times); give up, and say infinity, when the budget is spent."""
    start = cpu_seconds()
    for i in range(times):
        call(i)
        if i % 256 == 0 and cpu_seconds() - start > BUDGET_S:
            return float("inf")
    return cpu_seconds() - start


def timings(submission, rules, count, **options):
    """Return the seconds of count logs, count labels, the fastest of three metrics calls and of three alert calls."""
    monitor = submission.ModelMonitor(rules=rules, clock=ticking_clock(), **options)
    monitor.log_prediction({"income": 1.0}, 1, 1, prediction_id="first")
    monitor.calculate_performance_metrics()  # imports on first use are not what is timed
    monitor.generate_alerts()

    def log(i):
        monitor.log_prediction({"income": 1.0 * i, "age": i % 80, "region": "north"}, i % 2, prediction_id=f"p{i}")

    logs = seconds_of(log, count)
    if logs == float("inf"):
        return {"logs": logs}
    labels = seconds_of(lambda i: monitor.log_actual(f"p{i}", 1), count)
    if labels == float("inf"):
        return {"logs": logs, "labels": labels}
    metrics = min(seconds_of(lambda i: monitor.calculate_performance_metrics(), 1) for _ in range(3))
    alerts = min(seconds_of(lambda i: monitor.generate_alerts(), 1) for _ in range(3))
    return {"logs": logs, "labels": labels, "metrics": metrics, "alerts": alerts}


def seconds_of_logging(submission, count, max_records):
    """Return the seconds that count logs take, and the stats after them."""
    monitor = submission.ModelMonitor(clock=ticking_clock(), max_records=max_records)
    seconds = seconds_of(lambda i: monitor.log_prediction({"income": 1.0 * i}, i % 2, 1), count)
    return seconds, monitor.stats()


def alerts_of(submission, rules, right, wrong):
    """Return what a new monitor alerts after so many right and wrong predictions, under a clock that stands still."""
    monitor = submission.ModelMonitor(rules=rules, clock=lambda: 1_000_000.0)
    log_all(monitor, [(1, 1, None, None)] * right + [(1, 0, None, None)] * wrong)
    return monitor.generate_alerts()
