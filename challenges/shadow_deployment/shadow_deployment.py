"""Mirror live traffic to a shadow model so that no user can tell, and report what a go or no-go can rest on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One request of a user."""

    id: str
    features: Any  # a dict, a list, an array


class Executor(Protocol):
    """Runs functions later, on a thread of its own choice."""

    def submit(self, fn: Callable[[], None]) -> Any:
        """Take fn and return at once, or raise to refuse it."""


@dataclass(frozen=True)
class ShadowConfig:
    """Say what is mirrored, when two answers agree, and when the shadow may be promoted."""

    sample_rate: float = 1.0
    max_in_flight: int = 100  # submitted and not finished
    atol: float = 1e-6
    rtol: float = 1e-6
    min_samples: int = 1000
    min_agreement: float = 0.99
    max_error_rate: float = 0.001


class ShadowDeployment:
    """Serve requests from production and mirror them to the shadow."""

    def handle(self, request: Request) -> Any:
        """Return production's answer; mirror the request."""
        raise NotImplementedError

    def report(self) -> dict:
        """Return the counts, the agreement and the latencies so far."""
        raise NotImplementedError

    def ready_to_promote(self) -> tuple[bool, str]:
        """Say whether the shadow may go on to take traffic, and why."""
        raise NotImplementedError


def shadow_deployment(
    production_model: Any,
    shadow_model: Any,
    *,
    executor: Executor,
    comparison_log: Callable[[dict], None],
    config: ShadowConfig = ShadowConfig(),
    clock: Callable[[], float] = time.perf_counter,
) -> ShadowDeployment:
    """Return the handler that serves from production_model and mirrors to shadow_model."""
    raise NotImplementedError
