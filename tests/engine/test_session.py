"""A submission in its sandbox, as a test holds it: calls both ways, exceptions, threads, coroutines, its end."""

import asyncio
import concurrent.futures
import threading
import time

import numpy as np
import pandas as pd
import pytest

from rounds.bridge.failures import (
    OpaqueValue,
    ProtocolBroken,
    SandboxFailure,
    SubmissionDied,
    SubmissionOutOfMemory,
    SubmissionTimeout,
    death,
    origin_of,
)
from rounds.bridge.proxy import is_proxy
from rounds.bridge.sandbox import Unloadable
from rounds.bridge.session import OUTPUT_CAP
from rounds.testing import data_of, gather, lend

PATIENCE = 30

SOURCE = """
import asyncio
import contextlib
import dataclasses
import threading

import pydantic

TABLE = {"a": 1}


def echo(*arguments, **keywords):
    return [arguments, keywords]


def keyword_only(first, /, self=1, *, operation, value=2):
    return [first, self, operation, value]


def apply(function, *arguments):
    return function(*arguments)


def missing_key():
    return TABLE["no such key"]


class Error(Exception):
    pass


class NotFound(Error, KeyError):
    def __init__(self, name, code=404):
        super().__init__(f"no {name}")
        self.name = name
        self.code = code


def find(name):
    raise NotFound(name)


def chained():
    try:
        find("x")
    except NotFound as error:
        raise ValueError("wrapped") from error


def raise_it(kind, *arguments):
    raise kind(*arguments)


def catch(function):
    try:
        function()
    except Exception as error:
        return [type(error).__name__, str(error)]


def is_error(kind):
    return [issubclass(kind, Exception), kind is NotFound, kind is ValueError]


def count(to):
    for number in range(to):
        yield number
    raise NotFound("more")


class Box:
    size = 3

    def __init__(self, **values):
        self.values = values

    def __getitem__(self, key):
        return self.values[key]

    def __setitem__(self, key, value):
        self.values[key] = value

    def __delitem__(self, key):
        del self.values[key]

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(sorted(self.values))

    def __enter__(self):
        self.values["open"] = True
        return self

    def __exit__(self, *error):
        self.values["open"] = False

    def twin(self):
        return Box(**self.values)

    def same(self, other):
        return other is self


class SubBox(Box):
    pass


@contextlib.contextmanager
def opened(log):
    log("in")
    yield "inside"
    log("out")


@dataclasses.dataclass
class Point:
    x: int
    y: list


class Model(pydantic.BaseModel):
    name: str
    parts: dict[str, int]


def records():
    return [Point(1, [2]), Model(name="m", parts={"a": 1}), Box(a=1)]


def run_in_threads(function, number):
    results = [None] * number

    def work(position):
        results[position] = function(position)

    threads = [threading.Thread(target=work, args=(position,)) for position in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Server:
    def __init__(self):
        self.lock = threading.Lock()
        self.parked = 0

    def park(self, wait):
        with self.lock:
            self.parked += 1
        return wait()

    def health(self):
        return self.parked


async def double_after(seconds, number):
    await asyncio.sleep(seconds)
    return 2 * number


async def failing():
    await asyncio.sleep(0)
    raise NotFound("it")


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def asks(store, key):
    await asyncio.sleep(3600)
    return [store.get(key), await store.fetch(key)]


class Batcher:
    def __init__(self):
        self.batches = []
        self.waiting = []

    async def predict(self, number):
        self.waiting.append(number)
        if len(self.waiting) == 1:
            await asyncio.sleep(60)
            self.batches.append(list(self.waiting))
            self.waiting.clear()
        return number


async def ticks(to):
    for number in range(to):
        await asyncio.sleep(1)
        yield number
"""


@pytest.fixture
def box(enter):
    return enter(SOURCE)


@pytest.fixture
def submission(box):
    return box.submission


class Raises:
    def __init__(self, error):
        self.error = error

    def __call__(self, *ignored):
        raise self.error


# --- calls and values


