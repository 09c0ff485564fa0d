"""Group single requests into batches for a model that is cheaper per row when it gets many."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any


class QueueFullError(RuntimeError):
    """As many items wait as may wait."""


class BatchShapeError(RuntimeError):
    """The model returned another number of results than it got items."""


class BatcherClosed(RuntimeError):
    """The batcher takes no more items."""


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
        raise NotImplementedError

    async def predict(self, item: Any) -> Any:
        """Wait for a batch and return the model's result for this item."""
        raise NotImplementedError

    async def close(self, *, drain: bool = True) -> None:
        """Take no more items; finish the accepted ones, or fail those that still wait."""
        raise NotImplementedError

    def stats(self) -> dict:
        """Return the counts batches, items, batch_sizes (a histogram), rejected, timed_out and cancelled."""
        raise NotImplementedError
