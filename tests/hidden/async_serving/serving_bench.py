"""A queue, a clock, a model, a resolver and a receiver of callbacks that share one time, lent to the submission."""

import base64
import hashlib
import hmac
import json
import threading

import pytest

from rounds.testing import lend

START = 1_000_000.25
URL = "https://hooks.example.com/done"
HOSTS = {
    "hooks.example.com": ["93.184.216.34"],
    "other.example.org": ["1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946"],
    "v6.example.org": ["2606:2800:220:1:248:1893:25c8:1946"],
    "localhost": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
    "2130706433": ["127.0.0.1"],
    "0x7f.1": ["127.0.0.1"],
    "intern.example.com": ["10.1.2.3"],
    "half.example.com": ["93.184.216.34", "10.1.2.3"],
    "half-v6.example.com": ["2606:2800:220:1:248:1893:25c8:1946", "fd00::1"],
    "empty.example.com": [],
}
QUEUE = ("send", "receive", "ack", "nack", "dead_letter", "depth")
TWO_HOURS = 7200.0
A_MONTH = 30 * 86400.0
ROUNDS = 200


class Entry:
    """A message: what it says, when it is visible, how often it was received."""

    def __init__(self, body, due, number):
        self.body, self.due, self.number, self.count = body, due, number, 0


