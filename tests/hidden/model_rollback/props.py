"""Run inside the submission's process what has to share its memory, its threads or its disk."""

import errno
import os
import resource
import shutil
import stat
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; the clock that was passed in is the only source of time")

    time.sleep = refuse


def plain(value):
    """Turn read-only mappings and sequences into dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def fields(version):
    """Return the fields of a ModelVersion as plain data."""
    names = ("model_id", "version", "sha256", "created_at", "metrics", "metadata")
    return {name: plain(getattr(version, name)) for name in names}


def state(registry, models):
    """Return what a registry shows of some models, and fraud's champion: (versions, artifacts, metadata, champion)."""
    versions = {model: list(registry.versions(model)) for model in models}
    pairs = [(model, version) for model in models for version in versions[model]]
    artifacts = {pair: registry.load(*pair) for pair in pairs}
    metadata = {pair: plain(registry.get(*pair).metadata) for pair in pairs}
    return versions, artifacts, metadata, registry.get_by_alias("fraud", "champion").version


# --- copies


def after_the_caller_changed_what_it_gave(registry):
    """Register from things that change afterwards; return what the registry holds."""
    data, metrics = bytearray(b"first weights"), {"auc": 0.9}
    metadata = {"tags": ["a", "b"], "data": {"rows": 10}, "owner": "ann"}
    version = registry.register("fraud", data, metrics=metrics, metadata=metadata)
    data[:5] = b"OTHER"
    data.extend(b"!")
    metrics["auc"] = 0.1
    metrics["added"] = 1.0
    metadata["owner"] = "bob"
    metadata["tags"].append("c")
    metadata["data"]["rows"] = 99
    return registry.load("fraud", version), fields(registry.get("fraud", version))


def after_someone_changed_the_answers(registry):
    """Change what get, get_by_alias and versions returned, where it can be; return what they say next."""
    metadata = {"tags": ["a"], "data": {"rows": 10}}
    version = registry.register("fraud", b"weights", metrics={"auc": 0.9}, metadata=metadata)
    registry.set_alias("fraud", "champion", version)
    for got in (registry.get("fraud", version), registry.get_by_alias("fraud", "champion")):
        for change in (
            lambda got=got: got.metadata["tags"].append("b"),
            lambda got=got: got.metadata["data"].update(rows=99),
            lambda got=got: got.metadata.update(owner="bob"),
            lambda got=got: got.metrics.update(auc=0.1),
        ):
            with suppress(TypeError, AttributeError):
                change()
    numbers = registry.versions("fraud")
    with suppress(TypeError, AttributeError):
        numbers.append(99)
    return list(registry.versions("fraud")), fields(registry.get("fraud", version))


def kind_of_load(registry, artifact, *, mutable):
    """Register bytes or a bytearray; return the name of the type of what load returns, and its bytes."""
    version = registry.register("fraud", bytearray(artifact) if mutable else artifact, metrics={})
    loaded = registry.load("fraud", version)
    return type(loaded).__name__, bytes(loaded)


def set_version(registry, version):
    """Return the name of what happens when a field of a ModelVersion is set."""
    try:
        registry.get("fraud", version).version = 99
    except Exception as error:
        return type(error).__name__
    return "nothing"


def audit_after_someone_changed_it(deployer, model):
    """Change what audit returned, on top and inside; return what it returns next."""
    entries = deployer.audit(model)
    with suppress(TypeError, AttributeError):
        entries[0]["actor"] = "nobody"
    with suppress(TypeError, AttributeError):
        entries.clear()
    return list(deployer.audit(model))


def changed_result(deployer, model, version):
    """Change the dict that deploy returned; return what is live and the audit."""
    result = deployer.deploy(model, version, actor="ann")
    result["to"] = result["slot"] = result["status"] = "changed"
    return deployer.live(model), list(deployer.audit(model))


# --- threads


