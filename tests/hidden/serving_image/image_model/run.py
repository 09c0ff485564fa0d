"""Goes through the script of a RUN, command by command. What it cannot follow makes the disk opaque."""

import posixpath
import re

from . import file_commands, package_commands, shell, user_commands
from .running import Running
from .stage import Step
from .words import names

MAX_DEPTH = 4
QUIET = names(
    """
    echo printf true : set test [ [[ ls cat grep sed awk id env pwd which type command sync date head tail sort tee wc
    uname sleep exit return umask ulimit trap find tar unzip gunzip gzip dpkg ldconfig update-ca-certificates getent
    locale-gen hash unset shopt groupmod passwd chpasswd strip ldd file stat du df xargs read groupdel userdel deluser
    """
)
PREFIXES = ("sudo", "exec", "time", "nice", "nohup", "command", "env")
DOWNLOADS = ("curl", "wget", "git")
KNOWN = {**file_commands.COMMANDS, **user_commands.COMMANDS, **package_commands.COMMANDS}
_PIP = re.compile(r"pip[\d.]*")


def script(run: Running, text: str, depth: int = 0) -> None:
    """Go through a script."""
    read = shell.read(text)
    if not read.certain or depth > MAX_DEPTH:
        run.give_up()
    for one in read.commands:
        own, words = one.split(run.env)
        if one.after == "||":  # the command before it is taken to succeed
            continue
        for target in one.writes:
            for path in target.values(run.env):
                run.write(path)
        if words:
            command(run, words, own, depth)
        else:
            run.env.update(own)


def command(run: Running, words: list[str], own: dict[str, str] | None = None, depth: int = 0) -> None:
    """Do one command; its own variables hold for it alone."""
    before = run.env
    run.env = {**before, **(own or {})}
    while len(words) > 1 and posixpath.basename(words[0]) in PREFIXES:
        words = words[1:]
        while len(words) > 1 and re.match(r"[A-Za-z_]\w*=", words[0]):
            name, _, value = words[0].partition("=")
            run.env[name] = value
            words = words[1:]
    name = posixpath.basename(words[0])
    _dispatch(run, name, words, depth)
    run.env = run.env if name in ("export", ".", "source") else before


def _dispatch(run: Running, name: str, words: list[str], depth: int) -> None:
    if name in ("sh", "bash", "dash", "ash") and len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
        script(run, words[2], depth + 1)
    elif name in KNOWN:
        KNOWN[name](run, words)
    elif _PIP.fullmatch(name):
        package_commands.pip_command(run, words[1:], run.find(words[0]))
    elif package_commands.PYTHON.fullmatch(name):
        package_commands.python(run, words)
    elif name in DOWNLOADS:
        run.must_find(words[0])
        run.note(Step("download", run.line, " ".join(words)[:80], run.stale, not run.offline))
    elif name not in QUIET or (name == "find" and "-delete" in words):
        run.give_up()
