"""An SQLite file holds rows and results: reading, predicting and writing out are three passes over one table."""

import csv
import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE job (text TEXT);
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, id TEXT, features TEXT, chunk INTEGER, prediction REAL, reason TEXT
);
CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX by_chunk ON rows (chunk) WHERE chunk IS NOT NULL;
"""


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
    t0 = clock()
    target = Path(output_path)
    rejected = Path(str(target) + ".errors.csv") if error_path is None else Path(error_path)
    state = Path(str(target) + ".work") if work_dir is None else Path(work_dir)
    manifest = Path(str(target) + ".manifest.json")
    wanted = [id_column, *feature_names]
    with Path(input_path).open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file), None) or []
    for name in wanted:
        if name not in header:
            raise InputSchemaError(f"column {name!r} is missing")
    source_hash = digest(Path(input_path))
    job = json.dumps({"input": source_hash, "columns": wanted, "version": model_version, "size": chunk_size,
                      "shard": list(shard)})  # fmt: skip
    old = load(manifest)
    if old and old["job"] == job and matches(target, old["output_sha256"]) and matches(rejected, old["errors_sha256"]):
        return BatchReport(**{**old["report"], "skipped": True, "predict_calls": 0})

    state.mkdir(parents=True, exist_ok=True)
    with closing(opened(state / "rows.db", job)) as database:
        if not database.execute("SELECT count(*) FROM job").fetchone()[0]:
            with database:  # one transaction: the rows are there as a whole, or not at all
                database.execute("INSERT INTO job VALUES (?)", [job])
                database.executemany(
                    "INSERT INTO rows VALUES (?, ?, ?, ?, NULL, ?)",
                    read(database, Path(input_path), wanted, chunk_size, shard),
                )
                database.execute("DROP TABLE ids")
        n_chunks = database.execute("SELECT coalesce(max(chunk) + 1, 0) FROM rows").fetchone()[0]
        resumed = calls = 0
        for chunk in range(n_chunks):
            rows = database.execute(
                "SELECT number, features, prediction, reason FROM rows WHERE chunk = ? ORDER BY number", [chunk]
            ).fetchall()
            if all(row[2] is not None or row[3] for row in rows):
                resumed += 1
                continue
            results, asked = ask(model, [json.loads(row[1]) for row in rows])
            calls += asked
            with database:
                database.executemany(
                    "UPDATE rows SET prediction = ?, reason = ? WHERE number = ?",
                    [(*result, row[0]) for result, row in zip(results, rows, strict=True)],
                )
        reasons = dict(database.execute("SELECT reason, count(*) FROM rows WHERE reason != '' GROUP BY reason"))
        n_input = database.execute("SELECT count(*) FROM rows").fetchone()[0]
        n_errors = sum(reasons.values())
        error_rows = database.execute("SELECT number, id, reason FROM rows WHERE reason != '' ORDER BY number")
        new_errors = write(state / "errors.csv", ["row", "id", "reason"], error_rows)
        if n_input and n_errors / n_input > max_error_rate:
            new_errors.replace(rejected)
            with database:  # failures are asked again, results are kept
                database.execute(
                    "UPDATE rows SET reason = '', prediction = NULL WHERE chunk IN "
                    "(SELECT chunk FROM rows WHERE chunk IS NOT NULL AND reason != '')"
                )
            raise BatchAborted(f"{n_errors} of {n_input} rows are errors")
        output_rows = database.execute("SELECT id, prediction, ? FROM rows WHERE reason = '' ORDER BY number",
                                       [model_version])  # fmt: skip
        new_output = write(state / "output.csv", ["id", "prediction", "model_version"], output_rows)
    report = BatchReport(
        n_input=n_input,
        n_output=n_input - n_errors,
        n_errors=n_errors,
        n_chunks=n_chunks,
        n_chunks_resumed=resumed,
        predict_calls=calls,
        output_sha256=digest(new_output),
        input_sha256=source_hash,
        errors_by_reason=reasons,
        skipped=False,
    )
    top = {name: asdict(report)[name] for name in ("input_sha256", "output_sha256", "n_input", "n_output", "n_errors")}
    content = {**top, "model_version": model_version, "started": t0, "finished": clock(), "job": job,
               "errors_sha256": digest(new_errors), "report": asdict(report)}  # fmt: skip
    sealed = state / "manifest.json"
    sealed.write_text(json.dumps(content), encoding="utf-8")
    manifest.unlink(missing_ok=True)
    new_errors.replace(rejected)
    new_output.replace(target)
    sealed.replace(manifest)
    (state / "rows.db").unlink()
    return report


def opened(path: Path, job: str) -> sqlite3.Connection:
    """Open the state of this job; begin anew if it belongs to another, or cannot be read."""
    try:
        database = sqlite3.connect(path)
        database.execute("PRAGMA synchronous = OFF")  # survives a killed process, which is what is promised
        found = database.execute("SELECT text FROM job").fetchone()
        database.execute("SELECT number, id, features, chunk, prediction, reason FROM rows LIMIT 1").fetchone()
        if found == (job,):
            return database
    except sqlite3.DatabaseError:
        pass
    database.close()
    for name in (path, Path(f"{path}-journal")):
        name.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(SCHEMA)
    return database


def read(
    database: sqlite3.Connection, path: Path, wanted: list[str], size: int, shard: tuple[int, int]
) -> Iterator[tuple[int, str, str, int | None, str]]:
    """Yield (number, id, features, chunk, reason) for each row of the shard."""
    valid = 0
    with path.open(newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.DictReader(file), 1):
            identifier, *texts = ((cells[name] or "") for name in wanted)
            if int(hashlib.sha256(identifier.encode()).hexdigest(), 16) % shard[1] != shard[0]:
                continue
            reason = fault(database, identifier, texts)
            if reason:
                yield number, identifier, "", None, reason
            else:
                yield number, identifier, json.dumps([float(text) for text in texts]), valid // size, ""
                valid += 1


def fault(database: sqlite3.Connection, identifier: str, texts: list[str]) -> str:
    if not identifier.strip():
        return "missing_id"
    if not database.execute("INSERT OR IGNORE INTO ids VALUES (?)", [identifier]).rowcount:
        return "duplicate_id"
    for text in texts:
        if not text.strip():
            return "missing_value"
        try:
            if not math.isfinite(float(text)):
                return "not_finite"
        except ValueError:
            return "not_a_number"
    return ""


def ask(model: Any, matrix: list[list[float]]) -> tuple[list[tuple[float | None, str]], int]:
    """Return (prediction, reason) per row and the number of calls; asks once more before it halves a chunk."""
    results: list[tuple[float | None, str]] = [(None, "prediction_failed")] * len(matrix)
    calls = 0
    todo = [range(len(matrix)), range(len(matrix))] if len(matrix) > 1 else [range(1)]
    again = len(matrix) > 1
    while todo:
        part = todo.pop()
        calls += 1
        try:
            found = list(model.predict([matrix[place] for place in part]))
            numbers = [float(value) for value in found]
        except Exception:
            if again:
                again = False
            elif len(part) > 1:
                half = len(part) // 2
                todo += [part[half:], part[:half]]
            continue
        if again:
            todo, again = [], False
        elif len(part) == len(matrix):
            todo = []
        for position, place in enumerate(part):
            useful = len(numbers) == len(part) and math.isfinite(numbers[position])
            results[place] = (numbers[position], "") if useful else (None, "invalid_prediction")
    return results, calls


def write(path: Path, header: list[str], rows: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def load(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    complete = isinstance(found, dict) and {"job", "report", "output_sha256", "errors_sha256"} <= set(found)
    return found if complete else None


def matches(path: Path, expected: str) -> bool:
    return path.is_file() and digest(path) == expected


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