def test_arguments_and_keywords_cross(submission):
    assert submission.echo(1, "a", None, key=(2,), other={3}) == [(1, "a", None), {"key": (2,), "other": {3}}]


def test_names_of_the_wire_do_not_collide_with_parameters(submission):
    assert submission.keyword_only(0, self=5, operation=6, value=7) == [0, 5, 6, 7]
    assert submission.echo(function=1, name=2, arguments=3, keywords=4)[1] == {
        "function": 1,
        "name": 2,
        "arguments": 3,
        "keywords": 4,
    }


def test_tables_cross_both_ways(submission):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.date_range("2024", periods=2, tz="UTC"))
    array = np.arange(6, dtype="f4").reshape(2, 3)
    (found_table, found_array), _ = submission.echo(table, array)
    pd.testing.assert_frame_equal(found_table, table, check_freq=False)
    assert found_array.dtype == array.dtype
    assert found_array.tolist() == array.tolist()


def test_an_object_goes_out_as_itself_and_comes_back(submission):
    one = submission.Box(a=1)
    assert is_proxy(one)
    assert one.same(one) is True
    assert one.same(one.twin()) is False
    assert submission.apply(one.twin)["a"] == 1


def test_attributes_can_be_read_set_and_deleted(submission):
    one = submission.Box()
    one.colour = "red"
    assert one.colour == "red"
    del one.colour
    with pytest.raises(AttributeError):
        _ = one.colour
    submission.Box.size = 4
    assert one.size == 4


def test_items_can_be_read_set_deleted_and_counted(submission):
    one = submission.Box(a=1)
    one["b"] = [2]
    assert (one["a"], one["b"], len(one), list(one)) == (1, [2], 2, ["a", "b"])
    del one["a"]
    assert len(one) == 1
    with pytest.raises(KeyError):
        _ = one["a"]


def test_a_context_manager_is_entered_and_left(submission):
    with submission.Box() as one:
        assert one["open"] is True
    assert one["open"] is False
    log = []
    with submission.opened(log.append) as inside:
        assert inside == "inside"
        assert log == ["in"]
    assert log == ["in", "out"]


def test_isinstance_asks_for_classes_of_the_submission(submission):
    one = submission.SubBox()
    assert isinstance(one, submission.Box)
    assert not isinstance(submission.Box(), submission.SubBox)
    assert not isinstance("data", submission.Box)


def test_a_generator_is_walked_step_by_step_and_may_raise(submission):
    numbers = submission.count(3)
    assert [next(numbers), next(numbers), next(numbers)] == [0, 1, 2]
    with pytest.raises(submission.NotFound, match="no more"):
        next(numbers)
    with pytest.raises(StopIteration):
        next(numbers)


def test_records_come_as_data(submission):
    point, model, plain = submission.records()
    assert data_of(point) == {"x": 1, "y": [2]}
    assert data_of(model) == {"name": "m", "parts": {"a": 1}}
    assert data_of(plain) == {"values": {"a": 1}}


def test_objects_that_are_let_go_here_are_let_go_there(enter):
    box = enter(
        """
import gc


class Held:
    pass


def made():
    return [Held() for _ in range(100)]


def alive():
    gc.collect()
    return sum(type(found) is Held for found in gc.get_objects())
"""
    )
    kept = box.submission.made()
    assert box.submission.alive() == 100
    for _ in range(4):
        box.submission.made()
    assert 100 <= box.submission.alive() <= 400
    assert all(is_proxy(one) for one in kept)


# --- exceptions


def test_an_exception_names_the_candidates_file_and_line(submission):
    with pytest.raises(KeyError) as caught:
        submission.missing_key()
    line = SOURCE.splitlines().index('    return TABLE["no such key"]') + 1
    origin = origin_of(caught.value)
    assert origin.where == f'answer.py:{line}:  return TABLE["no such key"]'
    assert (origin.kind, origin.text) == ("KeyError", "'no such key'")
    assert "answer.py" in origin.traceback


