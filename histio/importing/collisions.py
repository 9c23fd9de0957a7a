"""Find different values that a unique constraint treats as equal, because of a collation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import Repeated, Stored, latest, savepoint, stored_keys
from histio.importing.batches import try_to_write
from histio.importing.row import Insert, Row
from histio.importing.run import Run
from histio.kinds.keys import unique_on, unique_rules
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps
from histio.report import Fault
from histio.resolving.lookup import strip_padding
from histio.similar import describe_look_alike
from histio.wire import quote


@dataclass(frozen=True, slots=True)
class Collision:
    """Two different values that the database treats as equal.

    Attributes:
        steps: The steps from the run to the record whose row was refused.
        column: The column of both values.
        value: The value of the record.
        other: The value that it collides with.
        in_same_run: Whether the other value is in the same run; otherwise it is stored.
        constraint: The unique constraint.
        collation: The column's collation; None: its name is not known.
    """

    steps: Steps
    column: sa.Column[Any]
    value: Any
    other: Any
    in_same_run: bool
    constraint: str
    collation: str | None

    def __str__(self) -> str:
        which = "" if self.in_same_run else "the stored "
        collation = f" {self.collation}" if self.collation else ""
        difference = describe_look_alike(self.value, self.other)
        return (
            f"{self.column.table}.{self.column.name}: {quote(self.value)} is the same as {which}"
            f"{quote(self.other)} in the column's collation{collation} (constraint {self.constraint})"
            f"{f'; it {difference}' if difference else ''}"
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """A record and the row that is written for it.

    Attributes:
        tables: The Core tables that the row is in; with joined inheritance there are several.
        values: The values by column key, without those of *owned*.
        owned: Columns that the owner fills.
        steps: The steps from the run to the record.
        siblings: The values of all records in the same list.
        place: The index of this record among the siblings.
    """

    tables: Sequence[sa.Table]
    values: Mapping[str, Any]
    owned: Collection[sa.Column[Any]]
    steps: Steps
    siblings: Sequence[Mapping[str, Any]] = ()
    place: int = 0

    def has_before(self, values: Mapping[str, Any]) -> bool:
        """Whether an earlier sibling has these *values*."""
        before = itertools.islice(self.siblings, self.place)
        return any(all(each.get(key) == value for key, value in values.items()) for each in before)


def explain_refusal(
    connection: Connection,
    kind: Kind,
    row: Row,
    *,
    constraint: str,
    insert: Insert | None,
    deferred: bool,
    stored: Mapping[sa.Column[Any], Stored],
) -> tuple[Fault, Steps]:
    """The fault of a run whose *row* violates *constraint*, and the steps to the record at fault.

    The arguments are those of `find_collision`, with the kind of the run.
    """
    collision = find_collision(
        connection,
        kind.table,
        row,
        constraint=constraint,
        insert=insert,
        deferred=deferred,
        stored=stored,
    )
    identity = unique_on(*kind.identity.columns)
    entry = _entry_identities(kind).get(constraint)
    if collision is None and entry is not None and constraint not in identity:
        return Fault(f"Duplicate {entry} of a ledger entry: {constraint}", "duplicate"), ()
    same = "; the database treats the identity of another row as equal" if constraint in identity else ""
    fault = Fault(f"Cannot be written: {collision or constraint}{same}", "constraint")
    return fault, collision.steps if collision else ()


def explain_taken_uuid(
    connection: Connection, run: Run, within: Mapping[sa.Column[Any], Any]
) -> tuple[Fault, Steps] | None:
    """The fault of a catalog row whose UUID another row has, and the steps to it; None: no other row has it.

    Args:
        connection: In a transaction, in which the row could not be written.
        run: The catalog row.
        within: The columns that identify a row together with its identity, and their values.
    """
    kind = run.kind
    own = kind.identity.sql(kind.table.mapper.class_)
    scope = [column == value for column, value in within.items()]
    for member in kind.members_of_new_rows:
        uuid = run.values.get(member)
        statement = own.select().where(kind.table.attribute(member) == uuid, *scope).limit(1)
        row = None if uuid is None else connection.execute(latest(connection, statement)).first()
        if row is not None:
            name = kind.table.names[member]
            other = kind.format_identity(kind.identity.normalize(kind.identity.join_parts(row)))
            return Fault(f"Duplicate {name}: {uuid}, of the {kind.name} {other}", "duplicate"), (name,)
    return None


@functools.lru_cache(maxsize=256)
def _entry_identities(kind: Kind) -> dict[str, str]:
    """By unique constraint, the title of the identity of ledger entries that it keeps unique."""
    return {
        name: table.identity.title
        for table in kind.table.all()
        if table.identity is not None and table.is_shared
        for name in unique_on(*table.identity.columns)
    }


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
    """Find the different values that the database treated as equal when it refused *row*.

    Only the database knows what its collations treat as equal. So parts of the row are written and rolled
    back, to find the first record that is refused.

    Args:
        connection: In a transaction, in which the row could not be written.
        table: The table of the run.
        row: The run's row.
        constraint: The constraint that was violated.
        insert: Writes rows. None: the row updates a stored one, and is compared with stored rows only.
        deferred: Whether deferred constraints are checked now.
        stored: What the columns of the database keep.

    Returns:
        None if the constraint was violated by equal values, or by something else.
    """
    if not isinstance(constraint, Repeated):
        return None
    records = list(_iter_records(table, row))
    if insert is None:
        return next(
            filter(None, (_find_among(connection, each, constraint, stored) for each in records)), None
        )
    tables = [rows for each in table.all() for rows in each.core_tables]

    def refused(count: int) -> str | None:
        some = [_keep_first(row, count)] if count else []
        return try_to_write(connection, tables, lambda: insert(connection, table, some), deferred=deferred)

    fine, bad = 0, len(records)
    while bad - fine > 1:
        middle = (fine + bad) // 2
        with _rolled_back(connection):
            fine, bad = (fine, middle) if refused(middle) else (middle, bad)
    with _rolled_back(connection):
        refused(fine)
        return _find_among(connection, records[bad - 1], constraint, stored)


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    """A block whose writes are rolled back."""
    with savepoint(connection) as nested:
        yield
        nested.rollback()


def _iter_records(table: Table, row: Row, steps: Steps = ()) -> Iterator[_Record]:
    """The record of *row* and those of its links and ledgers, in the order of `_keep_first`."""
    yield _Record(table.mapper.tables, row.parameters, (), steps)  # type: ignore[arg-type]
    yield from _iter_below(table, row, steps)


def _iter_below(table: Table, row: Row, steps: Steps) -> Iterator[_Record]:
    """The records below *row*: its links, then the entries of its ledgers, each with those below it."""
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
            yield from _iter_below(ledger.table, entry, at)


def _keep_first(row: Row, count: int) -> Row:
    """*row* with the first *count* of its records only, in the order of `_iter_records`."""
    left = count - 1
    links, ledgers = [], []
    for keys in row.links:
        links.append(keys[:left])
        left -= len(links[-1])
    for entries in row.ledgers:
        kept = []
        for entry in entries if left else ():
            size = min(_size(entry), left)
            kept.append(_keep_first(entry, size))
            left -= size
            if not left:
                break
        ledgers.append(kept)
    return Row(row.parameters, tuple(ledgers), tuple(links))


def _size(row: Row) -> int:
    return 1 + sum(map(len, row.links)) + sum(_size(entry) for entries in row.ledgers for entry in entries)


def _find_among(
    connection: Connection, record: _Record, constraint: str, stored: Mapping[sa.Column[Any], Stored]
) -> Collision | None:
    """The collision of *record* with a row that has other values; None: no such row."""
    for table in record.tables:
        for columns in _unique_columns(connection, table, constraint):
            known = [column for column in columns if record.values.get(column.key) is not None]
            unknown = set(columns) - set(known)
            if known and unknown <= set(record.owned):
                for column, other, in_same_run in _find_equal(connection, record, known):
                    if in_same_run or not unknown:
                        collation = _find_collation(column, stored)
                        value = record.values[column.key]
                        return Collision(
                            record.steps, column, value, other, in_same_run, constraint, collation
                        )
    return None


def _unique_columns(
    connection: Connection, table: sa.Table, constraint: str
) -> Iterator[Sequence[sa.Column[Any]]]:
    """The columns of each unique rule of *table*, those of *constraint* first."""
    rules = [(rule.name, list(rule.columns)) for rule in (table.primary_key, *unique_rules(table))]
    rules.sort(key=lambda each: each[0] != constraint)
    yield from (columns for _, columns in rules)
    if constraint not in {name for name, _ in rules}:
        known = [columns for _, columns in rules]
        yield from (columns for _, columns in stored_keys(connection, table) if columns not in known)


def _find_equal(
    connection: Connection, record: _Record, columns: Sequence[sa.Column[Any]]
) -> Iterator[tuple[sa.Column[Any], str, bool]]:
    """Texts in *columns* of other rows that the database treats as equal to those of *record*, but differ.

    Yields the column, the other text, and whether it is in the same run.
    """
    own = {column.key: record.values[column.key] for column in columns}
    if not any(isinstance(value, str) for value in own.values()):
        return
    statement = sa.select(*columns).where(*(column == own[column.key] for column in columns))
    for row in connection.execute(latest(connection, statement)).all():
        found = {column.key: strip_padding(column, value) for column, value in zip(columns, row, strict=True)}
        for column in columns:
            other = found[column.key]
            if isinstance(other, str) and other != own[column.key]:
                yield column, other, record.has_before(found)
                break


def _find_collation(column: sa.Column[Any], stored: Mapping[sa.Column[Any], Stored]) -> str | None:
    """The name of the collation of *column* in the database, or else in the model; None: not known."""
    kept = stored.get(column)
    return (kept and kept.collation) or getattr(column.type, "collation", None)
