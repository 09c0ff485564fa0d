"""Values cross as data, both ways, and what a hostile peer sends is refused before it costs anything."""

import collections
import contextlib
import datetime
import decimal
import enum
import math
import pathlib
import types
import typing
import zoneinfo
from fractions import Fraction

import msgpack
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from hypothesis.extra import pandas as pandas_strategies

from rounds.inside import codec
from rounds.inside.codec import Codec
from rounds.inside.frames import WireError

REFERENCE = ("an object", "a number")


def to_reference(value):
    return codec.HANDLE, [1, type(value).__name__]


def from_reference(code, body):
    return (REFERENCE, code, body)


CODEC = Codec(to_reference, from_reference)
examples = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def crossed(value):
    payload, buffers = CODEC.encode(value)
    return CODEC.decode(payload, [bytearray(buffer) for buffer in buffers])


def same(left, right):
    """Compare values and types, all the way down; NaN equals NaN, -0.0 differs from 0.0."""
    assert type(left) is type(right), f"{left!r} came back as {right!r}"
    if isinstance(left, dict):
        assert len(left) == len(right)
        for pair, other in zip(left.items(), right.items(), strict=True):
            same(pair, other)
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            same(one, other)
    elif isinstance(left, float):
        assert left.hex() == right.hex()
    elif isinstance(left, complex):
        same([left.real, left.imag], [right.real, right.imag])
    else:
        assert left == right
    return True


# --- plain values

texts = st.text(st.characters(), max_size=20)
numbers = st.integers(-(2**200), 2**200)
hashable = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | texts | st.binary(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
leaves = (
    hashable
    | st.floats()
    | st.complex_numbers()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False, min_value=-(10**50), max_value=10**50)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(hashable, inner, max_size=5)
        | st.sets(hashable, max_size=5)
    ),
    max_leaves=25,
)


@examples
@given(values)
def test_builtin_values_come_back_as_they_were(value):
    assert same(value, crossed(value))


@pytest.mark.parametrize(
    "value",
    [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**8000, -0.0, math.inf, "\ud800", "\x00", b"\xff", "", (), {}],
    ids=repr,
)
def test_values_at_the_edges_come_back_as_they_were(value):
    assert same(value, crossed(value))


def test_nan_comes_back_as_nan():
    found = crossed([math.nan, complex(math.nan, 1), decimal.Decimal("NaN")])
    assert all(number != number for number in found)


def test_infinite_decimals_come_back():
    assert crossed(decimal.Decimal("-Infinity")) == decimal.Decimal("-Infinity")


def test_an_aware_time_is_the_same_instant_with_the_same_offset():
    berlin = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    found = crossed(berlin)
    assert found == berlin
    assert found.utcoffset() == datetime.timedelta(hours=2)


def test_a_path_comes_as_a_pure_path():
    assert crossed(pathlib.Path("/a/b.csv")) == pathlib.PurePosixPath("/a/b.csv")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (collections.deque([1, (2,)], maxlen=5), [1, (2,)]),
        ({1: 2}.keys(), [1]),
        ({1: 2}.values(), [2]),
        ({1: 2}.items(), [(1, 2)]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_views_and_buffers_come_as_lists_dicts_and_bytes(value, expected):
    assert same(crossed(value), expected)


def test_depth_is_kept_up_to_the_limit_and_refused_beyond():
    def nested(levels):
        value = 1
        for _ in range(levels):
            value = (value,)
        return value

    assert crossed(nested(50)) == nested(50)
    with pytest.raises(WireError):
        crossed(nested(codec.MAX_DEPTH + 1))


def test_a_list_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(WireError):
        CODEC.encode(value)


@pytest.mark.parametrize("value", [2 ** (8 * 4096), decimal.Decimal("1e5000")], ids=["int", "decimal"])
def test_a_number_that_the_peer_would_refuse_is_not_even_sent(value):
    with pytest.raises(WireError):
        CODEC.encode([value])


# --- subclasses of builtins arrive as plain data


class Lying:
    """Claims to equal everything and to be somebody else."""

    __class__ = int

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Text(str):
    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Number(int):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Sequence(list):
    def __iter__(self):
        return iter([42])


class Mapping(dict):
    def items(self):
        return [(42, 42)]


class Tuple(tuple):
    __slots__ = ()


class Set(set):
    pass


class Frozen(frozenset):
    pass


class Colour(enum.IntEnum):
    RED = 1


class Level(enum.StrEnum):
    HIGH = "high"


class Point(typing.NamedTuple):
    x: int
    y: object = None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("a"), "a"),
        (Number(3), 3),
        (Number(2**80), 2**80),
        (type("Real", (float,), {})(1.5), 1.5),
        (type("Raw", (bytes,), {})(b"a"), b"a"),
        (Sequence([1]), [1]),
        (Mapping(a=1), {"a": 1}),
        (Tuple((1, 2)), (1, 2)),
        (Set({1}), {1}),
        (Frozen({1}), frozenset({1})),
        (Colour.RED, 1),
        (Level.HIGH, "high"),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_of_a_builtin_arrives_as_the_builtin(value, plain):
    assert same(crossed([value])[0], plain)
    if isinstance(plain, typing.Hashable):
        assert same(crossed({value: 1}), {plain: 1})


