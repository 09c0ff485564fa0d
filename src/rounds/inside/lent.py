"""Objects that the judge lends to a submission: they live on the other side, and their methods call back there."""

from collections.abc import Callable
from typing import Any, NoReturn, Protocol


class Caller(Protocol):
    """Whoever can carry a call to the other side."""

    def call_back(self, number: int, method: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any: ...


class Lent:
    """A fake of the test. Copies are the object itself; it can't be pickled, since it is not here."""

    _lent_number: int

    def __copy__(self) -> "Lent":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Lent":
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("this object is lent by the test and can't be pickled")

    def __repr__(self) -> str:
        return f"<lent by the test #{self._lent_number}>"


def lent_object(
    caller: Caller, number: int, methods: list[str], attributes: dict[str, Any], coroutines: list[str]
) -> Lent:
    """Make the stand-in: named methods call back, attributes are plain data, `__call__` makes it callable."""
    namespace: dict[str, Any] = {}
    for name in methods:
        namespace[name] = _method(caller, number, name)
    for name in coroutines:
        namespace[name] = _coroutine(caller, number, name)
    made: Lent = type("Lent", (Lent,), namespace)()
    made._lent_number = number
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def _method(caller: Caller, number: int, name: str) -> Callable[..., Any]:
    def method(self: Lent, /, *arguments: Any, **keywords: Any) -> Any:
        return caller.call_back(number, name, arguments, keywords)

    method.__name__ = method.__qualname__ = name
    return method


def _coroutine(caller: Caller, number: int, name: str) -> Callable[..., Any]:
    async def method(self: Lent, /, *arguments: Any, **keywords: Any) -> Any:
        return caller.call_back(number, name, arguments, keywords)

    method.__name__ = method.__qualname__ = name
    return method
