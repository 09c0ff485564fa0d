"""How many small changes to a reference its hidden suite notices: python benchmarks/mutants.py SLUG

Cosmic Ray makes the changes (pip install cosmic-ray), the suite judges each in the sandbox. Prints the score and the
difference of every survivor, to be killed by a test or explained in `solutions/SLUG/notes.md`.
"""

import argparse
import concurrent.futures
import difflib
import os
import random
import re
import sys
import warnings
from collections import defaultdict
from itertools import islice
from pathlib import Path

try:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.plugins import get_operator, operator_names
except ImportError:
    sys.exit("Cosmic Ray makes the mutants: pip install cosmic-ray")
from rich.progress import track

from rounds.challenge import load_challenge
from rounds.intake import read_files
from rounds.report import Verdict
from rounds.suite import Suite

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("core/Variable", "core/ReplaceBinaryOperator_BitOr")  # they need arguments; most are annotations
MEANT_BY_NOBODY = ("_Is", "_IsNot", "_Pow", "Shift", "_BitOr", "_BitAnd", "_BitXor", "_Invert")  # `now >> start`
SKIPPED = re.compile(r"\s*(from |import |@|\"\"\"|#)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slug")
    parser.add_argument("--most", type=int, default=150, help="judge so many, drawn at random (default 150)")
    parser.add_argument("--each", type=int, default=1, help="of the same kind on the same line (default 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    challenge = load_challenge(ROOT, options.slug)
    name = challenge.submit[0]
    files = read_files(challenge.solution, challenge.submit)
    source = files[name].decode()
    drawn = draw(source, options.each, options.most)
    suite = Suite.start(challenge, isolation=None, require=None, seed=0)
    suite.wait_until_ready()

    def survives(mutant: str) -> bool:
        judged = suite.judge({**files, name: mutant.encode()}, stop_at_unmet=True)
        return all(seen.verdict is Verdict.MET for group in judged.sightings.values() for seen in group)

    try:
        if not survives(source):
            sys.exit("the reference itself does not meet its suite")
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = list(track(pool.map(survives, drawn), total=len(drawn), description=options.slug))
    finally:
        suite.close()
    survivors = [mutant for mutant, alive in zip(drawn, results, strict=True) if alive]
    for mutant in survivors:
        print(difference(source, mutant))
    killed = len(drawn) - len(survivors)
    print(f"{options.slug}: {killed} of {len(drawn)} mutants refused ({killed / max(1, len(drawn)):.1%})")


def draw(source: str, each: int, most: int) -> list[str]:
    """Draw mutants at random, at most `each` of a kind of change at a place, the same ones every time."""
    places: dict[tuple[object, str], list[tuple[str, int]]] = defaultdict(list)
    nodes = list(ast_nodes(get_ast(source)))
    lines = source.splitlines()
    for name in operator_names():
        if name.startswith(LEFT_OUT) or name.endswith(MEANT_BY_NOBODY):
            continue
        operator = get_operator(name)()
        found = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(found):
            if not SKIPPED.match(lines[start[0] - 1]):
                places[start, name.split("_")[0]].append((name, occurrence))
    chance = random.Random(0)
    kept = [choice for group in places.values() for choice in chance.sample(group, min(each, len(group)))]
    chance.shuffle(kept)
    made = (MutationVisitor.mutate_code(source, get_operator(name)(), occurrence) for name, occurrence in kept)
    return list(dict.fromkeys(islice((mutant for mutant in made if mutant and _is_python(mutant)), most)))


def _is_python(text: str) -> bool:
    try:
        warnings.simplefilter("ignore", SyntaxWarning)
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def difference(source: str, mutant: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), mutant.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])


if __name__ == "__main__":
    main()