def test_namedtuples_keep_their_name_and_their_fields():
    found = crossed(Point(1, y=Point(2, (3,))))
    assert type(found).__name__ == "Point"
    assert (found.x, found.y.x, found.y.y) == (1, 2, (3,))
    assert isinstance(found, tuple)
    assert found._asdict().keys() == {"x", "y"}


def test_a_namedtuple_with_a_dubious_name_arrives_as_a_tuple():
    kind = collections.namedtuple("_Hidden", "a")
    assert same(crossed(kind(1)), (1,))


@pytest.mark.parametrize(
    "value", [object(), Fraction(1, 3), range(3), iter([1]), Lying(), len, int], ids=lambda value: type(value).__name__
)
def test_what_is_no_data_becomes_a_reference(value):
    found = crossed([1, value])
    assert found[1] == (REFERENCE, codec.HANDLE, [1, type(value).__name__])


# --- numpy

dtypes = st.one_of(
    numpy_strategies.boolean_dtypes(),
    numpy_strategies.integer_dtypes(endianness="?"),
    numpy_strategies.unsigned_integer_dtypes(endianness="?"),
    numpy_strategies.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    numpy_strategies.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    numpy_strategies.datetime64_dtypes(min_period="s", endianness="?"),
    numpy_strategies.timedelta64_dtypes(min_period="s", endianness="?"),
    numpy_strategies.byte_string_dtypes(max_len=8),
    numpy_strategies.unicode_string_dtypes(endianness="?", max_len=8),
).filter(lambda dtype: not any(unit in dtype.str for unit in ("ps", "fs", "as")))
shapes = numpy_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@examples
@given(dtypes.flatmap(lambda dtype: numpy_strategies.arrays(dtype, shapes)))
def test_arrays_keep_dtype_shape_and_every_bit(array):
    found = crossed(array)
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@examples
@given(dtypes.flatmap(lambda dtype: numpy_strategies.arrays(dtype, (1,))))
def test_scalars_keep_their_dtype_and_every_bit(array):
    scalar = array[0]
    found = crossed(scalar)
    assert type(found) is type(scalar)
    assert found.tobytes() == scalar.tobytes()


@pytest.mark.parametrize(
    "array",
    [np.arange(12).reshape(3, 4)[::2, ::-1], np.arange(6).reshape(2, 3).T, np.broadcast_to(1.5, (2, 3))],
    ids=["steps", "transposed", "broadcast"],
)
def test_views_of_arrays_arrive_in_order(array):
    assert crossed(array).tolist() == array.tolist()


def test_an_array_can_be_written_to_after_it_crossed():
    found = crossed(np.zeros(3))
    found[0] = 1
    assert found.tolist() == [1, 0, 0]


def test_object_arrays_keep_what_they_hold():
    array = np.array([[1, "a"], [None, (1, [2])]], object)
    found = crossed(array)
    assert found.dtype == object
    assert found.tolist() == array.tolist()


