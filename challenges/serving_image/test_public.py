"""A few examples from the brief, read off the text of the files; the hidden suite follows the whole build."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
DOCKERFILE = (HERE / "Dockerfile").read_text()
LINES = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()


def arguments_of(name):
    """Return what follows each instruction of that name, in whatever stage."""
    return [line.split(maxsplit=1)[1] for line in LINES if re.match(rf"\s*{name}\s", line, re.IGNORECASE)]


def test_there_are_two_stages():
    assert len(arguments_of("FROM")) >= 2


def test_the_command_is_in_exec_form():
    command = (arguments_of("ENTRYPOINT") + arguments_of("CMD"))[-1]
    assert all(isinstance(word, str) for word in json.loads(command))


def test_the_user_is_a_number_and_not_root():
    user = arguments_of("USER")[-1]
    assert "$" in user or int(user.split(":")[0]) > 0


def test_pip_keeps_no_cache():
    for line in (line for line in LINES if "pip install" in line):
        assert re.search("--no-cache-dir|type=cache|rm -r", line) or "PIP_NO_CACHE_DIR" in DOCKERFILE


def test_the_health_check_leaves_time_to_load():
    check = arguments_of("HEALTHCHECK")[-1]
    assert "--start-period=" in check
    assert "--timeout=" in check


def test_requirements_are_pinned():
    lines = [line.split("#")[0].strip() for line in (HERE / "requirements.txt").read_text().splitlines()]
    pinned = all("==" in line for line in lines if line and not line.startswith("-"))
    assert pinned or (HERE / "constraints.txt").is_file() or "==" in DOCKERFILE
