"""The first thing that runs in the sandbox: `python boot.py SETTINGS`.

It makes this folder importable as `rounds_inside` (the kit itself is not here) and hands over to the zygote, or in a
container to the end of the relay there, which starts the zygote in turn.
"""

import importlib.util
import json
import socket
import sys
from pathlib import Path


def boot() -> None:
    here = Path(__file__).resolve().parent
    sys.path = [entry for entry in sys.path if entry not in ("", str(here))]
    spec = importlib.util.spec_from_file_location(
        "rounds_inside", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["rounds_inside"] = package
    spec.loader.exec_module(package)
    settings = json.loads(sys.argv[1])
    sys.argv = ["submission"]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    if "control" in settings:
        zygote = importlib.import_module("rounds_inside.zygote")
        zygote.main(settings, socket.socket(fileno=settings["control"]))
    else:
        importlib.import_module("rounds_inside.relay_end").main(settings)


if __name__ == "__main__":
    boot()
