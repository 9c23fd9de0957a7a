"""Runs → rows, in bulk, inside savepoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.dialects import RowFaultError, check_deferred, quiet_pipelines, row_fault, savepoint
from histio.kinds import Table

_log = logging.getLogger("histio")

BATCH = 500
"""Runs per savepoint."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row to be written: parameters by column key, and for each ledger of the table its rows."""

    parameters: dict[str, Any]
    ledgers: tuple[list[Row], ...]


Placed = Sequence[tuple[int, Row]]
"""Rows, each with its place among those that were to be written."""


def write(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    deferred: bool,
    rivals: Callable[[Sequence[Row]], Collection[Row]],
) -> Iterator[tuple[int, str]]:
    """Write *rows* with their ledgers; give the place and the violated constraint of each that cannot be.

    From a batch that fails, what rivals wrote is taken out. If none did, it is halved until the guilty row
    stands alone, so the others are written.

    Args:
        connection: In a transaction.
        table: The table of the runs.
        rows: The runs' rows.
        deferred: Whether deferred constraints are checked now.
        rivals: Tells which of some rows another client has written meanwhile.

    Raises:
        sqlalchemy.exc.DBAPIError: What is no row's fault: a deadlock, a lock timeout, a lost connection.
    """
    tables = [each.rows for each in table.all()]

    def attempt(batch: Placed) -> Iterator[tuple[int, str]]:
        try:
            with quiet_pipelines(), savepoint(connection):
                _insert(connection, table, [row for _, row in batch])
                if deferred:
                    check_deferred(connection, tables)
        except Exception as error:
            fault = row_fault(error, tables)
            if fault is None or not connection.in_transaction():
                raise
        else:
            return
        if len(batch) == 1:
            yield batch[0][0], fault
            return
        _log.debug("%d runs refused by a constraint: trying fewer", len(batch))
        written = rivals([row for _, row in batch])
        yield from ((place, fault) for place, row in batch if row in written)
        rest = [(place, row) for place, row in batch if row not in written]
        half = len(rest) if written else len(rest) // 2
        for part in filter(None, (rest[:half], rest[half:])):
            yield from attempt(part)

    placed = list(enumerate(rows))
    for start in range(0, len(placed), BATCH):
        yield from attempt(placed[start : start + BATCH])


def _insert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    rows = list(rows)
    # All rows of one executemany have the columns of its first.
    for _, group in groupby(rows, key=lambda row: row.parameters.keys()):
        alike = [row.parameters for row in group]
        result = connection.execute(
            sa.insert(table.rows), alike, execution_options={"preserve_rowcount": True}
        )
        if result.rowcount not in (len(alike), -1):
            raise RowFaultError("the database did not keep every row")
    if not any(entries for row in rows for entries in row.ledgers):
        return
    owners = _owners(connection, table, rows)
    for position, ledger in enumerate(table.ledgers):
        entries = []
        for row in rows:
            owner = owners.get(row.parameters[table.uuid_column.key])
            if owner is None:
                raise RowFaultError("the database did not keep the row as it was")
            keys = {
                local.key: owner[column] for local, column in zip(ledger.local, ledger.owner, strict=True)
            }
            entries += [Row(entry.parameters | keys, entry.ledgers) for entry in row.ledgers[position]]
        if entries:
            _insert(connection, ledger.table, entries)


def _owners(connection: Connection, table: Table, rows: list[Row]) -> dict[Any, dict[sa.Column[Any], Any]]:
    """The keys that the database gave the rows, by UUID."""
    columns = list(dict.fromkeys(column for ledger in table.ledgers for column in ledger.owner))
    uuids = [row.parameters[table.uuid_column.key] for row in rows]
    found = connection.execute(sa.select(table.uuid_column, *columns).where(table.uuid_column.in_(uuids)))
    return {uuid: dict(zip(columns, keys, strict=True)) for uuid, *keys in found}
