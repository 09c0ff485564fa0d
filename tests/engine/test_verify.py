"""`rounds verify` finds each way in which a challenge does not hold what it promises."""

from pathlib import Path

import pytest
from samples import HIDDEN, RIGHT, write_judged_kit

from rounds.challenge import Challenge
from rounds.errors import RoundsError
from rounds.verify import answers, declared_failures, lint, verify

STUB = "def double(number):\n    raise NotImplementedError\n"
PUBLIC = "import doubling\n\n\ndef test_two():\n    assert doubling.double(1) == 2\n"
TRIPLES = '"""Triples.  Fails: R1."""\n' + RIGHT.replace("2 * number", "3 * number")
LENIENT = '"""Takes texts.  Fails: R2."""\n\n\ndef double(number):\n    return 2 * number\n'


@pytest.fixture
def challenge(tmp_path: Path) -> Challenge:
    """A challenge that holds what it promises, but for the number of its answers."""
    catalog = write_judged_kit(tmp_path)
    solution = tmp_path / "solutions" / "doubling"
    for name, source in (("wrong/triples", TRIPLES), ("wrong/lenient", LENIENT), ("also_right/sum", RIGHT)):
        path = solution / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (solution / "doubling.py").write_text(RIGHT)
    (solution / "notes.md").write_text("# Notes\n")
    (tmp_path / "challenges/doubling/doubling.py").write_text(STUB)
    (tmp_path / "challenges/doubling/test_public.py").write_text(PUBLIC)
    return catalog.challenge("doubling")


def problems(challenge: Challenge) -> list[str]:
    return [finding.problem for finding in verify([challenge], seeds=(0,), tell=lambda line: None)]


def test_a_sound_challenge_lacks_only_answers(challenge: Challenge) -> None:
    assert problems(challenge) == [
        "1 other right answers in also_right/; at least 2, in other designs",
        "2 wrong answers in wrong/; at least 8",
    ]


def test_a_wrong_answer_that_passes_is_found(challenge: Challenge) -> None:
    (challenge.solution / "wrong/triples.py").write_text('"""Claims to triple.  Fails: R1."""\n' + RIGHT)
    assert any(found.startswith("wrong/triples.py: R1 is met, not unmet (seed 0)") for found in problems(challenge))


def test_a_wrong_answer_that_fails_more_than_it_says_is_found(challenge: Challenge) -> None:
    (challenge.solution / "wrong/triples.py").write_text('"""Nothing works.  Fails: R1."""\n' + STUB)
    assert any(found.startswith("wrong/triples.py: R2 is unmet, not met") for found in problems(challenge))


def test_a_right_answer_that_is_refused_is_found_with_what_was_seen(challenge: Challenge) -> None:
    (challenge.solution / "also_right/sum.py").write_text(TRIPLES)
    found = [problem for problem in problems(challenge) if problem.startswith("also_right/sum.py")]
    assert len(found) == 1
    assert found[0].endswith("double(1) returned 3")


def test_a_stub_that_earns_points_is_found(challenge: Challenge) -> None:
    (challenge.folder / "doubling.py").write_text(LENIENT)
    found = problems(challenge)
    assert any(problem.startswith("the stub: R1 is met") for problem in found)
    assert "the public tests end with 0 on the stub, not 1" in found


def test_a_requirement_that_no_wrong_answer_fails_is_found(challenge: Challenge) -> None:
    (challenge.solution / "wrong/lenient.py").unlink()
    assert "R2 is failed by no wrong answer: nothing shows that it is tested" in problems(challenge)


def test_an_answer_of_several_files_is_a_folder_whose_readme_says_what_it_fails(challenge: Challenge) -> None:
    folder = challenge.solution / "wrong" / "two_files"
    folder.mkdir()
    (folder / "README.md").write_text("Triples, in two files.  Fails: R1.\n\nMore about it.\n")
    (folder / "doubling.py").write_text("from parts import double\n")
    (folder / "parts.py").write_text(TRIPLES)
    found = next(answer for answer in answers(challenge) if answer.name == "wrong/two_files")
    assert set(found.files) == {"doubling.py", "parts.py"}
    assert found.fails == {"R1"}
    assert not any("two_files" in problem for problem in problems(challenge))


@pytest.mark.parametrize("line", ['"""Triples."""', '"""Triples.  Fails: R9."""', "x = 1"])
def test_a_wrong_answer_names_what_it_fails(challenge: Challenge, line: str) -> None:
    path = challenge.solution / "wrong/triples.py"
    path.write_text(line + "\n")
    with pytest.raises(RoundsError, match="its first line must end with"):
        declared_failures(path, challenge)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('@requirement("R2")\n', ""), "test_a_text_is_refused names no requirement"),
        (("import pytest\n", "import doubling\nimport pytest\n"), "never imports the submission"),
        ((', f"double({number}) returned {found}"', ""), "an assert without a sentence"),
        (('@requirement("R2")', '@requirement("R3")'), "R3 has hidden tests, but no points"),
        (("found == 2 * number", "found.equals(2 * number)"), "judges itself"),
        (("with pytest.raises(TypeError):", "with pytest.skip():"), "never skipped"),
    ],
)
def test_hidden_tests_are_read_for_what_makes_a_verdict_unsafe(
    challenge: Challenge, change: tuple[str, str], problem: str
) -> None:
    assert list(lint(challenge)) == []
    (challenge.hidden / "test_hidden.py").write_text(HIDDEN.replace(*change))
    assert any(problem in found for found in lint(challenge))
