"""Each key has a task that tends its lane while items wait there; a semaphore bounds the batches of all lanes."""

import asyncio
import inspect
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any


class QueueFullError(RuntimeError):
    """As many items wait as may wait."""


class BatchShapeError(RuntimeError):
    """The model returned another number of results than it got items."""


class BatcherClosed(RuntimeError):
    """The batcher takes no more items."""


class Lane:
    """The items of one key, as futures that carry them, and an event that tells of changes."""

    def __init__(self) -> None:
        self.waiting: dict[asyncio.Future, tuple[Any, float]] = {}
        self.changed = asyncio.Event()


class DynamicBatcher:
    """Start a task per busy key; it waits until its lane is full or due, then for a slot."""

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
        if inspect.iscoroutinefunction(predict_batch):
            self._ask: Callable = predict_batch
        else:
            self._ask = lambda items: asyncio.to_thread(predict_batch, items)
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._max_queue = max_queue
        self._request_timeout_s = request_timeout_s
        self._key = key
        self._lanes: dict[Hashable, Lane] = {}
        self._slots = asyncio.Semaphore(max_concurrency)
        self._tasks: set[asyncio.Task] = set()
        self._closed = False
        self._sizes: list[int] = []
        self._counts: Counter[str] = Counter()

    async def predict(self, item: Any) -> Any:
        """Wait for a batch and return the model's result for this item."""
        if self._closed:
            raise BatcherClosed("this batcher is closed")
        if sum(len(lane.waiting) for lane in self._lanes.values()) >= self._max_queue:
            self._counts["rejected"] += 1
            raise QueueFullError("the queue is full")
        loop = asyncio.get_running_loop()
        name = self._key(item) if self._key else None
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane()
            self._spawn(self._tend(name, lane))
        future = loop.create_future()
        lane.waiting[future] = (item, loop.time())
        lane.changed.set()
        expiry = None
        if self._request_timeout_s is not None:
            expiry = loop.call_later(self._request_timeout_s, self._expire, lane, future)
        try:
            return await future
        finally:
            if expiry is not None:
                expiry.cancel()
            if lane.waiting.pop(future, None):
                self._counts["cancelled"] += 1
                lane.changed.set()

    async def close(self, *, drain: bool = True) -> None:
        """Take no more items; finish the accepted ones, or fail those that still wait."""
        self._closed = True
        for lane in self._lanes.values():
            if not drain:
                for future in lane.waiting:
                    if not future.done():
                        future.set_exception(BatcherClosed("the batcher was closed"))
                lane.waiting.clear()
            lane.changed.set()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stats(self) -> dict:
        """Return the counts batches, items, batch_sizes (a histogram), rejected, timed_out and cancelled."""
        return {
            "batches": len(self._sizes),
            "items": sum(self._sizes),
            "batch_sizes": dict(Counter(self._sizes)),
            **{name: self._counts[name] for name in ("rejected", "timed_out", "cancelled")},
        }

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _expire(self, lane: Lane, future: asyncio.Future) -> None:
        if lane.waiting.pop(future, None) and not future.done():
            self._counts["timed_out"] += 1
            future.set_exception(TimeoutError("no batch started in time"))
            lane.changed.set()

    async def _tend(self, name: Hashable, lane: Lane) -> None:
        while lane.waiting:
            await self._ripen(lane)
            await self._slots.acquire()
            chosen = [future for future in lane.waiting if not future.done()][: self._max_batch_size]
            batch = [(future, lane.waiting.pop(future)[0]) for future in chosen]
            if batch:
                self._sizes.append(len(batch))
                self._spawn(self._serve(batch))
            else:
                self._slots.release()
        del self._lanes[name]

    async def _ripen(self, lane: Lane) -> None:
        """Return when the lane is full, due, empty or to be closed."""
        loop = asyncio.get_running_loop()
        while lane.waiting and not self._closed and len(lane.waiting) < self._max_batch_size:
            _, arrived = next(iter(lane.waiting.values()))
            left = arrived + self._max_wait_s - loop.time()
            if left <= 0:
                return
            lane.changed.clear()
            try:
                await asyncio.wait_for(lane.changed.wait(), left)
            except TimeoutError:
                continue

    async def _serve(self, batch: list[tuple[asyncio.Future, Any]]) -> None:
        """Ask for the whole batch, then for halves of what failed; what must be guilty is not asked again."""
        todo: deque[tuple[list, Exception | None]] = deque([(batch, None)])
        try:
            while todo:
                part, known = todo.popleft()
                error = known or await self._attempt(part)
                if error is None:
                    continue
                if len(part) == 1:
                    if not part[0][0].done():
                        part[0][0].set_exception(error)
                    continue
                left, right = part[: len(part) // 2], part[len(part) // 2 :]
                left_error = await self._attempt(left)
                if left_error is not None:
                    todo.append((left, left_error))
                    todo.append((right, None))
                else:
                    todo.append((right, error))
        finally:
            self._slots.release()

    async def _attempt(self, part: list[tuple[asyncio.Future, Any]]) -> Exception | None:
        """Answer a part, or return the exception on which the model failed."""
        try:
            results = await self._ask([item for _, item in part])
        except Exception as error:
            return error
        wrong = len(results) != len(part)
        for place, (future, _) in enumerate(part):
            if future.done():
                continue
            if wrong:
                future.set_exception(BatchShapeError(f"{len(part)} items, {len(results)} results"))
            else:
                future.set_result(results[place])
        return None
