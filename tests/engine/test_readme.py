"""What the README shows is what the commands print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
COMMANDS = [(found["command"], found["output"]) for block in BLOCKS for found in SHOWN.finditer(block)]
WITH_OUTPUT = [
    (command.split("&&")[-1].strip(), output)
    for command, output in COMMANDS
    if output and "rounds start" not in command and "pytest" not in command
]


@pytest.mark.parametrize(("command", "output"), WITH_OUTPUT, ids=[command for command, _ in WITH_OUTPUT])
def test_a_command_prints_what_the_readme_shows(command: str, output: str) -> None:
    words = shlex.split(command)
    assert words[0].endswith("rounds"), f"the README shows {command!r}, which this test does not know"
    done = subprocess.run(
        [sys.executable, "-c", "from rounds.cli import main; main()", *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.stdout == output, done.stderr


def test_the_readme_shows_the_two_commands_that_set_everything_up() -> None:
    ways = [command for command, _ in COMMANDS if "pip install" in command]
    assert len(ways) == 2
    assert all("-c constraints.txt" in way and way.startswith("python3 -m venv .venv && ") for way in ways)


def test_every_folder_that_the_readme_names_is_there() -> None:
    block = re.search(r"^```text\n(src/rounds/.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block is not None
    folders = re.findall(r"^(\S+/)(?=\s)", block[1], re.MULTILINE)
    assert len(folders) >= 6
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
