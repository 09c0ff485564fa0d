"""What is told to the judge of an exception: its class, its data, and the candidate's own line."""

import linecache
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from .codec import Codec

MAX_TEXT = 4000
MAX_ARGUMENTS = 8
MAX_ATTRIBUTES = 16
_PLAIN = (str, int, float, bool, bytes, list, tuple, dict, type(None))


def describe(error: BaseException, code: Path, codec: Codec) -> list[Any]:
    """Return [class, arguments, text, attributes, where, traceback, class name].

    Each is safe to encode, whatever the exception does.
    """
    kind = type(error)
    return [
        kind,
        [_data(argument, codec) for argument in _arguments(error)],
        text_of(error),
        _attributes(error, codec),
        where(error, code),
        _safely(lambda: "".join(traceback.format_exception(error)[-12:])),
        kind.__name__,
    ]


def where(error: BaseException, code: Path) -> str:
    """Return the innermost line of the candidate's own files, as `file.py:14:  source`."""
    if isinstance(error, SyntaxError) and str(error.filename or "").startswith(str(code)):
        return f"{Path(error.filename or '').name}:{error.lineno}:  {(error.text or '').strip()[:200]}"
    trace: TracebackType | None = error.__traceback__
    found = ""
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename.startswith(str(code)):
            line = linecache.getline(filename, trace.tb_lineno).strip()[:200]
            found = f"{Path(filename).relative_to(code)}:{trace.tb_lineno}:  {line}"
        trace = trace.tb_next
    return found


def text_of(error: BaseException) -> str:
    return _safely(lambda: BaseException.__str__(error) if type(error).__str__ is BaseException.__str__ else str(error))


def _arguments(error: BaseException) -> tuple[Any, ...]:
    arguments = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    return tuple(arguments[:MAX_ARGUMENTS])


def _data(value: Any, codec: Codec) -> Any:
    if type(value) in _PLAIN:
        try:
            codec.encode(value)
            return value
        except Exception:
            pass
    return _safely(lambda: repr(value))


def _attributes(error: BaseException, codec: Codec) -> dict[str, Any]:
    try:
        pairs = list(object.__getattribute__(error, "__dict__").items())[:MAX_ATTRIBUTES]
    except Exception:
        return {}
    return {str(name): _data(value, codec) for name, value in pairs if type(name) is str and name != "__notes__"}


def _safely(produce: Any) -> str:
    try:
        return str(produce())[:MAX_TEXT]
    except BaseException as error:
        return f"<{type(error).__name__} while this was written out>"
