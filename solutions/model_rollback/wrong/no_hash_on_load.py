"""Hands out whatever stands in the file.  Fails: R12."""

import copy
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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


def check_name(name: str) -> None:
    """Raise ValueError for an id or alias that must not become part of a path."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no id: it should match {NAME.pattern}")


# --- where the registry's files are


class Memory:
    """Files of one folder per model, in memory."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, bytes]] = {}

    def read(self, folder: str, name: str) -> bytes | None:
        return self._files.get(folder, {}).get(name)

    def write(self, folder: str, name: str, data: bytes) -> None:
        self._files.setdefault(folder, {})[name] = data

    def remove(self, folder: str, name: str) -> None:
        del self._files[folder][name]

    def names(self, folder: str) -> list[str]:
        return list(self._files.get(folder, {}))


class Folder:
    """Files of one folder per model, on disk. Each write is whole or did not happen."""

    def __init__(self, root: Path) -> None:
        self._root = Path(root)
        self._root.mkdir(parents=True, exist_ok=True)

    def read(self, folder: str, name: str) -> bytes | None:
        try:
            return (self._root / folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, folder: str, name: str, data: bytes) -> None:
        target = self._root / folder / name
        target.parent.mkdir(exist_ok=True)
        beside = target.with_name(name + ".tmp")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)  # noqa: PTH105

    def remove(self, folder: str, name: str) -> None:
        (self._root / folder / name).unlink()

    def names(self, folder: str) -> list[str]:
        place = self._root / folder
        if not place.is_dir():
            return []
        return [path.name for path in place.iterdir() if not path.name.endswith(".tmp")]


# --- the registry


