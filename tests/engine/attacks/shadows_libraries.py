"""Writes modules beside itself that shadow the libraries and the agent.  Expect: met."""

from pathlib import Path

import honest

for name in ("numpy", "msgpack", "pandas", "httpx", "rounds", "rounds_inside", "conftest", "encodings"):
    Path(f"{name}.py").write_text("raise SystemExit('shadowed')")

double = honest.double
