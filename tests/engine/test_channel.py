"""Two ends of a channel over a socket pair in one process: conversations nest, run in parallel, and break cleanly."""

import concurrent.futures
import contextlib
import queue
import socket
import threading

import pytest

from rounds.inside import frames
from rounds.inside.channel import Channel, Later
from rounds.inside.codec import Codec
from rounds.inside.frames import WireError

PATIENCE = 20


class End(Channel):
    """An end whose answers are functions by name; a function that calls back is handed the end."""

    def __init__(self, connection, first, asks, functions):
        super().__init__(connection, Codec(self.no_reference, self.no_reference), first=first, asks=asks)
        self.functions = functions
        self.seconds = PATIENCE
        self.reader = threading.Thread(target=self.read_messages, daemon=True)
        self.reader.start()

    def no_reference(self, *ignored):
        raise TypeError("no data")

    def answer(self, message):
        _, _, name, *arguments = message
        return self.functions[name](self, *arguments)

    def describe(self, error):
        return [type(error).__name__, str(error)]

    def rebuild(self, description):
        return RuntimeError(": ".join(description))

    def read_exactly(self, count):
        buffer = bytearray()
        while len(buffer) < count:
            chunk = self.connection.recv(count - len(buffer))
            if not chunk:
                raise EOFError("hung up")
            buffer += chunk
        return buffer

    def seconds_left(self):
        return self.seconds

    def timed_out(self):
        return TimeoutError("no answer")


def raises(end, text):
    raise ValueError(text)


def countdown(end, number):
    """Go back and forth between the two sides, one level deeper each time."""
    return [number, threading.get_ident(), *(end.request("countdown", number - 1) if number else [])]


