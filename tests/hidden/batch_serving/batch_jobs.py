"""Jobs in the scratch folder: tables that are written there, runs, and what the files say afterwards."""

import csv
import io
import json
import math
import random

from rounds.testing import data_of

FEATURES = ("a", "b")


def table(count, seed=0, prefix="c"):
    """Return rows [id, a, b]: a is the row's index, b a random number with two places."""
    rng = random.Random(f"table-{seed}")
    return [[f"{prefix}{i:04}", str(i), f"{rng.randint(-999, 999) / 100}"] for i in range(count)]


def csv_text(rows, header=("id", "a", "b"), end="\n"):
    """Return rows as a CSV file's text."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def score(row):
    """Return what the model says to [id, a, b]."""
    return 3.0 * float(row[1]) - 2.0 * float(row[2])


def predictions(rows, without=()):
    """Return the (id, prediction) that are expected of the rows, apart from the places in `without`."""
    return [(row[0], score(row)) for place, row in enumerate(rows) if place not in without]


def close(found, expected):
    """Say whether two lists of (id, prediction) agree."""
    return [one for one, _ in found] == [one for one, _ in expected] and all(
        math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
        for (_, value), (_, wanted) in zip(found, expected, strict=True)
    )


def difference(found, expected):
    """Return a sentence on how two lists of (id, prediction) differ."""
    if len(found) != len(expected):
        return f"{len(expected)} output rows were expected, and there were {len(found)}"
    for place, pair in enumerate(zip(found, expected, strict=True)):
        if not close([pair[0]], [pair[1]]):
            return f"output row {place + 1} should be {pair[1]}, and was {pair[0]}"
    return "no difference"


class Bench:
    """Runs jobs in one scratch folder; every run has a model of its own, whose calls stay readable after a kill."""

    def __init__(self, submission, props, scratch):
        self.submission, self.props, self.scratch, self.runs = submission, props, scratch, 0
        self.output, self.errors, self.manifest = "out.csv", "out.csv.errors.csv", "out.csv.manifest.json"

    def write(self, text, name="in.csv"):
        self.scratch.write(name, text)

    def at(self, name):
        return f"{self.scratch.path}/{name}"

    def _model(self, settings):
        self.runs += 1
        return {"log": self.at(f"calls-{self.runs}.log"), **settings}

    def run(self, settings=None, *, model=None, job=None):
        """Run the job that is in in.csv; return the report as a dict."""
        settings = {"feature_names": list(FEATURES), "max_error_rate": 1.0, **(settings or {})}
        settings = {name: value for name, value in settings.items() if value is not None}  # None leaves the default
        call = self.props.run if job is None else job
        places = [self.at("in.csv"), self.at(self.output)]
        answer = call(self.submission, places, settings, self._model(model or {}))
        return data_of(answer) if job is None else answer

    def interrupted(self, settings=None, *, stop="KeyboardInterrupt", **model):
        """Run the job to its end; return the name of what ended it ("" for nothing), or a child's exit code."""
        job = self.props.run_in_a_child if stop == "kill" else self.props.run_to_its_end
        return self.run(settings, model={"stop": stop, **model}, job=job)

    def on_a_full_disk(self, limit, settings=None):
        """Run the job while no file may be larger than limit; return what was raised, "" for nothing."""

        def job(submission, places, settings, _model):
            return self.props.run_on_a_full_disk(submission, places, settings, {}, limit)

        return self.run(settings, job=job)

    def calls(self, run=None):
        """Return the row numbers of each call of predict in a run, the last one by default."""
        return [rows for rows, _ in self.log(run)]

    def log(self, run=None):
        """Return [row numbers, what stood at the watched path] for each call of predict."""
        return [json.loads(line) for line in self.scratch.read(f"calls-{run or self.runs}.log").splitlines()]

    def bytes(self, name=None):
        """Return a file's bytes, None if there is none."""
        try:
            return self.scratch.read(name or self.output)
        except FileNotFoundError:
            return None

    def published(self):
        """Return the bytes of output, errors and manifest."""
        return [self.bytes(name) for name in (self.output, self.errors, self.manifest)]

    def records(self, name, header):
        """Return a CSV file's rows without its header, which must be as given."""
        content = self.bytes(name)
        assert content is not None, f"there is no {name}"
        found = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        assert found, f"{name} has no header"
        assert found[0] == header.split(","), f"the header of {name} should be {header}, and is {','.join(found[0])}"
        widths = {len(row) for row in found}
        assert widths == {3}, f"the rows of {name} have {sorted(widths)} cells instead of 3"
        return found[1:]

    def predicted(self):
        """Return (id, prediction) for each row of the output."""
        return [(row[0], float(row[1])) for row in self.records(self.output, "id,prediction,model_version")]

    def faults(self):
        """Return {row: (id, reason)} of the error file; no row may be there twice."""
        rows = self.records(self.errors, "row,id,reason")
        numbers = [int(row[0]) for row in rows]
        assert len(numbers) == len(set(numbers)), f"the error file names a row twice: {sorted(numbers)[:20]}"
        return {number: (row[1], row[2]) for number, row in zip(numbers, rows, strict=True)}

    def seal(self):
        """Return the manifest as a dict."""
        content = self.bytes(self.manifest)
        assert content is not None, f"there is no {self.manifest}"
        found = json.loads(content)
        assert isinstance(found, dict), f"the manifest is no JSON object: {content[:80]!r}"
        return found

    def check_output(self, expected, situation):
        """Compare the output with a list of (id, prediction)."""
        found = self.predicted()
        assert close(found, expected), f"{situation}: {difference(found, expected)}"

    def check_faults(self, expected, situation):
        """Compare the error file with {row: (id, reason)}."""
        found = self.faults()
        for row in sorted(set(found) | set(expected)):
            wanted, got = expected.get(row, "no error"), found.get(row, "no error")
            assert got == wanted, f"{situation}: row {row} should be {wanted} in the error file, and is {got}"
