"""Which rows a database takes for the same, though they differ: what its collations do."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.dialects import Repeated, Stored, latest, savepoint, stored_keys
from histio.kinds import Table
from histio.mapping import unique_rules
from histio.resolver import unpadded
from histio.runs import Steps
from histio.wire import shown
from histio.writer import Insert, Row, attempted


@dataclass(frozen=True, slots=True)
class Collision:
    """A value that the database takes for another one.

    Attributes:
        steps: Lead from the run to the record whose row was refused.
        column: Where the values are.
        given: The value of the record.
        other: The value that it is taken for.
        beside: Whether the other one is of the same run; otherwise it is stored.
        constraint: What lets only one of them in.
        collation: What takes them for the same; None: its name is not known.
    """

    steps: Steps
    column: sa.Column[Any]
    given: Any
    other: Any
    beside: bool
    constraint: str
    collation: str | None

    def __str__(self) -> str:
        which = "" if self.beside else "the stored "
        collation = f" {self.collation}" if self.collation else ""
        return (
            f"{self.column.table}.{self.column.name}: {shown(self.given)} is the same as {which}"
            f"{shown(self.other)} to the column's collation{collation} (constraint {self.constraint})"
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """What is written of a record in one row.

    Attributes:
        tables: The Core tables that the row fills, of which inheritance may have several.
        values: By column key; the columns of *owned* are absent.
        owned: Columns that the owner fills.
        steps: Lead to the record from its run.
        siblings: The values of the records beside it …
        place: … and how many of those come before it.
    """

    tables: Sequence[sa.Table]
    values: Mapping[str, Any]
    owned: Collection[sa.Column[Any]]
    steps: Steps
    siblings: Sequence[Mapping[str, Any]] = ()
    place: int = 0

    def has_before(self, values: Mapping[str, Any]) -> bool:
        """Whether a record beside it, and before it, has these *values*."""
        before = itertools.islice(self.siblings, self.place)
        return any(all(each.get(key) == value for key, value in values.items()) for each in before)


def find_collision(
    connection: Connection,
    table: Table,
    row: Row,
    *,
    constraint: str,
    insert: Insert | None,
    deferred: bool,
    stored: Mapping[sa.Column[Any], Stored],
) -> Collision | None:
    """What a database took for the same when it refused a *row*; None: no two values that differ.

    What it takes for the same, only the database knows: as much of the row is written, and taken back, as it
    does not refuse.

    Args:
        connection: In a transaction, in which the row could not be written.
        table: The table of the run.
        row: The run's row.
        constraint: The one that was violated.
        insert: How rows are written; None: the row is an update of a stored one, and only what is stored
            already is looked at.
        deferred: Whether deferred constraints are checked now.
        stored: What the database says of its columns.
    """
    if not isinstance(constraint, Repeated):
        return None
    records = list(_records(table, row))
    if insert is None:
        return next(filter(None, (_among(connection, each, constraint, stored) for each in records)), None)
    tables = [rows for each in table.all() for rows in each.core_tables]

    def refused(count: int) -> str | None:
        some = [_first(row, count)] if count else []
        return attempted(connection, tables, lambda: insert(connection, table, some), deferred=deferred)

    fine, bad = 0, len(records)
    while bad - fine > 1:
        middle = (fine + bad) // 2
        with _taken_back(connection):
            fine, bad = (fine, middle) if refused(middle) else (middle, bad)
    with _taken_back(connection):
        refused(fine)
        return _among(connection, records[bad - 1], constraint, stored)


@contextmanager
def _taken_back(connection: Connection) -> Iterator[None]:
    """A block of which nothing stays in the database."""
    with savepoint(connection) as nested:
        yield
        nested.rollback()


def _records(table: Table, row: Row, steps: Steps = ()) -> Iterator[_Record]:
    """The records of a *row* of *table* and of all below it, in the order of `_first`."""
    yield _Record(table.mapper.tables, row.parameters, (), steps)  # type: ignore[arg-type]
    yield from _below(table, row, steps)


def _below(table: Table, row: Row, steps: Steps) -> Iterator[_Record]:
    """The records below a *row*: its links, then each entry of its ledgers with all below that."""
    for links, keys in zip(table.links, row.links, strict=False):
        there, _ = links.relation.link or ((), ())
        pairs = [{column.key: value for column, value in zip(there, key, strict=True)} for key in keys]
        own: Any = links.relation.remote
        for index, pair in enumerate(pairs):
            at = (*steps, table.names[links.member])  # slugs of a list have no order
            yield _Record([own[0].table], pair, own, at, pairs, index)
    for ledger, entries in zip(table.ledgers, row.ledgers, strict=True):
        values = [entry.parameters for entry in entries]
        owned = (*ledger.local, *ledger.constants)
        tables: Any = ledger.table.mapper.tables
        for index, entry in enumerate(entries):
            at = (*steps, table.names[ledger.member], *([index] if ledger.many else []))
            yield _Record(tables, entry.parameters, owned, at, values, index)
            yield from _below(ledger.table, entry, at)


def _first(row: Row, count: int) -> Row:
    """*row* with the first records alone, itself among them, as `_records` counts them."""
    left = count - 1
    links, ledgers = [], []
    for keys in row.links:
        links.append(keys[:left])
        left -= len(links[-1])
    for entries in row.ledgers:
        kept = []
        for entry in entries if left else ():
            size = min(_size(entry), left)
            kept.append(_first(entry, size))
            left -= size
            if not left:
                break
        ledgers.append(kept)
    return Row(row.parameters, tuple(ledgers), tuple(links))


def _size(row: Row) -> int:
    return 1 + sum(map(len, row.links)) + sum(_size(entry) for entries in row.ledgers for entry in entries)


def _among(
    connection: Connection, record: _Record, constraint: str, stored: Mapping[sa.Column[Any], Stored]
) -> Collision | None:
    """The row that is in the way of a *record*'s, if the database alone takes their values for the same."""
    for table in record.tables:
        for columns in _keys(connection, table, constraint):
            known = [column for column in columns if record.values.get(column.key) is not None]
            unknown = set(columns) - set(known)
            if known and unknown <= set(record.owned):
                for column, other, beside in _same(connection, record, known):
                    if beside or not unknown:
                        collation = _collation(column, stored)
                        given = record.values[column.key]
                        return Collision(record.steps, column, given, other, beside, constraint, collation)
    return None


