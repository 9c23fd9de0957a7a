"""Set the references that were left blank when their rows were written."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import check_count
from histio.importing.row import Row
from histio.kinds.column_types import is_renewed
from histio.kinds.table import Kind


def set_columns(
    connection: Connection,
    kind: Kind,
    columns: Collection[sa.Column[Any]],
    rows: Sequence[Row],
    *,
    within: Mapping[sa.Column[Any], Any],
) -> None:
    """Set *columns* of stored runs to the values of *rows*, with one executemany for each table.

    Args:
        connection: A connection in a transaction.
        kind: The kind of the runs.
        columns: Columns of its tables, table by table.
        rows: The rows of the runs.
        within: Columns that identify a run together with its identity, and their values.

    Raises:
        RowFaultError: The database has not updated every row.
    """
    for table, of_table in itertools.groupby(columns, key=lambda column: column.table):
        known = [column for column in of_table if all(column.key in row.parameters for row in rows)]
        _update(connection, table, kind, known, rows, within)


def _update(
    connection: Connection,
    table: Any,
    kind: Kind,
    columns: Sequence[sa.Column[Any]],
    rows: Sequence[Row],
    within: Mapping[sa.Column[Any], Any],
) -> None:
    own = kind.identity.columns
    kept = {column: column for column in table.columns if is_renewed(column) and column not in columns}
    values = {column: sa.bindparam(f"histio_{column.key}", type_=column.type) for column in columns}
    statement = sa.update(table).where(*_is_row(table, own, within)).values(kept | values)
    parameters = [
        {f"histio_own_{place}": row.parameters[column.key] for place, column in enumerate(own)}
        | {f"histio_{column.key}": row.parameters[column.key] for column in columns}
        for row in rows
    ]
    result = connection.execute(statement, parameters, execution_options={"preserve_rowcount": True})
    check_count(connection, table, result.rowcount, len(rows))


def _is_row(
    table: Any, identity: Sequence[sa.Column[Any]], within: Mapping[sa.Column[Any], Any]
) -> list[sa.ColumnElement[bool]]:
    """Conditions for the row of *table* that belongs to the run whose *identity* is bound."""
    found = [
        column == sa.bindparam(f"histio_own_{place}", type_=column.type)
        for place, column in enumerate(identity)
    ]
    found += [column == value for column, value in within.items()]
    if identity[0].table is table:
        return found
    # With joined inheritance, the identity is in another table with the same primary key.
    keys: Any = identity[0].table
    return [
        column.in_(sa.select(key).where(*found))
        for column, key in zip(table.primary_key, keys.primary_key, strict=True)
    ]