class ModelRegistry:
    """The versions of every model, in memory or in a folder.

    A model's folder holds `3.artifact`, then `3.json`, which makes version 3 visible, and `aliases.json`. Deleting a
    version replaces its record by `null`, so that the number stays used.
    """

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._files: Memory | Folder = Memory() if root is None else Folder(root)
        self._clock = clock
        self._lock = threading.RLock()
        self._uses: list[Callable[[str, int], bool]] = []

    def register(
        self,
        model_id: str,
        artifact: bytes,
        *,
        metrics: Mapping[str, float],
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a new version and return its number."""
        check_name(model_id)
        data = bytes(artifact)
        record = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "created_at": self._clock(),
            "metrics": dict(metrics),
            "metadata": dict(metadata or {}),
        }
        text = json.dumps(record).encode()
        with self._lock:
            version = 1 + max(self._numbers(model_id), default=0)
            self._files.write(model_id, f"{version}.artifact", data)
            self._files.write(model_id, f"{version}.json", text)
        return version

    def get(self, model_id: str, version: int) -> ModelVersion:
        """Return what is known of a version."""
        check_name(model_id)
        record = self._record(model_id, version)
        if record is None:
            raise self._missing(model_id, f"version {version}")
        return ModelVersion(model_id, version, **record)

    def versions(self, model_id: str) -> list[int]:
        """Return the versions that are there, ascending."""
        check_name(model_id)
        with self._lock:
            numbers = self._numbers(model_id)
            if not numbers:
                raise ModelNotFound(f"no model {model_id}")
            return sorted(number for number in numbers if self._record(model_id, number) is not None)

    def load(self, model_id: str, version: int) -> bytes:
        """Return the artifact, after a check of its hash."""
        self.get(model_id, version)
        data = self._files.read(model_id, f"{version}.artifact")
        if data is None:
            raise IntegrityError(f"the artifact of {model_id} {version} is not what was registered")
        return data

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version that nobody uses."""
        with self._lock:
            self.get(model_id, version)
            if version in self._aliases(model_id).values():
                raise ConflictError(f"an alias points to {model_id} {version}")
            if any(uses(model_id, version) for uses in self._uses):
                raise ConflictError(f"{model_id} {version} is live")
            self._files.write(model_id, f"{version}.json", b"null")
            self._files.remove(model_id, f"{version}.artifact")

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        check_name(alias)
        with self._lock:
            self.get(model_id, version)
            aliases = self._aliases(model_id) | {alias: version}
            self._files.write(model_id, "aliases.json", json.dumps(aliases).encode())

    def get_by_alias(self, model_id: str, alias: str) -> ModelVersion:
        """Return the version that an alias points to."""
        check_name(model_id)
        check_name(alias)
        with self._lock:
            version = self._aliases(model_id).get(alias)
            if version is None:
                raise self._missing(model_id, f"alias {alias}")
            return self.get(model_id, version)

    def watch(self, uses: Callable[[str, int], bool]) -> None:
        """Ask `uses(model_id, version)` before each deletion."""
        self._uses.append(uses)

    def _numbers(self, model_id: str) -> set[int]:
        """Return every number that was used, also by what was deleted or never completed."""
        stems = (name.split(".")[0] for name in self._files.names(model_id))
        return {int(stem) for stem in stems if stem.isdecimal()}

    def _record(self, model_id: str, version: int) -> dict[str, Any] | None:
        text = self._files.read(model_id, f"{version}.json")
        return None if text is None else json.loads(text)

    def _aliases(self, model_id: str) -> dict[str, int]:
        return json.loads(self._files.read(model_id, "aliases.json") or "{}")

    def _missing(self, model_id: str, what: str) -> RegistryError:
        known = self._numbers(model_id)
        return VersionNotFound(f"{model_id} has no {what}") if known else ModelNotFound(f"no model {model_id}")


# --- the switch


class Environment(Protocol):
    """Where one model runs: two slots, "blue" and "green", one of which has the traffic."""

    def load(self, slot: str, artifact: bytes, version: int) -> None: ...
    def healthy(self, slot: str) -> bool: ...
    def switch(self, slot: str) -> None: ...  # sends all traffic to the slot, at once
    def unload(self, slot: str) -> None: ...


@dataclass
class Traffic:
    """What a deployer knows of one model. `lock` is held for the whole of an attempt."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    slots: dict[str, int | None] = field(default_factory=lambda: {"blue": None, "green": None})
    slot: str | None = None
    live: int | None = None
    previous: int | None = None
    wanted: int | None = None
    audit: list[dict[str, Any]] = field(default_factory=list)

    def idle(self) -> str:
        return "green" if self.slot == "blue" else "blue"


class BlueGreenDeployer:
    """Move a model's traffic between two slots."""

    def __init__(
        self,
        registry: ModelRegistry,
        environment: Callable[[str], Environment],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._environment = environment
        self._clock = clock
        self._lock = threading.Lock()
        self._models: dict[str, Traffic] = {}
        registry.watch(self._uses)

    def deploy(
        self, model_id: str, version: int, *, actor: str, reason: str = "", expected_live: int | None = None
    ) -> dict[str, Any]:
        """Make a version live; return status, model_id, from, to and slot."""
        with self._attempt("deploy", model_id, version, actor, reason) as (traffic, entry):
            return self._go(traffic, entry, model_id, version, expected_live, "deployed")

    def rollback_model(
        self,
        model_id: str,
        target_version: int | None = None,
        *,
        actor: str,
        reason: str,
        expected_live: int | None = None,
    ) -> dict[str, Any]:
        """Make an older version live, by default the one that was live before; return the same."""
        with self._attempt("rollback", model_id, target_version, actor, reason) as (traffic, entry):
            return self._go(traffic, entry, model_id, target_version, expected_live, "rolled_back")

    def live(self, model_id: str) -> int | None:
        """Return the version that has the traffic."""
        return self._traffic(model_id).live

    def audit(self, model_id: str) -> list[dict[str, Any]]:
        """Return a copy of the record of every attempt, oldest first."""
        return copy.deepcopy(self._traffic(model_id).audit)

    def _traffic(self, model_id: str) -> Traffic:
        with self._lock:
            return self._models.setdefault(model_id, Traffic())

    def _uses(self, model_id: str, version: int) -> bool:
        traffic = self._traffic(model_id)
        return version in (traffic.live, traffic.wanted)

    @contextmanager
    def _attempt(
        self, action: str, model_id: str, target: int | None, actor: str, reason: str
    ) -> Iterator[tuple[Traffic, dict[str, Any]]]:
        """Hold the model for one attempt, and write down how it ends."""
        check_name(model_id)
        traffic = self._traffic(model_id)
        with traffic.lock:
            entry = {"at": self._clock(), "actor": actor, "action": action, "from": traffic.live, "to": target}
            entry |= {"reason": reason, "outcome": "unknown"}
            try:
                yield traffic, entry
            except Exception as error:
                entry["outcome"] = f"{type(error).__name__}: {error}"
                raise
            finally:
                traffic.wanted = None
                traffic.audit.append(entry)

    def _go(
        self,
        traffic: Traffic,
        entry: dict[str, Any],
        model_id: str,
        target: int | None,
        expected_live: int | None,
        status: str,
    ) -> dict[str, Any]:
        before = traffic.live
        if expected_live is not None and expected_live != before:
            raise ConflictError(f"{model_id}: {before} is live, not {expected_live}")
        if target is None:
            self._registry.versions(model_id)
            target = traffic.previous
        if target is None:
            raise VersionNotFound(f"{model_id}: nothing was live before {before}")
        entry["to"] = traffic.wanted = target
        artifact = self._registry.load(model_id, target)
        if target == before:
            status = "noop"
        else:
            self._move(traffic, self._environment(model_id), artifact, target)
        entry["outcome"] = status
        return {"status": status, "model_id": model_id, "from": before, "to": target, "slot": traffic.slot}

    def _move(self, traffic: Traffic, environment: Environment, artifact: bytes, target: int) -> None:
        """Load, check, switch, check; undo what was done when a step fails."""
        idle = traffic.idle()
        try:
            if traffic.slots[idle] != target:
                traffic.slots[idle] = None
                environment.load(idle, artifact, target)
                traffic.slots[idle] = target
            _require_health(environment, idle)
        except Exception as error:
            _empty(traffic, environment, idle)
            raise RollbackFailed(f"{target} was sick before it got any traffic: {error}") from error
        try:
            environment.switch(idle)
            _require_health(environment, idle)
        except Exception as error:
            if traffic.slot is not None:
                environment.switch(traffic.slot)
            _empty(traffic, environment, idle)
            undone = "unloaded" if traffic.slot is None else f"reverted to {traffic.live}"
            raise RollbackFailed(f"{target} was sick under traffic, {undone}: {error}") from error
        traffic.previous, traffic.live, traffic.slot = traffic.live, target, idle


def _require_health(environment: Environment, slot: str) -> None:
    if not environment.healthy(slot):
        raise RuntimeError(f"the {slot} slot is not healthy")


def _empty(traffic: Traffic, environment: Environment, slot: str) -> None:
    traffic.slots[slot] = None
    environment.unload(slot)


def rollback_model(
    model_id: str,
    target_version: int | None = None,
    *,
    deployer: BlueGreenDeployer,
    actor: str = "oncall",
    reason: str = "manual",
) -> dict[str, Any]:
    """Roll back by the deployer's method."""
    return deployer.rollback_model(model_id, target_version, actor=actor, reason=reason)