def test_the_innermost_line_of_the_candidate_is_named(submission):
    with pytest.raises(submission.NotFound) as caught:
        submission.apply(submission.find, "x")
    assert origin_of(caught.value).where.endswith("raise NotFound(name)")


def test_own_exceptions_keep_name_family_data_and_text(submission):
    with pytest.raises(submission.Error) as caught:
        submission.find("model")
    error = caught.value
    assert isinstance(error, KeyError)
    assert type(error).__name__ == "NotFound"
    assert (error.name, error.code, error.args) == ("model", 404, ("no model",))
    assert origin_of(error).kind == "NotFound"
    with pytest.raises(submission.NotFound):
        submission.find("x")
    with pytest.raises(LookupError):
        submission.find("x")


def test_another_exception_is_not_taken_for_an_own_one(submission):
    with pytest.raises(ValueError, match="wrapped") as caught:
        submission.chained()
    assert not isinstance(caught.value, submission.Error)


def test_exception_classes_can_be_handed_over_and_come_back(submission):
    assert submission.is_error(submission.NotFound) == [True, True, False]
    assert submission.is_error(ValueError) == [True, False, True]
    assert issubclass(submission.NotFound, submission.Error)
    with pytest.raises(submission.NotFound, match="no pipe"):
        submission.raise_it(submission.NotFound, "pipe")


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, ZeroDivisionError, TimeoutError, UnicodeError])
def test_builtin_exceptions_are_themselves(submission, kind):
    with pytest.raises(kind, match="the text") as caught:
        submission.raise_it(kind, "the text")
    assert caught.value.args == ("the text",)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_what_would_steer_the_test_run_is_a_runtime_error_here(submission, kind):
    with pytest.raises(RuntimeError) as caught:
        submission.raise_it(kind, "x")
    assert origin_of(caught.value).kind == kind.__name__
    assert submission.echo(1) == [(1,), {}]


# --- callbacks


def test_a_function_of_the_test_is_called_back_in_the_tests_thread(submission):
    threads = []

    def double(number):
        threads.append(threading.current_thread())
        return 2 * number

    assert submission.apply(double, 21) == 42
    assert threads == [threading.current_thread()]


def test_callbacks_nest(submission):
    def down(number):
        return [number, *(submission.apply(down, number - 1) if number else [])]

    assert submission.apply(down, 5) == [5, 4, 3, 2, 1, 0]


def test_callbacks_end_at_a_depth(submission):
    def for_ever():
        return submission.apply(for_ever)

    with pytest.raises(PermissionError, match="too many calls back"):
        submission.apply(for_ever)


def test_an_exception_of_a_fake_reaches_the_submission_as_the_nearest_builtin(submission):
    class Refused(ConnectionError):
        pass

    assert submission.catch(Raises(Refused("down"))) == ["ConnectionError", "down"]
    assert submission.catch(Raises(KeyboardInterrupt("stop")))[0] == "RuntimeError"


def test_threads_of_the_submission_call_back(submission):
    assert submission.run_in_threads(lambda number: number * 10, 12) == [number * 10 for number in range(12)]


def test_eight_parked_calls_leave_a_ninth_free(submission):
    release, parked = threading.Event(), threading.Semaphore(0)

    def wait():
        parked.release()
        return release.wait(PATIENCE)

    server = submission.Server()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.park, wait) for _ in range(8)]
        for _ in range(8):
            assert parked.acquire(timeout=PATIENCE)
        assert server.health() == 8
        assert not any(future.done() for future in waiting)
        release.set()
        assert [future.result(PATIENCE) for future in waiting] == [True] * 8


def test_threads_of_the_test_call_side_by_side(submission):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: submission.echo(number)[0][0], range(200)))
    assert found == list(range(200))


# --- coroutines


def test_a_coroutine_is_awaited_on_a_real_loop(submission):
    async def test():
        return await submission.double_after(0.01, 21)

    assert asyncio.run(test()) == 42


