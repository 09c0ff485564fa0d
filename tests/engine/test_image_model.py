"""The model of a build behind the hidden suite of `serving_image`: real layouts pass, broken ones fail as named.

Only what is judged without running anything; the health check is run by the suite itself.
"""

import contextlib
import inspect
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = ROOT / "tests" / "hidden" / "serving_image"
sys.path.insert(0, str(HIDDEN))

import image_model  # noqa: E402
import test_contents  # noqa: E402
import test_start  # noqa: E402
from image_model.ignore import Ignored  # noqa: E402

NAMES = ("Dockerfile", ".dockerignore", "requirements.txt", "healthcheck.py")
FILES = {name: (ROOT / "solutions" / "serving_image" / name).read_bytes() for name in NAMES}
SLOW = 10.0  # seconds; a hostile file takes a fraction of it

BUILDER = "FROM python:3.12.7-slim AS builder\nWORKDIR /build\nCOPY requirements.txt .\n"
FINAL = "FROM python:3.12.7-slim\nENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
INSTALL = "pip install --no-cache-dir -r requirements.txt\n"
VENV = f"{BUILDER}RUN python -m venv /opt/venv && /opt/venv/bin/{INSTALL}"
ON_PATH = "ENV PATH=/opt/venv/bin:$PATH\n"
COPY_VENV = "COPY --from=builder /opt/venv /opt/venv\n"
APP = "WORKDIR /app\nCOPY healthcheck.py main.py ./\nCOPY model/ model/\n"
USER = "USER 10001:10001\n"
SERVE = 'CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]\n'
MODULE = SERVE.replace('["uvicorn"', '["python", "-m", "uvicorn"')
RUNTIME = FINAL + ON_PATH + COPY_VENV
SLIM = "python:3.12.7-slim"


def failures(dockerfile: str, **others: str) -> dict[str, str]:
    """Return what does not hold by requirement, with the sentence for the candidate."""
    names = {"requirements": "requirements.txt", "constraints": "constraints.txt", "ignore": ".dockerignore"}
    files = {
        **FILES,
        **{names[name]: text.encode() for name, text in others.items()},
        "Dockerfile": dockerfile.encode(),
    }
    image = image_model.build(files)
    found: dict[str, str] = {}
    for module in (test_start, test_contents):
        for name, test in vars(module).items():
            if not name.startswith("test_"):
                continue
            known = {"image": image, "files": files}
            try:
                test(**{name: known[name] for name in inspect.signature(test).parameters})
            except AssertionError as error:
                found.setdefault(test.pytestmark[0].args[0], str(error))
    return found


