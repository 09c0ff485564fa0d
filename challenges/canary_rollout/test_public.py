"""A few examples from the brief. Run: pytest test_public.py"""

import pytest
from canary_rollout import CanaryConfig, assign_to_canary, canary_deployment


class Fleet:
    """Router, metrics and time in one; 1,000 requests a side arrive in each interval."""

    def __init__(self, canary_errors=10, requests=1000):
        self.canary_errors, self.requests = canary_errors, requests
        self.now, self.calls = 0.0, []

    def deploy_canary(self, model):
        self.calls.append(("deploy", model))

    def set_weight(self, fraction):
        self.calls.append(("weight", fraction))

    def promote(self):
        self.calls.append("promote")

    def rollback(self):
        self.calls.append("rollback")

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.calls.append(("sleep", seconds))

    def collect(self, since, until):
        self.calls.append(("collect", since, until))
        n = int(self.requests * (until - since) / 300)
        latencies = [50.0 + i % 100 for i in range(n)]
        return {
            "canary": {"requests": n, "errors": min(n, self.canary_errors), "latencies_ms": latencies},
            "baseline": {"requests": n, "errors": min(n, 10), "latencies_ms": latencies},
        }

    def run(self, percent=10, **config):
        return canary_deployment(
            "v2",
            percent,
            router=self,
            metrics=self,
            config=CanaryConfig(**config),
            clock=self.clock,
            sleep=self.sleep,
        )


def test_a_step_sets_the_weight_then_waits_then_measures():
    fleet = Fleet()
    fleet.run(1)
    assert fleet.calls == [("deploy", "v2"), ("weight", 0.01), ("sleep", 300.0), ("collect", 0.0, 300.0)]


def test_a_ceiling_of_7_stops_at_7():
    fleet = Fleet()
    result = fleet.run(7)
    assert [call[1] for call in fleet.calls if call[0] == "weight"] == [0.01, 0.05, 0.07]
    assert (result.status, result.final_weight) == ("holding", 0.07)


def test_a_ceiling_of_0_is_refused():
    fleet = Fleet()
    with pytest.raises(ValueError):
        fleet.run(0)
    assert fleet.calls == []


def test_a_good_canary_is_promoted_after_six_steps():
    fleet = Fleet()
    result = fleet.run(100)
    assert (result.status, result.final_weight, fleet.now) == ("promoted", 1.0, 1800.0)
    assert [step["decision"] for step in result.steps] == ["advance"] * 6


def test_a_canary_with_20_per_cent_errors_is_rolled_back_at_once():
    fleet = Fleet(canary_errors=200)
    result = fleet.run(100)
    assert (result.status, result.final_weight) == ("rolled_back", 0)
    assert (fleet.calls.count("rollback"), fleet.now) == (1, 300.0)


def test_too_few_requests_are_inconclusive():
    fleet = Fleet(requests=20)
    assert fleet.run(100).status == "inconclusive"
    assert fleet.now == 3600.0


def test_a_user_stays_on_one_side():
    users = [f"user-{i}" for i in range(1000)]
    small, large = ({user for user in users if assign_to_canary(user, share)} for share in (0.05, 0.5))
    assert small < large
    assert not any(assign_to_canary(user, 0.0) for user in users)
