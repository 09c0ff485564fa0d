"""Hostile files are refused in one line that says what to do; ordinary ones arrive byte for byte."""

import os
import socket
from pathlib import Path

import pytest

from rounds.errors import BadInput
from rounds.intake import FILE_LIMIT, TOTAL_LIMIT, is_folder, names_in, read_file, read_files


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_file(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["drift_alarm.py", "with space.py", "naïve_répertoire.py", "日本.py"])
@pytest.mark.parametrize("content", [b"", b"x = 1\r\n", "# ñ ✓\n".encode(), b"\xef\xbb\xbfx = 1\n", b"x = 1"])
def test_a_text_file_is_read_byte_for_byte(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_file(tmp_path / name) == content


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"#" * FILE_LIMIT)
    assert len(read_file(tmp_path / "a.py")) == FILE_LIMIT


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"#" * (FILE_LIMIT + 1))
    assert "too large" in refusal(tmp_path / "a.py")


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "a.py").open("wb") as file:
        file.truncate(10**12)
    assert "1000000.0 MB is too large; hand in source code" in refusal(tmp_path / "a.py")


def test_a_link_is_refused_also_to_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("x = 1")
    (tmp_path / "a.py").symlink_to("real.py")
    assert "is a link" in refusal(tmp_path / "a.py")


def test_a_dangling_link_and_a_loop_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("nowhere")
    (tmp_path / "b.py").symlink_to("b.py")
    assert "is a link" in refusal(tmp_path / "a.py")
    assert "is a link" in refusal(tmp_path / "b.py")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.py")
    assert "is a pipe" in refusal(tmp_path / "a.py")


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.py")
        assert "is a socket" in refusal(tmp_path / "a.py")


def test_a_device_is_refused() -> None:
    assert "is a device" in refusal(Path("/dev/zero"))


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").mkdir()
    assert "is a folder" in refusal(tmp_path / "a.py")


def test_a_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\x7fELF\0\0")
    assert "not a text file" in refusal(tmp_path / "a.py")


def test_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = 1\ny = '\xe9'\n")
    assert "line 2 is not UTF-8; save the file as UTF-8" in refusal(tmp_path / "a.py")


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "drift_alarm.py").touch()
    assert "Did you mean drift_alarm.py?" in refusal(tmp_path / "drift_alram.py")


@pytest.mark.parametrize("name", ["a" * 300, "file/below.py"])
def test_an_impossible_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert "cannot be read" in refusal(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch(mode=0)
    assert "Permission denied" in refusal(tmp_path / "a.py")


def test_only_the_named_files_are_read(tmp_path: Path) -> None:
    for name in ("Dockerfile", "conftest.py", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert read_files(tmp_path, ["Dockerfile", ".dockerignore"]) == {"Dockerfile": b"Dockerfile"}


def test_a_dangling_link_among_the_named_files_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").symlink_to("nowhere")
    with pytest.raises(BadInput, match="is a link"):
        read_files(tmp_path, [".dockerignore"])


def test_the_files_together_are_limited(tmp_path: Path) -> None:
    names = [f"{number}.py" for number in range(TOTAL_LIMIT // FILE_LIMIT + 1)]
    for name in names:
        (tmp_path / name).write_bytes(b"#" * FILE_LIMIT)
    assert len(read_files(tmp_path, names[:-1])) == 4
    with pytest.raises(BadInput, match="more than 4 MB in all"):
        read_files(tmp_path, names)


def test_a_link_to_a_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a.py").touch()
    assert is_folder(tmp_path / "real")
    assert names_in(tmp_path) == (("real",), ("a.py", "link"))
    with pytest.raises(BadInput, match="is a link"):
        is_folder(tmp_path / "link")
