"""Reads a candidate's files on the trusted side: only small, regular text files, and no link is followed."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from rounds.errors import BadInput, did_you_mean

FILE_LIMIT = 1_000_000
TOTAL_LIMIT = 4_000_000

_REFUSED = {
    stat.S_IFLNK: "is a link; hand in what it points to",
    stat.S_IFDIR: "is a folder; hand in a file of that name",
    stat.S_IFIFO: "is a pipe; hand in a regular file",
    stat.S_IFSOCK: "is a socket; hand in a regular file",
    stat.S_IFCHR: "is a device; hand in a regular file",
    stat.S_IFBLK: "is a device; hand in a regular file",
}


def is_folder(path: Path) -> bool:
    """Tell whether a path that the user gave is a folder; raise BadInput if it is not there or is a link."""
    mode = _mode(path)
    if stat.S_ISLNK(mode):
        raise _refusal(path, mode)
    return stat.S_ISDIR(mode)


def names_in(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the names of the folders and of everything else in a folder; a link counts as no folder."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise _unreadable(folder, error) from None
    folders = tuple(sorted(name for name, is_dir in kinds.items() if is_dir))
    return folders, tuple(sorted(name for name, is_dir in kinds.items() if not is_dir))


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read those of the named files that are in the folder; raise BadInput for any that cannot be taken."""
    files: dict[str, bytes] = {}
    for name in names:
        if os.path.lexists(folder / name):
            files[name] = read_file(folder / name)
    if sum(map(len, files.values())) > TOTAL_LIMIT:
        raise BadInput(f"{folder}: more than {TOTAL_LIMIT // 1_000_000} MB in all; hand in the source alone.")
    return files


def read_file(path: Path) -> bytes:
    """Read one file; raise BadInput unless it is a regular UTF-8 text file of at most 1 MB.

    The kind is looked at before opening, for opening a device can have effects, and again after it, for the file
    may have been exchanged in between.
    """
    mode = _mode(path)
    if not stat.S_ISREG(mode):
        raise _refusal(path, mode)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise _refusal(path, state.st_mode)
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > FILE_LIMIT:
        size = max(state.st_size, len(content)) / 1_000_000
        raise BadInput(f"{path}: {size:.1f} MB is too large; hand in source code, at most 1 MB a file.")
    return _text(path, content)


def _text(path: Path, content: bytes) -> bytes:
    """Give back the content if it is text."""
    if b"\0" in content:
        raise BadInput(f"{path}: not a text file (it holds zero bytes); hand in source code, saved as UTF-8.")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}: line {line} is not UTF-8; save the file as UTF-8.") from None
    return content


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        hint = did_you_mean(path.name, _siblings(path)) or "Give a file named after a challenge, or a folder of them."
        raise BadInput(f"there is no file or folder {path}.", hint=hint) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _siblings(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return []


def _refusal(path: Path, mode: int) -> BadInput:
    return BadInput(f"{path}: {_REFUSED.get(stat.S_IFMT(mode), 'is not a regular file; hand in one')}.")


def _unreadable(path: Path, error: OSError) -> BadInput:
    if error.errno == errno.ELOOP:
        return _refusal(path, stat.S_IFLNK)
    return BadInput(f"{path}: cannot be read ({error.strerror}).", hint="Check the name and its permissions.")
