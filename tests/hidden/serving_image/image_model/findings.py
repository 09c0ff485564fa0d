"""What the judge asks of a built image. Each function lists what does not hold; what it cannot tell, it leaves out."""

import posixpath
import re
from collections.abc import Iterator

from . import serving
from .bases import Base
from .context import belongs_outside
from .disk import Disk, Node
from .image import Image
from .words import names

COMPILERS = names(
    """
    gcc g++ build-essential clang cmake cpp gfortran rustc cargo golang go llvm build-base musl-dev gcc-c++ make-dev tcc
    """
)
NEEDED = ("fastapi", "numpy")
OLDEST = (3, 10)


def untagged_bases(image: Image) -> Iterator[str]:
    for base in _bases(image):
        if base.name != "scratch" and not base.digest and base.tag in ("", "latest"):
            yield f"`{base.reference}` names no version"


def other_pythons(image: Image) -> Iterator[str]:
    for base in _bases(image):
        if re.search(r"(^|/)pypy$", base.name):
            yield f"`{base.reference}` is no CPython"
        if base.python and base.version and base.version < OLDEST[: len(base.version)]:
            yield f"`{base.reference}` is older than 3.10"
        if base.python and base.tag not in ("", "latest") and not base.version and not base.digest:
            yield f"`{base.reference}` does not say which Python it is"


def mixed_minors(image: Image) -> Iterator[str]:
    for stage in image.used:
        for other in stage.shares:
            if stage.minor and other.minor and stage.minor != other.minor:
                yield f"packages of Python {other.minor} go to a stage with Python {stage.minor}"


def floating_bases(image: Image) -> Iterator[str]:
    for base in _bases(image):
        exact = len(base.version) == 3 if base.python else re.search(r"\d+\.\d+\.\d+", base.tag)
        if not base.digest and base.name != "scratch" and not exact:
            yield f"`{base.reference}` has neither a patch version nor a digest"


def _bases(image: Image) -> list[Base]:
    return [stage.base for stage in image.stages if stage.base is not None]


def commands_not_found(image: Image) -> Iterator[str]:
    """Follow each command that is started: it must be there, be allowed to the user, and have its interpreter."""
    words = serving.started(image)
    if words is None:
        return
    found = serving.served(image).commands or words[:1]
    if not found:
        yield "nothing is started"
    script = image.final.at(serving.served(image).script)
    if serving.served(image).script and image.final.disk.reaches(image.who, script) is False:
        yield f"{found[-1]} is given {script}, which is not there to be read"
    for word in found:
        look = serving.find(image, word)
        if look.why:
            yield look.why
        node = image.final.disk.get(look.path) if look.path else None
        if node and node.target and image.final.disk.reaches(image.who, node.target, 1) is False:
            yield f"{look.path} is to be run by {node.target}, which user {image.who.uid} cannot run"


def unreadable(image: Image) -> Iterator[str]:
    """List installed packages and files of the app that the user cannot reach."""
    disk = image.final.disk
    for path, node in disk.nodes.items():
        judged = node.origin == "pip" or (node.origin == "context" and _of_the_app(node))
        if judged and disk.reaches(image.who, path, 4) is False:
            yield path


def _of_the_app(node: Node) -> bool:
    return node.context == "main.py" or node.context.startswith("model/")


def not_importable(image: Image) -> Iterator[str]:
    """List the packages that the app needs and that are not on `sys.path` of the Python that runs it."""
    disk, run = image.final.disk, serving.served(image)
    needed = [
        *NEEDED,
        *([run.server] if run.server not in ("", "python", "fastapi") else ["uvicorn"] if run.server else []),
    ]
    if disk.opaque or any(node.package == "?" for node in disk.nodes.values()):
        return
    python = serving.interpreter_of(image, run)
    folders = serving.search_path(image, python) if python else None
    for name in needed:
        places = [path for path, node in disk.nodes.items() if node.origin == "pip" and node.package == name]
        if not places and not any(node.kind == "vague" for node in disk.nodes.values()):
            yield f"{name} is not installed in the image"
        elif folders is not None and not _on_path(disk, folders, name):
            yield f"{name} is not in {' or '.join(folders)}, where {python.path if python else 'python'} looks"


def _on_path(disk: Disk, folders: list[str], name: str) -> bool:
    return any(disk.get(f"{folder}/{name}") is not None or disk.vague(f"{folder}/{name}") for folder in folders)


def missing_app_files(image: Image) -> Iterator[str]:
    """Say which of `main.py` and the model is not where the server looks."""
    disk, run = image.final.disk, serving.served(image)
    if disk.opaque or (any(node.kind == "vague" for node in disk.nodes.values()) and not run.app):
        return
    module = (run.app or "main:app").partition(":")[0].replace(".", "/")
    folders = [image.final.at(run.folder), *_python_path(image)]
    if not run.app:
        folders = [posixpath.dirname(path) for path, node in disk.nodes.items() if node.context == "main.py"]
        module = "main"
    homes = [folder for folder in folders if disk.get(f"{folder}/{module}.py") or disk.vague(f"{folder}/{module}.py")]
    if not homes:
        yield f"{module}.py is not in {' or '.join(folders) or 'the image'}, where the server looks"
        return
    home = posixpath.dirname(f"{homes[0]}/{module}")
    if disk.get(f"{home}/model/weights.json") is None and not disk.vague(f"{home}/model/weights.json"):
        yield f"model/weights.json is not beside main.py, in {home}"


def _python_path(image: Image) -> list[str]:
    return [image.final.at(folder) for folder in image.final.env.get("PYTHONPATH", "").split(":") if folder]


def shipped(image: Image) -> list[str]:
    """List what of the context is in a layer of the image and has no business there."""
    return sorted(path for path in image.final.placed if belongs_outside(path))


def compilers(image: Image) -> Iterator[str]:
    for step in image.final.steps:
        for package in step.packages:
            bare = re.sub(r"-\d+(\.\d+)?$", "", package)
            if package in COMPILERS or bare in COMPILERS or package.endswith(("-dev", "-devel")):
                yield f"line {step.line}: {package}"


def networked(image: Image) -> list[str]:
    """List the installations of the final stage that need the network."""
    return [f"line {step.line}: {step.text}" for step in image.final.steps if step.network]


def stale_installs(image: Image) -> list[str]:
    kinds = ("python", "system")
    return [f"line {step.line}: {step.text}" for step in image.steps if step.stale and step.kind in kinds]


def left_behind(image: Image, *kinds: str) -> list[str]:
    return [f"line {step.line}: {step.left_behind}" for step in image.steps if step.left_behind and step.kind in kinds]


def unpinned(image: Image) -> list[str]:
    """List what is installed over the network without an exact version."""
    found = []
    for step in image.steps:
        for one in step.requirements if step.network is not False else ():
            if one.pinned is False and one.name not in step.constrained:
                found.append(f"line {step.line}: {one.text}")
    return list(dict.fromkeys(found))


def writable(image: Image) -> Iterator[str]:
    """List code and packages that the user may write, or whose own folder it may write."""
    disk, who = image.final.disk, image.who
    for path, node in disk.nodes.items():
        code = node.origin == "pip" or (node.origin == "context" and node.context.endswith(".py"))
        if not code or node.kind == "link":
            continue
        folder = disk.nodes.get(posixpath.dirname(path))
        for name, one in ((path, node), (posixpath.dirname(path), folder)):
            if one is None or one.mode is None:
                continue
            everyone = bool(one.mode & 0o002) and not one.mode & 0o1000
            if everyone or (who.uid not in (0, None) and who.may(one, 2) and not one.mode & 0o1000):
                yield name
