"""Proxies against a session that only takes notes: what is asked across, and what is refused here."""

import asyncio
import dataclasses
import gc
import itertools

import pytest

from rounds.bridge.failures import OpaqueValue
from rounds.bridge.proxy import data_of, gather, is_proxy, number_of, proxy


class Notes:
    """Stands for a session: keeps what was asked, and answers as told."""

    loop_kind = "real"

    def __init__(self, answer=None):
        self.answer = answer
        self.asked = []
        self.forgotten = []

    def request(self, operation, arguments, keywords):
        self.asked.append((operation, *arguments, keywords) if keywords else (operation, *arguments))
        return self.answer

    def forget(self, number):
        self.forgotten.append(number)


@pytest.fixture
def session():
    return Notes("answer")


@pytest.fixture
def one(session):
    return proxy(session, 7, "Box")


def test_reading_calling_and_indexing_ask_across(session, one):
    other = proxy(session, 8, "Box")
    assert [one.name, one(1, key=2), one["k"], next(one)] == ["answer"] * 4
    one.name = 3
    del one.name
    one["k"] = other
    del one["k"]
    assert session.asked == [
        ("getattr", one, "name"),
        ("call", one, 1, {"key": 2}),
        ("getitem", one, "k"),
        ("next", one),
        ("setattr", one, "name", 3),
        ("delattr", one, "name"),
        ("setitem", one, "k", other),
        ("delitem", one, "k"),
    ]


def test_a_call_may_use_any_keyword(session, one):
    one(self=1, session=2, operation=3)
    assert session.asked == [("call", one, {"self": 1, "session": 2, "operation": 3})]


@pytest.mark.parametrize("name", ["__array__", "__length_hint__", "__deepcopy__", "__index__", "__fspath__"])
def test_protocols_that_libraries_look_for_are_not_asked_across(session, one, name):
    assert not hasattr(one, name)
    assert session.asked == []


@pytest.mark.parametrize("name", ["__name__", "__doc__", "__dataclass_fields__"])
def test_names_that_describe_an_object_are_asked_across(session, one, name):
    assert getattr(one, name) == "answer"
    assert session.asked == [("getattr", one, name)]


@pytest.mark.parametrize("data", [1, "a", None, [], {}, 0.5, object()], ids=repr)
def test_comparing_with_data_is_refused(session, one, data):
    with pytest.raises(OpaqueValue, match="not data"):
        assert one == data
    with pytest.raises(OpaqueValue):
        assert data == one
    with pytest.raises(OpaqueValue):
        assert one != data
    with pytest.raises(OpaqueValue):
        assert one in [data]
    assert session.asked == []


def test_an_object_has_no_truth_value(session, one):
    with pytest.raises(OpaqueValue, match="<Box of the submission>"):
        assert one
    with pytest.raises(OpaqueValue):
        assert not one
    assert session.asked == []


@pytest.mark.parametrize("compare", ["__lt__", "__ge__"])
def test_objects_have_no_order(session, one, compare):
    assert getattr(one, compare)(proxy(session, 8, "Box")) is NotImplemented
    assert session.asked == []


def test_proxies_are_equal_if_they_are_of_the_same_object(session, one):
    same, other = proxy(session, 7, "Box"), proxy(session, 8, "Box")
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2
    assert session.asked == []


def test_proxies_of_two_processes_are_not_compared(one):
    with pytest.raises(TypeError, match="one sandboxed process"):
        assert one == proxy(Notes(), 7, "Box")


def test_a_proxy_lies_beside_data_in_a_set(one):
    assert len({one, *range(100)}) == 101


def test_the_text_of_a_proxy_is_made_here_and_has_no_control_characters(session):
    assert repr(proxy(session, 1, "Evil\x1b[2J")) == "<Evil?[2J of the submission>"
    assert str(proxy(session, 1, "Box")) == "<Box of the submission>"
    assert session.asked == []


def test_a_length_is_a_number(session, one):
    session.answer = 3
    assert len(one) == 3
    session.answer = "many"
    with pytest.raises(ValueError, match="invalid literal"):
        len(one)


def test_only_a_plain_yes_makes_an_instance(session, one):
    other = proxy(session, 8, "Box")
    for answer, expected in ((True, True), (False, False), (1, False), ("yes", False)):
        session.answer = answer
        assert isinstance(other, one) is expected
    assert not isinstance(5, one)


def test_a_proxy_that_is_gone_is_forgotten(session):
    made = proxy(session, 9, "Box")
    del made
    gc.collect()
    assert session.forgotten == [9]


def test_a_proxy_is_known_by_its_type_alone(session, one):
    class Pretender:
        __class__ = type(one)

    assert is_proxy(one)
    assert not is_proxy(Pretender())
    assert number_of(one, session) == 7


def test_data_of_a_proxy_is_asked_across(session, one):
    assert data_of(one) == "answer"
    assert session.asked == [("data", one)]


def test_data_of_local_records_has_the_same_form():
    @dataclasses.dataclass
    class Point:
        x: int
        parts: list

    class Plain:
        def __init__(self):
            self.a = 1

    assert data_of(Point(1, [2])) == {"x": 1, "parts": [2]}
    assert data_of(Plain()) == {"a": 1}


def test_local_coroutines_are_gathered_in_this_process():
    finished = itertools.count()

    async def work(number):
        return number, next(finished)

    async def test():
        return await gather(work("late"), work("early"), delays=(0.02, 0.0))

    assert asyncio.run(test()) == [("late", 1), ("early", 0)]
