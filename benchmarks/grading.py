"""How fast grading is against bare pytest and other graders: python benchmarks/grading.py

All grade the same submission with the same 20 checks, on two processors, in turns. Writes benchmarks/results.md.
"""

import argparse
import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import startup
from graders import BUILD, HERE, PEERS, RIGHT, WRONG, Grader, Pytest, Rounds, WarmRounds, checks, fresh
from timing import Times, say, seconds, table, take_turns

AT_ONCE = 2


def main() -> None:
    options = arguments()
    keep_to_two_processors()
    load = os.getloadavg()[0]
    warm = WarmRounds()
    graders = [warm, Rounds(), Pytest(), *(PEERS[name]() for name in options.peers)]
    with prepared(graders):
        marks = {grader.name: check(grader) for grader in graders}
        if len(set(marks.values())) != 1:
            raise SystemExit(f"the graders do not agree on the right and the wrong submission: {marks}")
        one = {grader.name: partial(timed, grader, 1) for grader in graders}
        singles = take_turns(one, options.passes, "one submission")
        cohorts: dict[str, Times] = {}
        for some, passes in ((graders[:3], options.cohort_passes), (graders[3:], 1)):
            many = {grader.name: partial(timed, grader, options.cohort) for grader in some}
            cohorts |= take_turns(many, passes, f"{options.cohort} submissions")
        isolation = warm.isolation
    started = startup.measure()
    report = "\n".join(
        [
            "# How fast grading is\n\nWritten by `python benchmarks/grading.py`: compare ratios, not seconds.\n",
            surroundings(load, isolation),
            figures(graders, singles, cohorts, options.cohort),
            *(f"* **{grader.name}**: {grader.note}." for grader in graders),
            f"\nEach gave the right submission {marks[warm.name][0]:g} of {len(checks().bodies)} points and the wrong "
            f"one {marks[warm.name][1]:g}. Of several runs the faster half is kept.\n\n## Start-up\n",
            started,
        ]
    )
    print(report, end="")
    options.out.write_text(report)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="all", help=f"all, none, or names of {', '.join(PEERS)} with commas")
    parser.add_argument("--passes", type=int, default=7, help="runs with one submission")
    parser.add_argument("--cohort", type=int, default=50, help="submissions in a cohort")
    parser.add_argument("--cohort-passes", type=int, default=3, help="runs of the cohort, for rounds and pytest")
    parser.add_argument("--out", type=Path, default=HERE / "results.md")
    options = parser.parse_args()
    options.peers = {"all": list(PEERS), "none": []}.get(options.peers, options.peers.split(","))
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"no grader is called {name!r}; there are {', '.join(PEERS)}")
    return options


def keep_to_two_processors() -> None:
    """Let this process and all that it starts use two processors, on a machine that has more."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:AT_ONCE])


@contextlib.contextmanager
def prepared(graders: Sequence[Grader]) -> Iterator[None]:
    BUILD.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        for grader in graders:
            say(f"preparing {grader.name}")
            grader.prepare()
            stack.callback(grader.close)
        yield


def check(grader: Grader) -> tuple[float, float]:
    """Return the marks of the right and the wrong submission, as this grader sees them."""
    say(f"checking {grader.name}")
    case = fresh(BUILD / "case")
    seconds(grader.stage(case, {"right": RIGHT, "wrong": WRONG}), AT_ONCE)
    marks = grader.marks(case)
    right, wrong = marks.get("right", 0.0), marks.get("wrong", 0.0)
    if right != len(checks().bodies) or not 0 < wrong < right:
        raise SystemExit(f"{grader.name} gave the right submission {right:g} and the wrong one {wrong:g} points")
    return right, wrong


def timed(grader: Grader, count: int) -> float:
    """Grade so many copies of the right submission, see that each has full marks, and return the wall time."""
    case = fresh(BUILD / "case")
    works = grader.stage(case, {f"candidate{number:03}": RIGHT for number in range(count)})
    wall = seconds(works, AT_ONCE)
    marks = grader.marks(case)
    if list(marks.values()) != [len(checks().bodies)] * count:
        raise SystemExit(f"{grader.name} did not give full marks to {count} right submissions: {marks}")
    return wall


def surroundings(load: float, isolation: str) -> str:
    """Describe when, where and beside what was measured."""
    now = os.getloadavg()[0]
    busy = f"{load:.1f} before the first run, {now:.1f} after the last (of the latter about 2 is our own)"
    rows = [
        ["date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"],
        ["machine", f"{processor()}, {os.cpu_count()} processors, of which {AT_ONCE} are used; {platform.platform()}"],
        ["Python", f"{platform.python_version()}; all contenders at nice {os.nice(0)}"],
        ["isolation of rounds", isolation],
        ["load average", busy + ("" if load < 0.5 else ": **busy with other work**, so read the ratios with care")],
    ]
    return "".join(f"* {name}: {value}\n" for name, value in rows)


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def figures(graders: Sequence[Grader], singles: dict[str, Times], cohorts: dict[str, Times], cohort: int) -> str:
    header = ["grader", "one submission", "all runs", "× pytest"]
    header += [f"{cohort} submissions", "all runs", "× pytest", "per minute"]
    rows = []
    for grader in graders:
        one, many = singles[grader.name], cohorts[grader.name]
        alone = [f"{one.median:.2f} s", span(one), f"{one.median / singles['pytest'].median:.2f}"]
        together = [f"{many.median:.1f} s", span(many), f"{many.median / cohorts['pytest'].median:.2f}"]
        rows.append([grader.name, *alone, *together, f"{60 * cohort / many.median:.0f}"])
    return table(header, rows)


def span(times: Times) -> str:
    """Give the fastest and the slowest of all runs."""
    return f"{min(times.runs):.2f}–{max(times.runs):.2f}"


if __name__ == "__main__":
    main()
