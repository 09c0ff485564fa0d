"""Environments, clocks and audits as the judge keeps them, shared by the hidden tests of model rollback."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from rounds.testing import lend

NOON = 1_700_000_000.0
LIVE_CALLS = ("load", "healthy", "switch")


class Clock:
    """A clock that the test moves."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


class Slots:
    """One model's environment. It remembers its calls, knows what each slot holds, and fails as it is told.

    `plan["healthy"]` holds what the next health checks answer: True, False or an exception; the same goes for `load`
    and `switch`. Without a plan a slot is healthy if something is loaded.
    """

    def __init__(self, **plan):
        self.calls, self.faults = [], []
        self.holds = {"blue": None, "green": None}
        self.traffic = None
        self.plan = {name: list(plan.get(name, [])) for name in LIVE_CALLS}
        self.lock = threading.Lock()

    def next_of(self, name):
        answer = self.plan[name].pop(0) if self.plan[name] else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def note(self, *call):
        with self.lock:
            self.calls.append(call)
        if call[1] not in self.holds:
            self.faults.append(f"{call[0]} was called with the slot {call[1]!r}")

    def load(self, slot, artifact, version):
        self.note("load", slot, artifact, version)
        if slot == self.traffic:
            self.faults.append(f"version {version} was loaded into the slot that had the traffic")
        self.holds[slot] = None
        self.next_of("load")
        self.holds[slot] = version

    def healthy(self, slot):
        self.note("healthy", slot)
        answer = self.next_of("healthy")
        return self.holds.get(slot) is not None if answer is None else answer

    def switch(self, slot):
        self.note("switch", slot)
        if self.holds.get(slot) is None:
            self.faults.append("traffic was switched to an empty slot")
        self.next_of("switch")
        self.traffic = slot

    def unload(self, slot):
        self.note("unload", slot)
        self.holds[slot] = None

    def lent(self):
        return lend(self, "load", "healthy", "switch", "unload")

    def names(self):
        """Return the calls so far as words: load, healthy, switch, unload."""
        return [call[0] for call in self.calls]

    def short(self):
        """Return the calls so far without artifacts and unloads."""
        return [(call[0], call[1], *call[3:]) for call in self.calls if call[0] in LIVE_CALLS]


def artifact(model, version):
    return f"weights of {model} {version}".encode()


def fill(registry, model="fraud", count=4):
    """Register versions 1 to count."""
    for version in range(1, count + 1):
        registry.register(model, artifact(model, version), metrics={"auc": 0.9}, metadata={"run": version})
    return registry


class Fleet:
    """A registry with four versions of `fraud` and a deployer over lent slots."""

    def __init__(self, submission, slots=None, root=None, models=("fraud",), **plan):
        self.submission, self.clock = submission, Clock()
        self.slots = slots or Slots(**plan)
        self.environments = {"fraud": self.slots}
        self.registry = submission.ModelRegistry(root, clock=self.clock)
        for model in models:
            self.environments.setdefault(model, Slots())
            fill(self.registry, model)
        self._lent = {model: one.lent() for model, one in self.environments.items()}
        self.stray = Slots()
        self._stray = self.stray.lent()
        self.deployer = submission.BlueGreenDeployer(
            self.registry, lambda model: self._lent.get(model, self._stray), clock=self.clock
        )

    def deploy(self, *versions, model="fraud"):
        """Deploy versions one after the other; return the last result."""
        for version in versions:
            result = self.deployer.deploy(model, version, actor="ann", reason="release")
        return result

    def back(self, target=None, model="fraud", **more):
        return self.deployer.rollback_model(model, target, actor="bob", reason="errors", **more)

    def live(self, model="fraud"):
        return self.deployer.live(model)

    def calls_of(self, act):
        """Return the short calls that act() makes."""
        before = len(self.slots.short())
        act()
        return self.slots.short()[before:]

    def n_calls(self):
        return sum(len(one.calls) for one in self.environments.values()) + len(self.stray.calls)

    @contextmanager
    def untouched(self, what):
        """Check that the block makes no call to an environment and leaves what is live as it was."""
        live, calls = self.live(), self.n_calls()
        yield
        assert self.n_calls() == calls, f"{what}: {self.n_calls() - calls} calls went to an environment"
        assert self.live() == live, f"{what}: {live} was live before, and {self.live()} after"

    def refused(self, kind, act, what):
        """Check that act() raises `kind` and touches nothing; return the exception."""
        with self.untouched(what):
            return raised(kind, act, what)

    def fails(self, act, what):
        """Check that act() raises RollbackFailed and leaves what is live as it was; return the exception."""
        live = self.live()
        error = raised(self.submission.RollbackFailed, act, what)
        assert self.live() == live, f"{what}: {live} was live before the failure, and {self.live()} after"
        return error


def raised(kind, act, what):
    """Return the exception of this kind that act() raises; fail with a sentence if it raises none."""
    try:
        answer = act()
    except kind as error:
        return error
    pytest.fail(f"{what} should raise {kind.__name__}, and returned {answer!r}")


def short(result):
    """Return a result's status, from and to."""
    return result.get("status"), result.get("from"), result.get("to")


def root_of(scratch, name="registry"):
    return Path(scratch.path) / name


def let_others_run(times=20):
    """Offer the processor to other threads, without waiting for any."""
    for _ in range(times):
        os.sched_yield()
