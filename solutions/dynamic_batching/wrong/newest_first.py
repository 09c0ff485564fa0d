"""A batch takes the newest items, last come first.  Fails: R1."""

import asyncio
import inspect
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


class QueueFullError(RuntimeError):
    """As many items wait as may wait."""


class BatchShapeError(RuntimeError):
    """The model returned another number of results than it got items."""


class BatcherClosed(RuntimeError):
    """The batcher takes no more items."""


@dataclass(eq=False)
class Request:
    """One item and whoever waits for its result."""

    item: Any
    future: asyncio.Future
    lane: Hashable
    due: float
    expiry: asyncio.TimerHandle | None = None

    def answer(self, result: Any) -> None:
        if not self.future.done():  # the caller may have been cancelled meanwhile
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class DynamicBatcher:
    """Collect items for up to `max_wait_s` and hand them to the model together."""

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
        for name, size in (
            ("max_batch_size", max_batch_size),
            ("max_queue", max_queue),
            ("max_concurrency", max_concurrency),
        ):
            if not size >= 1:
                raise ValueError(f"{name} must be at least 1, and is {size}")
        for name, seconds in (("max_wait_s", max_wait_s), ("request_timeout_s", request_timeout_s)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must not be negative, and is {seconds}")
        self._predict_batch = predict_batch
        self._is_async = inspect.iscoroutinefunction(predict_batch)
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._max_queue = max_queue
        self._request_timeout_s = request_timeout_s
        self._max_concurrency = max_concurrency
        self._key = key
        self._lanes: dict[Hashable, deque[Request]] = {}
        self._running: set[asyncio.Task] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()

    async def predict(self, item: Any) -> Any:
        """Wait for a batch and return the model's result for this item."""
        if self._closed:
            raise BatcherClosed("the batcher is closed")
        if sum(map(len, self._lanes.values())) >= self._max_queue:
            self._counts["rejected"] += 1
            raise QueueFullError(f"{self._max_queue} items wait already")
        loop = asyncio.get_running_loop()
        lane = None if self._key is None else self._key(item)
        request = Request(item, loop.create_future(), lane, loop.time() + self._max_wait_s)
        self._lanes.setdefault(lane, deque()).append(request)
        if self._request_timeout_s is not None:
            request.expiry = loop.call_later(self._request_timeout_s, self._expire, request)
        self._dispatch()
        try:
            return await request.future
        except asyncio.CancelledError:
            self._counts["cancelled"] += self._withdraw(request)
            raise

    async def close(self, *, drain: bool = True) -> None:
        """Take no more items; finish the accepted ones, or fail those that still wait."""
        self._closed = True
        if not drain:
            for request in [request for lane in self._lanes.values() for request in lane]:
                self._withdraw(request)
                request.fail(BatcherClosed("the batcher was closed while this item waited"))
        self._dispatch()
        while self._running:
            await asyncio.wait(self._running)

    def stats(self) -> dict:
        """Return the counts batches, items, batch_sizes (a histogram), rejected, timed_out and cancelled."""
        counts = {name: self._counts[name] for name in ("rejected", "timed_out", "cancelled")}
        items = sum(size * count for size, count in self._sizes.items())
        return {"batches": self._sizes.total(), "items": items, "batch_sizes": dict(self._sizes), **counts}

    # --- the queue

    def _dispatch(self) -> None:
        """Start every batch that may start now, and set the timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._lanes and len(self._running) < self._max_concurrency:
            lanes = sorted(self._lanes.values(), key=lambda lane: lane[0].due)
            ready = next((lane for lane in lanes if self._may_start(lane, loop.time())), None)
            if ready is None:
                self._timer = loop.call_at(lanes[0][0].due, self._dispatch)
                return
            self._start(ready)

    def _may_start(self, lane: deque[Request], now: float) -> bool:
        return self._closed or len(lane) >= self._max_batch_size or lane[0].due <= now

    def _start(self, lane: deque[Request]) -> None:
        batch = list(lane)[: self._max_batch_size]
        for request in batch:
            self._withdraw(request)
        batch.reverse()
        self._sizes[len(batch)] += 1
        self._running.add(asyncio.create_task(self._run(batch)))

    def _withdraw(self, request: Request) -> bool:
        """Take a request out of the queue; return whether it was there."""
        if request.expiry is not None:
            request.expiry.cancel()
        lane = self._lanes.get(request.lane)
        if lane is None or request not in lane:
            return False
        lane.remove(request)
        if not lane:
            del self._lanes[request.lane]
        return True

    def _expire(self, request: Request) -> None:
        self._withdraw(request)
        self._counts["timed_out"] += 1
        request.fail(TimeoutError(f"waited {self._request_timeout_s} s for a batch"))

    # --- one batch

    async def _run(self, batch: list[Request]) -> None:
        try:
            await self._serve(batch)
        finally:
            self._running.discard(asyncio.current_task())
            self._dispatch()

    async def _serve(self, batch: list[Request]) -> None:
        """Answer every request of a batch, halving the parts on which the model fails."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                results = await self._call([request.item for request in part])
            except Exception as error:
                if len(part) == 1:
                    part[0].fail(error)
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                continue
            if len(results) == len(part):
                for request, result in zip(part, results, strict=True):
                    request.answer(result)
            else:
                for request in part:
                    request.fail(BatchShapeError(f"{len(part)} items gave {len(results)} results"))

    async def _call(self, items: list[Any]) -> Sequence[Any]:
        if self._is_async:
            return await self._predict_batch(items)
        return await asyncio.to_thread(self._predict_batch, items)
