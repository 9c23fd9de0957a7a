"""Sizes of pages and batches, and the path that runs take. Internal: only tests change them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Tuning:
    """What changes the speed and the memory of histio, and never its results.

    Attributes:
        page: Runs per page of an export, unless they have too many ledger entries: the fastest of the sizes
            from 100 to 250.
        batch: Runs per batch of an import.
        chunk: Bytes that a JSON document is read at a time.
        keys_in_memory: Keys that are counted in memory, before they are counted in a temporary database.
        refresh_from: Written runs from which an import refreshes the statistics of its tables on PostgreSQL.
        full_path_only: Whether all runs take the full path.
    """

    page: int = 200
    batch: int = 500
    chunk: int = 2**18
    keys_in_memory: int = 10_000
    refresh_from: int = 10_000
    full_path_only: bool = False


_current: ContextVar[Tuning] = ContextVar("tuning", default=Tuning())  # noqa: B039 - it is frozen


def tuning() -> Tuning:
    """The values that apply here."""
    return _current.get()


@contextlib.contextmanager
def tuned(**changes: Any) -> Iterator[None]:
    """Within the block, apply *changes* of the attributes of `Tuning`."""
    token = _current.set(dataclasses.replace(tuning(), **changes))
    try:
        yield
    finally:
        _current.reset(token)