RIGHT = {
    "a virtual environment": VENV + RUNTIME + APP + USER + SERVE,
    "an activated environment": BUILDER
    + f"RUN python -m venv /opt/venv && . /opt/venv/bin/activate && {INSTALL}"
    + RUNTIME + APP + USER + SERVE,
    "an environment on the builder's PATH": BUILDER
    + "ENV VIRTUAL_ENV=/opt/venv\nRUN python3 -m venv $VIRTUAL_ENV\n"
    + f'ENV PATH="$VIRTUAL_ENV/bin:$PATH"\nRUN {INSTALL}'
    + RUNTIME + APP + USER + SERVE,
    "all of /usr/local": BUILDER + "RUN " + INSTALL + FINAL
    + "COPY --from=builder /usr/local /usr/local\n" + APP + USER + SERVE,
    "site-packages and a module": BUILDER + "RUN " + INSTALL + FINAL
    + "COPY --from=builder /usr/local/lib/python3.12/site-packages /usr/local/lib/python3.12/site-packages\n"
    + APP + USER + MODULE,
    "a target on PYTHONPATH": BUILDER + "RUN " + INSTALL.replace("-r", "-t /deps -r") + FINAL
    + "ENV PYTHONPATH=/deps PATH=/deps/bin:$PATH\nCOPY --from=builder /deps /deps\n" + APP + USER + SERVE,
    "a root of its own": BUILDER + "RUN " + INSTALL.replace("-r", "--root=/r -r") + FINAL
    + "COPY --from=builder /r/usr/local /usr/local\n" + APP + USER + SERVE,
    "wheels by pattern": BUILDER + "RUN pip wheel --no-cache-dir -w /wheels -r requirements.txt\n" + FINAL
    + "COPY --from=builder /wheels /wheels\nRUN pip install --no-cache-dir --no-index /wheels/*.whl && rm -rf /wheels\n"
    + APP + USER + SERVE,
    "wheels by a variable": BUILDER + "RUN pip wheel --no-cache-dir -w /wheels -r requirements.txt\n" + FINAL
    + "RUN --mount=type=bind,from=builder,target=/b PIP_NO_INDEX=1 pip install --no-cache-dir --find-links=/b/wheels "
    + "-r /b/build/requirements.txt\n" + APP + USER + SERVE,
    "requirements from a mount": "FROM python:3.12.7-slim AS builder\nRUN python -m venv /opt/venv\n"
    + "RUN --mount=type=bind,source=requirements.txt,target=/r.txt --mount=type=cache,target=/root/.cache/pip "
    + "/opt/venv/bin/pip install -r /r.txt\n" + RUNTIME + APP + USER + SERVE,
    "a here-document": BUILDER + "RUN <<EOF\nset -e\npython -m venv /opt/venv\n/opt/venv/bin/" + INSTALL + "EOF\n"
    + RUNTIME + APP + USER + SERVE,
    "a common base": "ARG V=3.12.7\nFROM python:${V}-slim AS base\nENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
    + "ENV PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH\nFROM base AS builder\nRUN python -m venv /opt/venv\n"
    + "COPY requirements.txt .\nRUN pip install -r requirements.txt\nFROM base\n" + COPY_VENV + APP + USER + SERVE,
    "stages by number": VENV.replace(" AS builder", "") + RUNTIME.replace("=builder", "=0") + APP + USER + SERVE,
    "Alpine": (VENV + RUNTIME + "RUN addgroup -g 10001 -S app && adduser -S -D -H -u 10001 -G app app\n"
    + APP + USER + SERVE).replace("-slim", "-alpine3.20"),
    "an image by digest": (VENV + RUNTIME + APP + USER + SERVE).replace(SLIM, "python:3.12-slim@sha256:" + "b" * 64),
    "numbers from ARG": VENV + RUNTIME + APP + "ARG UID=10001\nRUN useradd -u ${UID} -M app\nUSER ${UID}:0\n" + SERVE,
    "an installation by the user itself": "FROM python:3.12.7-slim AS builder\nRUN useradd -m -u 10001 app\nUSER app\n"
    + "WORKDIR /home/app\nCOPY requirements.txt .\nRUN pip install --user --no-cache-dir -r requirements.txt\n" + FINAL
    + "RUN useradd -m -u 10001 app\nENV PATH=/home/app/.local/bin:$PATH\n"
    + "COPY --from=builder /home/app/.local /home/app/.local\n" + APP + USER + SERVE,
    "a user site with HOME": BUILDER + "RUN " + INSTALL.replace("-r", "--user -r") + FINAL
    + "ENV HOME=/home/app PATH=/home/app/.local/bin:$PATH\nCOPY --from=builder /root/.local /home/app/.local\n"
    + APP + USER + SERVE,
    "PYTHONUSERBASE": BUILDER + "ENV PYTHONUSERBASE=/p\nRUN " + INSTALL.replace("-r", "--user -r") + FINAL
    + "ENV PYTHONUSERBASE=/p PATH=/p/bin:$PATH\nCOPY --from=builder /p /p\n" + APP + USER + SERVE,
    "uv from its image": "FROM ghcr.io/astral-sh/uv:0.5.4-python3.12-slim AS builder\nCOPY requirements.txt .\n"
    + "RUN uv venv /opt/venv && VIRTUAL_ENV=/opt/venv uv pip install --no-cache -r requirements.txt\n"
    + RUNTIME + APP + USER + SERVE,
    "distroless": BUILDER.replace(SLIM, "python:3.11.10-slim") + "RUN " + INSTALL.replace("-r", "-t /deps -r")
    + f"FROM gcr.io/distroless/python3-debian12:nonroot@sha256:{'a' * 64}\nENV PYTHONPATH=/deps PYTHONUNBUFFERED=1\n"
    + "ENV PYTHONDONTWRITEBYTECODE=1\nCOPY --from=builder /deps /deps\n" + APP + USER
    + SERVE.replace('["uvicorn"', '["-m", "uvicorn"'),
    "sh with exec": VENV + RUNTIME + "ENV PORT=8000\n" + APP + USER
    + 'CMD ["sh", "-c", "exec uvicorn main:app --host 0.0.0.0 --port ${PORT:-8000}"]\n',
    "an entrypoint and its arguments": VENV + RUNTIME + APP + USER + 'ENTRYPOINT ["python", "-m", "uvicorn"]\n'
    + SERVE.replace('"uvicorn", ', ""),
    "an app in a folder": VENV + RUNTIME + "WORKDIR /srv\nCOPY main.py app/\nCOPY model app/model\n" + USER
    + SERVE.replace("main:app", "app.main:app"),
    "an app elsewhere": VENV + RUNTIME + "COPY main.py /app/\nCOPY model /app/model\n" + USER
    + SERVE.replace('"main:app"', '"main:app", "--app-dir", "/app"'),
    "byte code at build time": VENV + RUNTIME.replace("PYTHONDONTWRITEBYTECODE=1 ", "") + APP
    + "RUN python -m compileall -q /app\n" + USER + SERVE,
    "words like secrets": VENV + RUNTIME + "ENV TOKENIZERS_PARALLELISM=false MAX_TOKENS=5 AWS_CREDENTIALS_FILE=/run/x\n"
    + APP + USER + SERVE,
    "a compiler in the builder": BUILDER
    + "RUN apt-get update && apt-get -y install --no-install-recommends gcc libpq-dev && rm -rf /var/lib/apt/lists/*\n"
    + f"RUN python -m venv /opt/venv && /opt/venv/bin/{INSTALL}" + RUNTIME + APP + USER + SERVE,
    "what the model cannot follow": BUILDER + "COPY healthcheck.py .\nRUN python healthcheck.py\n" + FINAL
    + "COPY --from=builder /somewhere /else\n" + APP + USER + SERVE,
}  # fmt: skip


