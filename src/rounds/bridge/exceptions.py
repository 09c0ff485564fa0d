"""Exceptions of a submission, rebuilt here: builtins as themselves, its own classes as local classes of that name."""

import builtins
from typing import Any

from rounds.bridge.failures import Origin

MAX_CLASSES = 500
MAX_BASES = 8
MAX_TEXT = 6000


def cleaned(text: str) -> str:
    """Return text without control characters, cut to a size that a report can hold."""
    printable = (character if character.isprintable() or character in "\n\t" else "?" for character in text[:MAX_TEXT])
    return "".join(printable)


def builtin_exception(names: list[str]) -> type[BaseException]:
    """Return the first of these that names a builtin exception a test may see.

    Never KeyboardInterrupt, GeneratorExit or an outcome of pytest's: those would steer the run itself.
    """
    for name in names:
        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return RuntimeError


def _text(error: BaseException) -> str:
    origin = error.__dict__.get("_rounds_origin")
    return origin.text if isinstance(origin, Origin) else ", ".join(map(str, error.args))


class ExceptionClasses:
    """The exception classes that one submission has shown, by number."""

    def __init__(self) -> None:
        self._by_number: dict[int, type[BaseException]] = {}

    def number_of(self, kind: type[BaseException]) -> int:
        number: int = kind.__dict__.get("_rounds_number", 0)
        return number

    def take(self, body: Any) -> type[BaseException]:
        """Return the local class for [number, name, bases]; number 0 means a builtin."""
        number, name, bases = body
        if not number:
            return builtin_exception([name])
        if number not in self._by_number:
            if len(self._by_number) >= MAX_CLASSES:
                return RuntimeError
            parents = tuple(dict.fromkeys(self.take(base) for base in bases[:MAX_BASES])) or (RuntimeError,)
            self._by_number[number] = self._make(number, name, parents)
        return self._by_number[number]

    def _make(self, number: int, name: str, parents: tuple[type[BaseException], ...]) -> type[BaseException]:
        label = name[:80] if name.isidentifier() else "Error"
        members = {"_rounds_number": number, "__str__": _text, "__module__": "submission", "__init__": _keep_arguments}
        try:
            return type(label, parents, members)
        except TypeError:  # bases that can't be combined
            return type(label, parents[:1], members)

    def rebuild(self, description: Any) -> BaseException:
        """Return an exception like the one that was raised inside, with its origin attached."""
        kind, arguments, text, attributes, where, traceback, own_name = description
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            kind = RuntimeError
        error = _made(_with_text(kind) if kind.__module__ == "builtins" else kind, arguments)
        for name, value in attributes.items():
            if name.isidentifier() and not name.startswith("_") and not hasattr(BaseException, name):
                error.__dict__[name] = value
        error.__dict__["_rounds_origin"] = Origin(
            cleaned(str(own_name)), cleaned(str(text)), cleaned(str(where)), cleaned(str(traceback))
        )
        error.add_note("in the submission:\n" + cleaned(str(traceback)))
        return error

    def unreadable(self) -> BaseException:
        """Return an exception that stands for a description that is none."""
        return self.rebuild([RuntimeError, [], "something that can't be read", {}, "", "", "an error"])


def without_an_end(error: StopIteration) -> RuntimeError:
    """Return what a StopIteration is where no iterator was asked: in a test it would end a loop as if all were seen."""
    found = _with_text(RuntimeError)(*error.args)
    found.__dict__.update(error.__dict__)
    return found  # type: ignore[return-value]


def _made(kind: type[BaseException], arguments: list[Any]) -> BaseException:
    """Make an exception without what its class would check; a group, which can't be without members, is none here."""
    if issubclass(kind, BaseExceptionGroup):
        kind = _with_text(RuntimeError)
    error = kind.__new__(kind, *(arguments if issubclass(kind, OSError) else ()))
    error.args = tuple(arguments)
    return error


def _keep_arguments(self: BaseException, *arguments: Any, **keywords: Any) -> None:
    self.args = arguments


_texts: dict[type[BaseException], type[BaseException]] = {}


def _with_text(kind: type[BaseException]) -> type[BaseException]:
    """Return a subclass of a builtin that prints as the text that came across, not as the builtin would put it."""
    if kind not in _texts:
        members = {"__str__": _text, "__module__": "builtins", "__init__": _keep_arguments}
        _texts[kind] = type(kind.__name__, (kind,), members)
    return _texts[kind]
