"""Score a CSV file in chunks: account for every row, survive a kill, publish in one step."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BatchAborted(RuntimeError):
    """Too large a share of the rows had an error; nothing was published."""


class InputSchemaError(ValueError):
    """The header lacks a column that is needed."""


@dataclass
class BatchReport:
    """What a run did, and what is published."""

    n_input: int
    n_output: int
    n_errors: int
    n_chunks: int
    n_chunks_resumed: int
    predict_calls: int  # in this run
    output_sha256: str
    input_sha256: str
    errors_by_reason: dict[str, int]
    skipped: bool


def run_batch_predictions(
    model: Any,
    input_path: Path,
    output_path: Path,
    *,
    feature_names: Sequence[str],
    id_column: str = "id",
    model_version: str = "0",
    chunk_size: int = 1000,
    error_path: Path | None = None,  # default: output_path + ".errors.csv"
    work_dir: Path | None = None,  # default: output_path + ".work"
    max_error_rate: float = 0.1,
    shard: tuple[int, int] = (0, 1),
    clock: Callable[[], float] = time.time,
) -> BatchReport:
    """Predict every valid row of `input_path`, publish output, errors and manifest, and report."""
    raise NotImplementedError
