"""Runs → rows, in bulk, inside savepoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.dialects import RowFaultError, check_deferred, row_fault, savepoint
from histio.kinds import Table

_log = logging.getLogger("histio")

BATCH = 500
"""Runs per savepoint."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row to be written: parameters by column key, and for each ledger of the table its rows."""

    parameters: dict[str, Any]
    ledgers: tuple[list[Row], ...]


def write(
    connection: Connection, table: Table, rows: Sequence[Row], *, deferred: bool = True
) -> Iterator[tuple[int, str]]:
    """Write *rows* with their ledgers; give the index and the violated constraint of each that cannot be.

    A batch that fails is halved until the guilty row stands alone, so the others are written.

    Args:
        connection: In a transaction.
        table: The table of the runs.
        rows: The runs' rows.
        deferred: Whether deferred constraints are checked now.

    Raises:
        sqlalchemy.exc.DBAPIError: What is no row's fault: a deadlock, a lock timeout, a lost connection.
    """
    for start in range(0, len(rows), BATCH):
        yield from _write(connection, table, rows[start : start + BATCH], start, deferred=deferred)


def _write(
    connection: Connection, table: Table, rows: Sequence[Row], start: int, *, deferred: bool
) -> Iterator[tuple[int, str]]:
    tables = [each.rows for each in table.all()]
    try:
        with savepoint(connection):
            _insert(connection, table, rows)
            if deferred:
                check_deferred(connection, tables)
    except Exception as error:
        fault = row_fault(error, tables)
        if fault is None or not connection.in_transaction():
            raise
        if len(rows) == 1:
            yield start, fault
            return
        _log.debug("%d runs refused by a constraint: trying halves", len(rows))
    else:
        return
    half = len(rows) // 2
    yield from _write(connection, table, rows[:half], start, deferred=deferred)
    yield from _write(connection, table, rows[half:], start + half, deferred=deferred)


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