def from_a_thread(end, number):
    """Call back from a thread of this side's own, while the question waits."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(end.request, "double", number).result(PATIENCE)


FUNCTIONS = {
    "double": lambda end, number: 2 * number,
    "echo": lambda end, value: value,
    "raises": raises,
    "countdown": countdown,
    "from a thread": from_a_thread,
    "thread": lambda end: threading.get_ident(),
    "object": lambda end: object(),
    "ask": lambda end, *question: end.request(*question),
}


@pytest.fixture
def ends():
    """The judge's and the submission's end; each can be given further functions."""
    left, right = socket.socketpair()
    pair = End(left, 2, "do", dict(FUNCTIONS)), End(right, 1, "back", dict(FUNCTIONS))
    yield pair
    for connection in (left, right):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    for end in pair:
        end.reader.join(PATIENCE)
        end.connection.close()


@pytest.fixture
def line():
    """One end, and the bare socket of a peer that speaks for itself."""
    left, right = socket.socketpair()
    end = End(left, 2, "do", dict(FUNCTIONS))
    yield end, right
    right.close()
    end.reader.join(PATIENCE)
    left.close()


def in_threads(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.result(PATIENCE) for future in futures]


def say(peer, message):
    for chunk in frames.pack(*Codec(None, None).encode(message)):
        peer.sendall(chunk)


def hear(peer):
    def read_exactly(count):
        return bytearray(peer.recv(count, socket.MSG_WAITALL))

    return Codec(None, None).decode(*frames.read(read_exactly))


# --- asking and answering


def test_both_sides_ask_and_are_answered(ends):
    left, right = ends
    assert left.request("double", 21) == 42
    assert right.request("double", 4) == 8


def test_an_exception_is_described_and_rebuilt(ends):
    left, _ = ends
    with pytest.raises(RuntimeError, match="ValueError: too long"):
        left.request("raises", "too long")
    assert left.request("double", 1) == 2


def test_calls_nest_over_both_sides_and_run_in_the_thread_that_waits(ends):
    left, _ = ends
    found = left.request("countdown", 6)
    assert found[::2] == [6, 5, 4, 3, 2, 1, 0]
    here, there = set(found[3::4]), set(found[1::4])
    assert here == {threading.get_ident()}
    assert len(there) == 1


def test_an_exception_comes_through_every_level(ends):
    left, _ = ends
    with pytest.raises(RuntimeError, match="RuntimeError: ValueError: deep"):
        left.request("ask", "raises", "deep")
    assert left.request("double", 2) == 4


def test_a_thread_of_the_other_side_calls_back_while_the_question_waits(ends):
    left, _ = ends
    assert left.request("from a thread", 21) == 42


def test_a_value_that_cannot_cross_is_an_exception_and_not_the_end(ends):
    left, right = ends
    with pytest.raises(RuntimeError, match="TypeError: no data"):
        left.request("object")
    with pytest.raises(TypeError, match="no data"):
        left.request("echo", object())
    assert left.request("double", 3) == 6
    assert right.broken is None


def test_large_values_cross_in_both_directions_at_once(ends):
    large = b"x" * 3_000_000
    assert in_threads([lambda end=end: end.request("echo", large) == large for end in ends]) == [True, True]


def test_conversations_run_in_parallel(ends):
    left, right = ends
    together = threading.Barrier(9)
    right.functions["meet"] = lambda end, number: (together.wait(PATIENCE), number)[1]
    assert in_threads([lambda number=number: left.request("meet", number) for number in range(9)]) == list(range(9))


def test_parked_questions_leave_the_others_free(ends):
    left, right = ends
    release, parked = threading.Event(), threading.Barrier(9)

    def park(end):
        parked.wait(PATIENCE)
        return release.wait(PATIENCE)

    right.functions["park"] = park
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(left.request, "park") for _ in range(8)]
        parked.wait(PATIENCE)
        assert left.request("double", 21) == 42
        assert not any(future.done() for future in waiting)
        release.set()
        assert [future.result(PATIENCE) for future in waiting] == [True] * 8


def test_parallel_conversations_that_call_back_do_not_mix(ends):
    left, _ = ends
    found = in_threads([lambda depth=depth: left.request("countdown", depth)[::2] for depth in range(12)])
    assert found == [list(range(depth, -1, -1)) for depth in range(12)]


def test_the_same_thread_may_ask_again_and_again(ends):
    left, right = ends
    assert [left.request("double", number) for number in range(300)] == [2 * number for number in range(300)]
    assert not left._inboxes
    assert not right._inboxes


def test_an_answer_may_come_later(ends):
    left, right = ends
    future = concurrent.futures.Future()
    asked = threading.Event()

    def later(end):
        asked.set()
        return Later(future)

    right.functions["later"] = later
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(left.request, "later")
        assert asked.wait(PATIENCE)
        assert left.request("double", 1) == 2
        future.set_result("done")
        assert waiting.result(PATIENCE) == "done"


def test_a_failure_may_come_later(ends):
    left, right = ends
    future = concurrent.futures.Future()
    future.set_exception(ValueError("late"))
    right.functions["later"] = lambda end: Later(future)
    with pytest.raises(RuntimeError, match="ValueError: late"):
        left.request("later")


def test_a_posted_question_is_answered_into_the_inbox_it_came_with(ends):
    left, _ = ends
    inbox = queue.SimpleQueue()
    left.post(inbox, "double", 21)
    kind, _, value = inbox.get(timeout=PATIENCE)
    assert (kind, value) == ("ret", 42)


def test_the_two_sides_open_numbers_of_their_own(ends):
    assert [left.own_number() % 2 for left in ends for _ in range(3)] == [0, 0, 0, 1, 1, 1]


# --- broken peers


def test_a_question_without_an_answer_times_out(line):
    end, _ = line
    end.seconds = 0.01
    with pytest.raises(TimeoutError):
        end.request("double", 1)


def test_a_peer_that_hangs_up_wakes_everyone_who_waits(line):
    end, peer = line
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(end.request, "double", 1) for _ in range(3)]
        for _ in waiting:
            hear(peer)
        peer.shutdown(socket.SHUT_RDWR)
        for future in waiting:
            with pytest.raises(EOFError, match="hung up"):
                future.result(PATIENCE)


@pytest.mark.parametrize(
    "message",
    [
        5,
        [],
        ["ret"],
        ["ret", 2],
        ["ret", "2", 1],
        ["ret", True, 1],
        ["ret", 4, 1],
        ["exc", 4, ["ValueError", "x"]],
        ["do", 1, "double", 1],
        {"ret": 1},
        [[1], 3, 1],
    ],
    ids=repr,
)
def test_a_message_of_the_wrong_shape_ends_the_channel(line, message):
    end, peer = line
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(end.request, "double", 1)
        assert hear(peer) == ["do", 2, "double", 1]
        say(peer, message)
        with pytest.raises(WireError):
            waiting.result(PATIENCE)


@pytest.mark.parametrize("data", [b"\xff" * 6, b"\0\0\0\1\0\0\xc1"], ids=["size", "payload"])
def test_bytes_that_are_no_frame_end_the_channel(line, data):
    end, peer = line
    peer.sendall(data)
    end.reader.join(PATIENCE)
    assert isinstance(end.broken, WireError)


def test_an_answer_to_a_question_that_was_answered_already_ends_the_channel(line):
    end, peer = line
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(end.request, "double", 1)
        hear(peer)
        say(peer, ["ret", 2, 2])
        assert waiting.result(PATIENCE) == 2
    say(peer, ["ret", 2, 2])
    end.reader.join(PATIENCE)
    assert isinstance(end.broken, WireError)


def test_a_peer_that_asks_what_there_is_not_is_told_so(line):
    end, peer = line
    say(peer, ["back", 1, "no such thing"])
    assert hear(peer) == ["exc", 1, ["KeyError", "'no such thing'"]]
    assert end.broken is None


def test_the_first_reason_for_the_end_is_kept():
    left, right = socket.socketpair()
    with left, right:
        end = End(left, 2, "do", {})
        end.break_off(ValueError("first"))
        end.break_off(ValueError("second"))
        assert str(end.broken) == "first"
        right.close()
        end.reader.join(PATIENCE)
