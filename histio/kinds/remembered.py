"""Values that are worked out once, and again only when what they follow from has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T = TypeVar("T")


class Remembered(Generic[T]):
    """Remembers the last value that was worked out.

    Safe to share between threads; two of them may both work out the same value.

    Args:
        work_out: Returns the value that follows from the arguments of `get`.
    """

    def __init__(self, work_out: Callable[..., T]) -> None:
        self._work_out = work_out
        self._last: tuple[tuple[Any, ...], T] | None = None

    def get(self, *arguments: Any) -> T:
        """The value that follows from *arguments*; worked out unless they equal those of the last call."""
        last = self._last
        if last is None or last[0] != arguments:
            last = self._last = arguments, self._work_out(*arguments)
        return last[1]


class RememberedByDialect(Generic[T]):
    """Remembers one value for each of the last few dialects, and with it the dialect, but not its engine.

    Safe to share between threads; two of them may both work out the same value.

    Args:
        size: How many dialects.
    """

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._values: dict[sa.Dialect, T] = {}

    def get(self, dialect: sa.Dialect, work_out: Callable[[], T]) -> T:
        """The value for *dialect*, from *work_out* if it is not known."""
        value = self._values.get(dialect)
        if value is None:
            value = work_out()
            last = list(self._values.items())[1 - self._size :]
            self._values = dict([*last, (dialect, value)])
        return value