def test_an_object_array_of_lists_stays_one_dimensional():
    array = np.empty(2, object)
    array[0], array[1] = [1, 2], [3, 4]
    assert crossed(array).shape == (2,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.longdouble(1.5), 1.5),
        (np.clongdouble(1 + 2j), 1 + 2j),
        (np.array([1.5], "g"), np.array([1.5])),
        (np.array([1 + 2j], "G"), np.array([1 + 2j])),
        (np.array([(1, 2.5)], "i4,f8")[0], (1, 2.5)),
    ],
    ids=["longdouble", "clongdouble", "longdouble array", "clongdouble array", "structured scalar"],
)
def test_dtypes_that_differ_between_machines_arrive_as_portable_ones(value, expected):
    found = crossed(value)
    assert type(found) is type(expected)
    assert np.all(found == expected)


def test_subclasses_of_arrays_arrive_as_arrays():
    class Equal(np.ndarray):
        def __eq__(self, other):
            return True

        __hash__ = None

    found = crossed(np.ones(2).view(Equal))
    assert type(found) is np.ndarray
    assert type(crossed(np.ma.array([1, 2]))) is np.ndarray


def test_a_structured_array_is_refused_and_named():
    with pytest.raises(WireError, match="dtype"):
        CODEC.encode(np.array([(1, 2.0)], "i4,f8"))


# --- pandas


def frame(**columns):
    return pd.DataFrame(columns)


LABELS = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["key", "number"])
COLUMNS = {
    "object": pd.Series([1, "a", None, (1,)]),
    "object of texts": pd.Series(["a", "b"], dtype=object),
    "object of numbers": pd.Series([1, 2], dtype=object),
    "bool": pd.Series([True, False]),
    **{name: pd.Series([0, 1], dtype=name) for name in ("int8", "int32", "int64", "uint8", "uint64")},
    **{name: pd.Series([0.5, np.nan], dtype=name) for name in ("float16", "float32", "float64", "complex128")},
    **{name: pd.Series([1, None], dtype=name) for name in ("Int8", "Int64", "UInt32", "Float32", "Float64")},
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "str": pd.Series(["a", None, ""], dtype="str"),
    "string": pd.Series(["a", None, "ü"], dtype="string"),
    "datetime": pd.Series(pd.to_datetime(["2024-01-01 01:02:03.123456789", None])),
    "datetime in s": pd.Series(pd.to_datetime(["2024-01-01", None])).dt.as_unit("s"),
    "utc": pd.Series(pd.to_datetime(["2024-01-01", None], utc=True)),
    "zone": pd.Series(pd.to_datetime(["2024-03-31 03:30", None])).dt.tz_localize("Europe/Berlin"),
    "offset": pd.Series(pd.to_datetime(["2024-01-01T00:00+05:30"])),
    "timedelta": pd.Series(pd.to_timedelta([1.5, None], "h")),
    "category": pd.Series(pd.Categorical(["a", None, "b"], categories=["b", "a", "z"])),
    "ordered category": pd.Series(pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True)),
    "category of dates": pd.Series(pd.Categorical(pd.to_datetime(["2024-01-01", "2023-01-01"]))),
    "empty": pd.Series([], dtype="float64"),
    "empty masked": pd.Series([], dtype="Int64"),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_any_dtype_comes_back(column):
    pd.testing.assert_series_equal(crossed(column), column)
    pd.testing.assert_frame_equal(crossed(column.to_frame("x")), column.to_frame("x"))
    if column.dtype != "float16":  # pandas has no index of these
        index = pd.Index(column, dtype=column.dtype)
        pd.testing.assert_index_equal(crossed(index), index)


FRAMES = {
    "mixed": frame(i=[1, 2], f=[1.5, np.nan], s=["x", None], d=pd.to_datetime(["2024-01-01", None])),
    "several masked": frame(a=pd.array([1, None], "Int64"), b=pd.array([None, 2], "Int64")),
    "narrow dtypes": frame(a=np.array([1], "i1"), b=np.array([2], "i2")),
    "duplicate columns": pd.DataFrame([[1, "x", 2.5]], columns=["a", "a", "a"]),
    "duplicate number columns": pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
    "missing column name": pd.DataFrame([[1, 2.5]], columns=[np.nan, "b"]),
    "number columns": pd.DataFrame(np.ones((2, 3))),
    "no columns": pd.DataFrame(index=[1, 2]),
    "no rows": frame(a=[], b=pd.Series([], dtype=object)),
    "nothing": pd.DataFrame(),
    "multi-index": pd.DataFrame({"x": [1, 2]}, index=LABELS),
    "multi-index columns": pd.DataFrame([[1, "b"]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])),
    "empty multi-index": pd.DataFrame({"x": [1.5, 2]}, index=LABELS).iloc[:0],
    "typed multi-index": pd.DataFrame(
        {"x": [1, 2]},
        index=pd.MultiIndex.from_arrays([np.array([1, 2], "i4"), pd.to_datetime(["2024", None]).tz_localize("UTC")]),
    ),
    "named axes": pd.DataFrame([[1]], columns=pd.Index(["a"], name="columns"), index=pd.Index([5], name="rows")),
    "dates as index": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, tz="UTC", name="when")),
    "categories as columns": pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["x", "y"])),
    "objects": frame(a=[[1, 2], {"k": (1,)}], b=[datetime.date(2024, 1, 1), None]),
}


