"""Splits the file at line breaks, also at those inside quotes.  Fails: R1, R3."""

import csv
import hashlib
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

INPUT_FORMAT = {"newline": "", "encoding": "utf-8"}  # csv sees the line breaks inside quotes
OUTPUT_HEADER = ("id", "prediction", "model_version")
ERROR_HEADER = ("row", "id", "reason")


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


class Row(NamedTuple):
    """A data row: values if it is valid, else the reason why it is not."""

    number: int
    identifier: str
    values: list[float] | None
    reason: str = ""


Outcome = float | str  # a prediction, or the reason why there is none


@dataclass(frozen=True)
class Places:
    """Where a job's files are."""

    output: Path
    errors: Path
    manifest: Path
    work: Path

    def part(self, chunk: int) -> Path:
        return self.work / f"{chunk:08}.part.json"


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
    started = clock()
    input_path, output_path = Path(input_path), Path(output_path)
    places = Places(
        output_path,
        Path(error_path or f"{output_path}.errors.csv"),
        output_path.with_suffix(output_path.suffix + ".manifest.json"),
        Path(work_dir or f"{output_path}.work"),
    )
    columns = [id_column, *feature_names]
    check_header(input_path, columns)
    input_sha256 = sha256_of(input_path)
    job = fingerprint(input_sha256, columns, model_version, chunk_size, shard)
    published = read_manifest(places)
    if published.get("fingerprint") == job:
        return report_of(published, skipped=True, predict_calls=0)

    open_work(places, job)
    run = Run(model, places, model_version)
    run.score(chunks_of(rows_of(input_path, columns, shard), chunk_size))
    if run.n_errors and run.n_errors / run.n_input > max_error_rate:
        (places.work / "errors.csv").replace(places.errors)
        shutil.rmtree(places.work)  # what failed must be tried again
        raise BatchAborted(f"{run.n_errors} of {run.n_input} rows had an error; see {places.errors}")
    manifest = {
        "fingerprint": job,
        "input_sha256": input_sha256,
        "output_sha256": sha256_of(places.work / "output.csv"),
        "errors_sha256": sha256_of(places.work / "errors.csv"),
        "model_version": model_version,
        **run.counts(),
        "started": started,
        "finished": clock(),
    }
    publish(places, manifest)
    return report_of(manifest)


# --- what the input says


def check_header(path: Path, columns: Sequence[str]) -> None:
    """Raise InputSchemaError unless the header has every column."""
    with path.open(**INPUT_FORMAT) as file:
        header = next(csv.reader(file), [])
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputSchemaError(f"{path} lacks the columns {missing}; it has {header}")


def rows_of(path: Path, columns: Sequence[str], shard: tuple[int, int]) -> Iterator[Row]:
    """Yield the shard's rows one by one, each with its values or with its fault."""
    seen: set[str] = set()
    with path.open(**INPUT_FORMAT) as file:
        reader = (next(csv.reader([line.rstrip("\r\n")]), [""]) for line in file)
        header = next(reader)
        places = [header.index(name) for name in columns]
        for number, cells in enumerate(reader, 1):
            identifier, *features = (cells[place] if place < len(cells) else "" for place in places)
            if shard_of(identifier, shard[1]) == shard[0]:
                yield judged(number, identifier, features, seen)


def shard_of(identifier: str, count: int) -> int:
    """Return which of so many shards an id belongs to, in every process the same."""
    if count == 1:
        return 0
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "big") % count


def judged(number: int, identifier: str, features: list[str], seen: set[str]) -> Row:
    """Return the row with its values, or with the first fault that it has; remember its id."""
    if not identifier.strip():
        return Row(number, identifier, None, "missing_id")
    if identifier in seen:
        return Row(number, identifier, None, "duplicate_id")
    seen.add(identifier)
    values = []
    for text in features:
        if not text.strip():
            return Row(number, identifier, None, "missing_value")
        try:
            value = float(text)
        except ValueError:
            return Row(number, identifier, None, "not_a_number")
        if not math.isfinite(value):
            return Row(number, identifier, None, "not_finite")
        values.append(value)
    return Row(number, identifier, values)


def chunks_of(rows: Iterator[Row], size: int) -> Iterator[tuple[list[Row], list[Row]]]:
    """Yield (valid rows, bad rows met meanwhile), with `size` valid rows in all but the last.

    A run of bad rows alone is handed on too, so that it does not pile up.
    """
    valid: list[Row] = []
    bad: list[Row] = []
    for row in rows:
        if row.reason:
            bad.append(row)
            if len(bad) == size:
                yield [], bad
                bad = []
        else:
            valid.append(row)
            if len(valid) == size:
                yield valid, bad
                valid, bad = [], []
    if valid or bad:
        yield valid, bad


# --- the work