def test_coroutines_on_the_real_loop_run_side_by_side(submission):
    async def test():
        never = asyncio.ensure_future(_await(submission.for_ever()))
        found = await asyncio.gather(*(_await(submission.double_after(0.01, number)) for number in range(5)))
        never.cancel()
        return found

    assert asyncio.run(test()) == [0, 2, 4, 6, 8]


async def _await(awaitable):
    return await awaitable


def test_an_hour_on_the_virtual_loop_takes_no_time(enter):
    submission = enter(SOURCE, loop="virtual").submission

    async def test():
        return await submission.double_after(3600, 21)

    started = time.monotonic()
    assert asyncio.run(test()) == 42
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("loop", ["real", "virtual"])
def test_a_coroutine_calls_back(enter, loop):
    class Store:
        def get(self, key):
            return f"got {key}"

        def fetch(self, key):
            return f"fetched {key}"

    source = SOURCE if loop == "virtual" else SOURCE.replace("3600", "0.01")
    submission = enter(source, loop=loop).submission
    store = lend(Store(), "get", coroutines=("fetch",))

    async def test():
        return await submission.asks(store, "a"), await submission.double_after(0.01, 4)

    assert asyncio.run(test()) == (["got a", "fetched a"], 8)


@pytest.mark.parametrize("loop", ["real", "virtual"])
def test_an_exception_of_a_coroutine_reaches_whoever_awaits_it(enter, loop):
    submission = enter(SOURCE, loop=loop).submission

    async def test():
        await submission.failing()

    with pytest.raises(submission.NotFound, match="no it"):
        asyncio.run(test())


def test_gathered_coroutines_share_one_loop_and_start_after_their_delays(enter):
    submission = enter(SOURCE, loop="virtual").submission
    batcher = submission.Batcher()

    async def test():
        calls = [batcher.predict(number) for number in range(4)]
        return await gather(*calls, delays=(0.0, 1.0, 59.0, 61.0))

    assert asyncio.run(test()) == [0, 1, 2, 3]
    assert batcher.batches == [[0, 1, 2], [3]]


def test_waiting_for_nothing_on_the_virtual_loop_is_an_error_at_once(enter):
    submission = enter(SOURCE, loop="virtual").submission

    async def test():
        await submission.for_ever()

    with pytest.raises(RuntimeError, match="waits for ever"):
        asyncio.run(test())


def test_a_coroutine_that_waits_for_ever_is_timed_out(enter):
    submission = enter(SOURCE, seconds=1).submission

    async def test():
        await submission.for_ever()

    with pytest.raises(SubmissionTimeout):
        asyncio.run(test())


# --- the end of a process


def test_a_call_that_takes_too_long_is_timed_out(enter):
    box = enter("def loop():\n    while True:\n        pass", seconds=1)
    with pytest.raises(SubmissionTimeout, match="1 s, the limit of this test"):
        box.submission.loop()
    with pytest.raises(SubmissionTimeout):
        box.submission.loop()
    box.close()
    assert box.workplace.time_outs == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("os._exit(3)", "ended by itself with status 3"),
        ("os._exit(0)", "ended by itself with status 0"),
        ("os._exit(70)", "ended by itself with status 70"),
        ("ctypes.string_at(0)", "crashed .segmentation fault"),
    ],
)
def test_a_death_is_told_in_a_sentence(enter, line, sentence):
    box = enter(f"import ctypes, os\ndef die():\n    {line}\n    threading.Event().wait()", seconds=10)
    with pytest.raises(SubmissionDied, match=sentence):
        box.submission.die()


def test_a_death_is_no_error_that_a_test_could_expect(enter):
    box = enter("import os\ndef die():\n    os._exit(1)")

    def expecting():
        with pytest.raises(Exception):  # noqa: B017
            box.submission.die()

    with pytest.raises(SubmissionDied):
        expecting()


def test_too_much_memory_is_a_memory_error_first(enter):
    box = enter("def take(mb):\n    return len(bytearray(mb << 20))", memory_mb=200)
    with pytest.raises(MemoryError):
        box.submission.take(2000)
    assert box.submission.take(50) == 50 << 20


