"""The event loops on which a submission's coroutines run: a real one in a thread, or one whose time is virtual."""

import asyncio
import concurrent.futures
import selectors
import threading
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: when nothing is ready, its clock jumps to the next timer.

    It can't be mixed with threads: the clock would run away while a thread works.
    """

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector())
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        wait = selector.select

        def select(timeout: float | None) -> Any:
            events = wait(0)
            if not events:
                if timeout is None:
                    raise RuntimeError("nothing is scheduled: the code under test waits for ever")
                self._now += max(0.0, timeout)
            return events

        selector.select = select

    def time(self) -> float:
        return self._now


class Loops:
    """One loop of each kind for a process, made when first asked for."""

    def __init__(self) -> None:
        self._real: asyncio.AbstractEventLoop | None = None
        self._virtual: VirtualTimeLoop | None = None
        self._lock = threading.Lock()

    def start(self, awaitable: Any, kind: str) -> "concurrent.futures.Future[Any]":
        """Run an awaitable to its end; on the virtual loop before this returns, on the real one meanwhile."""
        if kind == "real":
            return asyncio.run_coroutine_threadsafe(_wrap(awaitable), self._running_loop())
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._virtual = self._virtual or VirtualTimeLoop()
            try:
                future.set_result(self._virtual.run_until_complete(_wrap(awaitable)))
            except BaseException as error:
                future.set_exception(error)
        return future

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._real is None:
                self._real = asyncio.new_event_loop()
                threading.Thread(target=self._real.run_forever, daemon=True, name="event loop").start()
            return self._real


async def _wrap(awaitable: Any) -> Any:
    return await awaitable
