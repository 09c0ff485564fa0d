"""How long `rounds --help` and `rounds list` take, over an interpreter that does nothing.

Run python benchmarks/startup.py.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from timing import seconds, table, take_turns

ROUNDS = str(Path(sys.executable).parent / "rounds")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "rounds --help": [ROUNDS, "--help"],
    "rounds list": [ROUNDS, "list"],
}


def measure(passes: int = 30) -> str:
    """Time the commands in turns and return a Markdown table."""
    works = {name: partial(_run, command) for name, command in COMMANDS.items()}
    for work in works.values():
        work()  # compiles what was not compiled yet
    times = take_turns({name: partial(seconds, [work]) for name, work in works.items()}, passes, "starting")
    floor = times["python -c pass"].median
    rows = [
        [f"`{name}`", f"{1000 * one.median:.0f} ms", f"{1000 * (one.median - floor):+.0f} ms", f"{len(one.runs)}"]
        for name, one in times.items()
    ]
    return table(["command", "median", "over `python -c pass`", "runs"], rows)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=30)
    print(measure(parser.parse_args().passes), end="")
