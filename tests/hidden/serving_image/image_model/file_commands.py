"""The commands of a RUN that move through the disk and change files."""

import posixpath
import re
from dataclasses import replace

from .running import Running, above, options
from .words import UNKNOWN


def cd(run: Running, words: list[str]) -> None:
    run.cwd = run.at(words[1] if len(words) > 1 else run.env["HOME"])


def export(run: Running, words: list[str]) -> None:
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if equals:
            run.env[name] = value


def activate(run: Running, words: list[str]) -> None:
    if len(words) > 1 and words[1].endswith("/bin/activate"):
        folder = run.at(words[1]).removesuffix("/activate")
        run.env["PATH"] = f"{folder}:{run.env.get('PATH', '')}"
        run.env["VIRTUAL_ENV"] = folder.removesuffix("/bin")
    elif len(words) > 1 and not words[1].startswith("/etc"):
        run.give_up()


def mkdir(run: Running, words: list[str]) -> None:
    given, paths = options(words[1:], "m", ["mode"])
    for path in paths:
        place = run.at(path)
        made = [place] if "p" not in given and "parents" not in given else above(place)
        for one in made:
            run.disk.make_folder(one, run.new("folder", 0o755))
        mode = given.get("m") or given.get("mode")
        if mode:
            run.disk.change_mode([place], mode, deep=False)


def rm(run: Running, words: list[str]) -> None:
    for path in options(words[1:], "", [])[1]:
        run.removed.append(run.at(path))
        run.disk.remove(run.at(path))


def chmod(run: Running, words: list[str]) -> None:
    flags = [word for word in words[1:] if re.fullmatch(r"-[RvcfHLP]+|--.*", word)]
    rest = [word for word in words[1:] if word not in flags]
    deep = any("R" in word or word == "--recursive" for word in flags)
    if rest:
        run.disk.change_mode([run.at(path) for path in rest[1:]], rest[0], deep=deep)


def chown(run: Running, words: list[str]) -> None:
    given, rest = options(words[1:], "", ["from", "reference"])
    deep = "R" in given or "recursive" in given
    if rest:
        user, colon, group = rest[0].partition(":")
        fields: dict[str, int | None] = {}
        if user:
            fields["uid"] = run.uid_of(user)
        if colon:
            fields["gid"] = run.gid_of(group or user)
        run.disk.change([run.at(path) for path in rest[1:]], deep=deep, **fields)


def chgrp(run: Running, words: list[str]) -> None:
    given, rest = options(words[1:], "", [])
    if rest:
        paths = [run.at(path) for path in rest[1:]]
        run.disk.change(paths, deep="R" in given, gid=run.gid_of(rest[0]))


def install_files(run: Running, words: list[str]) -> None:
    given, paths = options(words[1:], "omgt", ["mode", "owner", "group"])
    if "d" not in given and "directory" not in given:
        copy(run, ["cp", *paths])
    for path in paths if "d" in given else paths[-1:]:
        place = run.at(path)
        run.disk.make_folder(place, run.new("folder", 0o755))
        if owner := given.get("o") or given.get("owner"):
            run.disk.change([place], deep=False, uid=run.uid_of(owner))
        if group := given.get("g") or given.get("group"):
            run.disk.change([place], deep=False, gid=run.gid_of(group))
        run.disk.change_mode([place], given.get("m") or given.get("mode") or "755", deep=False)


def copy(run: Running, words: list[str]) -> None:
    _, paths = options(words[1:], "t", ["mode"])
    if len(paths) < 2 or any(UNKNOWN in path for path in paths):
        run.give_up()
        return
    target = run.at(paths[-1])
    for pattern in paths[:-1]:
        for source in run.disk.glob(run.at(pattern)):
            folder = run.disk.get(target)
            into = folder is not None and folder.kind == "folder" and not paths[0].endswith("/.")
            place = posixpath.join(target, posixpath.basename(source)) if into else target
            origin = run.disk.place(source)
            for one in [origin, *run.disk.below(origin)]:
                run.disk.put(place + one.removeprefix(origin), run.disk.nodes[one])
            if words[0] == "mv":
                run.disk.remove(source)


def link(run: Running, words: list[str]) -> None:
    _, paths = options(words[1:], "t", [])
    if len(paths) == 2:
        target = run.disk.get(run.at(paths[1]))
        into = target is not None and target.kind == "folder"
        place = run.at(posixpath.join(paths[1], posixpath.basename(paths[0])) if into else paths[1])
        run.disk.put(place, replace(run.new("link"), target=paths[0]))


def touch(run: Running, words: list[str]) -> None:
    for path in options(words[1:], "drt", [])[1]:
        run.write(path)


COMMANDS = {
    "cd": cd, "export": export, ".": activate, "source": activate, "mkdir": mkdir, "rm": rm, "chmod": chmod,
    "chown": chown, "chgrp": chgrp, "install": install_files, "cp": copy, "mv": copy, "ln": link, "touch": touch,
}  # fmt: skip
