"""Write rows in bulk, in batches inside savepoints."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    RowFaultError,
    check_count,
    check_deferred,
    quiet_pipelines,
    row_fault,
    savepoint,
    small_packets,
)
from histio.importing.identities import Rivals
from histio.importing.row import Insert, Row, owner_columns
from histio.kinds.mapping import KEYS_PER_STATEMENT, Columns, is_among
from histio.kinds.table import Table
from histio.tuning import tuning

_log = logging.getLogger("histio")


Keys: TypeAlias = Mapping[sa.Column[Any], Any]
"""The columns of a row that its ledgers and links are filled with."""

Placed = Sequence[tuple[int, Row]]
"""Rows, each with its place among those that were to be written."""


def write(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    deferred: bool,
    insert: Insert,
    rivals: Rivals | None = None,
) -> Iterator[tuple[int, str]]:
    """Write *rows* with their ledgers; yield the index and the violated constraint of each that is refused.

    Rows are written in batches. From a batch that fails, the rows that other clients have written meanwhile
    are taken out. If there are none, the batch is halved until the row that fails is alone.

    Args:
        connection: A connection in a transaction.
        table: The table of the runs.
        rows: The runs' rows.
        deferred: Whether deferred constraints are checked now.
        insert: Writes rows, in bulk or by the unit of work.
        rivals: Finds the rows that other clients have written. None: there cannot be any.

    Raises:
        sqlalchemy.exc.DBAPIError: No row is at fault, as after a deadlock or a lost connection.
    """
    tables = [rows for each in table.all() for rows in each.core_tables]
    batches = _Batches(connection, table, tables, deferred, insert, rivals)
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

    def write(self, batch: Placed) -> Iterator[tuple[int, str]]:
        """Write *batch*; yield the index and the violated constraint of each row that is refused."""
        rows = [row for _, row in batch]
        fault = attempted(
            self.connection,
            self.tables,
            lambda: self.insert(self.connection, self.table, rows),
            deferred=self.deferred,
        )
        if fault is None:
            return
        if len(batch) == 1:
            yield batch[0][0], fault
            return
        _log.debug("%d runs refused by a constraint: trying fewer", len(batch))
        written = set() if self.rivals is None else self.rivals.find(rows)
        yield from ((place, fault) for place, row in batch if row in written)
        rest = [(place, row) for place, row in batch if row not in written]
        half = len(rest) if written else len(rest) // 2
        for part in filter(None, (rest[:half], rest[half:])):
            yield from self.write(part)


def attempted(
    connection: Connection, tables: Collection[sa.Table], insert: Callable[[], None], *, deferred: bool
) -> str | None:
    """Why *insert* was refused, and taken back, for a row of *tables*; None: it was not.

    Raises:
        sqlalchemy.exc.DBAPIError: What is no row's fault.
    """
    try:
        with quiet_pipelines(), small_packets(connection), savepoint(connection):
            insert()
            if deferred:
                check_deferred(connection, tables)
    except Exception as error:
        fault = row_fault(error, tables)
        if fault is None or not connection.in_transaction():
            raise
        return fault
    return None


def insert_in_bulk(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    within: Columns = (),
    ordered: bool = False,
) -> None:
    """Write *rows* and their ledgers with one executemany per table.

    *within* are columns beside which the identity of a row is unique where it is not by itself; *ordered*
    rows are written in their order, as those of ledgers have to be.
    """
    parameters = [row.parameters for row in rows]
    if not any(below for row in rows for below in (*row.ledgers, *row.links)):
        _execute(connection, table.rows, parameters, ordered=ordered)
        return
    owners = _write_owners(connection, table, parameters, within, ordered=ordered)
    for place, links in enumerate(table.links):
        linking, (there, _) = links.relation, links.relation.link or ((), ())
        pairs = [
            _filled(linking.remote, linking.local, owner)
            | _filled(there, there, dict(zip(there, key, strict=True)))
            for row, owner in zip(rows, owners, strict=True)
            for key in row.links[place]
        ]
        _execute(connection, linking.remote[0].table, pairs, ordered=False)
    for place, ledger in enumerate(table.ledgers):
        further = {column.key: value for column, value in ledger.constants.items()}
        entries = [
            Row(
                entry.parameters | further | _filled(ledger.local, ledger.owner, owner),
                entry.ledgers,
                entry.links,
            )
            for row, owner in zip(rows, owners, strict=True)
            for entry in row.ledgers[place]
        ]
        if entries:
            beside = () if ledger.table.is_shared else ledger.relation.remote
            insert_in_bulk(connection, ledger.table, entries, within=beside, ordered=True)


def _filled(columns: Columns, sources: Columns, values: Mapping[sa.Column[Any], Any]) -> dict[str, Any]:
    return {column.key: values[source] for column, source in zip(columns, sources, strict=True)}


def _execute(
    connection: Connection, table: Any, parameters: Sequence[dict[str, Any]], *, ordered: bool
) -> None:
    # All rows of one executemany have the columns of its first.
    by_columns = parameters if ordered else sorted(parameters, key=sorted)
    for _, group in groupby(by_columns, key=dict.keys):
        alike = list(group)
        result = connection.execute(sa.insert(table), alike, execution_options={"preserve_rowcount": True})
        check_count(connection, table, result.rowcount, len(alike))


def _write_owners(
    connection: Connection,
    table: Table,
    parameters: Sequence[dict[str, Any]],
    within: Columns,
    *,
    ordered: bool,
) -> list[Keys]:
    """Write rows and give their keys: known before, or found by their identity or their order."""
    _execute(connection, table.rows, parameters, ordered=ordered)
    columns = owner_columns(table)
    if all(column.key in each for column in columns for each in parameters):
        return [{column: each[column.key] for column in columns} for each in parameters]
    identity, growing = table.identity, table.growing_key
    # Their owners are new as well, so no other rows are tied to those, and their own key grows as they come.
    known = (*table.identity_columns, *within)
    order = () if growing is None else (growing,)
    wanted = [tuple(each[column.key] for column in known) for each in parameters]
    distinct, size = list(dict.fromkeys(wanted)), KEYS_PER_STATEMENT // len(known)
    rows: dict[tuple[Any, ...], deque[Keys]] = defaultdict(deque)
    for start in range(0, len(distinct), size):
        among = is_among(known, distinct[start : start + size])
        for row in connection.execute(sa.select(*known, *columns).where(among).order_by(*order)):
            own = tuple(row[: len(known)])
            own = own if identity is None else identity.normal_columns(own)
            rows[own].append(dict(zip(columns, row[len(known) :], strict=True)))
    if Counter({key: len(some) for key, some in rows.items()}) != Counter(wanted):
        raise RowFaultError("the database did not keep every row as it was")
    return [rows[key].popleft() for key in wanted]