@pytest.mark.parametrize("dockerfile", RIGHT.values(), ids=RIGHT.keys())
def test_a_layout_that_works_fails_nothing(dockerfile: str) -> None:
    assert failures(dockerfile) == {}


WRONG = {
    "scripts left behind": (BUILDER + "RUN " + INSTALL + FINAL
    + "COPY --from=builder /usr/local/lib/python3.12/site-packages /usr/local/lib/python3.12/site-packages\n"
    + APP + USER + SERVE, "R3"),
    "tini is not there": (VENV + RUNTIME + APP + USER + 'ENTRYPOINT ["tini", "--"]\n' + SERVE, "R3"),
    "a server that is not installed": (VENV + RUNTIME + APP + USER
    + 'CMD ["gunicorn", "-b", "0.0.0.0:8000", "-k", "uvicorn.workers.UvicornWorker", "main:app"]\n', "R3 R4"),
    "gunicorn without an ASGI worker": (VENV.replace("-r", "gunicorn==23.0.0 -r") + RUNTIME + APP + USER
    + 'CMD ["gunicorn", "--bind=0.0.0.0:8000", "main:app"]\n', "R1"),
    "a module that only defines the app": (VENV + RUNTIME + APP + USER + 'CMD ["python", "main.py"]\n', "R1"),
    "an app where nobody looks": (VENV + RUNTIME + "COPY main.py /app/\nCOPY model /app/model\n" + USER + SERVE, "R4"),
    "a model that is closed": (VENV + RUNTIME + APP + "RUN chmod -R o-rx /app/model\n" + USER + SERVE, "R4"),
    "a context as a mount": ("FROM python:3.12.7-slim AS builder\nRUN python -m venv /opt/venv\n"
    + "RUN --mount=type=bind,target=/src /opt/venv/bin/pip install --no-cache-dir -r /src/requirements.txt\n"
    + RUNTIME + APP + USER + SERVE, "R6"),
    "tini over the network": (VENV + FINAL
    + "RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*\n"
    + ON_PATH + COPY_VENV + APP + USER + 'ENTRYPOINT ["/usr/bin/tini", "--"]\n' + SERVE, "R8"),
    "a download": (VENV + RUNTIME + "ADD https://example.org/ca.pem /ca.pem\n" + APP + USER + SERVE, "R8"),
    "copied with an owner": (VENV + RUNTIME + APP.replace("COPY", "COPY --chown=10001:10001") + USER + SERVE, "R12"),
    "group root may write": (VENV + RUNTIME + APP
    + "RUN chgrp -R 0 /app && chmod -R g=u /app\nUSER 10001:0\n" + SERVE, "R12"),
    "code in the user's home": (VENV + RUNTIME + "RUN useradd -m -u 10001 app\n" + APP.replace("/app", "/home/app")
    + USER + SERVE, "R12"),
    "only a minor version": ((VENV + RUNTIME + APP + USER + SERVE).replace(SLIM, "python:3.12-slim"), "R13"),
    "no tag": ((VENV + RUNTIME + APP + USER + SERVE).replace(SLIM, "python"), "R2 R13"),
    "PyPy": ((VENV + RUNTIME + APP + USER + SERVE).replace("FROM " + SLIM + "\n", "FROM pypy:3.10-slim\n"), "R2 R13"),
    "a stage that is not used": ("FROM python:3.12.7-slim\n" + RUNTIME.replace("--from=builder ", "") + APP
    + USER + SERVE, "R1 R3 R4"),
    "a requirement file that was not copied": (VENV.replace("COPY requirements.txt .\n", "") + RUNTIME + APP
    + USER + SERVE, "R1 R3"),
    "wheels that were not built": (BUILDER + FINAL + "RUN --mount=type=bind,from=builder,source=/build,target=/w "
    + "pip install --no-index --find-links=/w --no-cache-dir -r /w/requirements.txt\n" + APP + USER + SERVE, "R1"),
    "uv without an environment": (BUILDER + "RUN pip install --no-cache-dir uv==0.5.4 && "
    + "uv pip install --no-cache -r requirements.txt\n" + FINAL + "COPY --from=builder /build /opt\n" + APP
    + USER + SERVE, "R1"),
    "curl on a slim image": (BUILDER + "RUN curl -sSfO https://example.org/x\n" + VENV.replace(BUILDER, "") + RUNTIME
    + APP + USER + SERVE, "R1"),
    "a module that is none": (VENV + RUNTIME + APP + USER + MODULE.replace('"-m", ', ""), "R3"),
    "nothing that is started": (VENV + RUNTIME + APP + USER, "R1 R3"),
}  # fmt: skip


