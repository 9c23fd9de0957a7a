"""Decide what to check after rows are written, and compare their numbers with those that are expected."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import Kept, RowFaultError, Stored, find_kept, latest
from histio.importing.row import Insert, Row
from histio.kinds.identity import Identity
from histio.kinds.mapping import attribute
from histio.kinds.table import Kind, Table, join_ledgers


class KeptRows:
    """Decides what has to be checked after the rows of a kind are written.

    Args:
        connection: A connection to the database.
        stored: By column, what the database keeps of its values.
        compare: Whether to compare all values, even if nothing suggests that the database changes some.
    """

    def __init__(
        self, connection: Connection, stored: Mapping[sa.Column[Any], Stored], *, compare: bool = False
    ) -> None:
        self._connection = connection
        self._stored = stored
        self._compare = compare
        self._kept: dict[Kind, Kept] = {}

    def must_be_counted(self, kind: Kind) -> bool:
        """Whether the database may report another number of rows for *kind* than it keeps."""
        return not self._ask(kind).number

    def must_be_compared(self, kind: Kind) -> bool:
        """Whether the database may store other values for *kind* than it is given, or computes some."""
        return self._compare or not self._ask(kind).values or _is_computed(kind)

    def _ask(self, kind: Kind) -> Kept:
        if kind not in self._kept:
            tables = core_tables(kind)
            self._kept[kind] = find_kept(self._connection, kind, tables, self._stored)
        return self._kept[kind]


@functools.cache
def _is_computed(kind: Kind) -> bool:
    """Whether the database computes members of *kind*."""
    return any(table.computed for table in kind.table.all())


def core_tables(kind: Kind) -> list[sa.Table]:
    """All Core tables that runs of *kind* have rows in."""
    return [core for table in kind.table.all() for core in table.core_tables]


def count_rows(identities: Mapping[Row, Any], within: Mapping[sa.Column[Any], Any]) -> Insert:
    """A function that checks that the database has exactly the rows of runs that were written.

    Args:
        identities: The identity of each row.
        within: Columns that identify a run together with its identity, and their values.
    """

    def count(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        check_kept(connection, table, {identities[row]: row for row in rows}, within=within)

    return count


def check_kept(
    connection: Connection,
    table: Table,
    expected: Mapping[Any, Row],
    *,
    within: Mapping[sa.Column[Any], Any],
    now: bool = False,
) -> None:
    """Check that runs have exactly their rows, entries and links, with one SELECT for each table.

    Args:
        connection: In the transaction that has written them.
        table: The table of the runs.
        expected: By identity, the rows that each run should have.
        within: Columns that identify a run together with its identity, and their values.
        now: Whether to count rows that others have committed since the transaction began.

    Raises:
        RowFaultError: A run has fewer or more rows.
    """
    own = table.identity
    assert own is not None  # noqa: S101 - the table of runs
    sizes = {identity: list(_sizes(table, [row])) for identity, row in expected.items()}
    for place, (name, statement) in enumerate(_counts(table, own, list(expected), within)):
        found: Counter[Any] = Counter()
        for *values, count in connection.execute(latest(connection, statement) if now else statement):
            found[own.normalize(own.join_parts(values))] += count
        for identity, size in sizes.items():
            if found[identity] != size[place]:
                raise RowFaultError(_difference(name, size[place], found[identity]))


def _difference(name: str, expected: int, found: int) -> str:
    if found < expected:
        return f"the database did not keep every row of {name}: {found} of {expected} are there"
    return f"there are more rows of {name} than in the document: {found}, not {expected}"


def rows_of(table: Table, values: Mapping[str, Any], *, on_wire: bool = False) -> Row:
    """The rows of a record, to be counted: without their values.

    Args:
        table: The record's table.
        values: The loaded values of the record, or the record itself.
        on_wire: Whether *values* is the record itself.
    """

    def value(member: str) -> Any:
        return values.get(table.names[member] if on_wire else member)

    below = (
        [rows_of(each.table, entry, on_wire=on_wire) for entry in each.to_list(value(each.member))]
        for each in table.ledgers
    )
    links = ([(key,) for key in value(each.member) or ()] for each in table.links)
    return Row({}, tuple(below), tuple(links))


def _sizes(table: Table, rows: Sequence[Row]) -> Iterator[int]:
    """The number of *rows*, and of their links and entries, in the order of `_counts`."""
    yield len(rows)
    for place in range(len(table.links)):
        yield sum(len(set(row.links[place])) for row in rows)
    for place, ledger in enumerate(table.ledgers):
        yield from _sizes(ledger.table, [entry for row in rows for entry in row.ledgers[place]])


def _counts(
    table: Table, identity: Identity, identities: Sequence[Any], within: Mapping[sa.Column[Any], Any]
) -> Iterator[tuple[str, sa.Select[Any]]]:
    """For each table, its name and a SELECT of the number of its rows, by the identity of the run."""
    run, sought = table.mapper.class_, identity.sql(table.mapper.class_)
    scope = [column == value for column, value in within.items()]
    # Grouped by the primary key too: a collation may treat the identities of two runs as equal.
    own = sought.join(sa.select(*sought.parts, sa.func.count()).select_from(run))
    primary: Sequence[Any] = table.mapper.primary_key
    keys = [attribute(table.mapper, column) for column in primary]
    own = own.where(sought.among(identities), *scope).group_by(*keys, *sought.parts)
    for path, below in table.paths():
        statement, entity = join_ledgers(own, run, path)
        yield below.mapper.class_.__name__, statement
        for links in below.links:
            linking = links.relation.remote[0].table
            between = linking.alias()
            ties = [
                getattr(entity, attribute(below.mapper, local).key) == between.c[remote.key]
                for local, remote in zip(links.relation.local, links.relation.remote, strict=True)
            ]
            yield str(linking), statement.join(between, sa.and_(*ties))
