"""The isolation ladder: what each rung is made of, and what it means in the words of consequences."""

from dataclasses import dataclass

NETWORK = "no network"
FILES = "hidden tests, solutions and your own files can't be read"
WRITES = "nothing can be written but a private folder of limited size"
PROCESSES = "other processes can't be seen, signalled or traced"
LEFTOVERS = "nothing is left running afterwards"
MEMORY = "memory, processes, open files, time and output are limited"
KERNEL = "no capabilities, and the kernel calls that exploits need are refused"
VERDICTS = "verdicts are computed in another process, from data only"


@dataclass(frozen=True)
class Rung:
    """One rung: its walls, what they protect from, and what the probe must find impossible."""

    letter: str
    summary: str
    container: bool = False
    bwrap: bool = False
    namespaces: bool = False
    landlock: bool = False
    seccomp: bool = False
    protects: tuple[str, ...] = ()
    exposes: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    counts_as: str = ""  # beside the ladder: the lettered rung whose demands it meets

    def reaches(self, letter: str) -> bool:
        """Say whether this is at least the rung `letter`."""
        return self.letter == letter or (self.counts_as or self.letter) <= letter


_FORBIDDEN = (
    "sees other processes",
    "reads the judge's files",
    "opens network sockets",
    "makes namespaces",
    "takes memory that no limit counts",
    "writes outside its folder",
    "keeps capabilities",
)
_SHARED_KERNEL = "a fault in the kernel itself"
_CONTAINER_KERNEL = "a fault in the kernel that the containers share, or in the container engine"

RUNGS = (
    Rung(
        "A",
        "full: own namespaces for each test inside bubblewrap, seccomp, limits",
        bwrap=True,
        namespaces=True,
        seccomp=True,
        protects=(FILES, NETWORK, WRITES, PROCESSES, LEFTOVERS, MEMORY, KERNEL, VERDICTS),
        exposes=(_SHARED_KERNEL,),
        forbids=_FORBIDDEN,
    ),
    Rung(
        "B",
        "bubblewrap once around all tests, a Landlock domain for each, seccomp, limits",
        bwrap=True,
        landlock=True,
        seccomp=True,
        protects=(FILES, NETWORK, WRITES, PROCESSES, MEMORY, KERNEL, VERDICTS),
        exposes=("a submission may leave a process behind until the grading ends", _SHARED_KERNEL),
        forbids=_FORBIDDEN,
    ),
    Rung(
        "C",
        "Landlock, seccomp and limits, without namespaces",
        landlock=True,
        seccomp=True,
        protects=(FILES, NETWORK, WRITES, MEMORY, KERNEL, VERDICTS),
        exposes=("a submission may leave a process behind until the grading ends", _SHARED_KERNEL),
        forbids=_FORBIDDEN,
    ),
    Rung(
        "D",
        "seccomp and limits only",
        seccomp=True,
        protects=(NETWORK, MEMORY, VERDICTS),
        exposes=(
            "a submission can read the hidden tests and your files, and write where you may",
            "it can see and disturb other processes of yours",
        ),
        forbids=("opens network sockets", "makes namespaces", "takes memory that no limit counts"),
    ),
    Rung(
        "E",
        "a separate process and nothing else: never for a mark that counts",
        protects=(VERDICTS,),
        exposes=(
            "a submission can do whatever you can: read the hidden tests, use the network, delete your files",
            "only its time is limited",
        ),
    ),
)
LETTERS = tuple(rung.letter for rung in RUNGS)

CONTAINERS = (  # beside the ladder: by request, and where there is no Linux to climb on
    Rung(
        "container",
        "a container without network around all tests, a Landlock domain for each, seccomp, limits",
        container=True,
        landlock=True,
        seccomp=True,
        protects=(FILES, NETWORK, WRITES, PROCESSES, MEMORY, KERNEL, VERDICTS),
        exposes=("a submission may leave a process behind until no test runs", _CONTAINER_KERNEL),
        forbids=_FORBIDDEN,
        counts_as="B",
    ),
    Rung(
        "container",
        "a container without network around all tests, seccomp, limits",
        container=True,
        seccomp=True,
        protects=(FILES, NETWORK, MEMORY, KERNEL, VERDICTS),
        exposes=("a submission can disturb the tests of others that are graded in the same run", _CONTAINER_KERNEL),
        forbids=tuple(name for name in _FORBIDDEN if name not in ("sees other processes", "writes outside its folder")),
        counts_as="D",
    ),
)


def rung_named(letter: str) -> Rung:
    return next(rung for rung in (*RUNGS, *CONTAINERS) if rung.letter == letter)
