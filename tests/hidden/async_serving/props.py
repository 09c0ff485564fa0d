"""Run inside the submission's process what cannot be lent: a store that copies, a model that crashes, a seeded rng."""

import copy
import random
import time
from collections.abc import MutableMapping


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; the clock that was passed in is the only source of time")

    time.sleep = refuse


class Crash(BaseException):
    """The process dies here."""


CRASHES = {kind.__name__: kind for kind in (Crash, KeyboardInterrupt, SystemExit)}


class Store(MutableMapping):
    """Copies what goes in and what comes out; crashes once on a write when it is told to."""

    def __init__(self):
        self.kept, self.crash = {}, None

    def __getitem__(self, key):
        return copy.deepcopy(self.kept[key])

    def __setitem__(self, key, value):
        self._write()
        self.kept[key] = copy.deepcopy(value)

    def __delitem__(self, key):
        self._write()
        del self.kept[key]

    def __iter__(self):
        return iter(list(self.kept))

    def __len__(self):
        return len(self.kept)

    def _write(self):
        if self.crash is not None:
            kind, self.crash = self.crash, None
            raise CRASHES[kind]("the suite's crash, in a write to the store")


def content(store):
    """Return what the store holds."""
    return copy.deepcopy(store.kept)


class CrashingModel:
    """Answers by a script, one entry per call: a value, or {"crash": name}, or {"then": value, "store": name}.

    The last form returns the value and lets the next write to the store crash. After the script it answers "done".
    """

    def __init__(self, store, script):
        self.store, self.script, self.seen = store, list(script), []

    def predict(self, features):
        self.seen.append(features)
        entry = self.script.pop(0) if self.script else "done"
        if isinstance(entry, dict) and "crash" in entry:
            raise CRASHES[entry["crash"]]("the suite's crash, in predict")
        if isinstance(entry, dict) and "store" in entry:
            self.store.crash = entry["store"]
            return entry["then"]
        return entry


def seen(model):
    """Return the features of each call."""
    return list(model.seen)


def work(submission, service, max_messages):
    """Run a worker; return the name of what it raised, or None."""
    try:
        submission.prediction_worker(service, max_messages=max_messages)
    except BaseException as error:
        return type(error).__name__
    return None


class PatientError(Exception):
    """An exception that no library knows."""


FAILURES = {kind.__name__: kind for kind in (PatientError, AssertionError, MemoryError)}


class FailingModel:
    """Raises the named kinds in turn, then answers "done"."""

    def __init__(self, names):
        self.names = list(names)

    def predict(self, features):
        if self.names:
            raise FAILURES[self.names.pop(0)]("broken on purpose")
        return "done"


def rng(seed):
    """Return a generator that lives beside the submission."""
    return random.Random(seed)