def _keys(connection: Connection, table: sa.Table, constraint: str) -> Iterator[Sequence[sa.Column[Any]]]:
    """The columns of each rule by which rows of *table* are unique; those of the *constraint* first."""
    rules = [(rule.name, list(rule.columns)) for rule in (table.primary_key, *unique_rules(table))]
    rules.sort(key=lambda each: each[0] != constraint)
    yield from (columns for _, columns in rules)
    if constraint not in {name for name, _ in rules}:
        known = [columns for _, columns in rules]
        yield from (columns for _, columns in stored_keys(connection, table) if columns not in known)


def _same(
    connection: Connection, record: _Record, columns: Sequence[sa.Column[Any]]
) -> Iterator[tuple[sa.Column[Any], str, bool]]:
    """The texts in *columns* of stored rows that the database takes for those of *record*, and that differ.

    With each its column, and whether the row is of a record beside this one.
    """
    given = {column.key: record.values[column.key] for column in columns}
    if not any(isinstance(value, str) for value in given.values()):
        return
    statement = sa.select(*columns).where(*(column == given[column.key] for column in columns))
    for row in connection.execute(latest(connection, statement)).all():
        found = {column.key: unpadded(column, value) for column, value in zip(columns, row, strict=True)}
        for column in columns:
            other = found[column.key]
            if isinstance(other, str) and other != given[column.key]:
                yield column, other, record.has_before(found)
                break


def _collation(column: sa.Column[Any], stored: Mapping[sa.Column[Any], Stored]) -> str | None:
    """The name of the collation of *column*, as the database or else the model tells it."""
    told = stored.get(column)
    return getattr(column.type, "collation", None) if told is None else told.collation
