"""What the images are that a Dockerfile may start from: the official Python images in detail, a few others roughly."""

import re
from dataclasses import dataclass

from .disk import Disk, Node, Work
from .words import names

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OFFICIAL = (
    "", "library/", "docker.io/", "docker.io/library/", "index.docker.io/library/", "public.ecr.aws/docker/library/",
    "mirror.gcr.io/library/",
)  # fmt: skip
DEBIAN = names(
    """
    apt-get apt dpkg sh bash dash env cat ls cp mv rm mkdir chmod chown sleep echo true false test tar gzip grep sed awk
    find perl id install ln touch date head tail sort tee xargs printf timeout hostname pidof useradd groupadd usermod
    """
)
FULL = names(
    """
    curl wget git gcc g++ cc make
    """
)
ALPINE = names(
    """
    sh ash env cat ls cp mv rm mkdir chmod chown sleep echo true false test tar gzip grep sed awk find id install ln
    touch date head tail sort tee xargs printf timeout hostname pidof wget nc adduser addgroup
    """
)
_TAG = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[a-z]+\d*)?(?:-(.+))?")


@dataclass(frozen=True)
class Base:
    """An image that a FROM names."""

    reference: str
    name: str
    tag: str
    digest: str

    @property
    def python(self) -> bool:
        """Whether it is an official image of CPython."""
        return any(self.name == f"{prefix}python" for prefix in OFFICIAL)

    @property
    def version(self) -> tuple[int, ...]:
        """The version that the tag of a Python image names, as far as it does."""
        found = _TAG.fullmatch(self.tag) if self.python else None
        return tuple(int(part) for part in found.groups()[:3] if part) if found else ()

    @property
    def minor(self) -> str:
        """`3.12`, or nothing where the tag does not say."""
        return ".".join(map(str, self.version[:2])) if len(self.version) > 1 else ""

    @property
    def variant(self) -> str:
        """slim, alpine or full, for a Python image."""
        return next((one for one in ("slim", "alpine") if one in self.tag.split("-") or one in self.tag), "full")

    @property
    def entrypoint(self) -> list[str] | None:
        """What a command is handed to; None where the model does not know."""
        if self.name.startswith("gcr.io/distroless/python3"):
            return ["/usr/bin/python3"]
        plain = self.python or self.name.rpartition("/")[2] in ("debian", "ubuntu", "alpine", "scratch")
        return [] if plain else None


def base_of(reference: str) -> Base:
    """Take an image's reference apart."""
    rest, _, digest = reference.partition("@")
    folder, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return Base(reference, folder + slash + name, tag, digest)


def disk_of(base: Base, work: Work) -> Disk:
    """Return the files of a base, as far as they matter."""
    disk = Disk(work)
    disk.nodes["/root"] = Node("folder", mode=0o700, origin="base")
    disk.nodes["/tmp"] = Node("folder", mode=0o1777, origin="base")
    if not base.python:
        disk.opaque += [] if base.name == "scratch" else [0]
        return disk
    alpine = base.variant == "alpine"
    if not alpine:
        disk.put("/bin", Node("link", target="usr/bin", origin="base"))
        disk.put("/sbin", Node("link", target="usr/sbin", origin="base"))
    debian = DEBIAN | FULL if base.variant == "full" else DEBIAN
    for command in ALPINE if alpine else debian:
        disk.put(f"/usr/bin/{command}", Node("file", origin="base"))
        if alpine:
            disk.put(f"/bin/{command}", Node("file", origin="base"))
    _put_python(disk, base.minor)
    return disk


def _put_python(disk: Disk, minor: str) -> None:
    name = f"python{minor or '3'}"
    place = f"/usr/local/bin/{name}"
    disk.put(place, Node("file", origin="base", package=name))
    for link in {"python", "python3"} - {name}:
        disk.put(f"/usr/local/bin/{link}", Node("link", target=place, origin="base"))
    for script in ("pip", "pip3"):
        disk.put(f"/usr/local/bin/{script}", Node("file", origin="base", package="pip", target=place))
    disk.put(f"/usr/local/lib/{name}/site-packages", Node("folder", origin="base"))
    if not minor:
        disk.opaque.append(0)