def register_from_threads(submission, threads, each):
    """Register from many threads under a clock that yields; return [(version, artifact)] per thread and the errors."""

    def clock():
        for _ in range(5):
            os.sched_yield()
        return 1_700_000_000.0

    registry = submission.ModelRegistry(clock=clock)
    start, answers, errors = threading.Barrier(threads), [[] for _ in range(threads)], []

    def work(number):
        start.wait()
        try:
            for i in range(each):
                data = b"weights %d of thread %d" % (i, number)
                answers[number].append((registry.register("fraud", data, metrics={"auc": 0.5}), data))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    return registry, answers, errors


# --- the disk


def copied(root, target):
    """Copy a folder."""
    shutil.copytree(root, target)


def put_strays(root):
    """Leave *.tmp files beside everything under root; return how many."""
    root = Path(root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    strays = [path.with_name(path.name + ".tmp") for path in root.rglob("*") if path.is_file()]
    strays += [path.with_suffix(".tmp") for path in root.rglob("*") if path.is_file()]
    strays += [folder / name for folder in folders for name in ("7.tmp", "7.json.tmp", "v7.tmp", "x.tmp")]
    for number, stray in enumerate(strays):
        stray.write_bytes((b'{"version": 7', b"", b"\x00\xff torn")[number % 3])
    return len(strays)


def everything(folder):
    """Return every path under a folder."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def overwrite(root, old, new):
    """Replace bytes in place, of the same length, in every file under root; return how many places there were."""
    found = 0
    for path in sorted(Path(root).rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        start = data.find(old)
        while start >= 0:
            with path.open("r+b") as file:
                file.seek(start)
                file.write(new)
            found += 1
            start = data.find(old, start + len(old))
    return found


def attempt(call):
    """Return the answer, or None and the name of the exception's class."""
    try:
        return call(), None
    except Exception as error:
        return None, type(error).__name__


@contextmanager
def full_disk(limit):
    """Cut every file at `limit` bytes: the write that goes beyond raises OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing_calls(turn, lasting, moments=None):
    """Let the turn-th call of os.replace, os.rename or os.fsync raise, and all later ones if it is lasting.

    `moments(number)` is called before each of them.
    """
    names = ("replace", "rename", "fsync")
    real = {name: getattr(os, name) for name in names}
    count = 0

    def wrapped(name):
        def call(*arguments, **keywords):
            nonlocal count
            if name == "fsync" and _is_folder(arguments[0]):
                return real[name](*arguments, **keywords)
            count += 1
            if moments is not None:
                moments(count)
            if count == turn or (lasting and count > turn):
                raise OSError(errno.ENOSPC, f"os.{name} failed")
            return real[name](*arguments, **keywords)

        return call

    for name in names:
        setattr(os, name, wrapped(name))
    try:
        yield
    finally:
        for name in names:
            setattr(os, name, real[name])


def _is_folder(file):
    number = file if isinstance(file, int) else file.fileno()
    return stat.S_ISDIR(os.fstat(number).st_mode)


def register_on_a_full_disk(registry, limit, model, artifact, metadata):
    """Register while no file can grow beyond the limit."""
    with full_disk(limit):
        return attempt(lambda: registry.register(model, artifact, metrics={"auc": 0.8}, metadata=metadata))


def alias_on_a_full_disk(registry, limit, model, alias, version):
    """Set an alias while no file can grow beyond the limit."""
    with full_disk(limit):
        return attempt(lambda: registry.set_alias(model, alias, version))


def register_with_a_failing_call(registry, turn, lasting, model, artifact):
    """Register while a call of os fails."""
    with failing_calls(turn, lasting):
        return attempt(lambda: registry.register(model, artifact, metrics={"auc": 0.8}, metadata={"run": 3}))


def alias_with_a_failing_call(registry, turn, model, alias, version):
    """Set an alias while a call of os fails."""
    with failing_calls(turn, lasting=True):
        return attempt(lambda: registry.set_alias(model, alias, version))


def register_with_snapshots(registry, root, target, model, artifact):
    """Copy root before each os.replace, os.rename and os.fsync of a register; return the answer and the copies."""
    copies = []

    def moment(number):
        copies.append(f"{target}/{number}")
        shutil.copytree(root, copies[-1])

    with failing_calls(0, lasting=False, moments=moment):
        answer = attempt(lambda: registry.register(model, artifact, metrics={"auc": 0.8}, metadata={"run": 3}))
    return answer, copies
