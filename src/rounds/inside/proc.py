"""Reads of other processes what /proc tells of them; what has ended meanwhile tells nothing."""

import os


def tree(root: int, proc: int) -> list[int]:
    """Return `root` and its descendants; orphans count, since they come back to the root of a pid namespace."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in tasks(pid, proc):
            waiting += [int(child) for child in read(f"{pid}/task/{task}/children", proc).split()]
    return found


def queued_seconds(pid: int, proc: int) -> float:
    """Return how long a process was ready to run and got no processor; of its threads the one that waited longest."""
    fields = (read(f"{pid}/task/{task}/schedstat", proc).split() for task in tasks(pid, proc))
    return max((int(of_task[1]) for of_task in fields if len(of_task) > 1), default=0) / 1e9


def tasks(pid: int, proc: int) -> list[str]:
    try:
        descriptor = os.open(f"{pid}/task", os.O_RDONLY, dir_fd=proc)
    except OSError:
        return []
    try:
        return os.listdir(descriptor)  # noqa: PTH208 - a descriptor, not a path
    except OSError:
        return []  # it ended meanwhile
    finally:
        os.close(descriptor)


def read(path: str, proc: int) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY, dir_fd=proc)
    except OSError:
        return ""
    try:
        with os.fdopen(descriptor) as file:
            return file.read()
    except (OSError, ValueError):
        return ""
