"""R1, R3 and R4: the image starts. Its command is found, and what it needs can be read."""

from image_model import findings, serving

from rounds.testing import requirement


def listed(found):
    return "; ".join(dict.fromkeys(list(found)[:4]))


@requirement("R1")
def test_the_build_finds_what_it_copies(image):
    assert not image.problems, f"the build would fail: {listed(image.problems)}"


@requirement("R1")
def test_there_are_two_stages(image):
    assert len(image.stages) > 1, "the Dockerfile has a single stage"


@requirement("R1")
def test_the_final_stage_takes_something_over(image):
    assert image.final.takes_over, "the final stage takes nothing from another one (COPY --from, or --mount with from=)"


@requirement("R1")
def test_something_is_started(image):
    words = serving.started(image)
    assert words is None or words, "the final stage has neither CMD nor ENTRYPOINT"


@requirement("R1")
def test_the_command_is_in_exec_form(image):
    assert not image.final.shell_form, f"the command is in shell form: {(serving.started(image) or [''])[0]}"


@requirement("R1")
def test_the_command_serves_the_app(image):
    found = serving.served(image)
    assert not found.problem, found.problem
    words = " ".join(found.words)
    assert "main" in words or found.app or not found.words, f"`{words}` does not serve main:app"
    if found.app:
        module, _, name = found.app.partition(":")
        assert (module.split(".")[-1], name or "app") == ("main", "app"), (
            f"the server is given {found.app}, not main:app"
        )
        assert ":" in found.app, f"the server is given {found.app!r}; it takes main:app"


@requirement("R1")
def test_the_server_listens_to_the_outside(image):
    found = serving.served(image)
    outside = found.hosts is None or any(host in ("0.0.0.0", "::", "[::]") or "\0" in host for host in found.hosts)
    assert outside, f"the server listens on {', '.join(found.hosts or [])}: nobody outside the container reaches it"
    assert found.port != -1, "the port of the server is no number: exec form does not fill in variables"


@requirement("R3")
def test_the_command_is_found_by_the_user_that_runs_it(image):
    problems = listed(findings.commands_not_found(image))
    assert not problems, f"the container does not start: {problems}"


@requirement("R3")
def test_there_is_a_command_to_find(image):
    words = serving.started(image)
    assert words is None or words, "nothing is started"
    assert words is None or words[0].strip(), "the first word of the command is empty"


@requirement("R4")
def test_packages_and_app_can_be_read(image):
    found = list(findings.unreadable(image))
    assert not found, f"user {image.who.uid} cannot read {listed(found)} or enter a folder above"


@requirement("R4")
def test_the_packages_are_where_python_looks(image):
    problems = listed(findings.not_importable(image))
    assert not problems, f"the app cannot be imported: {problems}"


@requirement("R4")
def test_the_app_and_its_model_are_in_the_image(image):
    problems = listed(findings.missing_app_files(image))
    assert not problems, problems
