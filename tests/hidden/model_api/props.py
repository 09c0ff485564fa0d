"""What has to live beside the submission: loaders that read real files, and loggers whose records can be fetched."""

import builtins
import logging
import os
import pickle
import threading
from pathlib import Path


class Collector(logging.Handler):
    """Keeps every record as formatted text, with its traceback and its extra attributes."""

    plain = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.kept = []

    def emit(self, record):
        extra = {name: repr(value) for name, value in vars(record).items() if name not in self.plain}
        extra.pop("message", None)
        extra.pop("asctime", None)
        extra.pop("taskName", None)
        self.kept.append(
            {"level": record.levelno, "text": self.format(record), "extra": extra, "arguments": repr(record.args)}
        )


def collecting_logger(name="suite"):
    """A logger of level DEBUG that passes nothing on."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers[:] = [Collector()]
    return logger


def records(logger):
    return list(logger.handlers[0].kept)


def listen_to_everything():
    """Collect what reaches the root logger, too: a record that goes past the given logger is a record."""
    collector = Collector()
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(collector)
    return collector


def records_of(collector):
    return list(collector.kept)


def loader_of(model, visits):
    """A loader that tells `visits` what it read at the path it was given, and returns `model`."""

    def load(path):
        visits.note(Path(path).read_bytes())
        return model

    return load


def loader_by_content(visits, **models):
    """A loader that returns the model whose name the file holds, and fails on any other content."""

    def load(path):
        name = Path(path).read_bytes().strip().decode()
        visits.note(name.encode())
        return models[name]

    return load


def raising_loader(kind):
    """A loader that raises the exception of that name, whatever it is given."""
    error = getattr(builtins, kind, None) or getattr(pickle, kind)

    def load(path):
        raise error("this file cannot be read")

    return load


def set_environment(variables):
    """Set environment variables of this process; None removes one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Constant:
    """A model that returns its number for every row, without leaving the process."""

    def __init__(self, value):
        self.value = value

    def predict(self, rows):
        return [self.value] * len(rows)


def reloading_api(submission, values):
    """A `ModelAPI` whose files stand for constant models; a file holds a key of `values`."""

    def load(path):
        return Constant(values[Path(path).read_text()])

    return submission.ModelAPI(model=Constant(1.0), model_version="1", feature_names=["amount"], loader=load)


def pairs_seen_during_reloads(api, paths, calls, threads):
    """Call `api.predict` from several threads while the main one reloads; return the pairs that came back."""
    seen = []

    def ask():
        for _ in range(calls):
            answer = api.predict({"amount": 1.0})
            seen.append((answer["prediction"], answer["model_version"]))

    askers = [threading.Thread(target=ask) for _ in range(threads)]
    for asker in askers:
        asker.start()
    for _ in range(calls):
        for version, path in paths:
            api.reload(path, model_version=version)
    for asker in askers:
        asker.join()
    return sorted(set(seen))
