"""R2, R5 to R8 and R11 to R13: what the image is made of, what it leaves out, and who may change it."""

import re

from image_model import findings, pins, serving

from rounds.testing import requirement


def listed(found):
    return "; ".join(dict.fromkeys(list(found)[:4]))


@requirement("R2")
def test_bases_are_tagged(image):
    found = listed(findings.untagged_bases(image))
    assert not found, found


@requirement("R2")
def test_python_is_a_supported_cpython(image):
    found = listed(findings.other_pythons(image))
    assert not found, found


@requirement("R2")
def test_stages_that_share_packages_share_a_minor_version(image):
    found = listed(findings.mixed_minors(image))
    assert not found, found


@requirement("R5")
def test_the_image_runs_as_a_numeric_user(image):
    user = image.final.user
    name = user.partition(":")[0]
    if "\0" in user or (not user and ":nonroot" in image.final.base.reference if image.final.base else False):
        return
    assert name, "the final stage has no USER, so it runs as root"
    assert name.isdecimal(), f"USER {user}: runAsNonRoot cannot check a name, only a number"


@requirement("R5")
def test_the_image_does_not_run_as_root(image):
    name = image.final.user.partition(":")[0]
    assert not re.fullmatch("root|0+", name), f"USER {image.final.user} is root"
    unknown = image.final.base is not None and not image.final.base.python and "nonroot" in image.final.base.tag
    assert name or unknown, "no USER is set in the final stage"


@requirement("R6")
def test_a_change_of_the_app_reinstalls_nothing(image):
    found = listed(findings.stale_installs(image))
    assert not found, f"a change of main.py runs this again: {found}"


@requirement("R7")
def test_what_belongs_outside_is_not_shipped(image):
    found = findings.shipped(image)
    assert not found, f"the image holds {', '.join(found[:6])}"


@requirement("R7")
def test_no_secret_goes_through_arg_or_env(image):
    found = [secret for stage in image.stages for secret in stage.secrets]
    assert not found, f"the history of the image shows it: {listed(found)}"


@requirement("R8")
def test_the_final_stage_has_no_compiler(image):
    found = listed(findings.compilers(image))
    assert not found, f"the final stage holds a compiler or headers: {found}"


@requirement("R8")
def test_the_final_stage_installs_nothing_over_the_network(image):
    found = listed(findings.networked(image))
    assert not found, f"the final stage needs the network: {found}"


@requirement("R11")
def test_pip_leaves_no_cache(image):
    found = listed(findings.left_behind(image, "python"))
    assert not found, f"a layer keeps {found}"


@requirement("R11")
def test_the_package_manager_leaves_nothing(image):
    found = listed(findings.left_behind(image, "system", "lists"))
    assert not found, f"a layer keeps {found}"


@requirement("R12")
def test_the_user_can_write_neither_code_nor_packages(image):
    found = list(findings.writable(image))
    assert not found, f"user {image.who.uid} may write {listed(found)}"


@requirement("R12")
def test_no_byte_code_is_written_at_run_time(image):
    words = serving.started(image) or []
    off = image.final.env.get("PYTHONDONTWRITEBYTECODE") or any(stage.compiles for stage in image.used) or "-B" in words
    assert off or image.opaque, "neither PYTHONDONTWRITEBYTECODE=1 nor byte code that is compiled at build time"


@requirement("R12")
def test_output_is_not_buffered(image):
    words = serving.started(image) or []
    assert image.final.env.get("PYTHONUNBUFFERED") or "-u" in words, "PYTHONUNBUFFERED is not set in the final stage"


@requirement("R13")
def test_what_is_installed_is_pinned(image):
    found = listed(findings.unpinned(image))
    assert not found, f"installed without an exact version: {found}"


@requirement("R13")
def test_the_requirement_file_is_pinned(files, image):
    if any(step.kind == "python" and step.requirements for step in image.steps):
        return  # what is installed says more
    read = pins.read(files.get("requirements.txt", b""))
    pinned = {one.name for one in pins.read(files.get("constraints.txt", b"")).requirements if one.pinned}
    found = [one.text for one in read.requirements if one.pinned is False and one.name not in pinned]
    assert not found, f"requirements.txt has no exact version of {listed(found)}"


@requirement("R13")
def test_bases_are_fixed_to_a_patch_version_or_a_digest(image):
    found = listed(findings.floating_bases(image))
    assert not found, found
