"""A handler between lent models, a lent executor and a lent log, and what all of them saw."""

import threading
from collections import Counter

from rounds.testing import lend

PATIENCE_S = 5.0  # how long a failing test waits; a right answer is never waited for
BUCKETS = ("n_production_errors", "n_not_sampled", "n_dropped", "n_pending", "n_compared", "n_shadow_errors")


def total(features):
    """Answer with the sum of x, as the models do unless a test says otherwise."""
    return sum(features["x"])


class Bench:
    """Serves requests and runs the mirrors when told; models and log are functions of the test."""

    def __init__(self, submission, production=total, shadow=total, log=None, submit=None, clock=None, **config):
        self.submission, self.lock = submission, threading.Lock()
        self.models = {"production": production, "shadow": shadow}
        self.calls, self.records, self.waiting, self.escaped = Counter(), [], [], []
        self.on_log, self.on_submit = log, submit
        self.handler = submission.shadow_deployment(
            lend(Model(self, "production"), "predict"),
            lend(Model(self, "shadow"), "predict"),
            executor=lend(self, "submit"),
            comparison_log=lambda record: self.log(record),
            config=submission.ShadowConfig(**config),
            clock=clock or (lambda: 0.0),
        )

    def answer(self, name, features):
        with self.lock:
            self.calls[name] += 1
        return self.models[name](features)

    def submit(self, fn):
        with self.lock:
            self.calls["submit"] += 1
        if self.on_submit is not None:
            self.on_submit()
        with self.lock:
            self.waiting.append(fn)

    def log(self, record):
        with self.lock:
            self.calls["log"] += 1
            self.records.append(record)
        if self.on_log is not None:
            self.on_log(record)

    def request(self, identifier, x=(1, 2)):
        return self.submission.Request(id=identifier, features={"x": list(x)})

    def handle(self, identifier="a", x=(1, 2)):
        return self.handler.handle(self.request(identifier, x))

    def handle_all(self, count, prefix="r"):
        return [self.handle(f"{prefix}{i}") for i in range(count)]

    def fails(self, identifier="a", x=(1, 2)):
        """Serve a request; return the exception that the caller got, or None."""
        try:
            self.handle(identifier, x)
        except Exception as error:
            return error
        return None

    def run(self):
        """Run the oldest function that waits in the executor; keep what escapes from it."""
        with self.lock:
            fn = self.waiting.pop(0)
        try:
            fn()
        except Exception as error:
            self.escaped.append(error)

    def run_all(self):
        while self.waiting:
            self.run()
        return self

    def record(self, identifier):
        """Return the single record of a request."""
        found = [record for record in self.records if record.get("request_id") == identifier]
        assert len(found) == 1, f"request {identifier!r} should be logged once, and was logged {len(found)} times"
        return found[0]

    def report(self):
        return self.handler.report()

    def expect(self, situation, **expected):
        """Compare some counts of the report."""
        report = self.report()
        found = {name: report.get(name) for name in expected}
        assert found == expected, f"{situation}: the report should say {expected}, and says {found}"

    def expect_nothing_escaped(self, situation):
        names = [type(error).__name__ for error in self.escaped]
        assert not names, f"{situation}: the function given to the executor raised {names}"


class Model:
    """A lent model: asks the bench."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name

    def predict(self, features):
        return self.bench.answer(self.name, features)


class Aside:
    """A call on a thread of its own, whose end can be waited for."""

    def __init__(self, call):
        self.answer, self.error, self.ended = None, None, threading.Event()
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call):
        try:
            self.answer = call()
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    def ends(self, patience=PATIENCE_S):
        """Wait; return whether the call has ended."""
        return self.ended.wait(patience)

    def result(self, situation):
        """Return the answer; say so when the call hangs or raises."""
        assert self.ends(), f"{situation} did not come back"
        if self.error is not None:
            raise self.error
        return self.answer


class Park:
    """A place where the first call that comes stands still until it is released; later ones go through."""

    def __init__(self):
        self.arrived, self.released, self.first = threading.Event(), threading.Event(), threading.Lock()

    def __call__(self, *_):
        if self.first.acquire(blocking=False):
            self.arrived.set()
            self.released.wait(2 * PATIENCE_S)

    def is_reached(self):
        return self.arrived.wait(PATIENCE_S)


def raising(error):
    """Return a function that raises, whatever it is given."""

    def function(*_):
        raise error

    return function


def unbalanced(report):
    """Return a sentence if the counts do not add up, else None."""
    counts = {name: report[name] for name in BUCKETS}
    if report["n_requests"] == sum(counts.values()):
        return None
    return f"n_requests is {report['n_requests']}, and the sum of {counts} is {sum(counts.values())}"
