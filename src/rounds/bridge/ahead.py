"""Makes the next test's process while the present test runs, so that no test waits for its own to start.

The process is as fresh as any other: forked for one test, with only that test's submission loaded. What loading it
said, an exception or a time-out, is kept and met by the test.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

HEAD_START = 1.0  # seconds that a process may wait for its test; one that waited longer is not used


class Ahead:
    """At most one process that waits for its test."""

    def __init__(self) -> None:
        self._wanted: object = None
        self._made: Any = None
        self._worker: threading.Thread | None = None
        self._begun = 0.0

    def begin(self, wanted: object, make: Callable[[float], Any], load: bool) -> None:
        """Start to make a process; `wanted` says what it is for, and `make` gets its head start."""
        self.drop()

        def work() -> None:
            try:
                made = self._made = make(HEAD_START)
            except Exception:  # the test makes its own, and meets the reason
                return
            if load:
                made.try_to_load()

        self._wanted, self._begun = wanted, time.monotonic()
        self._worker = threading.Thread(target=work, daemon=True, name="ahead")
        self._worker.start()

    def take(self, wanted: object) -> Any:
        """Return the process that was made for this, or None."""
        if self._worker is None or wanted != self._wanted or time.monotonic() - self._begun > HEAD_START:
            self.drop()
            return None
        self._worker.join()
        made, self._made, self._worker = self._made, None, None
        if made is not None:
            made.belongs_to_this_thread()
        return made

    def drop(self) -> None:
        """End the process that nobody took."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._made is not None:
            self._made.close()  # or it would load to its end
        worker.join()
        made, self._made = self._made, None
        if made is not None:
            made.close()