class Bench:
    """Everything around a service. `answers` are what http_post does per call: a status, or an exception to raise."""

    def __init__(self, predict=lambda features: {"score": 0.5}, answers=(), hosts=None):
        self.now = START
        self.lock = threading.RLock()
        self.entries, self.held, self.numbers = [], {}, 0
        self.acked, self.dead, self.sent, self.received = [], [], [], 0
        self.full = None  # what depth() says instead of the truth
        self.answer, self.calls, self.called_at = predict, [], []
        self.answers, self.posts = list(answers), []
        self.hosts = dict(HOSTS if hosts is None else hosts)
        self.stats = {}
        self.store = None
        self.model = lend(self, "predict")

    # --- what is lent

    def clock(self):
        return self.now

    def predict(self, features):
        with self.lock:
            self.calls.append(features)
            self.called_at.append(self.now)
        return self.answer(features)

    def send(self, body, delay_s=0.0):
        try:
            carried = json.loads(json.dumps(body, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TypeError(f"a message body must be JSON-able: {error}") from None
        with self.lock:
            self._add(carried, delay_s)
            self.sent.append(carried)

    def receive(self):
        with self.lock:
            due = [entry for entry in self.entries if entry.due <= self.now]
            if not due:
                return None
            entry = min(due, key=lambda one: (one.due, one.number))
            self.entries.remove(entry)
            entry.count += 1
            self.received += 1
            receipt = f"receipt-{self.received}"
            self.held[receipt] = entry
            return lend(object(), body=entry.body, receipt=receipt, receive_count=entry.count)

    def ack(self, receipt):
        with self.lock:
            self.held.pop(receipt, None)
            self.acked.append(receipt)

    def nack(self, receipt, delay_s):
        with self.lock:
            if receipt in self.held:
                entry = self.held.pop(receipt)
                entry.due = self.now + delay_s
                self.entries.append(entry)

    def dead_letter(self, receipt, reason):
        with self.lock:
            self.held.pop(receipt, None)
            self.dead.append(reason)

    def depth(self):
        with self.lock:
            return len(self.entries) + len(self.held) if self.full is None else self.full

    def resolve(self, host):
        host = host.strip("[]")
        if host in self.hosts:
            return list(self.hosts[host])
        if ":" in host or host.replace(".", "").isdigit():
            return [host]
        raise OSError(f"Name or service not known: {host}")

    def http_post(self, url, body, headers, timeout_s):
        with self.lock:
            self.posts.append({"url": url, "body": body, "headers": headers, "timeout": timeout_s, "at": self.now})
            answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # --- what the tests do

    def service(self, submission, props, model=None, id_factory=None, rng=None, **config):
        """Build a service over this queue and one store, as after each restart."""
        if self.store is None:
            self.store = props.Store()
        self.submission = submission
        options = {} if id_factory is None else {"id_factory": id_factory}
        if rng is not None:
            options["rng"] = rng
        return submission.AsyncPredictionService(
            self.model if model is None else model,
            lend(self, *QUEUE),
            lambda *arguments, **keywords: self.http_post(*arguments, **keywords),
            resolver=lambda host: self.resolve(host),
            store=self.store,
            clock=lambda: self.clock(),
            config=submission.AsyncConfig(**config),
            **options,
        )

    def work(self, service, max_messages=50, **options):
        """Run a worker once, and add up its statistics."""
        stats = self.submission.prediction_worker(service, max_messages=max_messages, **options)
        for name in ("succeeded", "retried", "dead_lettered", "expired", "callbacks_ok", "callbacks_failed"):
            self.stats[name] = self.stats.get(name, 0) + getattr(stats, name)
        return stats

    def drain(self, service, within=A_MONTH):
        """Run workers and move the clock to the next due message, until the queue is empty."""
        limit = self.now + within
        for _ in range(ROUNDS):
            self.work(service)
            if self.held:
                pytest.fail("the worker returned, and a message that it received was neither acked nor shown again")
            if not self.entries:
                return
            self.now = max(self.now, min(entry.due for entry in self.entries))
            if self.now > limit:
                pytest.fail(f"after {within:g} s of the clock, messages still wait in the queue")
        pytest.fail(f"after {ROUNDS} runs of the worker, messages still come back")

    def show_again(self):
        """Let the messages of a dead worker be visible again."""
        with self.lock:
            for entry in self.held.values():
                entry.due = self.now
                self.entries.append(entry)
            self.held.clear()

    def duplicate(self, body=None):
        """Show the first message that was sent once more."""
        with self.lock:
            self._add(self.sent[0] if body is None else body, 0.0)
            self.entries[-1].count = 1

    def _add(self, body, delay_s):
        self.numbers += 1
        self.entries.append(Entry(body, self.now + max(0.0, delay_s), self.numbers))

    def gaps(self):
        """Return the seconds between the calls of the model."""
        return [after - before for before, after in zip(self.called_at, self.called_at[1:], strict=False)]

    def contents(self):
        """Return the bodies of all POSTs, decoded."""
        return [content(post) for post in self.posts]


def content(post):
    """Return the JSON object of a POST."""
    body = post["body"]
    if type(body) is not bytes:
        pytest.fail(f"the body of a POST should be bytes, and was of type {type(body).__name__}")
    try:
        found = json.loads(body)
    except ValueError:
        pytest.fail(f"the body of a POST should be JSON, and was {body[:200]!r}")
    if not isinstance(found, dict):
        pytest.fail(f"the body of a POST should be a JSON object, and was {body[:200]!r}")
    return found


def header(post, name):
    """Return a header, whatever its case."""
    found = [value for key, value in post["headers"].items() if key.lower() == name]
    if len(found) != 1 or type(found[0]) is not str:
        pytest.fail(f"a POST should have one header {name}, a str; its headers were {post['headers']}")
    return found[0]


def signature(secret, identifier, timestamp, body):
    """Return what the header of a signature should say."""
    signed = identifier.encode() + b"." + timestamp.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def check_state(service, identifier, state, **expected):
    """Assert the state and further fields of a status."""
    status = service.status(identifier)
    for name, value in {"request_id": identifier, "state": state, **expected}.items():
        found = status.get(name, "missing")
        same = type(found) is type(value) and found == value
        assert same, f"`{name}` of the status should be {value!r}, and the status was {status}"


def check_content(found, identifier, status, prediction, error):
    """Assert what a callback says."""
    expected = {"request_id": identifier, "status": status, "prediction": prediction, "error": error}
    seen = {name: found.get(name, "missing") for name in expected}
    assert seen == expected, f"the callback should say {expected}, and said {found}"


def raises(message):
    """Return a predict that always raises."""

    def predict(features):
        raise ValueError(message)

    return predict


def by_feature(features):
    """Predict ten times `x`, and refuse an `x` below zero."""
    if features["x"] < 0:
        raise ZeroDivisionError(f"cannot score {features}")
    return features["x"] * 10