def test_memory_that_escapes_the_limit_of_one_process_ends_all(enter):
    box = enter(
        """
import mmap
import threading


def take(mb):
    held = mmap.mmap(-1, mb << 20)
    for position in range(0, mb << 20, 4096):
        held[position] = 1
    threading.Event().wait()
""",
        memory_mb=100,
    )
    with pytest.raises(SubmissionOutOfMemory, match="more than the 100 MB"):
        box.submission.take(400)


def test_bytes_on_the_channel_end_the_conversation(enter):
    box = enter("import os\ndef forge():\n    os.write(3, b'\\xff' * 100)")
    with pytest.raises(ProtocolBroken, match="not a valid answer"):
        box.submission.forge()


def test_nothing_can_be_asked_once_the_test_is_over(enter):
    box = enter("def f():\n    return 1")
    submission = box.submission
    box.close()
    box.close()
    with pytest.raises(SubmissionDied):
        submission.f()


@pytest.mark.parametrize(
    ("report", "kind", "sentence"),
    [
        ({"status": -9, "why": "time limit"}, SubmissionTimeout, "still running after 3 s"),
        ({"status": -9, "why": "memory limit"}, SubmissionOutOfMemory, "more than the 64 MB"),
        ({"status": None, "why": "no process could be made: x"}, SandboxFailure, "no process could be made: x"),
        ({}, SandboxFailure, "could not be set up"),
        ({"status": -24, "why": ""}, SubmissionTimeout, "processor time"),
        ({"status": -11, "why": ""}, SubmissionDied, "segmentation fault"),
        ({"status": -6, "why": ""}, SubmissionDied, "signal 6"),
        ({"status": 70, "why": ""}, SubmissionDied, "by itself with status 70"),
    ],
)
def test_each_report_of_an_end_has_its_sentence(report, kind, sentence):
    found = death(report, 3.0, 64)
    assert type(found) is kind
    assert sentence in str(found)


# --- output, files, environment


def test_output_is_captured(enter):
    box = enter(
        "import os, sys\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n    os.write(1, b'raw')"
    )
    box.submission.f()
    box.close()
    assert sorted(bytes(box.session.output).split()) == [b"err", b"out", b"raw"]


def test_output_is_capped(enter):
    box = enter("def f():\n    for _ in range(100):\n        print('x' * 10_000)\n    return 1")
    assert box.submission.f() == 1
    box.close()
    assert len(box.session.output) == OUTPUT_CAP
    assert box.session.output_cut


def test_scratch_files_go_in_and_come_out(enter):
    box = enter(
        "from pathlib import Path\ndef double(folder):\n"
        "    content = Path(folder, 'in', 'a.txt').read_bytes()\n"
        "    Path(folder, 'out.bin').write_bytes(2 * content)\n",
        files={"in/a.txt": b"first"},
    )
    assert box.scratch.files() == ["in/a.txt"]
    box.scratch.write("in/a.txt", "ab")
    box.submission.double(box.scratch.path)
    assert box.scratch.files() == ["in/a.txt", "out.bin"]
    assert box.scratch.read("out.bin") == b"abab"
    with pytest.raises(FileNotFoundError):
        box.scratch.read("nothing")


def test_links_in_the_scratch_folder_are_not_followed(enter):
    box = enter("import os\ndef link(folder):\n    os.symlink('/etc/passwd', folder + '/link')")
    box.submission.link(box.scratch.path)
    assert box.scratch.files() == []
    with pytest.raises(OSError, match="symbolic"):
        box.scratch.read("link")


def test_the_environment_is_set_before_the_import(enter):
    source = "import os\nFOUND = os.environ.get('MODEL_NAME')\nALL = dict(os.environ)"
    assert enter(source, environ={"MODEL_NAME": "m"}).submission.FOUND == "m"
    plain = enter(source).submission
    assert plain.FOUND is None
    assert not {name for name in plain.ALL if name.startswith(("PYTEST", "ROUNDS", "PYTHONMALLOC"))}


