"""Artifacts under their hashes and one index file that is replaced as a whole; a deployer without locks of its own."""

import copy
import hashlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
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


ID = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z", re.ASCII)


def checked(*names: str) -> None:
    """Raise ValueError unless all names are ids."""
    bad = [name for name in names if ID.match(name) is None]
    if bad:
        raise ValueError(f"no ids: {bad}")


def put(path: Path, data: bytes) -> None:
    """Put a whole file in place."""
    beside = path.with_suffix(".new.tmp")
    with open(beside, "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(file)
    beside.replace(path)


def frozen(record: dict[str, Any]) -> ModelVersion:
    """Return a record that its holder can't change."""
    mine = copy.deepcopy(record)
    mine["metrics"] = MappingProxyType(mine["metrics"])
    mine["metadata"] = MappingProxyType(mine["metadata"])
    return ModelVersion(**mine)


class ModelRegistry:
    """The versions of every model. The index is held in memory and never changed, only replaced."""

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._now = clock
        self._root = root and Path(root)
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._index: dict[str, Any] = {}
        self.deployers: list[BlueGreenDeployer] = []
        if self._root:
            (self._root / "blobs").mkdir(parents=True, exist_ok=True)
            if (self._root / "index.json").exists():
                self._index = json.loads((self._root / "index.json").read_text("utf-8"))

    def register(
        self,
        model_id: str,
        artifact: bytes,
        *,
        metrics: Mapping[str, float],
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a new version and return its number."""
        checked(model_id)
        data = bytes(artifact)
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock:
            index = copy.deepcopy(self._index)
            model = index.setdefault(model_id, {"last": 0, "versions": {}, "aliases": {}})
            model["last"] += 1
            version = ModelVersion(model_id, model["last"], sha256, self._now(), dict(metrics), dict(metadata or {}))
            model["versions"][str(version.version)] = asdict(version)
            if self._root:
                put(self._root / "blobs" / sha256, data)
            else:
                self._blobs[sha256] = data
            self._publish(index)
        return version.version

    def get(self, model_id: str, version: int) -> ModelVersion:
        """Return what is known of a version."""
        return frozen(self._record(model_id, version))

    def versions(self, model_id: str) -> list[int]:
        """Return the versions that are there, ascending."""
        return sorted(map(int, self._model(model_id)["versions"]))

    def load(self, model_id: str, version: int) -> bytes:
        """Return the artifact, after a check of its hash."""
        with self._lock:
            sha256 = self._record(model_id, version)["sha256"]
            try:
                data = (self._root / "blobs" / sha256).read_bytes() if self._root else self._blobs[sha256]
            except FileNotFoundError:
                data = b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise IntegrityError(f"the blob of {model_id} {version}")
        return data

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version that nobody uses; its bytes stay while another version has the same."""
        with self._lock:
            self._record(model_id, version)
            index = copy.deepcopy(self._index)
            if version in index[model_id]["aliases"].values():
                raise ConflictError(f"{model_id} {version} has an alias")
            if any(deployer.live(model_id) == version for deployer in self.deployers):
                raise ConflictError(f"{model_id} {version} is live")
            sha256 = index[model_id]["versions"].pop(str(version))["sha256"]
            self._publish(index)
            if not any(one["sha256"] == sha256 for model in index.values() for one in model["versions"].values()):
                self._blobs.pop(sha256, None)
                if self._root:
                    (self._root / "blobs" / sha256).unlink()

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        checked(model_id, alias)
        with self._lock:
            self._record(model_id, version)
            index = copy.deepcopy(self._index)
            index[model_id]["aliases"][alias] = version
            self._publish(index)

    def get_by_alias(self, model_id: str, alias: str) -> ModelVersion:
        """Return the version that an alias points to."""
        checked(model_id, alias)
        with self._lock:
            aliases = self._model(model_id)["aliases"]
            if alias not in aliases:
                raise VersionNotFound(f"{model_id} has no alias {alias}")
            return self.get(model_id, aliases[alias])

    def _publish(self, index: dict[str, Any]) -> None:
        if self._root:
            put(self._root / "index.json", json.dumps(index).encode())
        self._index = index

    def _model(self, model_id: str) -> dict[str, Any]:
        checked(model_id)
        try:
            found: dict[str, Any] = self._index[model_id]
        except KeyError:
            raise ModelNotFound(f"no model {model_id}") from None
        return found

    def _record(self, model_id: str, version: int) -> dict[str, Any]:
        found: dict[str, Any] | None = self._model(model_id)["versions"].get(str(version))
        if found is None:
            raise VersionNotFound(f"{model_id} has no version {version}")
        return found


class Environment(Protocol):
    """Where one model runs: two slots, "blue" and "green", one of which has the traffic."""

    def load(self, slot: str, artifact: bytes, version: int) -> None: ...
    def healthy(self, slot: str) -> bool: ...
    def switch(self, slot: str) -> None: ...  # sends all traffic to the slot, at once
    def unload(self, slot: str) -> None: ...


class SlotIsSick(RollbackFailed):
    """A target that failed, before it had the traffic or under it."""


@dataclass(frozen=True)
class State:
    """What is so for one model: which version each slot holds, which slot has the traffic, and what had it before."""

    holds: Mapping[str, int] = field(default_factory=dict)
    slot: str = ""
    before: int | None = None

    @property
    def live(self) -> int | None:
        return self.holds.get(self.slot)


class BlueGreenDeployer:
    """Move traffic between two slots. A queue of one token per model lets one deployment in at a time."""

    def __init__(
        self,
        registry: ModelRegistry,
        environment: Callable[[str], Environment],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry, self.environment, self.now = registry, environment, clock
        self.turns: dict[str, queue.SimpleQueue[State]] = {}
        self.states: dict[str, State] = {}
        self.entries: list[tuple[str, dict[str, Any]]] = []
        self.guard = threading.Lock()
        registry.deployers.append(self)

    def deploy(
        self, model_id: str, version: int, *, actor: str, reason: str = "", expected_live: int | None = None
    ) -> dict[str, Any]:
        """Make a version live; return status, model_id, from, to and slot."""
        return self._serve(model_id, version, expected_live, "deployed", action="deploy", actor=actor, reason=reason)

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
        about = {"action": "rollback", "actor": actor, "reason": reason}
        return self._serve(model_id, target_version, expected_live, "rolled_back", **about)

    def live(self, model_id: str) -> int | None:
        """Return the version that has the traffic."""
        return self.states.get(model_id, State()).live

    def audit(self, model_id: str) -> list[dict[str, Any]]:
        """Return a copy of the record of every attempt, oldest first."""
        return [dict(entry) for model, entry in self.entries if model == model_id]

    def _serve(self, model: str, target: int | None, expected: int | None, done: str, **about: str) -> dict[str, Any]:
        checked(model)
        with self.guard:
            if model not in self.turns:
                self.turns[model] = queue.SimpleQueue()
                self.turns[model].put(State())
        state = self.turns[model].get()
        after, outcome, at = state, "", self.now()
        try:
            if expected is not None and expected != state.live:
                raise ConflictError(f"{state.live} is live, not {expected}")
            if target is None:
                target = state.before
                if not self.registry.versions(model) or target is None:
                    raise VersionNotFound("nothing was live before")
            artifact = self.registry.load(model, target)
            outcome = "noop" if target == state.live else done
            if target != state.live:
                after, problem = run(self.environment(model), state, target, artifact)
                if problem:
                    raise SlotIsSick(problem)
        except Exception as error:
            outcome = f"{type(error).__name__} ({error})"
            raise
        finally:
            self.states[model] = after
            ends = {"at": at, "from": state.live, "to": target, "outcome": outcome}
            self.entries.append((model, {**about, **ends}))
            self.turns[model].put(after)
        return {"status": outcome, "model_id": model, "from": state.live, "to": target, "slot": after.slot}


def run(environment: Environment, state: State, target: int, artifact: bytes) -> tuple[State, str]:
    """Return the state after an attempt, and what was wrong. A slot that failed under traffic stays loaded."""
    idle = next(slot for slot in ("blue", "green") if slot != state.slot)
    kept = {slot: version for slot, version in state.holds.items() if slot != idle}
    with_target = {**kept, idle: target}
    try:
        if state.holds.get(idle) != target:
            environment.load(idle, artifact, target)
        fine = environment.healthy(idle)
    except Exception:
        fine = False
    if not fine:
        environment.unload(idle)
        return State(kept, state.slot, state.before), "sick before the switch"
    try:
        environment.switch(idle)
        fine = environment.healthy(idle)
    except Exception:
        fine = False
    if fine:
        return State(with_target, idle, state.live), ""
    if state.slot:
        environment.switch(state.slot)
        return State(with_target, state.slot, state.before), "sick under traffic, which has been reverted"
    environment.unload(idle)
    return State(kept, state.slot, state.before), "sick under its first traffic"


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