@pytest.mark.parametrize("table", FRAMES.values(), ids=FRAMES)
def test_tables_of_any_shape_come_back(table):
    pd.testing.assert_frame_equal(crossed(table), table, check_freq=False)


@settings(examples, max_examples=25)
@given(
    pandas_strategies.data_frames(
        [
            pandas_strategies.column("a", dtype=float),
            pandas_strategies.column("b", dtype=int),
            pandas_strategies.column("c", elements=st.text(max_size=5), dtype=object),
            pandas_strategies.column("d", dtype="datetime64[ns]"),
        ],
        index=pandas_strategies.range_indexes(max_size=8),
    )
)
def test_tables_come_back_whatever_they_hold(table):
    pd.testing.assert_frame_equal(crossed(table), table)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(2, 9, 3, name="x"),
        pd.RangeIndex(0),
        LABELS,
        LABELS[:0],
        pd.Index([("a", 1)], tupleize_cols=False),
        pd.Index([], dtype=object),
        pd.Index(["a"], name=("two", "words")),
    ],
    ids=str,
)
def test_an_index_comes_back(index):
    found = crossed(index)
    pd.testing.assert_index_equal(found, index)
    assert type(found) is type(index)


def test_periods_and_intervals_come_as_text():
    table = frame(period=pd.period_range("2024", periods=2, freq="M"), span=pd.interval_range(0, 2))
    assert crossed(table).to_dict("list") == {"period": ["2024-01", "2024-02"], "span": ["(0, 1]", "(1, 2]"]}


@pytest.mark.parametrize(
    "when",
    [
        pd.Timestamp("2024-01-02 03:04:05.123456789"),
        pd.Timestamp("2024-07-01 12:00", tz="Europe/Berlin"),
        pd.Timedelta("-1 days 00:00:00.000000001"),
    ],
    ids=str,
)
def test_a_point_in_time_comes_back_to_the_nanosecond(when):
    assert crossed(when) == when
    assert type(crossed(when)) is type(when)


def test_missing_values_are_the_very_same():
    assert crossed([pd.NaT, pd.NA])[0] is pd.NaT
    assert crossed([pd.NaT, pd.NA])[1] is pd.NA


def test_a_subclass_of_a_table_arrives_as_a_table():
    class Equal(pd.DataFrame):
        def equals(self, other):
            return True

    found = crossed(Equal({"a": [1]}))
    assert type(found) is pd.DataFrame
    assert not found.equals(pd.DataFrame({"a": [2]}))


# --- what a hostile peer sends


def packed(value):
    return msgpack.packb(value)


def ext(code, value):
    return msgpack.ExtType(code, packed(value))


def huge(code, count):
    """Nest one kind of value in itself."""
    value = 1
    for _ in range(count):
        value = ext(code, [value])
    return value


def rows(count):
    return ext(codec.INDEX, ["range", 0, count, 1, None])


def numbers_that_share_a_hash(count):
    modulus = 2**61 - 1
    return [msgpack.ExtType(codec.BIG_INT, (modulus * factor).to_bytes(16, "big")) for factor in range(1, count)]


