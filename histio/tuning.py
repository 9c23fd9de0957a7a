"""Sizes of pages and batches, pauses, and the choice of the path.

Internal: tests change all of them. `AsyncHistory` pauses, and has smaller pages and batches; an import has
larger batches for runs that have waited.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class Tuning:
    """Settings that change the speed and the memory of histio, but not its results.

    Attributes:
        page: Runs per page of an export, unless they have too many ledger entries. Sizes from 100 to 250 are
            the fastest.
        batch: Runs per batch of an import.
        chunk: The number of bytes of a JSON document to read at a time.
        keys_in_memory: Keys to count in memory; more are counted in a temporary database.
        refresh_from: The number of written runs from which an import refreshes the statistics of tables in
            PostgreSQL.
        full_path_only: Whether all runs take the full path.
        pause: Called between two runs, to let an event loop run other tasks; None: no event loop waits.
    """

    page: int = 200
    batch: int = 500
    chunk: int = 2**18
    keys_in_memory: int = 10_000
    refresh_from: int = 10_000
    full_path_only: bool = False
    pause: Callable[[], object] | None = None


_current: ContextVar[Tuning] = ContextVar("tuning", default=Tuning())  # noqa: B039 - it is frozen


def tuning() -> Tuning:
    """The current settings."""
    return _current.get()


@contextlib.contextmanager
def tuned(**changes: Any) -> Iterator[None]:
    """Change attributes of the current `Tuning` within the block."""
    token = _current.set(dataclasses.replace(tuning(), **changes))
    try:
        yield
    finally:
        _current.reset(token)


def with_pauses(items: Iterable[_T]) -> Iterable[_T]:
    """Iterate over *items*, and pause after each of them; for loops over runs that compute."""
    pause = tuning().pause
    return items if pause is None else _with_pauses(items, pause)


def _with_pauses(items: Iterable[_T], pause: Callable[[], object]) -> Iterator[_T]:
    for item in items:
        yield item
        pause()
