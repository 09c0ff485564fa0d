"""R9 and R10: the health check is there, asks the right question, and tells the truth in time."""

import pytest
from image_model import health, serving

from rounds.testing import requirement

BUILT_IN = ("exit", "true", "false", "test", "[", ":", "echo", "exec")
NOTHING = {"seconds": 0.0, "ports": [], "paths": []}
SOON = 8.0  # seconds, many times what an answer takes
LONGEST = 12.0  # seconds that a check is waited for, whatever its timeout


@pytest.fixture
def check(image):
    """The HEALTHCHECK of the image."""
    found = image.final.health
    assert found is not None, "the final stage has no HEALTHCHECK"
    return found


@pytest.fixture
def ask(image, check, props):
    """Run the health command against a server; None where only the image itself could run it."""
    program = health.program(image, check)

    def run(behaviour, patience):
        if program is None:
            return None
        if program.exits is not None:
            return {**NOTHING, "code": program.exits, "said": f"there is no {program.name}"}
        missing = health.not_installed(image, program.source)
        if missing:
            return {**NOTHING, "code": 1, "said": f"it imports {missing[0]}, which nothing in the image installs"}
        environ = {"HOME": image.final.home(), "HOSTNAME": "localhost", **image.final.env}
        environ = {name: value for name, value in environ.items() if "\0" not in name + value}
        found = props.run(program.source, program.name, list(program.arguments), environ, behaviour, patience)
        if health.installed_only_there(image, found["said"]):
            return None
        return {**found, "code": 1} if program.softened and found["code"] else found

    return run


@requirement("R9")
def test_the_times_make_sense(check):
    assert check.timeout <= 10, f"the timeout is {check.timeout:g} s; a slow answer holds up the verdict"
    assert check.timeout < check.interval, (
        f"the timeout ({check.timeout:g} s) is not below the interval ({check.interval:g} s)"
    )
    assert check.start_period >= 5, f"the start period is {check.start_period:g} s; the model needs time to load"


@requirement("R9")
def test_the_health_command_is_found(image, check):
    for words in health.commands(image, check) or []:
        words = words[1:] if words[0] == "exec" else words
        name = words[0] if words else ""
        why = "" if name in BUILT_IN else serving.find(image, name).why
        assert not why, f"the health command cannot run: {why}"


@requirement("R9")
def test_the_health_script_is_in_the_image(image, check):
    words = health.main_command(image, check) or []
    script = health.script_of(words) if health.is_python(words) else ""
    readable = image.final.disk.reaches(image.who, image.final.at(script), 4) if script else True
    assert readable is not False, (
        f"the health command runs {script}, and {image.final.at(script)} is not there to be read"
    )


@requirement("R9")
def test_it_asks_the_port_that_is_served(image, check, ask):
    found = ask(200, SOON)
    ports = found["ports"] if found else health.ports_in(check.shell)
    served = serving.served(image).port
    right = served in (None, -1) or not ports or served in ports
    assert right, f"the server listens on port {served}, and the check asks {ports[0]}"


@requirement("R9")
def test_it_asks_for_health(image, check, ask):
    found = ask(200, SOON)
    paths = [path.partition("?")[0].rstrip("/") for path in found["paths"]] if found else []
    if paths:
        assert "/health" in paths, f"the check asks for {paths[0] or '/'}, not for /health"
    elif found or health.fetches(image, check):
        assert "/health" in health.text_of(image, check), "the check does not ask for /health"


@requirement("R10")
def test_a_healthy_server_is_healthy(check, ask):
    found = ask(200, SOON)
    code = found["code"] if found else 0
    assert code == 0, f"the server answered 200, and the health command {ended(found)}"


@requirement("R10")
def test_a_server_that_answers_503_is_not_healthy(check, ask):
    found = ask(503, SOON)
    code = found["code"] if found else 1
    assert code == 1, f"the server answered 503, and the health command {ended(found)}"


@requirement("R10")
def test_a_server_that_is_not_there_is_not_healthy(check, ask):
    found = ask("absent", SOON)
    code = found["code"] if found else 1
    assert code == 1, f"the connection was refused, and the health command {ended(found)}"


@requirement("R10")
@pytest.mark.limits(seconds=25, memory_mb=512)
def test_a_server_that_never_answers_is_not_healthy_in_time(check, ask):
    found = ask("silent", min(check.timeout + 1.0, LONGEST))
    code = found["code"] if found else 1
    assert code == 1, f"the server took the connection and never answered, and the health command {ended(found)}"


def ended(found):
    """Say how the health command ended."""
    if found["code"] is None:
        return f"was still running after {found['seconds']:.1f} s"
    said = found["said"].strip().splitlines()
    return f"ended with {found['code']}" + (f" ({said[-1][:200]})" if said else "")
