"""A router, its metrics and a clock that share one time, lent to the submission, which see every call in order."""

from dataclasses import dataclass

import pytest

from rounds.testing import lend

START = 1_000.0
ROUTER = ("deploy_canary", "set_weight", "promote", "rollback")
STEPS = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]


@dataclass(frozen=True)
class Side:
    """What one version does in an interval: so many requests, errors among them, latencies of 100 to 200 ms times slow.

    The last `stragglers` of the requests take `straggling_ms` instead.
    """

    requests: int = 600
    errors: int = 6
    slow: float = 1.0
    stragglers: int = 0
    straggling_ms: float = 0.0

    def counted(self):
        ordinary = self.requests - self.stragglers
        latencies = [self.slow * (100 + 100 * (i * 7919 % ordinary) / ordinary) for i in range(ordinary)]
        latencies += [self.straggling_ms] * self.stragglers
        return {"requests": self.requests, "errors": self.errors, "latencies_ms": latencies}


GOOD = Side()
BAD = Side(errors=180)
SLOW = Side(slow=2.5)
SPARSE = Side(requests=20, errors=0)


class Fleet:
    """Requests arrive while the submission sleeps; `collect` counts those whose whole interval lies in its window.

    `canary` is a Side, or a function of (weight, interval within the step) that gives one. `baseline` is a Side; by
    default 1 % of as many requests as the canary's fail, and if `mirrored` it is the canary's twin.
    `spoil(nth, answer)` changes the nth answer of `collect`, or raises; windows without length are neither spoiled nor
    counted. `broken` maps a method to the call, 1 for the first, from which on it raises, and what.
    """

    def __init__(
        self, canary=GOOD, baseline=None, mirrored=False, spoil=None, broken=None, setting_takes=0.0, oversleeps=0.0
    ):
        self.canary, self.baseline, self.mirrored, self.spoil = canary, baseline, mirrored, spoil
        self.broken, self.counts = broken or {}, {}
        self.setting_takes, self.oversleeps = setting_takes, oversleeps
        self.now, self.began, self.intervals = START, START, 0
        self.calls, self.arrivals, self.answered = [], [], []
        self.weight, self.measured = 0.0, 0
        self.set_at = []

    # --- what is lent

    def deploy_canary(self, model):
        self._call("deploy_canary", model)

    def set_weight(self, fraction):
        self._call("set_weight", fraction)
        self.now += self.setting_takes
        self.weight, self.intervals = fraction, 0
        self.set_at.append(self.now)

    def promote(self):
        self._call("promote")

    def rollback(self):
        self._call("rollback")

    def clock(self):
        self._fail("clock")
        return self.now

    def sleep(self, seconds):
        self._call("sleep", seconds)
        since, self.now = self.now, self.now + seconds + self.oversleeps
        self.intervals += 1
        canary = self.canary(self.weight, self.intervals) if callable(self.canary) else self.canary
        usual = Side(requests=canary.requests, errors=canary.requests // 100)
        baseline = canary if self.mirrored else self.baseline or usual
        self.arrivals.append((since, self.now, canary.counted(), baseline.counted()))
        if len(self.calls) > 2000:
            raise RuntimeError("the rollout did not end within 2,000 calls")

    def collect(self, since, until):
        self._call("collect", since, until)
        sides = {name: {"requests": 0, "errors": 0, "latencies_ms": []} for name in ("canary", "baseline")}
        for begin, end, canary, baseline in self.arrivals:
            if since <= begin and end <= until:
                for total, one in ((sides["canary"], canary), (sides["baseline"], baseline)):
                    for key, value in one.items():
                        total[key] = total[key] + value
        if since >= until:  # nothing can have come, and nothing is measured that could fail
            return sides
        self.measured += 1
        answer = self.spoil(self.measured, sides) if self.spoil else sides
        self.answered.append((self.weight, since, until, answer))
        return answer

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        self._fail(name)

    def _fail(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1
        nth, exception = self.broken.get(name, (None, None))
        if nth is not None and self.counts[name] >= nth:
            raise exception

    # --- what a test does and sees

    def run(self, submission, percent=100, model="model", **config):
        """Make one rollout and return its result; None leaves the ceiling to the default."""
        lent = lend(self, *ROUTER, "collect")
        options = {"config": submission.CanaryConfig(**config)} if config else {}
        ceiling = () if percent is None else (percent,)
        return submission.canary_deployment(
            model, *ceiling, router=lent, metrics=lent, clock=self.clock, sleep=self.sleep, **options
        )

    def names(self):
        """List the calls but those of the clock, without a weight of 0 before a rollback."""
        return [call[0] for call in self.calls if call[:2] != ("set_weight", 0)]

    def weights(self):
        """List the weights that were set, without a 0 before a rollback."""
        return [call[1] for call in self.calls if call[0] == "set_weight" and call[1] != 0]

    def windows(self):
        """List the windows that were collected, in seconds since the rollout began."""
        return [(call[1] - START, call[2] - START) for call in self.calls if call[0] == "collect"]

    def elapsed(self):
        """Return the seconds that the rollout took by its clock."""
        return self.now - START


def expect_weights(fleet, expected, situation):
    seen = fleet.weights()
    assert seen == pytest.approx(expected, abs=1e-12), (
        f"{situation}: the weights that were set are {seen}, not {expected}"
    )


def expect_rollback(fleet, result, situation, status="rolled_back"):
    """It was rolled back once, and the result says so."""
    times = fleet.names().count("rollback")
    assert times == 1, f"{situation}: rollback() was called {times} times, not once"
    assert result.status == status, f"{situation}: the status is {result.status!r}, not {status!r}"
    assert result.final_weight == 0, f"{situation}: final_weight is {result.final_weight!r}, not 0"


def expect_left_alone(fleet, situation):
    """The router got no call after the rollback, nor a promotion before it."""
    after = [call[0] for call in fleet.calls[fleet.calls.index(("rollback",)) + 1 :] if call[0] in ROUTER]
    assert not after, f"{situation}: after rollback(), {after[0]}() was called"
    assert "promote" not in fleet.names(), f"{situation}: promote() was called"


def expect_stop(fleet, weights, situation):
    """The rollout was rolled back when it had set these weights."""
    expect_weights(fleet, weights, situation)
    names = fleet.names()
    assert "rollback" in names, f"{situation}: rollback() was not called"
    assert "promote" not in names[: names.index("rollback")], f"{situation}: promote() was called"


def expect_promotion(fleet, result, situation):
    """The canary was promoted once, and nothing was rolled back."""
    names = fleet.names()
    assert result.status == "promoted", f"{situation}: the status is {result.status!r}, not 'promoted'"
    assert (names.count("promote"), names.count("rollback")) == (1, 0), (
        f"{situation}: promote() was called {names.count('promote')} times, rollback() {names.count('rollback')} times"
    )


def expect_reason(result):
    assert isinstance(result.reason, str), f"reason is no string but {type(result.reason).__name__}"
    assert result.reason.strip(), "reason is empty"