def test_each_hash_seed_is_fixed_and_they_differ(enter):
    source = "def order():\n    return list({str(number) for number in range(50)})"
    first, again, other = (enter(source, hash_seed=seed).submission.order() for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_a_second_process_shares_nothing_with_the_first(enter):
    source = "SEEN = []\ndef note(item):\n    SEEN.append(item)\n    open('/tmp/note', 'w').write('x')\n    return SEEN"
    first, second = enter(source), enter(source)
    first.submission.note(1)
    assert second.submission.note(2) == [2]
    with pytest.raises(TypeError, match="one sandboxed process"):
        first.submission.note(second.submission.note)


def test_the_submission_imports_its_own_files_and_runs_in_their_folder(enter):
    box = enter(
        {
            "answer.py": b"import pathlib\nfrom parts.inner import NAME\nHERE = pathlib.Path('data.txt').read_text()",
            "parts/inner.py": b"NAME = 'inner'",
            "data.txt": b"data",
        }
    )
    assert (box.submission.NAME, box.submission.HERE) == ("inner", "data")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def f(:", r"SyntaxError"),
        ("import no_such_library", r"needs a library that is not there \(No module named 'no_such_library'\)"),
        ("1 / 0", r"ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", r"SystemExit: 3"),
        ("import os\nos._exit(4)", r"status 4"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(enter, source, sentence):
    box = enter(source)
    with pytest.raises(Unloadable, match=f"answer.py could not be imported: .*{sentence}"):
        _ = box.submission
    with pytest.raises(Unloadable):
        _ = box.submission


def test_props_are_loaded_and_prepared_before_the_submission(enter):
    box = enter(
        "import builtins\nFOUND = builtins.prepared",
        props="def prepare():\n    import builtins\n    builtins.prepared = 7",
    )
    assert box.submission.FOUND == 7
    assert not box.uses_props
    assert is_proxy(box.props)
    assert box.uses_props


# --- serving

APP = """
import contextlib
import threading

import fastapi

STARTED = []
barrier = threading.Barrier(4)


@contextlib.asynccontextmanager
async def lifespan(app):
    STARTED.append("up")
    yield
    STARTED.append("down")


app = fastapi.FastAPI(lifespan=lifespan)


@app.get("/started")
def started():
    return STARTED


@app.post("/double")
def double(body: dict):
    return {"result": 2 * body["number"]}


@app.get("/meet")
def meet():
    return barrier.wait(20)


@app.get("/fail")
def fail():
    raise ValueError("inside")


@contextlib.asynccontextmanager
async def broken_lifespan(app):
    raise RuntimeError("no database")
    yield


broken = fastapi.FastAPI(lifespan=broken_lifespan)
"""


def test_an_app_is_served_with_its_lifespan(enter):
    box = enter(APP)
    client = box.serve(box.submission.app)
    assert client.get("/started").json() == ["up"]
    assert client.post("/double", json={"number": 21}).json() == {"result": 42}
    assert client.post("/double", json={}).status_code == 500
    assert client.get("/nowhere").status_code == 404
    assert box.submission.STARTED == ["up"]


def test_requests_are_served_side_by_side(enter):
    box = enter(APP)
    client = box.serve(box.submission.app)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: client.get("/meet").json(), range(4)))
    assert sorted(found) == [0, 1, 2, 3]


def test_an_app_that_does_not_start_is_an_error_of_the_submission(enter):
    box = enter(APP)
    with pytest.raises(RuntimeError, match="did not start"):
        box.serve(box.submission.broken)


def test_two_apps_are_served_in_one_process(enter):
    box = enter(APP)
    clients = [box.serve(box.submission.app) for _ in range(2)]
    assert [client.get("/started").status_code for client in clients] == [200, 200]


def test_an_object_where_data_is_promised_says_so(submission):
    with pytest.raises(OpaqueValue, match="<Box of the submission> is an object of the submission"):
        assert submission.Box() == {}
