"""Run inside the submission's process: whole series of rollouts, which would cross the boundary 10,000 times, and
exceptions that would end the process on the other side.

It reports what the rollouts did and what they returned; what that means is judged outside.
"""

import itertools
import time


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; the clock and the sleep that were passed in are the only time")

    time.sleep = refuse


# --- series of rollouts

POOL = 40  # lists of latencies a side, of which each window gets one


class Simulation:
    """A fleet whose requests fail and take their time at random; rates and slowness may differ from step to step."""

    def __init__(self, rng, requests, canary, baseline, paired):
        self.rng, self.requests, self.paired = rng, requests, paired
        self.canary, self.baseline = canary, baseline
        self.calls, self.now, self.step, self.arrivals = [], 0.0, -1, []

    def deploy_canary(self, model):
        self.calls.append("deploy_canary")

    def set_weight(self, fraction):
        self.calls.append(fraction)
        self.step += fraction > 0

    def promote(self):
        self.calls.append("promote")

    def rollback(self):
        self.calls.append("rollback")

    def clock(self):
        return self.now

    def sleep(self, seconds):
        since, self.now = self.now, self.now + seconds
        canary, baseline = self._arrived(self.canary), self._arrived(self.baseline)
        if self.paired:  # as many errors on both sides
            baseline = (canary[0], baseline[1])
        self.arrivals.append((since, self.now, canary, baseline))
        if len(self.arrivals) > 1000:
            raise RuntimeError("the rollout did not end within 1,000 intervals")

    def _arrived(self, side):
        rate, pool = _at(side["errors"], self.step), _at(side["pools"], self.step)
        return int(self.rng.binomial(self.requests, rate)), pool[self.rng.integers(len(pool))]

    def collect(self, since, until):
        inside = [arrival[2:] for arrival in self.arrivals if since <= arrival[0] and arrival[1] <= until]
        return {name: self._total([both[nth] for both in inside]) for nth, name in enumerate(("canary", "baseline"))}

    def _total(self, windows):
        return {
            "requests": self.requests * len(windows),
            "errors": sum(errors for errors, _ in windows),
            "latencies_ms": list(itertools.chain.from_iterable(latencies for _, latencies in windows)),
        }


def rollouts(submission, runs, seed, canary, baseline, requests=2000, sigma=0.4, paired=False, **config):
    """Make so many rollouts; return for each its status, the weights, and how often it promoted and rolled back.

    A side is {"errors": [rate per step], "slow": [factor per step]}; the last entry holds for all later steps.
    """
    import numpy as np

    rng = np.random.default_rng([seed, runs, requests])
    sides = [{**side, "pools": _pools(rng, side["slow"], requests, sigma)} for side in (canary, baseline)]
    seen = []
    for _ in range(runs):
        fleet = Simulation(rng, requests, *sides, paired)
        result = submission.canary_deployment(
            "model", 100, router=fleet, metrics=fleet, config=submission.CanaryConfig(**config),
            clock=fleet.clock, sleep=fleet.sleep,
        )  # fmt: skip
        weights = [call for call in fleet.calls if not isinstance(call, str) and call > 0]
        seen.append((str(result.status), weights, fleet.calls.count("promote"), fleet.calls.count("rollback")))
    return seen


def _at(values, step):
    return values[min(max(step, 0), len(values) - 1)]


def _pools(rng, slow, requests, sigma):
    drawn = 120.0 * rng.lognormal(0.0, sigma, (POOL, requests))
    return [(factor * drawn).tolist() for factor in slow]


# --- exceptions


class GatewayTimeout(Exception):
    """An exception that no library knows."""


KINDS = {kind.__name__: kind for kind in (GatewayTimeout, OSError, KeyboardInterrupt, SystemExit)}


class Breaking:
    """A fleet without chance, whose named methods raise from their nth call on."""

    def __init__(self, canary_errors, broken):
        self.canary_errors, self.broken = canary_errors, broken
        self.calls, self.now, self.counts = [], 0.0, {}

    def _call(self, name):
        self.calls.append(name)
        self.counts[name] = self.counts.get(name, 0) + 1
        if name in self.broken:
            nth, kind = self.broken[name]
            if self.counts[name] >= nth:
                raise KINDS[kind]("broken on purpose")
        if len(self.calls) > 2000:
            raise MemoryError("the rollout did not end within 2,000 calls")

    def deploy_canary(self, model):
        self._call("deploy_canary")

    def set_weight(self, fraction):
        self._call("set_weight" if fraction > 0 else "set_weight_0")

    def promote(self):
        self._call("promote")

    def rollback(self):
        self._call("rollback")

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self._call("sleep")

    def collect(self, since, until):
        self._call("collect")
        if since >= until:
            return {side: {"requests": 0, "errors": 0, "latencies_ms": []} for side in ("canary", "baseline")}
        latencies = [100.0 + i % 100 for i in range(600)]
        return {
            "canary": {"requests": 600, "errors": self.canary_errors, "latencies_ms": latencies},
            "baseline": {"requests": 600, "errors": 6, "latencies_ms": list(latencies)},
        }


def broken_rollout(submission, canary_errors, broken):
    """Make a rollout; return its calls and what it raised: the type, its bases and the types it is chained to."""
    fleet = Breaking(canary_errors, broken)
    raised, bases, chain, result = None, [], [], None
    try:
        result = submission.canary_deployment(
            "model", 100, router=fleet, metrics=fleet, clock=fleet.clock, sleep=fleet.sleep
        )
    except BaseException as error:
        raised, bases, chain = type(error).__name__, [base.__name__ for base in type(error).__mro__], _chain(error)
    shown = None if result is None else (result.status, result.final_weight, result.reason)
    return {"calls": fleet.calls, "raised": raised, "bases": bases, "chain": chain, "result": shown}


def _chain(error):
    """Name the exceptions that led to this one."""
    names, waiting, known = [], [error.__cause__, error.__context__], set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in known:
            known.add(id(one))
            names.append(type(one).__name__)
            waiting += [one.__cause__, one.__context__]
    return names


# --- assignment

COUNT = 20_000
KEYS = {
    "user-17": lambda i: f"user-{i}",
    "17": str,
    "2a99f3b1": lambda i: f"{i * 2654435761 % 2**32:08x}",
    "17@mail.example.org": lambda i: f"{i}@mail.example.org",
    "χρήστης 000017": lambda i: f"χρήστης {i:06d}",
}


def assigned(submission, family, fractions, salts, count=COUNT, further=(), backwards=False):
    """Return for each (fraction, salt) the answers for all keys, a character each: 1, 0, or ? for what is no bool."""
    keys = [*map(KEYS[family], range(count)), *further]
    if backwards:
        keys.reverse()
    return [_answers(submission, keys, fraction, salt) for fraction in fractions for salt in salts]


def _answers(submission, keys, fraction, salt):
    assign, further = submission.assign_to_canary, () if salt is None else (salt,)
    answers = [assign(key, fraction, *further) for key in keys]
    return "".join(("0", "1")[answer] if type(answer) is bool else "?" for answer in answers)
