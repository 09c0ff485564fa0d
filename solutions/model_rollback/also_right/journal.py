"""A journal of one line per change whose torn end is cut off, artifacts beside it, and a deployer driven by steps."""

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
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


def guarded(name: str) -> str:
    """Return the name, if it is an id."""
    letters = re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name)
    if letters is None or name[0] in "._-":
        raise ValueError(f"invalid name {name!r}")
    return name


class Journal:
    """Lines in a file, each with a check sum. What follows the last good line is cut off."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.size = 0

    def replay(self) -> list[dict[str, Any]]:
        """Return the good lines."""
        found: list[dict[str, Any]] = []
        if self.path is None or not self.path.exists():
            return found
        for line in self.path.read_bytes().splitlines(keepends=True):
            check, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or hashlib.md5(text).hexdigest().encode() != check:
                break
            found.append(json.loads(text))
            self.size += len(line)
        return found

    def append(self, change: dict[str, Any]) -> None:
        """Add a line, or nothing."""
        if self.path is None:
            return
        text = json.dumps(change).encode()
        line = hashlib.md5(text).hexdigest().encode() + b" " + text + b"\n"
        try:
            self.path.touch()
            os.truncate(self.path, self.size)
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            os.truncate(self.path, self.size)
            raise
        self.size += len(line)


class ModelRegistry:
    """The versions of every model, as the journal tells them."""

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.root = None if root is None else Path(root)
        self.lock = threading.RLock()
        self.records: dict[str, dict[int, dict[str, Any] | None]] = {}  # None: deleted
        self.aliases: dict[tuple[str, str], int] = {}
        self.bytes: dict[tuple[str, int], bytes] = {}
        self.in_use: Callable[[str], int | None] = lambda model_id: None
        if self.root is not None:
            self.root.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.root and self.root / "journal")
        for change in self.journal.replay():
            self._apply(**change)

    def register(
        self,
        model_id: str,
        artifact: bytes,
        *,
        metrics: Mapping[str, float],
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a new version and return its number."""
        guarded(model_id)
        with self.lock:
            version = len(self.records.get(model_id, ())) + 1  # deleted ones are still there, as None
            data = bytes(artifact)
            if self.root is None:
                self.bytes[model_id, version] = data
            else:
                self._path(model_id, version).write_bytes(data)  # nobody sees it before the journal does
            record = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "created_at": self.clock(),
                "metrics": deepcopy(dict(metrics)),
                "metadata": deepcopy(dict(metadata or {})),
            }
            self._change(do="register", model=model_id, version=version, record=record)
            return version

    def get(self, model_id: str, version: int) -> ModelVersion:
        """Return what is known of a version."""
        record = self._model(model_id).get(version)
        if record is None:
            raise VersionNotFound(f"{model_id}:{version}")
        return ModelVersion(model_id, version, **deepcopy(record))

    def versions(self, model_id: str) -> list[int]:
        """Return the versions that are there, ascending."""
        with self.lock:
            return [version for version, record in self._model(model_id).items() if record is not None]

    def load(self, model_id: str, version: int) -> bytes:
        """Return the artifact, after a check of its hash."""
        with self.lock:
            known = self.get(model_id, version)
            held = self.bytes[model_id, version] if self.root is None else self._path(model_id, version).read_bytes()
        if hashlib.sha256(held).hexdigest() != known.sha256:
            raise IntegrityError(f"{model_id}:{version}")
        return held

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version that nobody uses."""
        with self.lock:
            self.get(model_id, version)
            named = [alias for (model, alias), target in self.aliases.items() if (model, target) == (model_id, version)]
            if named or self.in_use(model_id) == version:
                raise ConflictError(f"{model_id}:{version} is in use: {named or 'live'}")
            self._change(do="delete", model=model_id, version=version)
            self.bytes.pop((model_id, version), None)
            if self.root is not None:
                self._path(model_id, version).unlink(missing_ok=True)

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        guarded(alias)
        with self.lock:
            self.get(model_id, version)
            self._change(do="alias", model=model_id, version=version, alias=alias)

    def get_by_alias(self, model_id: str, alias: str) -> ModelVersion:
        """Return the version that an alias points to."""
        self._model(model_id)
        with self.lock:
            version = self.aliases.get((model_id, guarded(alias)))
            if version is None:
                raise VersionNotFound(f"{model_id}@{alias}")
            return self.get(model_id, version)

    def _path(self, model_id: str, version: int) -> Path:
        assert self.root is not None
        return self.root / f"{model_id}@{version}"

    def _model(self, model_id: str) -> dict[int, dict[str, Any] | None]:
        if guarded(model_id) not in self.records:
            raise ModelNotFound(model_id)
        return self.records[model_id]

    def _change(self, **change: Any) -> None:
        self.journal.append(change)
        self._apply(**change)

    def _apply(self, do: str, model: str, version: int, record: dict[str, Any] | None = None, alias: str = "") -> None:
        if do == "alias":
            self.aliases[model, alias] = version
        else:
            self.records.setdefault(model, {})[version] = record


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
        self.registry, self.environment, self.clock = registry, environment, clock
        self.turn = threading.Condition()
        self.busy: set[str] = set()
        self.traffic: dict[str, list[tuple[str, int]]] = {}  # (slot, version), oldest first
        self.warm: dict[tuple[str, str], int] = {}
        self.log: dict[str, list[dict[str, Any]]] = {}
        registry.in_use = self.live

    def deploy(
        self, model_id: str, version: int, *, actor: str, reason: str = "", expected_live: int | None = None
    ) -> dict[str, Any]:
        """Make a version live; return status, model_id, from, to and slot."""
        return self._one_at_a_time("deploy", model_id, version, actor, reason, expected_live)

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
        return self._one_at_a_time("rollback", model_id, target_version, actor, reason, expected_live)

    def live(self, model_id: str) -> int | None:
        """Return the version that has the traffic."""
        past = self.traffic.get(model_id)
        return past[-1][1] if past else None

    def audit(self, model_id: str) -> list[dict[str, Any]]:
        """Return a copy of the record of every attempt, oldest first."""
        return deepcopy(self.log.get(model_id, []))

    def _one_at_a_time(
        self, action: str, model_id: str, target: int | None, actor: str, reason: str, expected: int | None
    ) -> dict[str, Any]:
        guarded(model_id)
        with self.turn:
            self.turn.wait_for(lambda: model_id not in self.busy)
            self.busy.add(model_id)
        live = self.live(model_id)
        entry = {"at": self.clock(), "action": action, "actor": actor, "reason": reason, "from": live, "to": target}
        try:
            self._refuse_stale(expected, live)
            target = self._target(model_id) if target is None else target
            entry["to"] = target
            status = self._act(model_id, target, "deployed" if action == "deploy" else "rolled_back")
            entry["outcome"] = status
            slot = self.traffic[model_id][-1][0]
            return {"status": status, "model_id": model_id, "from": live, "to": target, "slot": slot}
        except Exception as error:
            entry["outcome"] = "failed: " + repr(error)
            raise
        finally:
            with self.turn:
                self.log.setdefault(model_id, []).append(entry)
                self.busy.discard(model_id)
                self.turn.notify_all()

    def _refuse_stale(self, expected: int | None, live: int | None) -> None:
        if expected is not None and expected != live:
            raise ConflictError(f"expected {expected}, and {live} is live")

    def _target(self, model_id: str) -> int:
        self.registry.versions(model_id)
        past = self.traffic.get(model_id, [])
        if len(past) < 2:
            raise VersionNotFound(f"{model_id} has no version that was live before")
        return past[-2][1]

    def _act(self, model_id: str, target: int, status: str) -> str:
        artifact = self.registry.load(model_id, target)
        past = self.traffic.get(model_id, [])
        if past and past[-1][1] == target:
            return "noop"
        home = past[-1][0] if past else None
        idle = "blue" if home != "blue" else "green"
        environment = self.environment(model_id)
        steps = ["load", "healthy", "switch", "healthy"]
        if self.warm.pop((model_id, idle), None) == target:
            steps.remove("load")
        switched = False
        try:
            for step in steps:
                switched = switched or step == "switch"
                if step == "load":
                    environment.load(idle, artifact, version=target)
                elif getattr(environment, step)(idle) is False:
                    raise RuntimeError(f"the {idle} slot is sick")
        except Exception as error:
            if switched and home:
                environment.switch(home)
            environment.unload(idle)
            told = f"; reverted to {home}" if switched and home else ""
            raise RollbackFailed(f"{target} failed: {error}{told}") from error
        self.warm[model_id, idle] = target
        self.traffic.setdefault(model_id, []).append((idle, target))
        return status


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
