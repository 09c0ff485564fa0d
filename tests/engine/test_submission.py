"""Paths become submissions: a file, a folder, a folder of folders, and nothing below a submission."""

import os
from pathlib import Path

import pytest
from samples import write_challenge, write_kit

from rounds.catalog import Catalog
from rounds.errors import BadInput, ChallengeError, UnknownChallenge
from rounds.submission import Gathered, Submission, gather


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return write_kit(tmp_path / "kit")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def put(path: Path, content: str = "x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def found(gathered: Gathered, work: Path) -> list[tuple[str, str]]:
    return [(str(Path(one.name).relative_to(work)), one.slug) for one in gathered.submissions]


def refusal(paths: list[Path], catalog: Catalog, challenge: str | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        gather(paths, catalog, challenge)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_named_after_a_challenge_is_a_submission(work: Path, catalog: Catalog) -> None:
    path = put(work / "drift_alarm.py")
    (submission,) = gather([path], catalog).submissions
    assert submission == Submission(str(path), "drift_alarm", {"drift_alarm.py": b"x = 1\n"}, work)


def test_a_folder_that_holds_the_file_is_a_submission(work: Path, catalog: Catalog) -> None:
    put(work / "alice smith é" / "drift_alarm.py")
    put(work / "alice smith é" / "conftest.py")
    (submission,) = gather([work / "alice smith é"], catalog).submissions
    assert submission.name == str(work / "alice smith é")
    assert submission.files == {"drift_alarm.py": b"x = 1\n"}


def test_nothing_below_a_submission_is_graded(work: Path, catalog: Catalog) -> None:
    put(work / "drift_alarm" / "drift_alarm.py")
    put(work / "drift_alarm" / "wrong" / "drift_alarm.py")
    put(work / "drift_alarm" / "also_right" / "model_api.py")
    put(work / "model_api" / "model_api.py")
    assert found(gather([work], catalog), work) == [("drift_alarm", "drift_alarm"), ("model_api", "model_api")]


def test_a_class_is_walked_two_levels_down(work: Path, catalog: Catalog) -> None:
    put(work / "alice" / "drift_alarm.py")
    put(work / "bob" / "model_api" / "model_api.py")
    put(work / "carol" / "too" / "deep" / "drift_alarm.py")
    gathered = gather([work], catalog)
    assert found(gathered, work) == [("alice", "drift_alarm"), ("bob/model_api", "model_api")]
    assert gathered.passed_over == [work / "carol"]


def test_a_folder_with_answers_to_several_challenges_gives_each(work: Path, catalog: Catalog) -> None:
    put(work / "drift_alarm.py")
    put(work / "model_api.py")
    assert found(gather([work], catalog), work) == [
        ("drift_alarm.py", "drift_alarm"),
        ("model_api.py", "model_api"),
    ]


def test_a_folder_named_after_a_challenge_answers_only_that(work: Path, catalog: Catalog) -> None:
    put(work / "model_api" / "drift_alarm.py")
    put(work / "model_api" / "model_api.py")
    assert found(gather([work / "model_api"], catalog), work) == [("model_api", "model_api")]


def test_hidden_folders_and_linked_folders_are_not_entered(work: Path, catalog: Catalog, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "drift_alarm.py")
    put(work / ".git" / "drift_alarm.py")
    put(work / "__pycache__" / "drift_alarm.py")
    (work / "link").symlink_to(tmp_path / "elsewhere")
    put(work / "alice" / "drift_alarm.py")
    assert found(gather([work], catalog), work) == [("alice", "drift_alarm")]


def test_a_named_link_is_refused(work: Path, catalog: Catalog, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "drift_alarm.py")
    (work / "link").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal([work / "link"], catalog)


def test_several_paths_keep_their_order(work: Path, catalog: Catalog) -> None:
    paths = [put(work / "model_api.py"), put(work / "drift_alarm.py")]
    assert [one.slug for one in gather(paths, catalog).submissions] == ["model_api", "drift_alarm"]


def test_a_file_of_any_name_answers_the_challenge_that_is_forced(work: Path, catalog: Catalog) -> None:
    path = put(work / "final version (2).py")
    (submission,) = gather([path], catalog, "drift_alarm").submissions
    assert (submission.slug, list(submission.files)) == ("drift_alarm", ["drift_alarm.py"])
    assert submission.name == str(path)


def test_a_forced_challenge_passes_over_the_others(work: Path, catalog: Catalog) -> None:
    put(work / "alice" / "drift_alarm.py")
    put(work / "alice" / "model_api.py")
    assert found(gather([work], catalog, "model_api"), work) == [("alice", "model_api")]


def test_an_unknown_challenge_cannot_be_forced(work: Path, catalog: Catalog) -> None:
    with pytest.raises(UnknownChallenge, match=r"Did you mean drift_alarm\?"):
        gather([put(work / "a.py")], catalog, "drift-alarm")


def test_a_challenge_of_two_files_takes_both_and_no_more(work: Path, catalog: Catalog) -> None:
    for name in ("Dockerfile", ".dockerignore", "secrets.json"):
        put(work / name)
    for path in (work, work / "Dockerfile"):
        (submission,) = gather([path], catalog).submissions
        assert sorted(submission.files) == [".dockerignore", "Dockerfile"]


def test_the_second_file_of_a_challenge_may_be_missing(work: Path, catalog: Catalog) -> None:
    put(work / "Dockerfile")
    assert list(gather([work], catalog).submissions[0].files) == ["Dockerfile"]


def test_a_python_file_is_no_answer_to_a_challenge_that_wants_a_dockerfile(work: Path, catalog: Catalog) -> None:
    assert "Hand in Dockerfile" in refusal([put(work / "a.py")], catalog, "serving_image")


def test_one_refused_submission_does_not_stop_a_class(work: Path, catalog: Catalog) -> None:
    put(work / "alice" / "drift_alarm.py")
    (work / "mallory").mkdir()
    os.mkfifo(work / "mallory" / "drift_alarm.py")
    gathered = gather([work], catalog)
    assert found(gathered, work) == [("alice", "drift_alarm")]
    assert [str(one) for one in gathered.refused] == [
        f"{work / 'mallory' / 'drift_alarm.py'}: is a pipe; hand in a regular file."
    ]


def test_a_refused_submission_alone_is_an_error(work: Path, catalog: Catalog) -> None:
    (work / "drift_alarm.py").symlink_to("/etc/passwd")
    assert "is a link" in refusal([work], catalog)


def test_a_missing_path_is_an_error(work: Path, catalog: Catalog) -> None:
    assert "there is no file or folder" in refusal([work / "nope"], catalog)


def test_an_empty_folder_is_an_error_that_says_what_is_wanted(work: Path, catalog: Catalog) -> None:
    assert "nothing to grade in this folder. A file is named after its challenge" in refusal([work], catalog)
    assert "drift_alarm takes drift_alarm.py" in refusal([work], catalog, "drift_alarm")


def test_a_misspelt_file_is_suggested(work: Path, catalog: Catalog) -> None:
    path = put(work / "drift_alram.py")
    assert "Did you mean drift_alarm.py?" in refusal([path], catalog)
    assert "Did you mean drift_alarm.py?" in refusal([work], catalog)


def test_a_file_like_no_challenge_asks_for_the_option(work: Path, catalog: Catalog) -> None:
    assert "-c SLUG" in refusal([put(work / "zzzz.py")], catalog)


def test_two_challenges_with_the_same_file_need_the_option(work: Path, catalog: Catalog) -> None:
    write_challenge(catalog.roots[0], "drift_twin")
    fresh = Catalog(catalog.roots)
    put(work / "drift_alarm.py")
    assert "may answer drift_alarm or drift_twin. Say which: -c SLUG." in refusal([work], fresh)
    assert gather([work], fresh, "drift_twin").submissions[0].slug == "drift_twin"


def test_an_answer_to_a_broken_challenge_names_what_is_broken(work: Path, catalog: Catalog) -> None:
    write_challenge(catalog.roots[0], "broken", "format = 1\n")
    fresh = Catalog(catalog.roots)
    put(work / "model_api.py")
    assert found(gather([work], fresh), work) == [(".", "model_api")]
    put(work / "broken.py")
    with pytest.raises(ChallengeError, match="title is missing"):
        gather([work], fresh)


def test_a_name_that_is_no_text_can_be_shown(work: Path, catalog: Catalog) -> None:
    folder = work / os.fsdecode(b"caf\xe9")
    try:
        put(folder / "drift_alarm.py")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    (submission,) = gather([folder], catalog).submissions
    assert submission.name.encode("utf-8").endswith(b"caf?")


def test_the_hash_covers_names_and_contents(work: Path) -> None:
    def hash_of(**files: bytes) -> str:
        return Submission("x", "y", files, work).hash

    assert hash_of(a=b"1", b=b"2") == hash_of(b=b"2", a=b"1")
    assert len({hash_of(a=b"1"), hash_of(a=b"2"), hash_of(b=b"1"), hash_of(a=b"1", b=b""), hash_of()}) == 5
    assert len(hash_of(a=b"1")) == 64
