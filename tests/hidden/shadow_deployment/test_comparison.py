"""R8: when two answers agree."""

import math

import numpy as np
import pytest
from shadow_bench import Bench

from rounds.testing import requirement

NAN, INF = math.nan, math.inf
LOOSE = {"atol": 0.5, "rtol": 0.0}
RELATIVE = {"atol": 0.0, "rtol": 0.5}

AGREE = {
    "equal numbers": [(1, 1), (1, 1.0), (0.1 + 0.2, 0.3), (-3, -3.0), (0, 0.0), (10**9, 10**9)],
    "numbers within the default tolerance": [(1.0, 1.0 + 1e-6), (0.0, 5e-7), (1e6, 1e6 + 0.5), (-1e6, -1e6 - 0.5)],
    "numpy scalars, NaN and infinities": [
        (np.float64(1), 1),
        (1, np.int64(1)),
        (np.float32(2.5), 2.5),
        (np.int32(3), np.float64(3)),
        (NAN, NAN),
        (INF, INF),
        (-INF, -INF),
        (np.float64(NAN), NAN),
    ],
    "strings and None": [("a", "a"), ("", ""), (None, None)],
    "lists and tuples, nested ones too": [
        ([1, 2], [1.0, 2 + 1e-7]),
        ([], []),
        ((1, "a"), (1, "a")),
        ([NAN, 1], [NAN, 1]),
        ([[1, 2], [3]], [[1, 2 + 1e-7], [3]]),
        ([{"a": NAN}], [{"a": NAN}]),
        ([["a", None]], [["a", None]]),
    ],
    "arrays of numbers and of strings": [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-7])),
        (np.array([[1.0, NAN], [INF, 4.0]]), np.array([[1.0, NAN], [INF, 4.0]])),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array([1.0], dtype="float32"), np.array([1.0])),
        (np.array([]), np.array([])),
        (np.array(["cat", "dog"]), np.array(["cat", "dog"])),
    ],
    "dicts": [
        ({"a": 1, "b": 2}, {"b": 2 + 1e-7, "a": 1.0}),
        ({}, {}),
        ({"a": NAN, "b": None}, {"a": NAN, "b": None}),
        ({"a": {"b": [1, 2]}, "c": "x"}, {"a": {"b": [1, 2 + 1e-7]}, "c": "x"}),
        ({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 2.0 + 1e-7])}),
    ],
}

DIFFER = {
    "numbers beyond the default tolerance": [
        (1.0, 1.00001),
        (0.0, 1e-5),
        (1e6, 1e6 + 5),
        (5, -5),
        (1, 2),
        (0, 1e-3),
        (np.float64(1), 1.1),
        (np.int64(1), 2),
        (np.float32(1), np.float64(1.5)),
    ],
    "NaN against a number": [(NAN, 1.0), (1.0, NAN), (NAN, 0), (NAN, INF), (INF, NAN)],
    "an infinity against a number": [(INF, 5.0), (5.0, INF), (-INF, 0), (INF, -INF), (-INF, INF), (INF, 1e300)],
    "strings, None and numbers": [
        (1, "1"),
        ("1", 1),
        (1.5, "1.5"),
        ("nan", NAN),
        (NAN, "nan"),
        ("a", "b"),
        ("a", "A"),
        ("", "a"),
        ("1", "1.0"),
        ("inf", "Infinity"),
        (None, 0),
        (0, None),
        (None, NAN),
        (NAN, None),
        (None, ""),
        (None, "None"),
        (None, []),
    ],
    "lists of another length": [([1, 2], [1]), ([1], [1, 2]), ([], [1]), ([1], []), ([[1, 2]], [[1], [2]])],
    "lists with another element, nested ones too": [
        ([1, 2], [1, 3]),
        ([1, 2], [2, 1]),
        ([1, "1"], [1, 1]),
        ([NAN], [1]),
        (["a"], ["b"]),
        ([[1, 2], [3]], [[1, 2], [4]]),
        ([[1, 2], [3]], [[1], [2, 3]]),
        ([1, [2]], [1, 2]),
    ],
    "arrays with another element": [
        (np.array([1.0, 2.0]), np.array([1.0, 2.1])),
        (np.array([1.0, NAN]), np.array([NAN, 1.0])),
        (np.array([1.0, NAN]), np.array([1.0, 2.0])),
        (np.array([INF, 1.0]), np.array([5.0, 1.0])),
        (np.array([1, 2]), np.array([2, 1])),
    ],
    "arrays of another shape or kind": [
        (np.array([1.0, 1.0, 1.0]), np.array([[1.0, 1.0, 1.0]])),
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(1)),
        (np.ones(1), np.ones(3)),
        (np.ones((3, 1)), np.ones(3)),
        (np.ones((2, 3)), np.ones(6)),
        (np.ones(0), np.ones(1)),
        (np.ones((0, 2)), np.ones((0, 3))),
        (np.array(["cat", "dog"]), np.array(["cat", "cow"])),
        (np.array(["1", "2"]), np.array([1, 2])),
    ],
    "a list or an array against a number": [
        ([5.0], 5.0),
        (5.0, [5.0]),
        (np.array([5.0]), 5.0),
        (5.0, np.array([5.0])),
        (np.array([5.0, 5.0]), 5.0),
        (5.0, np.array([5.0, 5.0])),
        ([], 0),
    ],
    "dicts": [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": None}, {"b": None}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}),
        ({"a": 1}, [1]),
        ({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 3.0])}),
    ],
}


