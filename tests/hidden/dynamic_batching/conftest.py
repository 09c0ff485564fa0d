"""The stage of these tests: a model that answers from the trusted side, and the run of a script of callers."""

import asyncio
import threading
import uuid

import pytest

from rounds.testing import lend

NEAR = 1e-6


class Model:
    """Answers every place of every call with text of its own, and keeps what it was asked.

    `seconds` is how long a call takes, or says so for its number; `guilty` maps items to what they raise (builtin
    exceptions); `returns` makes the results of a call from the items and the right answers.
    """

    def __init__(self, seconds=0.0, guilty=(), returns=None):
        self.seconds = seconds
        self.guilty = dict(guilty)
        self.returns = returns or (lambda items, answers: answers)
        self.calls = []
        self.running = self.most_running = 0
        self.answers = {}
        self.notes = {}
        self.token = uuid.uuid4().hex
        self.lock = threading.Lock()

    def begin(self, items, now):
        with self.lock:
            self.calls.append((now, items))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            number = len(self.calls) - 1
        return number, self.seconds(number) if callable(self.seconds) else self.seconds

    def note(self, number, let_go):
        self.notes[number] = let_go

    def end(self, number, now):
        with self.lock:
            self.running -= 1
            items = self.calls[number][1]
            for item in items if self.guilty else ():
                if item in self.guilty:
                    error = self.guilty[item]
                    return {"raise": type(error).__name__, "args": list(error.args)}
            answers = [f"answer {number}.{place} {self.token}" for place in range(len(items))]
            results = self.returns(items, answers)
            for item, result in zip(items, results, strict=False):
                self.answers.setdefault(repr(item), []).append(result)
            return {"results": results}


class Run:
    """What became of the callers of a script, and what the model saw meanwhile."""

    def __init__(self, items, model, told):
        self.items = items
        self.model = model
        self.callers = told["callers"]
        self.closes = told.get("closes", [])
        self.left = told.get("left")
        self.told = told

    @property
    def batches(self):
        return [items for _, items in self.model.calls]

    def story(self, caller):
        """Tell how a caller fared."""
        told = self.callers[caller]
        details = f" {told['kinds'][0]}{tuple(told['args'])}" if told["what"] == "error" else ""
        details = f" {told['value']!r}" if told["what"] == "result" else details
        return f"caller {caller} (item {self.items[caller]!r}): {told['what']}{details} at {told['at']:.6g} s"

    def started(self, *expected):
        """Check that the model was called at these times with these items, in any order: (time, items)."""
        right = len(expected) == len(self.model.calls) and all(
            abs(now - when) < NEAR and in_any_order(got) == in_any_order(items)
            for (when, items), (now, got) in zip(expected, self.model.calls, strict=True)
        )
        assert right, f"the model should be called {schedule(expected)}; it was called {schedule(self.model.calls)}"

    def batched(self, *expected):
        """Check which items shared a call of the model, whenever that was and in whatever order."""
        wanted, got = [in_any_order(items) for items in expected], [in_any_order(items) for items in self.batches]
        assert got == wanted, f"the model should get the batches {wanted}, and got {got[:8]}"

    def sizes(self, *expected):
        sizes = [len(batch) for batch in self.batches]
        assert sizes == list(expected), f"the batches should have {list(expected)} items, and had {sizes}"

    def served(self, *callers):
        """Check that these callers, or all of them, got the answer to their own item."""
        for caller in callers or range(len(self.callers)):
            told = self.callers[caller]
            assert told["what"] == "result", f"a result was due; {self.story(caller)}"
            own = self.model.answers.get(repr(self.items[caller]), [])
            assert told["value"] in own, f"this is not what the model said to its item; {self.story(caller)}"

    def failed(self, caller, kind, *, at=None, args=None):
        """Check that a caller got an exception of this kind, and when and with what arguments."""
        told = self.callers[caller]
        assert kind in told.get("kinds", []), f"{kind} was due; {self.story(caller)}"
        if args is not None:
            same = told["kinds"][0] == kind and told["args"] == list(args)
            assert same, f"{kind}{tuple(args)} was due, unchanged; {self.story(caller)}"
        if at is not None:
            assert abs(told["at"] - at) < NEAR, f"{kind} was due at {at} s; {self.story(caller)}"

    def cancelled(self, *callers, at=None):
        for caller in callers:
            told = self.callers[caller]
            assert told["what"] == "cancelled", f"the task was cancelled; {self.story(caller)}"
            assert at is None or abs(told["at"] - at) < NEAR, f"it was cancelled at {at} s; {self.story(caller)}"

    def never_computed(self, *items):
        seen = [item for item in items if any(item in batch for batch in self.batches)]
        assert not seen, f"the model should never get {list(items)}; it was called {schedule(self.model.calls)}"

    def at_most_running(self, limit):
        most = self.model.most_running
        assert most <= limit, f"at most {limit} calls of the model may run at once, and {most} did"

    def closed(self):
        """Check that close returned, without an exception."""
        for told in self.closes:
            assert told["what"] == "result", f"close() should return, and ended so: {told}"

    def nothing_left(self):
        self.closed()
        assert self.left["tasks"] == 0, f"{self.left['tasks']} tasks of the batcher were left after close()"
        assert self.left["timers"] == 0, f"{self.left['timers']} live timers were left after close()"


def in_any_order(items):
    return sorted(items, key=repr)


def schedule(calls):
    """Tell of calls in words."""
    told = [f"at {when:.6g} s with {len(items)} items {str(list(items))[:60]}" for when, items in calls[:6]]
    return ", ".join(told) + (" …" if len(calls) > 6 else "") if told else "not at all"


def lent(model):
    return lend(model, "begin", "end", "note")


@pytest.fixture
def play(submission, props):
    """Run a script of callers: `play([(0.0, "predict", "a", "b"), (0.1, "close")], seconds=0.1, max_batch_size=4)`."""

    def play(script, *, seconds=0.0, guilty=(), returns=None, **options):
        model = Model(seconds, guilty, returns)
        items = [item for _, verb, *arguments in script if verb == "predict" for item in arguments]

        async def run():
            return await props.play(submission, script, lent(model), options)

        return Run(items, model, asyncio.run(run()))

    return play


@pytest.fixture
def park(submission, props):
    """Run callers of a plain model that blocks until the loop has gone round often enough."""

    def park(items, *, at_once=1, later=(), close=False, guilty=(), returns=None, **options):
        model = Model(0.0, guilty, returns)

        async def run():
            return await props.park(submission, items, lent(model), options, at_once, later, close)

        return Run([*items, *later], model, asyncio.run(run()))

    return park
