"""Lending: a fake of the test whose named methods the submission may call, and nothing else of it."""

from collections.abc import Callable
from typing import Any


class Lend:
    """An object lent to the submission, and, for a suite that runs in-process, a stand-in with the same face."""

    def __init__(self, value: Any, methods: tuple[str, ...], coroutines: tuple[str, ...], attributes: dict[str, Any]):
        self.value = value
        self.methods = methods
        self.coroutines = coroutines
        self.attributes = attributes
        for name in (*methods, *coroutines):
            if name != "__call__":
                setattr(self, name, getattr(value, name))
        for name, data in attributes.items():
            setattr(self, name, data)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.method("__call__")(*arguments, **keywords)

    def method(self, name: str) -> Callable[..., Any]:
        """Return a lent method; raise PermissionError for any other name."""
        if name not in self.methods and name not in self.coroutines:
            raise PermissionError(f"{str(name)[:80]!r} is not lent")
        found: Callable[..., Any] = self.value if name == "__call__" else getattr(self.value, name)
        return found


def lend(value: Any, *methods: str, coroutines: tuple[str, ...] = (), **attributes: Any) -> Lend:
    """Lend `value`: the submission may call the named methods (from any thread) and sees the attributes as data.

    Methods named in `coroutines` must be awaited there; here they are plain methods all the same.
    """
    return Lend(value, methods, coroutines, attributes)
