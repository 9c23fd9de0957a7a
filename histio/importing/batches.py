"""Write rows in batches, each in a savepoint, and find the rows that are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    Repeated,
    check_deferred,
    quiet_pipelines,
    row_fault,
    savepoint,
    small_packets,
)
from histio.importing.identities import Rivals
from histio.importing.row import Insert, Row
from histio.kinds.table import Table
from histio.log import log_handled
from histio.tuning import tuning

_log = logging.getLogger("histio")

Placed = Sequence[tuple[int, Row]]
"""Rows, each with its index among those to write."""


_LESS = 4
"""How many times as small the next part is after a fault."""


class Places(Protocol):
    """The unique values that stored rows take from each other."""

    def learn(self, connection: Connection) -> bool:
        """Ask the database for more unique rules; return whether there are any."""

    def postpone(self, rows: Sequence[Row]) -> set[Row]:
        """Those of *rows* that can wait until others have given up the values that they take."""

    def group(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Split *rows* into groups that can be written one after the other."""


def write(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    deferred: bool,
    insert: Insert,
    rivals: Rivals | None = None,
    places: Places | None = None,
) -> Iterator[tuple[int, str]]:
    """Write *rows* with their ledgers; yield the index and the violated constraint of each that is refused.

    Rows are written in batches. From a batch that fails, the rows that other clients have written meanwhile
    are taken out. The rest is written in smaller parts, until a row that fails is alone; the parts grow again
    while they succeed.

    Args:
        connection: A connection in a transaction.
        table: The table of the runs.
        rows: The runs' rows.
        deferred: Whether deferred constraints are checked now.
        insert: Writes rows, in bulk or by the unit of work.
        rivals: Finds the rows that other clients have written. None: there cannot be any.
        places: The unique values that stored rows take from each other. None: there are none.

    Raises:
        sqlalchemy.exc.DBAPIError: No row is at fault, as after a deadlock or a lost connection.
    """
    tables = [rows for each in table.all() for rows in each.core_tables]
    batches = _Batches(connection, table, tables, deferred, insert, rivals, places)
    placed = list(enumerate(rows))
    size = tuning().batch
    for start in range(0, len(placed), size):
        yield from batches.write(placed[start : start + size])


@dataclass(frozen=True, slots=True)
class _Batches:
    """Writes batches of rows; the attributes are the arguments of `write`."""

    connection: Connection
    table: Table
    tables: Collection[sa.Table]
    deferred: bool
    insert: Insert
    rivals: Rivals | None
    places: Places | None

    def write(self, batch: Placed) -> Iterator[tuple[int, str]]:
        """Write *batch*; yield the index and the violated constraint of each row that is refused."""
        rows = [row for _, row in batch]
        fault = self._try(rows)
        if isinstance(fault, Repeated) and self.places is not None and self.places.learn(self.connection):
            fault = self._try(rows)
        if fault is None:
            return
        if len(batch) == 1:
            yield batch[0][0], fault
            return
        _log.debug("%d runs refused by a constraint: trying fewer", len(batch))
        refused = set() if self.rivals is None else self.rivals.find(rows)
        if isinstance(fault, Repeated) and self.places is not None:
            refused |= self.places.postpone(rows)
        yield from ((place, fault) for place, row in batch if row in refused)
        rest = [(place, row) for place, row in batch if row not in refused]
        if self.places is None:
            yield from self._write_in_parts(rest, len(rest) if refused else len(rest) // _LESS)
            return
        for part in filter(None, [rest] if refused else _halve(rest, self.places)):
            yield from self.write(part)

    def _write_in_parts(self, left: Placed, size: int) -> Iterator[tuple[int, str]]:
        """Write *left* in parts of about *size*, smaller ones after a fault and larger ones after success."""
        while left:
            size = max(size, 1)
            part = left[:size]
            fault = self._try([row for _, row in part])
            if fault is not None and len(part) > 1:
                size = len(part) // _LESS
                continue
            if fault is None:
                size *= 2
            else:
                yield part[0][0], fault
            left = left[len(part) :]

    def _try(self, rows: Sequence[Row]) -> str | None:
        return try_to_write(
            self.connection,
            self.tables,
            lambda: self.insert(self.connection, self.table, rows),
            deferred=self.deferred,
        )


def _halve(batch: Placed, places: Places) -> list[list[tuple[int, Row]]]:
    """The halves of *batch*, with rows that need each other in the same half, if there are others."""
    place_of = {row: place for place, row in batch}
    groups = places.group(list(place_of))
    if len(groups) == 1:
        groups = [[row] for row in place_of]
    half = len(groups) // 2
    return [
        [(place_of[row], row) for group in part for row in group] for part in (groups[:half], groups[half:])
    ]


def try_to_write(
    connection: Connection, tables: Collection[sa.Table], insert: Callable[[], None], *, deferred: bool
) -> str | None:
    """Call *insert* in a savepoint.

    Args:
        connection: A connection in a transaction.
        tables: The tables that it writes to.
        insert: Writes rows.
        deferred: Whether deferred constraints are checked now.

    Returns:
        The constraint that a row violates, or what else is wrong with it; nothing is written then.
        None: all rows are written.

    Raises:
        sqlalchemy.exc.DBAPIError: No row is at fault, as after a deadlock or a lost connection.
    """
    try:
        with quiet_pipelines(), small_packets(connection), savepoint(connection):
            insert()
            if deferred:
                check_deferred(connection, tables)
    except Exception as error:  # drivers raise faults of rows as different classes
        if not connection.in_transaction() or (fault := row_fault(error, tables, connection)) is None:
            raise
        log_handled("rows are refused", error)
        return fault
    return None
