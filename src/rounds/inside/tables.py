"""numpy and pandas values as dtype, shape and raw buffer; no pickles, no Arrow, no object that brings code along."""

import math
import re
from collections.abc import Callable
from typing import Any

from .frames import WireError

MAX_EMPTY_ITEMS = 20_000
MAX_COLUMNS = 10_000
MAX_LEVELS = 32
MAX_ROWS = 1 << 25  # a RangeIndex is small on the wire and grows as soon as it is used
_DTYPE = re.compile(r"[<>|=](b1|[iu][1248]|f[248]|c(8|16)|[US]\d{1,5}|[mM]8\[(\d{0,3}(Y|M|W|D|h|m|s|ms|us|ns))\])")
_MASKED = re.compile(r"(U?Int(8|16|32|64)|Float(32|64)|boolean)")
_UNIT = re.compile(r"s|ms|us|ns")
_ZONE = re.compile(r"(?!dateutil)[A-Za-z0-9_+:\-]{1,30}(/[A-Za-z0-9_+\-]{1,30}){0,2}")  # "dateutil/…" opens files


# --- encoding


def array_parts(numpy: Any, value: Any, buffer: Callable[[memoryview], int]) -> list[Any]:
    array = numpy.asarray(value)
    if array.dtype.kind == "O":
        return ["O", list(array.shape), array.ravel().tolist()]
    if not _DTYPE.fullmatch(array.dtype.str):
        portable = {"f": numpy.float64, "c": numpy.complex128}.get(array.dtype.kind)
        array = array.astype(portable) if portable else array
        if not _DTYPE.fullmatch(array.dtype.str):
            raise WireError(f"an array of dtype {array.dtype} can't cross the sandbox's border")
    flat = numpy.ascontiguousarray(array).reshape(-1).view("u1") if array.dtype.itemsize else numpy.empty(0, "u1")
    return [array.dtype.str, list(array.shape), buffer(memoryview(flat))]


def scalar_parts(numpy: Any, value: Any) -> list[Any] | None:
    return [value.dtype.str, value.tobytes()] if _DTYPE.fullmatch(value.dtype.str) else None


def plain_scalar(numpy: Any, value: Any) -> Any:
    """Return what a scalar without a portable dtype is worth in plain Python."""
    if value.dtype.kind in "fc":
        return complex(value) if value.dtype.kind == "c" else float(value)
    return value.item()


def frame_parts(pandas: Any, frame: Any) -> list[Any]:
    """A subclass of DataFrame crosses as plain data: its own methods must never judge."""
    columns = [frame.iloc[:, position].array for position in range(frame.shape[1])]
    dtypes = {column.dtype for column in columns}
    if len(dtypes) == 1 and getattr(next(iter(dtypes)), "kind", "O") in "biufc" and not hasattr(columns[0], "_mask"):
        return [frame.columns, frame.index, frame.to_numpy()]
    return [frame.columns, frame.index, [_column(pandas, column) for column in columns]]


def series_parts(pandas: Any, series: Any) -> list[Any]:
    return [_column(pandas, series.array), series.index, series.name]


def index_parts(pandas: Any, index: Any) -> list[Any]:
    if isinstance(index, pandas.RangeIndex):
        return ["range", index.start, index.stop, index.step, index.name]
    if isinstance(index, pandas.MultiIndex):
        levels = [index.get_level_values(position) for position in range(index.nlevels)]
        return ["multi", [level.rename(None) for level in levels], list(index.names)]
    return ["one", _column(pandas, index.array), index.name]


def _column(pandas: Any, array: Any) -> list[Any]:
    dtype = array.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        return ["category", array.codes, array.categories, bool(array.ordered)]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return ["zoned", array.asi8, str(array.tz), dtype.unit]
    if isinstance(dtype, pandas.StringDtype):
        return ["string", array.to_numpy(object, na_value=None).tolist(), dtype.name]
    if hasattr(array, "_mask"):
        return ["masked", array._data, array._mask, dtype.name]
    if isinstance(dtype, (pandas.PeriodDtype, pandas.IntervalDtype)):
        return [
            "string",
            [None if missing else str(item) for item, missing in zip(array, array.isna(), strict=True)],
            "str",
        ]
    return ["array", array.to_numpy()]


# --- decoding


def read_array(parts: list[Any], buffers: list[bytearray]) -> Any:
    import numpy

    name, shape, where = parts
    if len(shape) > 32 or any(type(size) is not int or size < 0 for size in shape):
        raise WireError("an array has an impossible shape")
    count = math.prod(shape)
    if not count and math.prod(size for size in shape if size) > MAX_EMPTY_ITEMS:
        raise WireError("an array has an impossible shape")
    if name == "O":
        return _object_array(numpy, shape, count, where)
    dtype, buffer = _dtype(numpy, name), _taken(buffers, where)
    if len(buffer) != dtype.itemsize * count or (dtype.itemsize == 0 and count > MAX_EMPTY_ITEMS):
        raise WireError("an array's size does not fit its shape")
    if not dtype.itemsize:
        return numpy.empty(shape, dtype)
    return _legal(numpy, numpy.frombuffer(buffer, dtype)).reshape(shape)


def read_scalar(parts: list[Any]) -> Any:
    import numpy

    dtype = _dtype(numpy, parts[0])
    if dtype.itemsize == 0:
        return dtype.type()
    return _legal(numpy, numpy.frombuffer(parts[1], dtype, 1))[0]


