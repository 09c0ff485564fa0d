"""The state of one build stage between two instructions."""

import posixpath
from dataclasses import dataclass, field, replace

from .bases import PATH, Base, disk_of
from .disk import Disk, Who, Work, clean
from .pins import Requirement
from .words import UNKNOWN, expand


@dataclass(frozen=True)
class User:
    """A line of /etc/passwd."""

    uid: int | None
    gid: int | None
    home: str


@dataclass(frozen=True)
class Step:
    """Something that a RUN or an ADD fetches or installs."""

    kind: str  # python, system, download
    line: int
    text: str
    stale: bool  # done again when main.py changes
    network: bool | None
    left_behind: str = ""  # a cache or list that stays in the layer
    requirements: tuple[Requirement, ...] = ()
    constrained: frozenset[str] = frozenset()  # distributions that a constraint file pins
    packages: tuple[str, ...] = ()


@dataclass(eq=False)
class Stage:
    """A stage, and what was noted while it was built."""

    number: int
    name: str
    base: Base | None  # None: built on an earlier stage
    disk: Disk
    env: dict[str, str]
    args: dict[str, str] = field(default_factory=dict)
    parent: "Stage | None" = None
    user: str = ""
    workdir: str = "/"
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    shell_form: bool = False  # of what is started: ENTRYPOINT if there is one, else CMD
    cmd_in_shell_form: bool = False
    entrypoint_known: bool = True
    health: "Health | None" = None
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, int | None] = field(default_factory=dict)
    uses: list["Stage"] = field(default_factory=list)
    shares: list["Stage"] = field(default_factory=list)  # stages whose packages or wheels it takes over
    steps: list[Step] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)  # paths of the context in any of its layers
    secrets: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    takes_over: bool = False  # copies or mounts something of another stage or image
    compiles: bool = False
    stale: bool = False

    @property
    def minor(self) -> str:
        origin = self
        while origin.parent:
            origin = origin.parent
        return origin.base.minor if origin.base else ""

    def variables(self) -> dict[str, str]:
        """What an instruction may refer to: ENV wins over ARG."""
        return {**self.args, **self.env}

    def who(self, user: str | None = None) -> Who:
        """Return the user that processes run as."""
        text = self.user if user is None else user
        name, _, group = text.partition(":")
        if not name:
            name = "root" if self.base is None or self.entrypoint_known else UNKNOWN
        known = self.users.get(name) or next((one for one in self.users.values() if str(one.uid) == name), None)
        uid = int(name) if name.isdecimal() and len(name) < 10 else known.uid if known else None
        gid = known.gid if known else 0 if name.isdecimal() else None
        if group:
            gid = int(group) if group.isdecimal() and len(group) < 10 else self.groups.get(group)
        return Who(uid, gid)

    def home(self, user: str | None = None) -> str:
        """Return HOME: ENV, else the user's entry, else the root folder."""
        uid = self.who(user).uid
        known = next((one for one in self.users.values() if one.uid == uid and uid is not None), None)
        return self.env.get("HOME") or (known.home if known else UNKNOWN if uid is None else "/")

    def fill(self, text: str) -> str:
        """Put the variables into a word of an instruction."""
        return expand(text, self.variables())

    def problem(self, line: int, text: str) -> None:
        """Note why the build would fail."""
        self.problems.append(f"line {line}: {text}")

    def at(self, path: str) -> str:
        return clean(posixpath.join(self.workdir, path))


@dataclass(frozen=True)
class Health:
    """A HEALTHCHECK: seconds, and its command in one of the two forms."""

    line: int
    interval: float
    timeout: float
    start_period: float
    words: tuple[str, ...] | None
    shell: str


def on_image(number: int, name: str, base: Base, work: Work) -> Stage:
    """Begin a stage on an image."""
    entrypoint = base.entrypoint
    env = {"PATH": PATH if not base.python else f"/usr/local/bin:{PATH}"}
    if base.python:
        env |= {"LANG": "C.UTF-8", "PYTHON_VERSION": ".".join(map(str, base.version)), "GPG_KEY": "A035C8C1"}
    stage = Stage(number, name, base, disk_of(base, work), env, entrypoint=entrypoint or None)
    stage.entrypoint_known = entrypoint is not None
    stage.users = {
        "root": User(0, 0, "/root"),
        "nobody": User(65534, 65534, "/nonexistent"),
        "www-data": User(33, 33, "/var/www"),
    }
    stage.groups = {"root": 0, "nogroup": 65534, "www-data": 33, "users": 100}
    return stage


def on_stage(number: int, name: str, parent: Stage) -> Stage:
    """Begin a stage on an earlier one."""
    twin = replace(parent, number=number, name=name, base=None, parent=parent, disk=parent.disk.copy(), args={})
    twin.env, twin.users, twin.groups = dict(parent.env), dict(parent.users), dict(parent.groups)
    twin.uses, twin.shares, twin.problems, twin.secrets = [parent], [], [], []
    twin.steps, twin.placed = list(parent.steps), set(parent.placed)
    return twin
