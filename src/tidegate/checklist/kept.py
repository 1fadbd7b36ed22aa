"""Properties that are computed once, with their errors."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

Kept = dict[object, tuple[Any, Exception | None]]
"""Values and errors by the property that gave them."""


class _Keeps(Protocol):
    kept: Kept


_T = TypeVar("_T")


class once(Generic[_T]):  # noqa: N801  it is used as `property` is
    """A property that is computed once; an error is kept as well, so that a server that is away is waited for only once."""

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: _Keeps, _owner: object) -> _T:
        kept = instance.kept
        if self not in kept:
            try:
                kept[self] = self._make(instance), None
            except Exception as error:  # noqa: BLE001  raised again below, now and each time
                kept[self] = None, error
        value, fault = kept[self]
        if fault is not None:
            raise fault
        found: _T = value
        return found
