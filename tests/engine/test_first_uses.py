"""The zygote's small uses of libraries: each works with the libraries of today, and leaves no thread."""

import subprocess
import sys

import pytest

from rounds.inside.first_uses import FIRST_USES


@pytest.mark.parametrize("name", FIRST_USES)
def test_a_first_use_works_and_leaves_no_thread(name: str) -> None:
    program = (
        f"import threading, {name}\nfrom rounds.inside.first_uses import FIRST_USES\nFIRST_USES[{name!r}]()\n"
        "print(threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
