"""Models, killed runs and full disks: what has to be inside the submission's process. Nothing here judges."""

import json
import os
import resource
import shutil
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

WEIGHTS = np.array([3.0, -2.0, 0.5])
CPU_BUDGET_S = 60.0
KILLED = 9


class OutOfTime(BaseException):
    """The large run is hopeless."""


class OddFailure(Exception):
    """An exception that no submission has heard of."""


ERRORS = {"OddFailure": OddFailure, "StopIteration": StopIteration, "KeyError": KeyError, "OSError": OSError}
STOPS = {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}


class Model:
    """A weighted sum of the features, of which the first is the row's number; each call is a line of its log."""

    def __init__(
        self,
        log="",
        *,
        poison=(),
        error="ValueError",
        stop_at=0,
        stop="KeyboardInterrupt",
        replaced=None,
        stretched=None,
        answer="array",
        watch="",
        clock=None,
        down=False,
    ):
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None
        self.poison, self.error, self.down = set(poison), ERRORS.get(error, ValueError), down
        self.stop_at, self.stop = stop_at, stop
        self.replaced = {row: float(value) for row, value in (replaced or {}).items()}
        self.stretched = stretched or {}
        self.answer, self.watch, self.clock = answer, watch, clock
        self.calls = 0

    def predict(self, X):
        matrix = np.asarray(X, dtype=float)
        rows = [int(value) for value in matrix[:, 0]]
        self.calls += 1
        self.note(rows)
        if self.clock:
            self.clock.now += 10.0
        if self.calls == self.stop_at:
            if self.stop == "kill":
                os._exit(KILLED)
            raise STOPS[self.stop]("the run is over")
        if self.down or self.poison.intersection(rows):
            raise self.error("cannot score this")
        values = (matrix * WEIGHTS[: matrix.shape[1]]).sum(axis=1)
        for place, row in enumerate(rows):
            if row in self.replaced:
                values[place] = self.replaced[row]
        return self.shaped(rows, values)

    def note(self, rows):
        if self.log is not None:
            watched = Path(self.watch)
            seen = watched.read_text("utf-8") if self.watch and watched.exists() else None
            os.write(self.log, (json.dumps([rows, seen]) + "\n").encode())

    def shaped(self, rows, values):
        more = {self.stretched[row] for row in rows if row in self.stretched}
        if more == {"none"}:
            values = values[:0]
        elif more == {"fewer"}:
            values = values[:-1]
        elif more:
            values = np.append(values, 1.0)
        if self.answer == "list":
            return [float(value) for value in values]
        return values.astype(np.int64) if self.answer == "integers" else values


class Clock:
    """A clock that only the model moves: by ten seconds per call."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def run(submission, places, settings, model):
    """Run a job with a model of those settings."""
    return submission.run_batch_predictions(Model(**model), *map(Path, places), **settings)


def run_in_a_child(submission, places, settings, model):
    """Run a job in a child process, which the model may kill; return the child's exit code."""
    return _in_a_child(lambda: run(submission, places, settings, model))


def run_to_its_end(submission, places, settings, model):
    """Run a job; return the name of the interrupt that ended it, or of BatchAborted, or ""."""
    try:
        run(submission, places, settings, model)
    except submission.BatchAborted:
        return "BatchAborted"
    except (KeyboardInterrupt, SystemExit) as error:
        return type(error).__name__
    return ""


def run_on_a_full_disk(submission, places, settings, model, limit):
    """Run a job while no file can grow beyond limit bytes; return the name of what was raised, or ""."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        run(submission, places, settings, model)
    except Exception as error:
        return type(error).__name__
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return ""


def keep_open(path, name):
    """Keep the file that is at path now reachable under another name, as an open reader would."""
    os.link(path, name)


def remove(path):
    """Delete a file."""
    Path(path).unlink()


def kill_everywhere(submission, folder, texts, settings, model, points):
    """Publish texts[0], kill a run for texts[1] at one file operation after another, and then let it finish.

    Each kill has a folder of its own, `<folder>/<number>`: what it left is in `left/`, what the last run made beside
    it. Return the numbers.
    """
    total = _file_operations(submission, Path(folder) / "all", texts, settings, model)
    numbers = sorted({*range(max(1, total - points + 1), total + 1), *range(1, total, max(1, total // 8))})
    for number in numbers:
        place = Path(folder) / str(number)
        _publish_then_die(submission, place, texts, settings, model, number)
        (place / "left").mkdir()
        for name in ("out.csv", "out.csv.manifest.json"):
            if (place / name).exists():
                shutil.copy(place / name, place / "left" / name)
        _job(submission, place, settings, model)
    return numbers


def _job(submission, place, settings, model):
    return run(submission, [place / "in.csv", place / "out.csv"], settings, model)


def _publish_then_die(submission, place, texts, settings, model, number):
    place.mkdir(parents=True)
    (place / "in.csv").write_text(texts[0], "utf-8")
    _job(submission, place, settings, model)
    (place / "in.csv").write_text(texts[1], "utf-8")
    count = place / "count"

    def die():
        operations = _count_operations(place, number)
        _job(submission, place, settings, model)
        os.write(operations["file"], str(operations["seen"]).encode())

    code = _in_a_child(die)
    return int(count.read_text()) if code == 0 else 0


def _file_operations(submission, place, texts, settings, model):
    return _publish_then_die(submission, place, texts, settings, model, 0)


def _count_operations(place, last):
    """End this process right before the file operation with the number `last` (never, if 0)."""
    state = {"seen": 0, "file": os.open(place / "count", os.O_WRONLY | os.O_CREAT)}
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    inside = str(place)

    def watch(event, arguments):
        if event == "open":
            path, _mode, flags = arguments
            counts = isinstance(path, (str, bytes)) and inside in os.fsdecode(path) and bool((flags or 0) & changing)
        else:
            counts = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link")
        if counts:
            state["seen"] += 1
            if state["seen"] == last:
                os._exit(KILLED)

    sys.addaudithook(watch)
    return state


def _in_a_child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class LargeModel:
    """Stops a run that will not end in time."""

    def __init__(self):
        self.start = time.process_time()

    def predict(self, X):
        matrix = np.asarray(X, dtype=float)
        if time.process_time() - self.start > CPU_BUDGET_S:
            raise OutOfTime
        return (matrix * WEIGHTS[: matrix.shape[1]]).sum(axis=1)


def write_large(path, count):
    """Write the large input; return its size in bytes."""
    note = "called twice about the new tariff; wants to be called again in spring; prefers letters to e-mail"
    with Path(path).open("w", encoding="utf-8") as file:
        file.write("note,id,a,b\n")
        for i in range(count):
            file.write(f"{note} {i * 7919 % 1_000_003:09},c{i:06},{i},{i % 97 / 4}\n")
    return Path(path).stat().st_size


def run_large(submission, places, settings):
    """Run the large job under tracemalloc; return peak bytes, CPU seconds (None if hopeless)."""
    tracemalloc.start()
    start = time.process_time()
    try:
        submission.run_batch_predictions(LargeModel(), *map(Path, places), **settings)
        seconds = time.process_time() - start
    except OutOfTime:
        seconds = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return {"peak": peak, "seconds": seconds}
