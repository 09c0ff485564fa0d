"""One worker task looks at the queue whenever something changed, and sleeps until the next deadline."""

import asyncio
import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class QueueFullError(RuntimeError):
    """As many items wait as may wait."""


class BatchShapeError(RuntimeError):
    """The model returned another number of results than it got items."""


class BatcherClosed(RuntimeError):
    """The batcher takes no more items."""


class Call:
    """An item, its lane, its arrival and its caller."""

    def __init__(self, item: Any, lane: Hashable, arrived: float) -> None:
        self.item = item
        self.lane = lane
        self.arrived = arrived
        self.limit = asyncio.timeout(None)
        self.future = asyncio.get_running_loop().create_future()


class DynamicBatcher:
    """Keep one list of calls in the order of arrival; the worker picks batches from it."""

    def __init__(
        self,
        predict_batch: Callable[[list[Any]], Sequence[Any] | Awaitable[Sequence[Any]]],
        *,
        max_batch_size: int = 32,
        max_wait_s: float = 0.005,
        max_queue: int = 256,
        request_timeout_s: float | None = None,
        max_concurrency: int = 1,
        key: Callable[[Any], Hashable] | None = None,
    ) -> None:
        sizes = {"max_batch_size": max_batch_size, "max_queue": max_queue, "max_concurrency": max_concurrency}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1")
        for seconds in (max_wait_s, request_timeout_s or 0.0):
            if math.isnan(seconds) or seconds < 0:
                raise ValueError("a time must be a number that is not negative")
        self._size = max_batch_size
        self._wait = max_wait_s
        self._bound = max_queue
        self._limit = request_timeout_s
        self._most = max_concurrency
        self._key = key or (lambda item: None)
        self._pool: ThreadPoolExecutor | None = None
        self._model = predict_batch
        if not inspect.iscoroutinefunction(predict_batch):
            self._pool = ThreadPoolExecutor(max_concurrency)
        self._calls: list[Call] = []
        self._tasks: set[asyncio.Task] = set()
        self._worker: asyncio.Task | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self._sizes: list[int] = []
        self._counts: Counter[str] = Counter()

    async def predict(self, item: Any) -> Any:
        """Wait for a batch and return the model's result for this item."""
        if self._closed:
            raise BatcherClosed("closed")
        if len(self._calls) >= self._bound:
            self._counts["rejected"] += 1
            raise QueueFullError("too many items wait")
        call = Call(item, self._key(item), asyncio.get_running_loop().time())
        self._calls.append(call)
        self._worker = self._worker or asyncio.create_task(self._work())
        self._changed.set()
        try:
            async with asyncio.timeout(self._limit) as call.limit:
                return await call.future
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            raise
        finally:
            if call in self._calls:
                self._calls.remove(call)
                self._counts["timed_out"] += call.limit.expired()
                self._changed.set()

    async def close(self, *, drain: bool = True) -> None:
        """Take no more items; finish the accepted ones, or fail those that still wait."""
        self._closed = True
        if not drain:
            for call in self._calls:
                if not call.future.done():
                    call.future.set_exception(BatcherClosed("closed while waiting"))
            self._calls.clear()
        self._changed.set()
        if self._worker is not None:
            await self._worker
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def stats(self) -> dict:
        """Return the counts batches, items, batch_sizes (a histogram), rejected, timed_out and cancelled."""
        return {
            "batches": len(self._sizes),
            "items": sum(self._sizes),
            "batch_sizes": dict(Counter(self._sizes)),
            **{name: self._counts[name] for name in ("rejected", "timed_out", "cancelled")},
        }

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._calls or self._tasks or not self._closed:
            self._changed.clear()
            batch, due = self._look(loop.time())
            if batch:
                self._start(batch)
                continue
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self, now: float) -> tuple[list[Call], float | None]:
        """Return a batch that may start now, or when to look again unless something changes."""
        due = None
        if len(self._tasks) >= self._most:
            return [], due
        lanes: dict[Hashable, list[Call]] = {}
        for call in self._calls:
            if not call.limit.expired() and not call.future.done():
                lanes.setdefault(call.lane, []).append(call)
        for lane in lanes.values():
            end = lane[0].arrived + self._wait
            if self._closed or len(lane) >= self._size or now >= end:
                return lane[: self._size], None
            due = end if due is None else min(due, end)
        return [], due

    def _start(self, batch: list[Call]) -> None:
        for call in batch:
            self._calls.remove(call)
            call.limit.reschedule(None)
        self._sizes.append(len(batch))
        task = asyncio.create_task(self._compute(batch))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _compute(self, batch: list[Call]) -> None:
        """Serve a batch; on an exception, serve its halves one after the other."""
        items = [call.item for call in batch]
        try:
            if self._pool is None:
                results = list(await self._model(items))
            else:
                results = list(await asyncio.get_running_loop().run_in_executor(self._pool, self._model, items))
        except Exception as error:
            if len(batch) > 1:
                middle = (len(batch) + 1) // 2
                await self._compute(batch[:middle])
                await self._compute(batch[middle:])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        short = len(results) != len(batch)
        for place, call in enumerate(batch):
            if call.future.done():
                continue
            if short:
                call.future.set_exception(BatchShapeError(f"{len(results)} results for {len(batch)} items"))
            else:
                call.future.set_result(results[place])
