"""What is lent of a fake, on this side and, as a stand-in, on the other."""

import asyncio
import copy
import pickle

import pytest

from rounds.bridge.lending import lend
from rounds.inside.lent import Lent, lent_object


class Store:
    size = 3

    def __init__(self):
        self.values = {"a": 1}

    def get(self, key, default=None):
        return self.values.get(key, default)

    def secret(self):
        return "secret"

    def __call__(self, key):
        return self.values[key]


# --- the judge's side


def test_a_lent_method_is_the_fakes_own():
    lent = lend(Store(), "get")
    assert lent.method("get")("a") == 1
    assert lent.get("b", default=2) == 2


@pytest.mark.parametrize("name", ["secret", "values", "__class__", "__init__", "__call__", "method", "", None, 5])
def test_nothing_else_of_it_is_lent(name):
    with pytest.raises(PermissionError, match="is not lent"):
        lend(Store(), "get").method(name)


def test_a_callable_is_lent_as_such():
    assert lend(Store(), "__call__")("a") == 1
    with pytest.raises(PermissionError):
        lend(Store(), "get")("a")


def test_attributes_are_seen_as_data():
    lent = lend(Store(), "get", size=5, names=["a"])
    assert (lent.size, lent.names) == (5, ["a"])


def test_coroutines_are_plain_methods_here():
    assert lend(Store(), coroutines=("get",)).method("get")("a") == 1


# --- the submission's side


class Caller:
    def __init__(self):
        self.calls = []

    def call_back(self, number, method, arguments, keywords):
        self.calls.append((number, method, arguments, keywords))
        return f"answer {len(self.calls)}"


@pytest.fixture
def caller():
    return Caller()


@pytest.fixture
def stand_in(caller):
    return lent_object(caller, 7, ["get", "__call__"], {"size": 3}, ["fetch"])


def test_a_stand_in_calls_back(caller, stand_in):
    assert stand_in.get(1, key=2) == "answer 1"
    assert stand_in("x") == "answer 2"
    assert caller.calls == [(7, "get", (1,), {"key": 2}), (7, "__call__", ("x",), {})]


def test_a_stand_in_takes_any_keyword(caller, stand_in):
    stand_in.get(self=1, caller=2, number=3, name=4)
    assert caller.calls[0][3] == {"self": 1, "caller": 2, "number": 3, "name": 4}


def test_a_coroutine_of_a_stand_in_is_awaited(stand_in):
    async def test():
        return await stand_in.fetch("a")

    assert asyncio.run(test()) == "answer 1"


def test_a_stand_in_has_the_attributes_and_nothing_more(caller, stand_in):
    assert stand_in.size == 3
    with pytest.raises(AttributeError):
        _ = stand_in.other
    assert caller.calls == []


def test_copies_of_a_stand_in_are_the_object_itself(stand_in):
    assert copy.copy(stand_in) is stand_in
    assert copy.deepcopy({"model": [stand_in]})["model"][0] is stand_in


def test_a_stand_in_cannot_be_pickled(stand_in):
    with pytest.raises(TypeError, match="lent by the test"):
        pickle.dumps(stand_in)


def test_stand_ins_of_different_fakes_have_methods_of_their_own(caller):
    first, second = lent_object(caller, 1, ["get"], {}, []), lent_object(caller, 2, ["put"], {}, [])
    assert isinstance(first, Lent)
    assert not hasattr(second, "get")
    assert repr(second) == "<lent by the test #2>"