@pytest.mark.parametrize(("dockerfile", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_broken_layout_fails_what_it_breaks(dockerfile: str, expected: str) -> None:
    found = failures(dockerfile)
    assert set(found) == set(expected.split()), found


def test_pins_may_come_from_constraints_and_carry_hashes_and_markers() -> None:
    by_constraint = VENV.replace("COPY requirements.txt", "COPY requirements.txt constraints.txt").replace(
        "-r requirements.txt", "-r requirements.txt -c constraints.txt"
    )
    plain, pinned = "fastapi\nuvicorn\nnumpy\n", "fastapi==0.115.5\nuvicorn==0.32.1\nnumpy==2.1.3\n"
    rest = RUNTIME + APP + USER + SERVE
    assert failures(by_constraint + rest, requirements=plain, constraints=pinned, ignore="") == {}
    hashed = (
        "fastapi==0.115.5 \\\n    --hash=sha256:ab\nuvicorn==0.32.1 ; python_version >= '3.9'  # server\nnumpy==2.1.3\n"
    )
    assert failures(VENV + rest, requirements=hashed) == {}
    assert set(failures(VENV + rest, requirements=plain.replace("numpy", "numpy==2.*"))) == {"R13"}
    assert set(failures(VENV + rest, requirements="fastapi==0.115.5\nuvicorn==0.32.1\n")) == {"R4"}


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("**/*.md", "docs/deep/README.md", True),
        ("**/*.md", "README.md", True),
        ("**/foo", "xfoo", False),
        ("tests", "tests/test_main.py", True),
        ("tests/", "tests/test_main.py", True),
        ("/tests", "tests/test_main.py", True),
        ("test", "tests/test_main.py", False),
        ("data/**", "data/a/b.csv", True),
        ("*\n!main.py", "main.py", False),
        ("*\n!model", "model/weights.json", False),
        ("!main.py\n*", "main.py", True),
        ("# main.py", "main.py", False),
        ("mai?.py\n!main.[pq]y", "main.py", False),
        ("**", "a/b/c", True),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/x/y/c", True),
        ("a/**/c", "a/xc", False),
    ],
)
def test_patterns_follow_dockers_rules(patterns: str, path: str, ignored: bool) -> None:
    assert (path in Ignored(patterns)) is ignored


HOSTILE = {
    "10 MB": "RUN x\n" * 2_000_000,
    "values that double": "ARG A0=xxxxxxxxxx\n" + "".join(f"ARG A{n + 1}=$A{n}$A{n}$A{n}\n" for n in range(200)) + VENV,
    "nested variables": VENV + "ENV A=" + "${A:-" * 9_000 + "}" * 9_000 + "\n",
    "nested commands": VENV + "RUN echo " + "$(" * 40_000 + "\n",
    "many patterns": VENV + "COPY " + "* " * 40_000 + "/x/\n",
    "many modes": VENV + "RUN chmod -R 777 " + "/ " * 40_000 + "\n",
    "brackets": VENV + "CMD " + "[" * 90_000 + "\n",
    "copies of copies": "FROM python:3.12 AS s0\nCOPY . /a/\n"
    + "".join(f"FROM s{n} AS s{n + 1}\nCOPY --from=s{n} / /n{n}/\n" for n in range(99)),
    "links in a circle": VENV + "RUN ln -s /a /b && ln -s /b /a && ln -s . /c\nWORKDIR /a/b/c\nCOPY . /c/c/a/\n",
}


@pytest.mark.parametrize("dockerfile", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_read_or_refused_in_time(dockerfile: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ValueError):
        failures(dockerfile)
    assert time.process_time() - started < SLOW


@pytest.mark.parametrize("patterns", ["**/*a" * 8 + "\n", "*" * 200 + "\n", "*a" * 2_500, "a\n" * 2_500])
def test_hostile_patterns_are_matched_or_refused_in_time(patterns: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ValueError):
        assert "main.py" not in Ignored(patterns * 20)
    assert time.process_time() - started < SLOW
