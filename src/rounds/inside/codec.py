"""Values as data. Decoding builds builtins, numpy and pandas values from an allow-list and runs nothing that it reads.

What is not data is left to `to_reference` (an object becomes a handle) and `from_reference` (a handle becomes a proxy,
or the object again). The decoder is written for a hostile peer: it knows the values that take for ever to build.
"""

import collections
import datetime
import decimal
import keyword
import pathlib
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from . import tables
from .frames import WireError

TUPLE, SET, FROZENSET, BIG_INT, COMPLEX, WHEN, DECIMAL, PATH, RECORD = range(1, 10)
ARRAY, SCALAR, FRAME, SERIES, INDEX, PANDAS_WHEN = range(20, 26)
HANDLE, LENT, EXCEPTION_CLASS = range(40, 43)
REFERENCES = (HANDLE, LENT, EXCEPTION_CLASS)

MAX_DEPTH = 60
MAX_KEYS = 200_000
MAX_INT_BYTES = 4096
MAX_CACHED_RECORDS = 256
_DATES: dict[str, Any] = {"datetime": datetime.datetime, "date": datetime.date, "time": datetime.time}
_BUILTINS = (bool, str, int, float, bytes, list, tuple, dict, set, frozenset)
_LISTS: tuple[type, ...] = (collections.deque, type({}.keys()), type({}.values()), type({}.items()))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")

Reference = tuple[int, list[Any]]


class Codec:
    """Encode values to frames' payloads and buffers, and decode them again."""

    def __init__(self, to_reference: Callable[[Any], Reference], from_reference: Callable[[int, Any], Any]) -> None:
        self._to_reference = to_reference
        self._from_reference = from_reference

    def encode(self, value: Any) -> tuple[bytes, list[memoryview]]:
        """Return payload and buffers; raise WireError for what can't be encoded."""
        return _Encoder(self._to_reference).encode(value)

    def decode(self, payload: bytes, buffers: list[bytearray]) -> Any:
        """Return the value; raise WireError for anything malformed, whatever shape the error took."""
        try:
            return _Decoder(self._from_reference, buffers).unpack(payload)
        except WireError:
            raise
        except Exception as error:
            raise WireError(f"malformed frame: {type(error).__name__}: {error}"[:200]) from None


class _Encoder:
    def __init__(self, to_reference: Callable[[Any], Reference]) -> None:
        self._to_reference = to_reference
        self.buffers: list[memoryview] = []

    def encode(self, value: Any) -> tuple[bytes, list[memoryview]]:
        return self.pack(value), self.buffers

    def pack(self, value: Any) -> bytes:
        try:
            packer = msgpack.Packer(default=self._default, strict_types=True, unicode_errors="surrogatepass")
            packed: bytes = packer.pack(value)
        except (ValueError, OverflowError, RecursionError) as error:
            raise WireError(f"the value can't cross the sandbox's border: {error}") from None
        return packed

    def ext(self, code: int, value: Any) -> msgpack.ExtType:
        return msgpack.ExtType(code, self.pack(value))

    def buffer(self, data: memoryview) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1

    def _default(self, value: Any) -> Any:
        kind = type(value)  # never __class__, about which an object can lie
        plain = _ENCODERS.get(kind)
        if plain is not None:
            return plain(self, value)
        if issubclass(kind, pathlib.PurePath):
            return self.ext(PATH, str(value))
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
            return self._array(numpy, value)
        if pandas is not None:
            found = self._pandas(pandas, kind, value)
            if found is not None:
                return found
        if issubclass(kind, _BUILTINS):
            return self._subclass(kind, value)
        code, body = self._to_reference(value)
        return self.ext(code, body)

    def _array(self, numpy: Any, value: Any) -> Any:
        if issubclass(type(value), numpy.ndarray):
            return self.ext(ARRAY, tables.array_parts(numpy, value, self.buffer))
        parts = tables.scalar_parts(numpy, value)
        return self.ext(SCALAR, parts) if parts is not None else self._builtin(tables.plain_scalar(numpy, value))

    def _pandas(self, pandas: Any, kind: type, value: Any) -> Any:
        if issubclass(kind, pandas.DataFrame):
            return self.ext(FRAME, tables.frame_parts(pandas, value))
        if issubclass(kind, pandas.Series):
            return self.ext(SERIES, tables.series_parts(pandas, value))
        if issubclass(kind, pandas.Index):
            return self.ext(INDEX, tables.index_parts(pandas, value))
        if kind is pandas.Timestamp or kind is pandas.Timedelta:
            return self.ext(PANDAS_WHEN, [kind.__name__, value.isoformat()])
        if value is pandas.NaT or value is pandas.NA:
            return self.ext(PANDAS_WHEN, ["NaT" if value is pandas.NaT else "NA"])
        if issubclass(kind, pandas.api.extensions.ExtensionArray):
            return self.ext(SERIES, tables.series_parts(pandas, pandas.Series(value)))
        return None

    def _subclass(self, kind: type, value: Any) -> Any:
        """Reduce a subclass of a builtin to the builtin, by the builtin's own methods."""
        fields = getattr(kind, "_fields", None)
        if issubclass(kind, tuple) and type(fields) is tuple and all(type(name) is str for name in fields):
            return self.ext(RECORD, [kind.__name__, list(fields), list(tuple.__iter__(value))])
        for base in (str, int, float, bytes):
            if issubclass(kind, base):
                return self._builtin(base.__getnewargs__(value)[0] if base is not int else int.__add__(value, 0))
        if issubclass(kind, dict):
            return dict(dict.items(value))
        collection: Any = next(base for base in (list, tuple, set, frozenset) if issubclass(kind, base))
        return self._builtin(collection(collection.__iter__(value)))

    def _builtin(self, value: Any) -> Any:
        """Give a builtin to msgpack in a form that it knows: it asks for help with a value only once."""
        known = type(value) not in _ENCODERS or (type(value) is int and -(1 << 63) <= value < 1 << 64)
        return value if known else _ENCODERS[type(value)](self, value)


