"""Pandas reads blocks of text and judges whole columns; finished chunks are CSV parts, put together in order."""

import hashlib
import json
import math
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BLOCK = 5000  # rows read at a time


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
    began = clock()
    output_path = Path(output_path)
    error_path = Path(error_path) if error_path else Path(f"{output_path}.errors.csv")
    work_dir = Path(work_dir) if work_dir else Path(f"{output_path}.work")
    manifest_path = Path(f"{output_path}.manifest.json")
    names = [id_column, *feature_names]
    check_columns(input_path, names)
    input_hash = file_hash(input_path)
    job = [input_hash, names, model_version, chunk_size, *shard]
    earlier = finished_report(manifest_path, output_path, error_path, job)
    if earlier:
        return earlier

    prepare(work_dir, job)
    report = BatchReport(0, 0, 0, 0, 0, 0, "", input_hash, {}, False)
    reasons: Counter[str] = Counter()
    output_file, error_file = work_dir / "all.output", work_dir / "all.errors"
    pd.DataFrame(columns=["id", "prediction", "model_version"]).to_csv(output_file, index=False)
    pd.DataFrame(columns=["row", "id", "reason"]).to_csv(error_file, index=False)
    waiting: list[pd.DataFrame] = []
    seen: set[bytes] = set()

    def close_chunk(valid: pd.DataFrame) -> None:
        stem = work_dir / f"chunk-{report.n_chunks}"
        report.n_chunks += 1
        done = stem.with_suffix(".done")
        if done.exists():
            report.n_chunks_resumed += 1
        else:
            frame, report_calls = predict_frame(model, valid, list(feature_names))
            report.predict_calls += report_calls
            good = frame[frame["reason"] == ""].assign(model_version=model_version)
            good[["id", "prediction", "model_version"]].to_csv(
                stem.with_suffix(".output"), index=False, header=False, lineterminator="\n"
            )
            bad = frame[frame["reason"] != ""]
            bad[["row", "id", "reason"]].to_csv(
                stem.with_suffix(".errors"), index=False, header=False, lineterminator="\n"
            )
            counts = {"good": len(good), "bad": bad["reason"].value_counts().to_dict()}
            text = json.dumps(counts)
            stem.with_suffix(".tmp").write_text(text)
            stem.with_suffix(".tmp").rename(done)
        counts = json.loads(done.read_text())
        report.n_output += counts["good"]
        reasons.update(counts["bad"])
        append(stem.with_suffix(".output"), output_file)
        append(stem.with_suffix(".errors"), error_file)

    for block in blocks(input_path, names, shard):
        report.n_input += len(block)
        block["reason"] = reasons_of(block, names, seen)
        bad = block[block["reason"] != ""]
        reasons.update(bad["reason"])
        bad[["row", id_column, "reason"]].to_csv(error_file, mode="a", index=False, header=False, lineterminator="\n")
        waiting.append(block[block["reason"] == ""].rename(columns={id_column: "id"}))
        while sum(map(len, waiting)) >= chunk_size:
            together = pd.concat(waiting)
            close_chunk(together.iloc[:chunk_size])
            waiting = [together.iloc[chunk_size:]]
    if sum(map(len, waiting)):
        close_chunk(pd.concat(waiting))

    report.n_errors = sum(reasons.values())
    report.errors_by_reason = {str(reason): int(count) for reason, count in reasons.items()}
    if report.n_input and report.n_errors / report.n_input > max_error_rate:
        error_file.replace(error_path)
        shutil.rmtree(work_dir)
        raise BatchAborted(f"{report.n_errors} errors in {report.n_input} rows")
    report.output_sha256 = file_hash(output_file)
    sealed = {
        **asdict(report),
        "job": job,
        "error_sha256": file_hash(error_file),
        "model_version": model_version,
        "started": began,
        "finished": clock(),
    }
    (work_dir / "manifest").write_text(json.dumps(sealed))
    if manifest_path.exists():
        manifest_path.unlink()
    output_file.replace(output_path)
    error_file.replace(error_path)
    (work_dir / "manifest").replace(manifest_path)
    shutil.rmtree(work_dir, ignore_errors=True)
    return report


