"""Run by root before the outer wall: shows the needed trees to an unused user, becomes that user, and goes on.

As root, bubblewrap would leave the submission with root's user id, to which limits on processes do not apply; as
another user it could not read a Python below `/root`. So the trees are bound to a folder that only this mount
namespace sees. Run as a script: `python staging.py PLAN`.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

NEW_NS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 1 << 14, 1 << 18


def stage(folder: str, sources: list[str]) -> None:
    """Bind each source to `folder`/position, in a mount namespace of our own."""
    libc = ctypes.CDLL(None, use_errno=True)

    def must(result: int, what: str) -> None:
        if result == -1:
            raise OSError(ctypes.get_errno(), what)

    must(libc.unshare(NEW_NS), "unshare")
    must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    must(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, b"mode=755"), "mount a folder")
    for position, source in enumerate(sources):
        target = Path(folder, str(position))
        if Path(source).is_dir():
            target.mkdir()
        else:
            target.touch()
        must(libc.mount(source.encode(), str(target).encode(), None, MS_BIND | MS_REC, None), f"bind {source}")


def open_to_all(path: Path) -> bool:
    """Say whether any user could reach and run this file."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def main() -> None:
    plan = json.loads(sys.argv[1])
    if plan["sources"]:
        stage(plan["folder"], plan["sources"])
    if plan["sources"] or open_to_all(Path(plan["command"][0])):
        os.setgroups([])
        os.setgid(plan["user"])
        os.setuid(plan["user"])
    os.execve(plan["command"][0], plan["command"], dict(os.environ))


if __name__ == "__main__":
    main()
