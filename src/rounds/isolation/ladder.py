"""Finds the strongest rung of the ladder that holds on this machine, by starting it and attacking it from within."""

import sys
import tempfile
from collections.abc import Iterator, Sequence

from rounds.bridge.failures import SandboxFailure, SubmissionFailure
from rounds.bridge.session import Session
from rounds.errors import BadInput, IsolationUnavailable
from rounds.isolation import wall
from rounds.isolation.rungs import CONTAINERS, LETTERS, RUNGS, Rung
from rounds.isolation.zygote import Zygote, ZygoteError
from rounds.report import IsolationRecord

BUILD = "docker build -t rounds-sandbox --target sandbox -f docker/Dockerfile ."
NESTED = (
    "allow user namespaces (docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined), "
    "or grade on the host"
)
FIXES = (
    ("no docker command", f"install Docker, then: {BUILD}"),
    ("no Docker engine", "start Docker (Docker Desktop, or: sudo systemctl start docker)"),
    ("no image", BUILD),
    ("another version", BUILD),
    ("uid map", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap"),
    ("new namespace", NESTED),
    ("mount proc", NESTED),
    ("no bubblewrap", "install bubblewrap (apt-get install bubblewrap)"),
)


def attempts(want: str | None) -> Iterator[tuple[Rung, str | None]]:
    """List what to try, strongest first; `want` names one rung."""
    linux = sys.platform.startswith("linux")
    for rung in (*RUNGS, *CONTAINERS) if linux else (*CONTAINERS, *RUNGS):
        if rung.letter == want or (want is None and rung.container is not linux):
            yield from ((rung, bwrap) for bwrap in (wall.bubblewraps() if rung.bwrap else [None]))


class Climb:
    """A climb under way: the first attempt starts at once, in the calling thread, and `finish` waits for what holds.

    A zygote dies with the thread that started it, so the thread that makes a climb must outlive what it finds.
    """

    def __init__(self, modules: Sequence[str], *, want: str | None = None, require: str | None = None) -> None:
        for letter in (want, require):
            if letter is not None and letter not in (*LETTERS, CONTAINERS[0].letter):
                raise BadInput(f"there is no isolation rung {letter!r}.", hint=f"Choose one of {', '.join(LETTERS)}.")
        self._modules = modules
        self._demanded = require or want or LETTERS[-1]
        climbs = sys.platform.startswith("linux") and want != CONTAINERS[0].letter
        self._reasons = ["no bubblewrap on this machine"] if climbs and not wall.bubblewraps() else []
        self._attempts = [pair for pair in attempts(want) if require is None or pair[0].reaches(require)]
        self._begun = self._begin()

    def _begin(self) -> Zygote | None:
        if not self._attempts:
            return None
        rung, bwrap = self._attempts.pop(0)
        return Zygote(rung, self._modules, bwrap=bwrap)

    def finish(self) -> tuple[Zygote, IsolationRecord]:
        """Return the zygote on the strongest rung that holds; raise IsolationUnavailable when none does."""
        while self._begun is not None:
            zygote = self._begun
            try:
                prove(zygote)
            except ZygoteError as error:
                reason = f"{zygote.rung.letter}: {error}"
                self._reasons += [reason] if reason not in self._reasons else []
                self._begun = self._begin()
            else:
                return zygote, record(zygote.rung, self._reasons)
        raise IsolationUnavailable(
            f"isolation {self._demanded} is not to be had here: {'; '.join(self._reasons) or 'nothing was tried'}.",
            hint=fix_for(self._reasons) or "`rounds doctor` shows what is.",
        )


def climb(
    modules: Sequence[str], *, want: str | None = None, require: str | None = None
) -> tuple[Zygote, IsolationRecord]:
    """Start a zygote on the strongest rung that holds; raise IsolationUnavailable when `require` is not reached."""
    return Climb(modules, want=want, require=require).finish()


def start(rung: Rung, modules: Sequence[str], bwrap: str | None = None) -> Zygote:
    """Start a zygote on this rung and prove that its walls stand; raise ZygoteError otherwise."""
    zygote = Zygote(rung, modules, bwrap=bwrap)
    prove(zygote)
    return zygote


def prove(zygote: Zygote) -> None:
    """Wait for a zygote and attack it from within; close it and raise ZygoteError unless its walls stand."""
    zygote.wait_until_ready()
    holes = probe(zygote)
    if holes:
        zygote.close()
        raise ZygoteError("a probe inside " + ", ".join(holes))


def probe(zygote: Zygote) -> list[str]:
    """Return what a child could do that this rung says it can't."""
    with tempfile.NamedTemporaryFile(prefix="rounds-secret-") as secret:
        secret.write(b"secret")
        secret.flush()
        session = Session(zygote, {"seconds": 20.0})
        try:
            found = session.request("probe", [secret.name], {})
        except (Exception, SubmissionFailure, SandboxFailure) as error:
            said = session.output.decode("utf-8", "replace")
            return [f"did not answer ({error} {said})"]
        finally:
            session.close()
    return [name for name in zygote.rung.forbids if found.get(name) is not False]


def record(rung: Rung, reasons: Sequence[str] = ()) -> IsolationRecord:
    """Describe what is in force, in the words of consequences."""
    return IsolationRecord(
        rung=rung.letter,
        summary=rung.summary,
        protects=rung.protects,
        exposes=rung.exposes,
        why="; ".join(reasons) if rung.letter != "A" else "",
        fix=fix_for(reasons) if rung.letter != "A" else "",
    )


def fix_for(reasons: Sequence[str]) -> str:
    return next((fix for sign, fix in FIXES if any(sign in reason for reason in reasons)), "")


def choose(want: str | None = None, require: str | None = None) -> IsolationRecord:
    """Say which rung would be taken here."""
    zygote, found = climb([], want=want, require=require)
    zygote.close()
    return found