def read_frame(parts: list[Any]) -> Any:
    import numpy
    import pandas

    labels, index, body = parts
    if not isinstance(labels, pandas.Index) or not isinstance(index, pandas.Index):
        raise WireError("a table has no labels")
    if isinstance(body, numpy.ndarray):
        if body.shape != (len(index), len(labels)):
            raise WireError("a table's size does not fit its labels")
        return pandas.DataFrame(body, index=index, columns=labels, copy=False)
    if type(body) is not list or len(body) > MAX_COLUMNS:
        raise WireError("a table has too many columns to cross")
    columns = {position: _series(pandas, column) for position, column in enumerate(body)}
    if any(len(column) != len(index) for column in columns.values()):
        raise WireError("a table's size does not fit its labels")
    frame = pandas.DataFrame(columns, index=range(len(index)))
    frame.index, frame.columns = index, labels
    return frame


def read_series(parts: list[Any]) -> Any:
    import pandas

    column, index, name = parts
    if not isinstance(index, pandas.Index):
        raise WireError("a series has no labels")
    return _series(pandas, column, index=index, name=name)


def read_index(parts: list[Any]) -> Any:
    import pandas

    if parts[0] == "range":
        if not all(type(bound) is int and abs(bound) < 1 << 40 for bound in parts[1:4]):
            raise WireError("a RangeIndex is out of range")
        if len(range(*parts[1:4])) > MAX_ROWS:
            raise WireError("a RangeIndex is too long to cross")
        return pandas.RangeIndex(parts[1], parts[2], parts[3], name=parts[4])
    if parts[0] == "multi":
        if type(parts[1]) is not list or len(parts[1]) > MAX_LEVELS:
            raise WireError("an index has too many levels to cross")
        if not all(isinstance(level, pandas.Index) for level in parts[1]):
            raise WireError("an index's level is no index")
        return pandas.MultiIndex.from_arrays(parts[1], names=parts[2])
    values = _read_column(pandas, parts[1])
    return pandas.Index(values, name=parts[2], dtype=_own_dtype(values))


def read_when(parts: list[Any]) -> Any:
    import pandas

    if len(parts) == 1:
        return {"NaT": pandas.NaT, "NA": pandas.NA}[parts[0]]
    return {"Timestamp": pandas.Timestamp, "Timedelta": pandas.Timedelta}[parts[0]](str(parts[1])[:64])


def _dtype(numpy: Any, name: Any) -> Any:
    if not _DTYPE.fullmatch(name):
        raise WireError("a dtype is not allowed")
    return numpy.dtype(name)


def _taken(buffers: list[bytearray], where: Any) -> bytearray:
    """Return a buffer and leave an empty one: an array's memory is its own, and is paid for once."""
    if type(where) is not int or not 0 <= where < len(buffers):
        raise WireError("an array has no buffer")
    buffer, buffers[where] = buffers[where], bytearray()
    return buffer


def _object_array(numpy: Any, shape: list[int], count: int, items: Any) -> Any:
    if type(items) is not list or len(items) != count:
        raise WireError("an array's size does not fit its shape")
    array = numpy.empty(count, object)
    for position, item in enumerate(items):  # slice assignment would unpack nested sequences
        array[position] = item
    return array.reshape(shape)


def _legal(numpy: Any, array: Any) -> Any:
    """Make every bit pattern that a raw buffer can hold a legal value."""
    if array.dtype.kind == "b":
        return array.view("u1") != 0
    if array.dtype.kind == "U":
        points = array.view(numpy.dtype("u4").newbyteorder(array.dtype.byteorder))
        if points.max(initial=0) > 0x10FFFF:
            raise WireError("a text holds an impossible character")
    return array


def _series(pandas: Any, column: Any, **labels: Any) -> Any:
    values = _read_column(pandas, column)
    return pandas.Series(values, dtype=_own_dtype(values), **labels)


def _own_dtype(values: Any) -> Any:
    """Return what keeps pandas from guessing a dtype: objects that are all texts stay objects."""
    return object if values.dtype == object else None


def _read_column(pandas: Any, parts: Any) -> Any:
    import numpy

    if type(parts) is not list:
        raise WireError("a column has the wrong shape")
    kind = parts[0]
    if kind != "string" and not isinstance(parts[1], numpy.ndarray):  # pandas would repeat a scalar for ever
        raise WireError("a column's values are no array")
    if kind == "array" and parts[1].ndim == 1:
        return parts[1]
    if kind == "string" and type(parts[1]) is list and parts[2] in ("str", "string"):
        return pandas.array(parts[1], dtype=parts[2])
    if kind == "category" and isinstance(parts[2], pandas.Index):
        return pandas.Categorical.from_codes(parts[1], parts[2], ordered=parts[3])
    if kind == "zoned" and _ZONE.fullmatch(parts[2]) and _UNIT.fullmatch(parts[3]):
        return pandas.DatetimeIndex(parts[1].view(f"M8[{parts[3]}]")).tz_localize("UTC").tz_convert(parts[2])
    if kind == "masked" and _MASKED.fullmatch(parts[3]):
        array = pandas.array(parts[1], dtype=parts[3])
        array[parts[2]] = pandas.NA
        return array
    raise WireError("unknown kind of column")