@dataclass
class Run:
    """One pass over the input: predicts what no part file has, and writes both files in the work folder."""

    model: Any
    places: Places
    model_version: str
    n_input: int = 0
    n_output: int = 0
    n_chunks: int = 0
    n_chunks_resumed: int = 0
    predict_calls: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def n_errors(self) -> int:
        return self.reasons.total()

    def score(self, chunks: Iterator[tuple[list[Row], list[Row]]]) -> None:
        """Write output.csv and errors.csv from the chunks."""
        with ExitStack() as stack:
            output, errors = (
                csv.writer(stack.enter_context(open_text(self.places.work / name)), lineterminator="\n")
                for name in ("output.csv", "errors.csv")
            )
            output.writerow(OUTPUT_HEADER)
            errors.writerow(ERROR_HEADER)
            for valid, bad in chunks:
                self.n_input += len(valid) + len(bad)
                for row in bad:
                    self.reasons[row.reason] += 1
                    errors.writerow((row.number, row.identifier, row.reason))
                for row, outcome in zip(valid, self.outcomes(valid), strict=True):
                    if isinstance(outcome, str):
                        self.reasons[outcome] += 1
                        errors.writerow((row.number, row.identifier, outcome))
                    else:
                        self.n_output += 1
                        output.writerow((row.identifier, outcome, self.model_version))

    def outcomes(self, rows: list[Row]) -> list[Outcome]:
        """Return a chunk's outcomes: from its part file, or from the model, and then there is a part file."""
        if not rows:
            return []
        part = self.places.part(self.n_chunks)
        self.n_chunks += 1
        if part.exists():
            self.n_chunks_resumed += 1
            return json.loads(part.read_text("utf-8"))
        outcomes = self.predicted([row.values for row in rows])
        write_whole(part, json.dumps(outcomes))
        return outcomes

    def predicted(self, matrix: list[list[float]]) -> list[Outcome]:
        """Predict the rows; where predict raises, halve them until the rows that are to blame stand alone."""
        self.predict_calls += 1
        try:
            values = [float(value) for value in self.model.predict(matrix)]
        except Exception:
            if len(matrix) == 1:
                return ["prediction_failed"]
            middle = len(matrix) // 2
            return self.predicted(matrix[:middle]) + self.predicted(matrix[middle:])
        if len(values) != len(matrix):
            return ["invalid_prediction"] * len(matrix)
        return [value if math.isfinite(value) else "invalid_prediction" for value in values]

    def counts(self) -> dict[str, Any]:
        """Return what the report says of the rows and chunks."""
        return {
            "n_input": self.n_input,
            "n_output": self.n_output,
            "n_errors": self.n_errors,
            "n_chunks": self.n_chunks,
            "n_chunks_resumed": self.n_chunks_resumed,
            "predict_calls": self.predict_calls,
            "errors_by_reason": dict(self.reasons),
        }


def fingerprint(
    input_sha256: str, columns: list[str], model_version: str, chunk_size: int, shard: tuple[int, int]
) -> str:
    """Return a hash of everything that has a say in the published bytes."""
    said = json.dumps([input_sha256, columns, model_version, chunk_size, list(shard)])
    return hashlib.sha256(said.encode()).hexdigest()


def open_work(places: Places, job: str) -> None:
    """Keep the work folder if it belongs to this job, else begin a new one."""
    label = places.work / "job"
    if label.exists() and label.read_text("utf-8") == job:
        return
    shutil.rmtree(places.work, ignore_errors=True)
    places.work.mkdir(parents=True)
    write_whole(label, job)


# --- what is published


def read_manifest(places: Places) -> dict[str, Any]:
    """Return the manifest if the published files are those that it describes, else {}."""
    try:
        manifest = json.loads(places.manifest.read_text("utf-8"))
        output_is_the_same = manifest["output_sha256"] == sha256_of(places.output)
        intact = output_is_the_same and manifest["errors_sha256"] == sha256_of(places.errors)
    except (OSError, ValueError, KeyError, TypeError):  # absent, cut short, or not ours
        return {}
    return manifest if intact else {}


def publish(places: Places, manifest: dict[str, Any]) -> None:
    """Move both files to their places; in between there is no manifest, at the end there is the new one."""
    places.manifest.unlink(missing_ok=True)
    (places.work / "errors.csv").replace(places.errors)
    (places.work / "output.csv").replace(places.output)
    write_whole(places.work / "manifest.json", json.dumps(manifest, indent=2))
    (places.work / "manifest.json").replace(places.manifest)
    shutil.rmtree(places.work, ignore_errors=True)


def report_of(manifest: dict[str, Any], **changes: Any) -> BatchReport:
    """Make a report from a manifest."""
    names = BatchReport.__dataclass_fields__
    return BatchReport(**{**{name: manifest[name] for name in names if name in manifest}, "skipped": False, **changes})


# --- files


def open_text(path: Path) -> Any:
    return path.open("w", **INPUT_FORMAT)


def write_whole(path: Path, text: str) -> None:
    """Write a file that has its name only when all of it is on disk."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
