"""Keep the versions of models, and move traffic to one of them without ever making things worse."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class RegistryError(Exception):
    """Anything that the registry or the deployer refuses."""


class ModelNotFound(RegistryError, LookupError):
    """No version of this model was ever registered."""


class VersionNotFound(RegistryError, LookupError):
    """The model has no such version, or has it no more."""


class IntegrityError(RegistryError):
    """An artifact is not what was registered."""


class ConflictError(RegistryError):
    """Something else is live than the caller believes, or the version is in use."""


class RollbackFailed(RegistryError):
    """The target was sick; what was live before still is."""


@dataclass(frozen=True)
class ModelVersion:
    """What is known of one version."""

    model_id: str
    version: int
    sha256: str  # of the artifact, 64 lowercase hex digits
    created_at: float
    metrics: Mapping[str, float]
    metadata: Mapping[str, Any]


class ModelRegistry:
    """The versions of every model, in memory or in a folder."""

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        raise NotImplementedError

    def register(
        self,
        model_id: str,
        artifact: bytes,
        *,
        metrics: Mapping[str, float],
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a new version and return its number."""
        raise NotImplementedError

    def get(self, model_id: str, version: int) -> ModelVersion:
        """Return what is known of a version."""
        raise NotImplementedError

    def versions(self, model_id: str) -> list[int]:
        """Return the versions that are there, ascending."""
        raise NotImplementedError

    def load(self, model_id: str, version: int) -> bytes:
        """Return the artifact, after a check of its hash."""
        raise NotImplementedError

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version that nobody uses."""
        raise NotImplementedError

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        raise NotImplementedError

    def get_by_alias(self, model_id: str, alias: str) -> ModelVersion:
        """Return the version that an alias points to."""
        raise NotImplementedError


class Environment(Protocol):
    """Where one model runs: two slots, "blue" and "green", one of which has the traffic."""

    def load(self, slot: str, artifact: bytes, version: int) -> None: ...
    def healthy(self, slot: str) -> bool: ...
    def switch(self, slot: str) -> None: ...  # sends all traffic to the slot, at once
    def unload(self, slot: str) -> None: ...


class BlueGreenDeployer:
    """Move a model's traffic between two slots."""

    def __init__(
        self,
        registry: ModelRegistry,
        environment: Callable[[str], Environment],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        raise NotImplementedError

    def deploy(
        self, model_id: str, version: int, *, actor: str, reason: str = "", expected_live: int | None = None
    ) -> dict:
        """Make a version live; return status, model_id, from, to and slot."""
        raise NotImplementedError

    def rollback_model(
        self,
        model_id: str,
        target_version: int | None = None,
        *,
        actor: str,
        reason: str,
        expected_live: int | None = None,
    ) -> dict:
        """Make an older version live, by default the one that was live before; return the same."""
        raise NotImplementedError

    def live(self, model_id: str) -> int | None:
        """Return the version that has the traffic."""
        raise NotImplementedError

    def audit(self, model_id: str) -> list[dict]:
        """Return a copy of the record of every attempt, oldest first."""
        raise NotImplementedError


def rollback_model(
    model_id: str,
    target_version: int | None = None,
    *,
    deployer: BlueGreenDeployer,
    actor: str = "oncall",
    reason: str = "manual",
) -> dict:
    """Roll back by the deployer's method."""
    raise NotImplementedError
