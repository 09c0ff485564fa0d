"""Models, requests and an executor beside the submission, for what a copy across the boundary would hide."""

import copy
import select
import threading
import time


def yield_to_others():
    """Let another thread run, without a sleep."""
    select.select([], [], [], 0)


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; the clock that was passed in is the only source of time")

    time.sleep = refuse


class Marked:
    """A value with a token, of which every copy knows that it is one."""

    def __init__(self, token, copies=0):
        self.token, self.copies = token, copies

    def __reduce_ex__(self, protocol):
        return Marked, (self.token, self.copies + 1)

    def __eq__(self, other):
        return isinstance(other, Marked) and self.token == other.token

    def __hash__(self):
        return hash(self.token)


class MarkedError(Exception):
    """An exception that carries a token its constructor does not know."""

    token = None


class Uncopyable:
    """Raises when it is copied or pickled."""

    token = None

    def __reduce_ex__(self, protocol):
        raise TypeError("this holds a connection and cannot be copied")


class Touchy:
    """Raises when it is compared."""

    def __eq__(self, other):
        raise ValueError("cannot be compared")

    __hash__ = None


class Money:
    """Has an == of its own: the amount counts, the note does not."""

    def __init__(self, amount, note):
        self.amount, self.note = amount, note

    def __eq__(self, other):
        return isinstance(other, Money) and self.amount == other.amount

    def __hash__(self):
        return hash(self.amount)


class Profile:
    """Features that are an object."""

    def __init__(self, history):
        self.history = history


class Clock:
    """A clock that the props move."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        """Move on."""
        self.now += seconds


class CostlyToCopy:
    """Takes a while of the clock to copy, by deepcopy or by pickle."""

    clock = None  # one per process, as there is one test per process

    def __reduce_ex__(self, protocol):
        CostlyToCopy.clock.pass_seconds(3.0)
        return CostlyToCopy, ()


class Model:
    """Answers by a function."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, features):
        return self.answer(features)


class QueueExecutor:
    """Holds what it is given until run_all()."""

    def __init__(self):
        self.waiting = []

    def submit(self, fn):
        self.waiting.append(fn)

    def run_all(self):
        while self.waiting:
            self.waiting.pop(0)()


class Stage:
    """A handler between models that live in this process."""

    def __init__(self, module, production, shadow, clock=lambda: 0.0, log=None, executor=None, **config):
        self.module, self.records = module, []
        self.executor = executor or QueueExecutor()
        self.handler = module.shadow_deployment(
            Model(production),
            Model(shadow),
            executor=self.executor,
            comparison_log=log or self.records.append,
            config=module.ShadowConfig(**config),
            clock=clock,
        )

    def handle(self, features, identifier="a"):
        return self.handler.handle(self.module.Request(id=identifier, features=features))


def marked_answers(module, tokens, **config):
    """Serve one request per token, and run the mirrors; return (token, copies) of each answer."""
    stage = Stage(module, lambda features: Marked(features["token"]), lambda features: Marked("shadow"), **config)
    answers = [stage.handle({"token": token}, f"r{i}") for i, token in enumerate(tokens)]
    stage.executor.run_all()
    return [(getattr(answer, "token", None), getattr(answer, "copies", None)) for answer in answers]


def answer_after_production_went_on(module, kept):
    """Let production keep the list or dict that it returned and change it; return what the caller holds."""
    stage = Stage(module, lambda features: kept, lambda features: [])
    answer = stage.handle({"x": [1]})
    if isinstance(kept, list):
        kept.append("later")
    else:
        kept["later"] = True
    return answer


def error_of_production(module, token, **config):
    """Let production raise an exception; return what the caller caught, in parts."""
    raised = MarkedError("no such customer", 7)
    raised.token = token

    def production(features):
        raise raised

    stage = Stage(module, production, lambda features: 0, **config)
    try:
        stage.handle({"x": [1]})
    except Exception as caught:
        return {
            "type": type(caught).__name__,
            "token": getattr(caught, "token", None),
            "args": caught.args,
            "cause": type(caught.__cause__).__name__,
            "submitted": len(stage.executor.waiting),
        }
    return {"type": None}


def nested():
    """Return features with a list in a dict in a dict."""
    return {"price": 10, "history": [3, 1, 2], "user": {"age": 30, "tags": ["new"]}}


def spoil(features):
    """Change features on top and inside."""
    features["price"] = -1
    features["history"].sort()
    features["history"].append(99)
    features["user"]["age"] = 0
    features["user"]["tags"].clear()