def compared(submission, pairs, **config):
    """Return (match, abs_diff) of each pair of answers."""
    bench = Bench(submission, lambda f: pairs[f["x"][0]][0], lambda f: pairs[f["x"][0]][1], **config)
    for i in range(len(pairs)):
        bench.handle(f"r{i}", [i])
    bench.run_all().expect_nothing_escaped(f"the answers were {pairs}")
    bench.expect(f"the answers were {pairs}", n_compared=len(pairs), n_shadow_errors=0)
    records = [bench.record(f"r{i}") for i in range(len(pairs))]
    return [(record["match"], record["abs_diff"]) for record in records]


def expect_matches(submission, pairs, expected, **config):
    for (production, shadow), (match, _) in zip(pairs, compared(submission, pairs, **config), strict=True):
        said = f"production answered {production!r} and the shadow {shadow!r} under {config or 'the default config'}"
        assert match == expected, f"{said}: match should be {expected}, and was {match}"


@requirement("R8")
@pytest.mark.parametrize("kind", AGREE)
def test_what_agrees(submission, kind):
    expect_matches(submission, AGREE[kind], True)


@requirement("R8")
@pytest.mark.parametrize("kind", DIFFER)
def test_what_differs(submission, kind):
    expect_matches(submission, DIFFER[kind], False)


@requirement("R8")
def test_the_absolute_tolerance_counts(submission):
    expect_matches(submission, [(1.0, 1.4), (1.4, 1.0), (0.0, 0.4), (1e6, 1e6 + 0.4)], True, **LOOSE)
    expect_matches(submission, [(1.0, 1.6), (1.6, 1.0), (0.0, 0.6), (1e6, 1e6 + 0.6)], False, **LOOSE)


@requirement("R8")
def test_the_relative_tolerance_is_relative_to_production(submission):
    expect_matches(submission, [(100, 140), (100, 60), (160, 100), (-160, -100), (0, 0)], True, **RELATIVE)
    expect_matches(submission, [(100, 160), (100, 40), (-100, -160), (0, 1e-9)], False, **RELATIVE)


@requirement("R8")
def test_the_tolerances_add_up(submission):
    expect_matches(submission, [(100, 119), (100, 81)], True, atol=10.0, rtol=0.1)
    expect_matches(submission, [(100, 121), (100, 79)], False, atol=10.0, rtol=0.1)


@requirement("R8")
def test_a_tolerance_of_zero_takes_equal_numbers_only(submission):
    expect_matches(submission, [(1.5, 1.5), (3, 3.0), (NAN, NAN), (INF, INF)], True, atol=0.0, rtol=0.0)
    expect_matches(submission, [(1.5, 1.5 + 1e-12), (INF, 1.0)], False, atol=0.0, rtol=0.0)


@requirement("R8")
def test_the_tolerance_holds_inside_containers(submission):
    agreeing = [([100.0], [140.0]), ({"a": 160.0}, {"a": 100.0}), (np.array([100.0, 160.0]), np.array([140.0, 100.0]))]
    expect_matches(submission, agreeing, True, **RELATIVE)
    differing = [([100.0], [160.0]), ({"a": 100.0}, {"a": 160.0}), (np.array([100.0, 1.0]), np.array([160.0, 1.0]))]
    expect_matches(submission, differing, False, **RELATIVE)


@requirement("R8")
@pytest.mark.parametrize("kind", ["equal", "equal inside", "different"])
def test_other_objects_are_compared_by_their_own_equality(submission, props, kind):
    found = props.compare_objects(submission, kind)["matches"]
    assert found == [kind != "different"], f"two objects that are {kind} by their == were logged with match {found}"


@requirement("R8")
@pytest.mark.parametrize("kind", ["touchy", "touchy inside"])
def test_a_comparison_that_raises_is_a_disagreement(submission, props, kind):
    found = props.compare_objects(submission, kind)
    assert found["escaped"] is None, f"an == raised, and the function given to the executor raised {found['escaped']}"
    assert found["matches"] == [False], f"an == raised, and match was logged as {found['matches']}"
    counts = {name: found["report"][name] for name in ("n_compared", "n_shadow_errors", "n_pending", "agreement")}
    expected = {"n_compared": 1, "n_shadow_errors": 0, "n_pending": 0, "agreement": 0.0}
    assert counts == expected, f"an == raised once, and the report says {counts}"


@requirement("R8")
def test_abs_diff_is_the_distance_of_two_numbers(submission):
    pairs = [(1.0, 1.5), (1.5, 1.0), (-1, 2), (3, 3), (0, 0.25), (np.float64(2), np.float64(4)), (np.int64(7), 3)]
    for (production, shadow), (_, found) in zip(pairs, compared(submission, pairs), strict=True):
        expected = abs(float(shadow) - float(production))
        assert found == pytest.approx(expected, abs=1e-9), f"abs_diff of {production} and {shadow} was {found!r}"
