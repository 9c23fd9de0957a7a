"""Cache values until the arguments that they depend on change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T = TypeVar("T")


class Remembered(Generic[T]):
    """Remembers the last result of a function.

    Safe to share between threads; two of them may both calculate the same value.

    Args:
        work_out: The function, which is called with the arguments of `get`.
    """

    def __init__(self, work_out: Callable[..., T]) -> None:
        self._work_out = work_out
        self._last: tuple[tuple[Any, ...], T] | None = None

    def get(self, *arguments: Any) -> T:
        """The result for *arguments*; the function is called unless they equal those of the last call."""
        last = self._last
        if last is None or last[0] != arguments:
            last = self._last = arguments, self._work_out(*arguments)
        return last[1]


class RememberedByDialect(Generic[T]):
    """Remembers a value for each of the last few dialects; keeps the dialect alive, but not its engine.

    Safe to share between threads; two of them may both calculate the same value.

    Args:
        size: The number of dialects.
    """

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._values: dict[sa.Dialect, T] = {}

    def get(self, dialect: sa.Dialect, work_out: Callable[[], T]) -> T:
        """The value for *dialect*; *work_out* is called if there is none."""
        value = self._values.get(dialect)
        if value is None:
            value = work_out()
            last = list(self._values.items())[1 - self._size :]
            self._values = dict([*last, (dialect, value)])
        return value