def seen_by_shadow(module, who):
    """Let `who` change the features; return what the shadow saw."""
    seen = []

    def production(features):
        if who == "production":
            spoil(features)
        return 0

    stage = Stage(module, production, lambda features: seen.append(copy.deepcopy(features)))
    features = nested()
    stage.handle(features)
    if who == "caller":
        spoil(features)
    stage.executor.run_all()
    return seen


def array_seen_by_shadow(module, who, array):
    """Let `who` change an array of features in place; return what the shadow saw."""
    seen = []

    def production(features):
        if who == "production":
            features *= 0
        return 0

    stage = Stage(module, production, lambda features: seen.append(features.copy()))
    stage.handle(array)
    if who == "caller":
        array += 100
    stage.executor.run_all()
    return seen


def profile_seen_by_shadow(module):
    """Let production change an object that is the features; return what the shadow saw of it."""
    seen = []
    stage = Stage(module, lambda features: features.history.clear(), lambda f: seen.append(list(f.history)))
    stage.handle(Profile([3, 1, 2]))
    stage.executor.run_all()
    return seen


def features_after_the_shadow(module):
    """Let the shadow change its features; return the caller's, and what the second of two shadows saw."""
    seen = []

    def shadow(features):
        seen.append(copy.deepcopy(features))
        spoil(features)
        return 0

    stage = Stage(module, lambda features: 0, shadow)
    features = nested()
    stage.handle(features, "a")
    stage.handle(features, "b")
    stage.executor.run_all()
    return features, seen


def production_after_the_shadow(module):
    """Let each mirror run before the next request with the same features; return what production saw."""
    seen = []
    stage = Stage(module, lambda features: seen.append(copy.deepcopy(features)), spoil)
    features = nested()
    for i in range(3):
        stage.handle(features, f"r{i}")
        stage.executor.run_all()
    return seen


def record_after_the_caller_changed_the_answer(module):
    """Let the caller change production's answer before the mirror runs; return the records."""
    stage = Stage(
        module, lambda features: {"ranking": [3, 1], "score": 1}, lambda features: {"ranking": [3, 1], "score": 1}
    )
    answer = stage.handle({})
    answer["ranking"].append(9)
    answer["score"] = 2
    stage.executor.run_all()
    return stage.records


def records_of_a_caller_that_reuses_nothing_but_the_answer(module):
    """Serve three requests from a cached list that each caller extends; return production and match of each record."""
    current = []
    stage = Stage(module, lambda features: current[-1], lambda features: [features["i"]])
    for i in range(3):
        current.append([i])
        stage.handle({"i": i}, f"r{i}").append("shown")
    stage.executor.run_all()
    return [(record["production"], record["match"]) for record in stage.records]


def serve_what_cannot_be_copied(module, what, token, **config):
    """Serve features or an answer that cannot be copied, then a plain request; return answers' tokens and report."""
    thing = Uncopyable()
    thing.token = token
    hidden = {"nested": [thing]} if what == "nested features" else thing
    answers = [thing] if what == "answer" else [Marked(token)]
    stage = Stage(module, lambda features: answers.pop() if answers else Marked("plain"), lambda f: 0, **config)
    first = stage.handle({"x": 1} if what == "answer" else hidden, "a")
    submitted = len(stage.executor.waiting)
    second = stage.handle({"x": 1}, "b")
    stage.executor.run_all()
    return {"tokens": [first.token, second.token], "submitted": submitted, "report": stage.handler.report()}


def fail_on_what_cannot_be_copied(module, token):
    """Let production raise on features that cannot be copied; return the caught token and the report."""
    error = MarkedError("no")
    error.token = token

    def production(features):
        raise error

    stage = Stage(module, production, lambda features: 0)
    try:
        stage.handle(Uncopyable())
        caught = None
    except MarkedError as found:
        caught = found.token
    return caught, stage.handler.report()


def compare_objects(module, kind):
    """Compare two objects of a class; return the records and the report."""
    pairs = {
        "touchy": (Touchy(), Touchy()),
        "touchy inside": ({"a": [Touchy()]}, {"a": [Touchy()]}),
        "equal": (Money(5, "a"), Money(5, "b")),
        "different": (Money(5, "a"), Money(6, "a")),
        "equal inside": ({"price": [Money(5, "a")]}, {"price": [Money(5, "b")]}),
    }
    production, shadow = pairs[kind]
    stage = Stage(module, lambda features: production, lambda features: shadow)
    stage.handle({})
    escaped = None
    try:
        stage.executor.run_all()
    except Exception as error:
        escaped = type(error).__name__
    return {"escaped": escaped, "matches": [r["match"] for r in stage.records], "report": stage.handler.report()}


