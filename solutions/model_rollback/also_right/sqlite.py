"""A registry in SQLite, artifacts and all, and a deployer whose steps undo themselves through an ExitStack."""

import hashlib
import json
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

TABLES = """
CREATE TABLE IF NOT EXISTS versions (
    model TEXT, version INTEGER, sha256 TEXT, created_at REAL, metrics TEXT, metadata TEXT, artifact BLOB,
    deleted INTEGER DEFAULT 0, PRIMARY KEY (model, version)
);
CREATE TABLE IF NOT EXISTS aliases (model TEXT, alias TEXT, version INTEGER, PRIMARY KEY (model, alias));
"""


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
    """The versions of every model, in one database."""

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self.live_on: list[Callable[[str], int | None]] = []
        self._path = None
        if root is None:
            self._memory = sqlite3.connect(":memory:", check_same_thread=False)
        else:
            Path(root).mkdir(parents=True, exist_ok=True)
            self._path = Path(root) / "registry.sqlite"
        with self._database() as database:
            database.executescript(TABLES)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction; on disk through a new connection, so that nothing is read from a cache."""
        with self._lock:
            database = self._memory if self._path is None else sqlite3.connect(self._path)
            try:
                with database:
                    yield database
            finally:
                if self._path is not None:
                    database.close()

    def register(
        self,
        model_id: str,
        artifact: bytes,
        *,
        metrics: Mapping[str, float],
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a new version and return its number."""
        _valid(model_id)
        data = bytes(artifact)
        texts = json.dumps(dict(metrics)), json.dumps(dict(metadata or {}))
        row = (model_id, hashlib.sha256(data).hexdigest(), self._clock(), *texts, data)
        with self._database() as database:
            (version,) = database.execute(
                "INSERT INTO versions SELECT ?1, coalesce(max(version), 0) + 1, ?2, ?3, ?4, ?5, ?6, 0"
                " FROM versions WHERE model = ?1 RETURNING version",
                row,
            ).fetchone()
        return int(version)

    def get(self, model_id: str, version: int) -> ModelVersion:
        """Return what is known of a version."""
        row = self._row(model_id, version, "sha256, created_at, metrics, metadata")
        return ModelVersion(model_id, version, row[0], row[1], json.loads(row[2]), json.loads(row[3]))

    def versions(self, model_id: str) -> list[int]:
        """Return the versions that are there, ascending."""
        _valid(model_id)
        with self._database() as database:
            rows = database.execute(
                "SELECT version, deleted FROM versions WHERE model = ? ORDER BY version", [model_id]
            ).fetchall()
        if not rows:
            raise ModelNotFound(model_id)
        return [version for version, deleted in rows if not deleted]

    def load(self, model_id: str, version: int) -> bytes:
        """Return the artifact, after a check of its hash."""
        try:
            sha256, data = self._row(model_id, version, "sha256, artifact")
        except sqlite3.DatabaseError as error:
            raise IntegrityError(str(error)) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise IntegrityError(f"{model_id} {version} has changed")
        return bytes(data)

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version that nobody uses."""
        with self._lock:
            self._row(model_id, version, "1")
            if version in [live(model_id) for live in self.live_on]:
                raise ConflictError("live")
            with self._database() as database:
                if database.execute(
                    "SELECT 1 FROM aliases WHERE model = ? AND version = ?", [model_id, version]
                ).fetchone():
                    raise ConflictError("an alias points to it")
                database.execute(
                    "UPDATE versions SET deleted = 1, artifact = NULL WHERE model = ? AND version = ?",
                    [model_id, version],
                )

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        _valid(alias)
        with self._lock:
            self._row(model_id, version, "1")
            with self._database() as database:
                database.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", [model_id, alias, version])

    def get_by_alias(self, model_id: str, alias: str) -> ModelVersion:
        """Return the version that an alias points to."""
        _valid(alias)
        with self._lock:
            self.versions(model_id)
            with self._database() as database:
                row = database.execute(
                    "SELECT version FROM aliases WHERE model = ? AND alias = ?", [model_id, alias]
                ).fetchone()
            if row is None:
                raise VersionNotFound(alias)
            return self.get(model_id, row[0])

    def _row(self, model_id: str, version: int, columns: str) -> tuple[Any, ...]:
        if version not in self.versions(model_id):
            raise VersionNotFound(f"{model_id} {version}")
        with self._database() as database:
            query = f"SELECT {columns} FROM versions WHERE model = ? AND version = ? AND NOT deleted"
            row: tuple[Any, ...] | None = database.execute(query, [model_id, version]).fetchone()
        if row is None:
            raise VersionNotFound(f"{model_id} {version}")
        return row


def _valid(name: str) -> None:
    if re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name) is None:
        raise ValueError(name)


class Environment(Protocol):
    """Where one model runs: two slots, "blue" and "green", one of which has the traffic."""

    def load(self, slot: str, artifact: bytes, version: int) -> None: ...
    def healthy(self, slot: str) -> bool: ...
    def switch(self, slot: str) -> None: ...  # sends all traffic to the slot, at once
    def unload(self, slot: str) -> None: ...


class BlueGreenDeployer:
    """Move a model's traffic between two slots, one deployment at a time over all models."""

    def __init__(
        self,
        registry: ModelRegistry,
        environment: Callable[[str], Environment],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry, self._clock = registry, clock
        self._lock = threading.Lock()
        self._audit: dict[str, list[str]] = defaultdict(list)  # JSON, so that no entry can change
        self._places: dict[str, SimpleNamespace] = {}
        self._environment = environment
        registry.live_on.append(self.live)

    def deploy(
        self, model_id: str, version: int, *, actor: str, reason: str = "", expected_live: int | None = None
    ) -> dict[str, Any]:
        """Make a version live; return status, model_id, from, to and slot."""
        who = {"actor": actor, "reason": reason, "action": "deploy"}
        return self._change(model_id, version, expected_live, who, "deployed")

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
        who = {"actor": actor, "reason": reason, "action": "rollback"}
        return self._change(model_id, target_version, expected_live, who, "rolled_back")

    def live(self, model_id: str) -> int | None:
        """Return the version that has the traffic."""
        place = self._places.get(model_id)
        return place.history[-1] if place and place.history else None

    def audit(self, model_id: str) -> list[dict[str, Any]]:
        """Return the record of every attempt, oldest first."""
        return [json.loads(line) for line in self._audit.get(model_id, [])]

    def _change(
        self, model_id: str, target: int | None, expected: int | None, who: dict[str, str], status: str
    ) -> dict[str, Any]:
        _valid(model_id)
        with self._lock:
            live = self.live(model_id)
            entry = {"at": self._clock(), **who, "from": live, "to": target}
            try:
                if expected not in (None, live):
                    raise ConflictError(f"{live} is live")
                if target is None:
                    target = entry["to"] = self._before(model_id)
                artifact = self._registry.load(model_id, target)
                if target == live:
                    status = "noop"
                else:
                    self._switch(model_id, target, artifact)
            except Exception as error:
                self._audit[model_id].append(json.dumps(entry | {"outcome": repr(error)}))
                raise
            self._audit[model_id].append(json.dumps(entry | {"outcome": status}))
            slot = self._places[model_id].slot
        return {"status": status, "model_id": model_id, "from": live, "to": target, "slot": slot}

    def _before(self, model_id: str) -> int:
        """Return the version that was live before."""
        self._registry.versions(model_id)
        place = self._places.get(model_id)
        if place is None or len(place.history) < 2:
            raise VersionNotFound("nothing was live before")
        return int(place.history[-2])

    def _switch(self, model_id: str, target: int, artifact: bytes) -> None:
        empty = SimpleNamespace(slot=None, holds={}, history=[])
        place = self._places.setdefault(model_id, empty)
        environment = self._environment(model_id)
        idle = "blue" if place.slot == "green" else "green"
        stage = "before the switch"
        try:
            with ExitStack() as undo:
                undo.callback(environment.unload, idle)
                kept = place.holds.pop(idle, None)
                if kept != target:
                    environment.load(idle, artifact, target)
                if not environment.healthy(idle):
                    raise RuntimeError("not healthy")
                stage = "after the switch"
                if place.slot is not None:
                    stage = "after the switch, and traffic was reverted"
                    undo.callback(environment.switch, place.slot)
                environment.switch(idle)
                if not environment.healthy(idle):
                    raise RuntimeError("not healthy")
                undo.pop_all()
        except Exception as error:
            raise RollbackFailed(f"{error!r} {stage}") from error
        place.holds[idle] = target
        place.slot = idle
        place.history.append(target)


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
