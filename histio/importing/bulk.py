"""Insert rows and their ledgers in bulk: one executemany for each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import check_count
from histio.importing.layers import layers
from histio.importing.owner_keys import find_owner_keys, owner_columns
from histio.importing.row import Row
from histio.kinds.mapping import Columns
from histio.kinds.table import Ledger, Links, Table


def insert_in_bulk(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    within: Columns = (),
    ordered: bool = False,
) -> None:
    """Insert *rows* with their ledgers and links.

    Args:
        connection: A connection in a transaction.
        table: The table of the rows.
        rows: The rows.
        within: Columns that identify a row together with its identity, if the identity alone is not unique.
        ordered: Whether to keep the order of the rows, as for ledger entries.

    Raises:
        RowFaultError: The database did not keep every row.
    """
    parameters = [row.parameters for row in rows]
    if len(table.mapper.tables) > 1:
        parameters = _insert_layers(connection, table, parameters, within, ordered=ordered)
    else:
        _execute(connection, table.rows, parameters, ordered=ordered)
    if not any(below for row in rows for below in (*row.ledgers, *row.links)):
        return
    owners = find_owner_keys(connection, table, parameters, owner_columns(table), within)
    for place, links in enumerate(table.links):
        pairs = [
            pair
            for row, owner in zip(rows, owners, strict=True)
            for pair in _linking_rows(links, row.links[place], owner)
        ]
        _execute(connection, links.relation.remote[0].table, pairs, ordered=False)
    for place, ledger in enumerate(table.ledgers):
        entries = [
            _with_owner(ledger, entry, owner)
            for row, owner in zip(rows, owners, strict=True)
            for entry in row.ledgers[place]
        ]
        if entries:
            scope = () if ledger.table.is_shared else ledger.relation.remote
            insert_in_bulk(connection, ledger.table, entries, within=scope, ordered=True)


def _insert_layers(
    connection: Connection,
    table: Table,
    parameters: Sequence[dict[str, Any]],
    within: Columns,
    *,
    ordered: bool,
) -> list[dict[str, Any]]:
    """Insert rows into all tables of a model; return their values with the keys that the database counted."""
    base, *others = layers(table.mapper) or ()
    _execute(connection, base.table, [base.parameters(row) for row in parameters], ordered=ordered)
    columns = tuple(dict.fromkeys(column for layer in others for column in layer.inherited.values()))
    own = tuple(column for column in columns if column.table is base.table)
    keys = find_owner_keys(connection, table, parameters, own, within)
    rows = [
        row | {column.key: value for column, value in key.items()}
        for row, key in zip(parameters, keys, strict=True)
    ]
    for layer in others:
        values = [layer.parameters(row) for row in rows]
        _execute(connection, layer.table, values, ordered=ordered)
        rows = [
            row | {key: value[key] for key in layer.inherited}
            for row, value in zip(rows, values, strict=True)
        ]
    return rows


def _linking_rows(
    links: Links, keys: Sequence[tuple[Any, ...]], owner: Mapping[sa.Column[Any], Any]
) -> list[dict[str, Any]]:
    """The rows of the association table that link *owner* to the related rows with these *keys*."""
    relation, (there, _) = links.relation, links.relation.link or ((), ())
    own = _fill(relation.remote, relation.local, owner)
    return [own | _fill(there, there, dict(zip(there, key, strict=True))) for key in keys]


def _with_owner(ledger: Ledger, entry: Row, owner: Mapping[sa.Column[Any], Any]) -> Row:
    """*entry* with the values that tie it to its *owner*."""
    constants = {column.key: value for column, value in ledger.constants.items()}
    keys = _fill(ledger.local, ledger.owner, owner)
    return Row(entry.parameters | constants | keys, entry.ledgers, entry.links)


def _fill(columns: Columns, sources: Columns, values: Mapping[sa.Column[Any], Any]) -> dict[str, Any]:
    return {column.key: values[source] for column, source in zip(columns, sources, strict=True)}


def _execute(
    connection: Connection, table: Any, parameters: Sequence[dict[str, Any]], *, ordered: bool
) -> None:
    # All rows of one executemany have the columns of its first row.
    by_columns = parameters if ordered else sorted(parameters, key=sorted)
    for _, group in groupby(by_columns, key=dict.keys):
        alike = list(group)
        result = connection.execute(sa.insert(table), alike, execution_options={"preserve_rowcount": True})
        check_count(connection, table, result.rowcount, len(alike))