def check_columns(path: Path, names: list[str]) -> None:
    try:
        header = list(pd.read_csv(path, nrows=0, encoding="utf-8"))
    except pd.errors.EmptyDataError:
        header = []
    if not set(names) <= set(header):
        raise InputSchemaError(f"missing columns: {sorted(set(names) - set(header))}")


def blocks(path: Path, names: list[str], shard: tuple[int, int]) -> Iterator[pd.DataFrame]:
    """Yield the wanted columns as text, with the number of each row."""
    reader = pd.read_csv(
        path, usecols=names, dtype=object, na_filter=False, chunksize=BLOCK, encoding="utf-8", index_col=False
    )
    for block in reader:
        block = block.fillna("")
        block["row"] = block.index + 1
        if shard[1] > 1:
            mine = [zlib.crc32(text.encode()) % shard[1] == shard[0] for text in block[names[0]]]
            block = block[mine]
        yield block.copy()


def reasons_of(block: pd.DataFrame, names: list[str], seen: set[bytes]) -> list[str]:
    """Return a reason per row, "" for a valid one; turn the features into numbers."""
    reasons = np.full(len(block), "", dtype=object)
    for place, text in enumerate(block[names[0]]):
        key = hashlib.md5(text.encode()).digest()
        if not text.strip():
            reasons[place] = "missing_id"
        elif key in seen:
            reasons[place] = "duplicate_id"
        else:
            seen.add(key)
    for name in names[1:]:
        values = []
        for place, text in enumerate(block[name]):
            value = math.nan
            try:
                value = float(text)
                reason = "" if math.isfinite(value) else "not_finite"
            except ValueError:
                reason = "not_a_number" if text.strip() else "missing_value"
            reasons[place] = reasons[place] or reason
            values.append(value)
        block[name] = values
    return list(reasons)


def predict_frame(model: Any, valid: pd.DataFrame, feature_names: list[str]) -> tuple[pd.DataFrame, int]:
    """Return the rows with prediction and reason, and the calls that it took: a stack of ranges, halved on failure."""
    frame = valid[["row", "id"]].reset_index(drop=True)
    matrix = valid[feature_names].reset_index(drop=True).astype(float)
    predictions, reasons, calls = np.zeros(len(frame)), np.full(len(frame), "", dtype=object), 0
    ranges = [(0, len(frame))]
    while ranges:
        start, stop = ranges.pop()
        calls += 1
        try:
            found = np.asarray(model.predict(matrix.iloc[start:stop]), dtype=float).ravel()
        except Exception:
            if stop - start == 1:
                reasons[start] = "prediction_failed"
            else:
                middle = (start + stop) // 2
                ranges += [(middle, stop), (start, middle)]
            continue
        if len(found) != stop - start:
            reasons[start:stop] = "invalid_prediction"
        else:
            predictions[start:stop] = found
            reasons[start:stop] = np.where(np.isfinite(found), "", "invalid_prediction")
    return frame.assign(prediction=predictions, reason=reasons), calls


def prepare(work_dir: Path, job: list[Any]) -> None:
    label = work_dir / "job.json"
    try:
        if json.loads(label.read_text()) == job:
            return
    except (OSError, ValueError):
        pass
    shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True)
    label.write_text(json.dumps(job))


def finished_report(manifest_path: Path, output_path: Path, error_path: Path, job: list[Any]) -> BatchReport | None:
    try:
        sealed = json.loads(manifest_path.read_text())
        if sealed["job"] != job or sealed["output_sha256"] != file_hash(output_path):
            return None
        if sealed["error_sha256"] != file_hash(error_path):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    report = BatchReport(**{name: sealed[name] for name in BatchReport.__dataclass_fields__})
    report.skipped, report.predict_calls = True, 0
    return report


def append(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("ab") as writer:
        shutil.copyfileobj(reader, writer)


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