def _encode_int(encoder: _Encoder, value: int) -> Any:
    size = (value.bit_length() + 8) // 8
    if size > MAX_INT_BYTES:
        raise WireError("an integer is too large to cross")
    return msgpack.ExtType(BIG_INT, value.to_bytes(size, "big", signed=True))


def _encode_date(encoder: _Encoder, value: Any) -> Any:
    return encoder.ext(WHEN, [type(value).__name__, value.isoformat()])


_ENCODERS: dict[type, Callable[[_Encoder, Any], Any]] = {
    tuple: lambda encoder, value: encoder.ext(TUPLE, list(value)),
    set: lambda encoder, value: encoder.ext(SET, list(value)),
    frozenset: lambda encoder, value: encoder.ext(FROZENSET, list(value)),
    int: _encode_int,
    bytearray: lambda encoder, value: bytes(value),
    memoryview: lambda encoder, value: bytes(value),
    complex: lambda encoder, value: encoder.ext(COMPLEX, [value.real, value.imag]),
    datetime.datetime: _encode_date,
    datetime.date: _encode_date,
    datetime.time: _encode_date,
    datetime.timedelta: lambda encoder, value: encoder.ext(
        WHEN, ["timedelta", value.days, value.seconds, value.microseconds]
    ),
    decimal.Decimal: lambda encoder, value: encoder.ext(DECIMAL, str(_mild(value))),
    type(type.__dict__): lambda encoder, value: dict(value),  # mappingproxy
    **dict.fromkeys(_LISTS, lambda encoder, value: list(value)),
}


class _Decoder:
    def __init__(self, from_reference: Callable[[int, Any], Any], buffers: list[bytearray]) -> None:
        self._from_reference = from_reference
        self._buffers = buffers
        self._depth = 0

    def unpack(self, data: bytes) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WireError("a value is nested too deeply")
        try:
            return msgpack.unpackb(
                data,
                ext_hook=self._ext,
                object_pairs_hook=_calm_dict,
                strict_map_key=False,
                unicode_errors="surrogatepass",
                max_map_len=MAX_KEYS,
            )
        finally:
            self._depth -= 1

    def _ext(self, code: int, data: bytes) -> Any:
        if code == BIG_INT:
            if len(data) > MAX_INT_BYTES:
                raise WireError("an integer is too large to cross")
            return int.from_bytes(data, "big", signed=True)
        value = self.unpack(data)
        if code in _LISTED and type(value) is not list:  # anything else may be endless, or ask back when it is read
            raise WireError("a value has the wrong shape")
        if code in REFERENCES:
            return self._from_reference(code, value)
        if code in _PLAIN:
            return _PLAIN[code](value)
        return self._table(code, value)

    def _table(self, code: int, value: Any) -> Any:
        if code == ARRAY:
            return tables.read_array(value, self._buffers)
        if code == SCALAR:
            return tables.read_scalar(value)
        if code == FRAME:
            return tables.read_frame(value)
        if code == SERIES:
            return tables.read_series(value)
        if code == INDEX:
            return tables.read_index(value)
        if code == PANDAS_WHEN:
            return tables.read_when(value)
        raise WireError(f"unknown kind of value {code}")


def _check_hashes(keys: list[Any]) -> None:
    """Refuse keys that share a hash by the hundred: they make dict and set building quadratic."""
    if len(keys) > 64 and max(collections.Counter(map(hash, keys)).values()) > 32:
        raise WireError("too many keys share one hash")


def _calm_dict(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    listed = list(pairs)
    _check_hashes([key for key, _ in listed])
    return dict(listed)


def _calm_set(value: list[Any]) -> set[Any]:
    if len(value) > MAX_KEYS:
        raise WireError("a set is too large to cross")
    _check_hashes(value)
    return set(value)


def _read_when(value: list[Any]) -> Any:
    return datetime.timedelta(*value[1:]) if value[0] == "timedelta" else _DATES[value[0]].fromisoformat(value[1])


def _read_decimal(value: Any) -> decimal.Decimal:
    if type(value) is not str or len(value) > 2000:
        raise WireError("a decimal is too long to cross")
    return _mild(decimal.Decimal(value))


def _mild(number: decimal.Decimal) -> decimal.Decimal:
    if number.is_finite() and abs(number.adjusted()) > 1000:  # int() of it would never end
        raise WireError("a decimal is out of range")
    return number


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not keyword.iskeyword(name)


_records: dict[tuple[str, ...], type] = {}


def _read_record(value: list[Any]) -> Any:
    name, fields, values = value
    key = (name, *fields)
    if key not in _records:
        if len(_records) >= MAX_CACHED_RECORDS or len(fields) > 100 or not all(map(_is_name, key)):
            return tuple(values)
        _records[key] = collections.namedtuple(name, fields)
    made: Any = _records[key]
    return made(*values)


_PLAIN: dict[int, Callable[[Any], Any]] = {
    TUPLE: tuple,
    SET: _calm_set,
    FROZENSET: lambda value: frozenset(_calm_set(value)),
    COMPLEX: lambda value: complex(*value),
    WHEN: _read_when,
    DECIMAL: _read_decimal,
    PATH: pathlib.PurePosixPath,
    RECORD: _read_record,
}
_LISTED = {TUPLE, SET, FROZENSET, COMPLEX, WHEN, RECORD, ARRAY, SCALAR, FRAME, SERIES, INDEX, PANDAS_WHEN, *REFERENCES}
