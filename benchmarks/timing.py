"""Takes times on a machine that may be busy: contenders take turns, and of each the faster half of its runs is kept."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass
class Times:
    """The wall times of one contender in seconds. What others do to a machine only ever adds to them."""

    runs: list[float] = field(default_factory=list)

    @property
    def kept(self) -> list[float]:
        """The least disturbed half, at least one."""
        return sorted(self.runs)[: (len(self.runs) + 1) // 2]

    @property
    def median(self) -> float:
        return statistics.median(self.kept)


def seconds(works: Sequence[Work], at_once: int = 1) -> float:
    """Do all the works, some at once, and return the wall time."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
    return time.perf_counter() - started


def take_turns(contenders: Mapping[str, Callable[[], float]], passes: int, what: str) -> dict[str, Times]:
    """Time each contender once in each pass, so that a busy spell hits all of them."""
    times = {name: Times() for name in contenders}
    for number in range(passes):
        for name, run in contenders.items():
            say(f"{what}, {number + 1} of {passes}: {name}")
            times[name].runs.append(run())
    say("")
    return times


def say(progress: str) -> None:
    """Show one line of progress on a terminal, and a log of lines elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)
    elif progress:
        print(progress, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table whose first column is text and whose others are numbers."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])
