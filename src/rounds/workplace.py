"""Makes the workplace for judging one submission: for a plain pytest command line, and for a warm suite."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from rounds.bridge.sandbox import Workplace
from rounds.bridge.session import Nursery
from rounds.catalog import Catalog
from rounds.challenge import Challenge, load_challenge
from rounds.errors import BadInput
from rounds.isolation.ladder import climb
from rounds.isolation.zygote import Zygote
from rounds.submission import gather

HASH_SEEDS = (0, 1)


class Nurseries:
    """The zygotes of one suite, by hash seed; those after the first are started when they are first asked for."""

    def __init__(self, first: Zygote, modules: tuple[str, ...]) -> None:
        self._zygotes = {first.hash_seed: first}
        self._first = first
        self._modules = modules
        self._lock = threading.Lock()

    def start(self, hash_seed: int) -> None:
        """Start a further zygote and do not wait for it."""
        with self._lock:
            if hash_seed not in self._zygotes:
                first = self._first
                self._zygotes[hash_seed] = Zygote(first.rung, self._modules, bwrap=first.bwrap, hash_seed=hash_seed)

    def __call__(self, hash_seed: int) -> Nursery:
        if hash_seed not in HASH_SEEDS:
            raise ValueError(f"hash_seed is one of {HASH_SEEDS}")
        self.start(hash_seed)
        zygote = self._zygotes[hash_seed]
        zygote.wait_until_ready()
        return zygote

    def close(self) -> None:
        for zygote in self._zygotes.values():
            zygote.close()


def modules_for(challenge: Challenge) -> tuple[str, ...]:
    """Return what the zygote imports ahead of time for this challenge."""
    return tuple(dict.fromkeys([*challenge.warm, "asyncio", "concurrent.futures"]))


def props_of(hidden: Path) -> bytes | None:
    path = hidden / "props.py"
    return path.read_bytes() if path.is_file() else None


def workplace(challenge: Challenge, files: Mapping[str, bytes], nursery: Callable[[int], Nursery]) -> Workplace:
    """Put together what judging these files takes."""
    return Workplace(
        nursery=nursery,
        files=files,
        module=Path(challenge.submit[0]).stem,
        props=props_of(challenge.hidden),
        seconds=challenge.limits.seconds,
        memory_mb=challenge.limits.memory_mb,
    )


def workplace_for(
    hidden: Path, path: Path, *, isolation: str | None, require: str | None
) -> tuple[Workplace, Callable[[], None]]:
    """Make the workplace for `pytest HIDDEN --submission PATH`; also return what closes it."""
    root, slug = hidden.parents[2], hidden.name
    challenge = load_challenge(root, slug)
    found = gather([path], Catalog([root]), slug).submissions
    if len(found) != 1:
        raise BadInput(f"{path}: {len(found)} submissions of {slug}; name one.")
    if isolation == "none":
        return workplace(challenge, found[0].files, _no_nursery), lambda: None
    zygote, _ = climb(modules_for(challenge), want=isolation, require=require)
    nurseries = Nurseries(zygote, modules_for(challenge))
    return workplace(challenge, found[0].files, nurseries), nurseries.close


def _no_nursery(hash_seed: int) -> Nursery:
    raise RuntimeError("in-process: there is no sandbox")
