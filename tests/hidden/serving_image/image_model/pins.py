"""Reads what pip is asked to install: requirement files, and the words of its command line."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*(.*)", re.DOTALL)
_EXACT = re.compile(r"\(?\s*===?\s*[^*,<>=!~\s]+\s*\)?")

# what a distribution brings along that a server or a health check may need
BRINGS = {
    "fastapi": ("starlette", "pydantic", "anyio", "typing-extensions"),
    "fastapi[standard]": ("uvicorn", "fastapi-cli", "httpx", "jinja2"),
    "fastapi[all]": ("uvicorn", "fastapi-cli", "httpx", "jinja2", "pyyaml", "orjson"),
    "fastapi-cli[standard]": ("uvicorn",),
    "starlette": ("anyio",),
    "uvicorn": ("click", "h11"),
    "uvicorn[standard]": ("httptools", "uvloop", "watchfiles", "websockets", "python-dotenv", "pyyaml"),
    "uvicorn-worker": ("uvicorn", "gunicorn"),
    "httpx": ("httpcore", "anyio", "certifi", "idna", "h11"),
    "requests": ("urllib3", "certifi", "idna", "charset-normalizer"),
    "scikit-learn": ("numpy", "scipy", "joblib", "threadpoolctl"),
    "pandas": ("numpy",),
    "scipy": ("numpy",),
}
SCRIPTS = {
    "uvicorn": "uvicorn", "gunicorn": "gunicorn", "hypercorn": "hypercorn", "granian": "granian", "daphne": "daphne",
    "fastapi": "fastapi", "fastapi-cli": "fastapi", "httpx": "httpx", "uv": "uv", "virtualenv": "virtualenv",
    "poetry": "poetry", "pip": "pip", "pip-tools": "pip-sync", "pdm": "pdm",
}  # fmt: skip


@dataclass(frozen=True)
class Requirement:
    """One thing to install. `pinned` is None where it is no plain requirement (a folder, an address)."""

    name: str  # normalized; empty where the text does not say
    extras: frozenset[str]
    pinned: bool | None
    text: str


@dataclass(frozen=True)
class RequirementFile:
    """The requirements of a file, and the other files that it names."""

    requirements: list[Requirement] = field(default_factory=list)
    further: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement(text: str) -> Requirement:
    """Read one requirement."""
    text = text.strip()
    if text.endswith(".whl"):
        return Requirement(normalized(text.rpartition("/")[2].split("-")[0]), frozenset(), True, text)
    found = _REQUIREMENT.fullmatch(text)
    if not found or "/" in text.partition("@")[0].partition(";")[0] or text.startswith("."):
        return Requirement("", frozenset(), None, text)
    extras = frozenset(extra.strip() for extra in (found[2] or "[]")[1:-1].split(",") if extra.strip())
    rest = found[3].partition(";")[0].strip()
    pinned = None if rest.startswith("@") else bool(_EXACT.fullmatch(rest))
    return Requirement(normalized(found[1]), extras, pinned, text[:80])


@cache
def read(content: bytes) -> RequirementFile:
    """Read a requirement file."""
    found = RequirementFile()
    text = re.sub(r"\\\r?\n", " ", content.decode("utf-8", "replace"))
    for line in text.splitlines():
        bare = re.sub(r"(^|\s)#.*", "", line).strip()
        option = re.match(r"(-r|--requirement|-c|--constraint|-e|--editable)(?:\s+|=)?(\S+)", bare)
        if option and option[1] in ("-r", "--requirement"):
            found.further.append(option[2])
        elif option and option[1] in ("-c", "--constraint"):
            found.constraints.append(option[2])
        elif option:
            found.requirements.append(Requirement("", frozenset(), None, bare))
        elif bare and not bare.startswith("-"):
            found.requirements.append(requirement(re.split(r"\s+--", bare)[0]))
    return found


def brought(requirements: Iterable[Requirement]) -> Iterator[str]:
    """Name the distributions that these bring, as far as it is known here."""
    waiting = [key for one in requirements for key in _keys(one)]
    seen: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += BRINGS.get(key, ())
            if "[" not in key and key:
                yield key


def _keys(one: Requirement) -> list[str]:
    return [one.name, *(f"{one.name}[{extra}]" for extra in one.extras)]
