"""Writes the hidden checks of a challenge in the form of other graders. The bodies are copied as they stand."""

import ast
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Checks:
    """A hidden test file: its imports and functions beside the checks, and the body of each check by name."""

    beside: str
    bodies: dict[str, str]


def read_checks(path: Path) -> Checks:
    """Read a hidden test file whose checks ask for the fixture `submission` and no other."""
    source = path.read_text()
    lines = source.splitlines()
    beside, bodies = [], {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            bodies[node.name] = textwrap.dedent("\n".join(lines[node.body[0].lineno - 1 : node.end_lineno]))
        elif not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("rounds")):
            beside.append(ast.get_source_segment(source, node) or "")
    return Checks("\n\n".join(beside) + "\n", bodies)


def for_pytest(checks: Checks) -> str:
    """Write a test file without marks: what an author would write who has nothing but pytest."""
    return checks.beside + "".join(_function(name, "submission", body) for name, body in checks.bodies.items())


PLAIN_IMPORT = """import pytest


@pytest.fixture
def submission():
    import {module}

    return {module}
"""


def for_otter(checks: Checks, slug: str) -> str:
    """Write a file of exception-based tests, which get the submission's names as a dict."""
    head = f'OK_FORMAT = False\nname = "{slug}"\npoints = {len(checks.bodies)}\n'
    head += "from types import SimpleNamespace\nfrom otter.test_files import test_case\n"
    bodies = {name: f"submission = SimpleNamespace(**env)\n{body}" for name, body in checks.bodies.items()}
    tests = (f"\n\n@test_case(points=1, hidden=True){_function(name, 'env', body, 1)}" for name, body in bodies.items())
    return checks.beside + head + "".join(tests)


def for_gradescope(checks: Checks, module: str) -> str:
    """Write a test case of unittest with gradescope-utils' decorators, and the main program of Gradescope's example."""
    head = "import unittest\nfrom gradescope_utils.autograder_utils.decorators import visibility, weight\n"
    head += (
        f"from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner\nimport {module} as submission"
    )
    methods = (
        f"\n\n@weight(1)\n@visibility('hidden'){_function(name, 'self', body, 1)}"
        for name, body in checks.bodies.items()
    )
    case = "\n\n\nclass Checks(unittest.TestCase):" + textwrap.indent("".join(methods), "    ")
    main = "\n\n\nif __name__ == '__main__':\n    with open('results.json', 'w') as results:\n"
    main += "        JSONTestRunner(visibility='visible', stream=results).run(\n"
    main += "            unittest.defaultTestLoader.loadTestsFromTestCase(Checks))\n"
    return checks.beside + head + case + main


def for_nbgrader(checks: Checks, solution: str) -> str:
    """Write an instructor's notebook: a solution cell, a locked cell of helpers, a graded cell for each check."""
    cells = [
        _cell("solution", f"### BEGIN SOLUTION\n{solution}\n### END SOLUTION", solution=True),
        _cell("helpers", f"{checks.beside}\nimport __main__ as submission"),
    ]
    for name, body in checks.bodies.items():
        cells.append(_cell(name, f"### BEGIN HIDDEN TESTS\n{body}\n### END HIDDEN TESTS", grade=True))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def answered(notebook: str, answer: str) -> str:
    """Fill the solution cell of a released notebook, as a student would."""
    opened = json.loads(notebook)
    for cell in opened["cells"]:
        if cell["metadata"]["nbgrader"]["solution"]:
            cell["source"] = answer
    return json.dumps(opened)


def _cell(name: str, source: str, *, grade: bool = False, solution: bool = False) -> dict[str, Any]:
    marks = {"schema_version": 3, "grade_id": name, "grade": grade, "solution": solution, "locked": not solution}
    marks |= {"task": False} | ({"points": 1} if grade else {})
    cell = {"cell_type": "code", "id": name[:64], "source": source, "metadata": {"nbgrader": marks}}
    return cell | {"outputs": [], "execution_count": None}


def _function(name: str, argument: str, body: str, blank: int = 3) -> str:
    return "\n" * blank + f"def {name}({argument}):\n{textwrap.indent(body, '    ')}\n"
