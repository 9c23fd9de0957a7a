"""The fast path of exports: pages of runs, formatted from the driver's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from histio.database.dialects import is_interruption, reading_blocks
from histio.exporting.fast.collector import paused
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.formatter import Formatted, RowFormatter, TooManyError
from histio.exporting.ordered import OrderedRuns, SortKeys
from histio.exporting.page_size import MOST_ENTRIES, page_size
from histio.kinds.selects import select_rows
from histio.log import log_handled
from histio.tuning import tuning


class FastPage(NamedTuple):
    """A page of runs, read on the fast path.

    Attributes:
        before: The sort keys of the last run before the page; None: it is the first page.
        last: The sort keys of its last run; None: it has all runs that follow *before*.
        formatted: The JSON of its runs; None: the fast path declines one of them.
    """

    before: SortKeys | None
    last: SortKeys | None
    formatted: Formatted | None

    @property
    def has_failed(self) -> bool:
        """Whether its runs cannot be read."""
        return self.formatted is None and self.last is None


class _Reader:
    """Reads pages of *runs* as the rows that *formatter* takes, with their sort keys at the end."""

    def __init__(self, runs: OrderedRuns, formatter: RowFormatter) -> None:
        self._runs = runs
        self._formatter = formatter
        # Both statements are the same for all pages, so SQLAlchemy compiles each of them once.
        self._first = runs.select(formatter.select()).limit(sa.bindparam("at_most", type_=sa.Integer))
        self._names = [f"last_{place}" for place in range(runs.width)]
        self._next = self._first.where(runs.after_parameters(self._names))

    def read(self, before: SortKeys | None, size: int) -> Sequence[Any]:
        """The rows of at most *size* runs after *before*."""
        statement = self._first if before is None else self._next
        parameters = zip(self._names, before or (), strict=False)
        with self._runs.connection.execute(statement, {"at_most": size, **dict(parameters)}) as result:
            rows: Sequence[Any] = result.cursor.fetchall()  # as the driver has them
            return rows

    def format(self, rows: Sequence[Any], *, is_counted: bool) -> Formatted | None:
        """The JSON of *rows*; None: the fast path declines one of them."""
        try:
            return self._formatter.format(self._runs.connection, rows, MOST_ENTRIES, is_counted=is_counted)
        except DeclinedError:
            return None

    def size(self, before: SortKeys | None) -> int:
        """How many of the runs after *before* make a page."""
        runs = self._runs.select(select_rows(self._runs.kind.table.mapper.class_))
        following = runs.where(*self._runs.between(before, None))
        size, _ = page_size(self._runs.connection, self._runs.kind, following)
        return size


def fast_pages(runs: OrderedRuns, formatter: RowFormatter) -> Iterator[FastPage]:
    """All pages of *runs*, in order. Once a page has too many ledger entries, the entries are counted first.

    After an exception, the last page has no JSON, and has all runs that are left.
    """
    reader = _Reader(runs, formatter)
    before: SortKeys | None = None
    counts = False
    with reading_blocks(runs.connection, runs.neutral_savepoint) as block:
        while True:
            try:
                with block(), paused():
                    size = reader.size(before) if counts else tuning().page
                    rows = reader.read(before, size)
                    formatted = reader.format(rows, is_counted=counts)
            except TooManyError:
                counts = True
                continue
            except Exception as error:  # the full path finds the row and the reason
                if is_interruption(error):
                    raise
                log_handled("the fast path of an export fails: the full path goes on", error)
                yield FastPage(before, None, None)
                return
            last = tuple(rows[-1][-runs.width :]) if rows else None
            if last is not None:
                yield FastPage(before, last, formatted)
            if len(rows) < size or last is None:
                return
            before = last
