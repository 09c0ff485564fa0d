"""The commands of a RUN that make users and groups, in Debian's way and in Alpine's."""

from dataclasses import replace

from .disk import Node
from .running import Running, number, options
from .stage import User
from .words import names

WITH_VALUES = names("uid gid home home-dir shell comment gecos groups ingroup base-dir firstuid")


def useradd(run: Running, words: list[str]) -> None:
    """Make a user, and its home where the tool does."""
    debian = words[0].endswith("useradd")
    given, rest = options(words[1:], "ugdscGkbefpK" if debian else "uGhgsk", WITH_VALUES)
    users, stage = [one for one in rest if one], run.stage
    if not users:
        run.give_up()
        return
    name = users[0]
    if not debian and len(users) == 2 and name in stage.users:
        return  # `adduser user group`
    uid = number(given.get("uid") or given.get("u"))
    taken = [one.uid for one in stage.users.values() if one.uid is not None and one.uid < 60000]
    uid = uid if uid is not None else max([999, *taken]) + 1
    group = given.get("gid") or given.get("g") or given.get("ingroup") or ("" if debian else given.get("G", ""))
    gid = run.gid_of(group) if group else uid
    stage.groups.setdefault(name, gid)
    home = given.get("home-dir") or given.get("home") or given.get("d") or given.get("h") or f"/home/{name}"
    stage.users[name] = User(uid, gid, home)
    makes = not debian and not ({"no-create-home", "H"} & set(given))
    if (makes or {"m", "create-home"} & set(given)) and not {"M", "no-create-home"} & set(given):
        run.disk.make_folder(home, Node("folder", uid, gid, 0o755))


def groupadd(run: Running, words: list[str]) -> None:
    """Make a group."""
    given, rest = options(words[1:], "gK", ["gid"])
    if rest:
        gid = number(given.get("gid") or given.get("g"))
        taken = [one for one in run.stage.groups.values() if one is not None and one < 60000]
        run.stage.groups[rest[0]] = gid if gid is not None else max([999, *taken]) + 1


def usermod(run: Running, words: list[str]) -> None:
    """Change a user's number."""
    given, rest = options(words[1:], "ugdsGc", ["uid", "gid", "home", "groups", "shell"])
    known = run.stage.users.get(rest[0]) if rest else None
    uid = number(given.get("u") or given.get("uid"))
    if known and uid is not None:
        run.stage.users[rest[0]] = replace(known, uid=uid)


COMMANDS = {
    "useradd": useradd, "adduser": useradd, "groupadd": groupadd, "addgroup": groupadd, "usermod": usermod,
}  # fmt: skip