HOSTILE = {
    "no msgpack": b"\xc1",
    "nothing": b"",
    "cut short": packed([1, 2])[:-1],
    "two values": packed(1) + packed(2),
    "deep lists": b"\x91" * 1_000_000 + b"\x01",
    "deep tuples": packed(huge(codec.TUPLE, 5000)),
    "unknown kind": packed(ext(99, 1)),
    "large int": packed(msgpack.ExtType(codec.BIG_INT, b"\x7f" * 5000)),
    "endless decimal": packed(ext(codec.DECIMAL, "1e999999999")),
    "tiny decimal": packed(ext(codec.DECIMAL, "1e-999999999")),
    "long decimal": packed(ext(codec.DECIMAL, "1" * 100_000)),
    "shared hashes": packed(ext(codec.SET, numbers_that_share_a_hash(20_000))),
    "large map": packed(dict.fromkeys(range(codec.MAX_KEYS + 1), 0)),
    "large set": packed(ext(codec.SET, list(range(codec.MAX_KEYS + 1)))),
    "unhashable key": packed(ext(codec.SET, [[1]])),
    "date of another class": packed(ext(codec.WHEN, ["__class__", "x"])),
    "no date": packed(ext(codec.WHEN, ["date", "2024-99-99"])),
    "far timedelta": packed(ext(codec.WHEN, ["timedelta", 10**12, 0, 0])),
    "zone that opens a file": packed(ext(codec.PANDAS_WHEN, ["Timestamp", "2024-01-01 dateutil//etc/passwd"])),
    "class as a time": packed(ext(codec.PANDAS_WHEN, ["Period", "2024"])),
    "record with one field twice": packed(ext(codec.RECORD, ["A", ["a", "a"], [1, 2]])),
    "record too short": packed(ext(codec.RECORD, ["B", ["a", "b"], [1]])),
    "endless range": packed(rows(1 << 62)),
    "long range": packed(rows(1 << 30)),
    "table of one value": packed(ext(codec.FRAME, [rows(1), rows(1 << 24), [["array", 5]]])),
    "column of one value": packed(ext(codec.SERIES, [["array", 5], rows(1 << 24), None])),
    "range as masked column": packed(ext(codec.SERIES, [["masked", rows(1 << 24), [], "Int64"], rows(1), None])),
    "too many columns": packed(ext(codec.FRAME, [rows(50_000), rows(0), [["string", [], "str"]] * 50_000])),
    "too many levels": packed(ext(codec.INDEX, ["multi", [[1]] * 50_000, [None] * 50_000])),
    "codes without categories": packed(ext(codec.SERIES, [["category", [0, 5], rows(1), True], rows(2), None])),
    "unknown column": packed(ext(codec.SERIES, [["pickle", b"x"], rows(0), None])),
    "zone with a path": packed(ext(codec.SERIES, [["zoned", [], "dateutil//etc/passwd", "ns"], rows(0), None])),
    "buffer that is not there": packed(ext(codec.ARRAY, ["<f8", [1], 7])),
    "object array too short": packed(ext(codec.ARRAY, ["O", [1 << 40], []])),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_payload_is_a_wire_error(payload):
    with pytest.raises(WireError):
        CODEC.decode(payload, [])


@pytest.mark.parametrize(
    ("parts", "buffer"),
    [
        (["<f8", [2], 0], b"12345678"),
        (["<f8", [1 << 40, 1 << 40], 0], b""),
        (["<f8", [1 << 62, 0], 0], b""),
        (["<f8", [-1], 0], b"12345678"),
        (["<f8", [True], 0], b"12345678"),
        (["<f8", [1] * 33, 0], b"12345678"),
        (["<U0", [1 << 40], 0], b""),
        (["<U1", [1], 0], b"\xff\xff\xff\xff"),
        (["|O", [1], 0], b"12345678"),
        (["|V8", [1], 0], b"12345678"),
        (["<i4,<f8", [1], 0], b"x" * 12),
        (["<M8[generic]", [1], 0], b"12345678"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_array_is_a_wire_error(parts, buffer):
    with pytest.raises(WireError):
        CODEC.decode(packed(ext(codec.ARRAY, parts)), [bytearray(buffer)])


def test_truth_values_other_than_0_and_1_are_made_legal():
    found = CODEC.decode(packed(ext(codec.ARRAY, ["|b1", [3], 0])), [bytearray(b"\x00\x07\x01")])
    assert found.view("u1").tolist() == [0, 1, 1]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_decode_to_data_or_a_wire_error(payload):
    with contextlib.suppress(WireError):
        CODEC.decode(payload, [])