def sampled(module, rate, identifiers):
    """Serve one request per id; return the ids that were mirrored, in order."""
    stage = Stage(module, lambda features: 0, lambda features: 0, sample_rate=rate)
    taken = []
    for identifier in identifiers:
        stage.handle(None, identifier)
        if stage.executor.waiting:
            taken.append(identifier)
            stage.executor.run_all()
    return taken


def costs(module, production_s, shadow_s):
    """Serve a request where everything takes time; return its record and the report."""
    clock = CostlyToCopy.clock = Clock()
    records = []

    def spending(seconds, answer):
        def predict(features):
            clock.pass_seconds(seconds)
            return answer

        return predict

    class SlowExecutor(QueueExecutor):
        def submit(self, fn):
            clock.pass_seconds(7.0)
            super().submit(fn)
            clock.pass_seconds(7.0)

    def log(record):
        records.append(record)
        clock.pass_seconds(11.0)

    stage = Stage(
        module,
        spending(production_s, {"item": CostlyToCopy()}),
        spending(shadow_s, {"item": 1}),
        clock=clock,
        log=log,
        executor=SlowExecutor(),
    )
    stage.handle({"item": CostlyToCopy()})
    clock.pass_seconds(500.0)
    stage.executor.run_all()
    record = {key: records[0][key] for key in ("production_ms", "shadow_ms")}
    return record, stage.handler.report()


def timed(module, seconds):
    """Serve requests that take these (production, shadow) seconds; return the report."""
    clock = Clock()

    def production(features):
        clock.pass_seconds(features[0])
        return 0

    def shadow(features):
        clock.pass_seconds(features[1])
        return 0

    stage = Stage(module, production, shadow, clock=clock)
    for i, pair in enumerate(seconds):
        stage.handle(pair, f"r{i}")
        stage.executor.run_all()
    return stage.handler.report()


def outcomes(module, matches=0, differences=0, errors=0, pending=0, **config):
    """Let so many mirrors end so; return what ready_to_promote says, and the report."""

    def shadow(features):
        if features == "error":
            raise ValueError("shadow")
        return 1 if features == "match" else 2

    stage = Stage(module, lambda features: 1, shadow, **config)
    kinds = {"match": matches, "difference": differences, "error": errors}
    for i, kind in enumerate(kind for kind, count in kinds.items() for _ in range(count)):
        stage.handle(kind, f"r{i}")
        stage.executor.run_all()
    for i in range(pending):
        stage.handle("match", f"pending{i}")
    return stage.handler.ready_to_promote(), stage.handler.report()


class Workers:
    """An executor with threads of its own."""

    def __init__(self, count):
        self.condition, self.waiting, self.closed = threading.Condition(), [], False
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def submit(self, fn):
        yield_to_others()
        with self.condition:
            self.waiting.append(fn)
            self.condition.notify()

    def _work(self):
        while True:
            with self.condition:
                while not self.waiting and not self.closed:
                    self.condition.wait()
                if not self.waiting:
                    return
                fn = self.waiting.pop(0)
            fn()

    def close(self):
        """Finish what waits, and end the threads."""
        with self.condition:
            self.closed = True
            self.condition.notify_all()
        for thread in self.threads:
            thread.join()


def hammer(module, threads, count, **config):
    """Serve count requests from each thread, with errors on every side; return the report and what was logged."""
    lock, logged, wrong_answers = threading.Lock(), [], []
    workers = Workers(4)

    def production(features):
        yield_to_others()
        if features % 10 == 3:
            raise ValueError("production")
        return features

    def shadow(features):
        yield_to_others()
        if features % 10 == 5:
            raise ValueError("shadow")
        return features + features % 2

    def log(record):
        yield_to_others()
        with lock:
            logged.append((record["request_id"], record["production"], record["shadow"]))
        if record["production"] % 20 == 10:
            raise OSError("disk full")

    def clock():
        yield_to_others()
        return 0.0

    stage = Stage(module, production, shadow, clock=clock, log=log, executor=workers, **config)
    together = threading.Barrier(threads)

    def user(number):
        together.wait()
        for i in range(number * count, (number + 1) * count):
            try:
                answer = stage.handle(i, str(i))
            except ValueError:
                answer = "error"
            if answer != ("error" if i % 10 == 3 else i):
                wrong_answers.append(i)

    users = [threading.Thread(target=user, args=(number,), daemon=True) for number in range(threads)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    workers.close()
    return {"report": stage.handler.report(), "logged": logged, "wrong_answers": wrong_answers}
