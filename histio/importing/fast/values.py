"""Turn accepted records into rows with the values that their fields load, for SQLAlchemy to write."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import marshmallow
import sqlalchemy as sa
from marshmallow.fields import Field
from sqlalchemy.engine import Connection

from histio.database.dialects import Limit
from histio.database.sessions import Habits
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError
from histio.importing.destination import Destination
from histio.importing.fast.by_value import Records, is_called, load_values
from histio.importing.fast.plan import check_columns, check_table, plan_references
from histio.importing.fast.related import Related, RelatedTree
from histio.importing.fast.rows import RowWriter, find_row_writer, find_rules
from histio.importing.model_behavior import Creation, Need
from histio.importing.objects import InsertObjects, Shortcut, choose_insert
from histio.importing.row import Insert, Row
from histio.importing.row_builder import RowBuilder, as_parameter
from histio.importing.row_counts import count_rows
from histio.kinds.mapping import Columns
from histio.kinds.table import Kind, Table
from histio.wire import WireField

_ABSENT = marshmallow.missing


class RetryError(Exception):
    """Records have to be written once more, in another way, after what was written is rolled back."""


class ValueWriter:
    """Writes the records of one table, with their ledgers, as rows for SQLAlchemy.

    Args:
        connection: A connection in a transaction.
        table: The table.
        builder: Resolves references, and has the defaults.
        insert: Writes the rows.
        reason: Why the driver's own values are not written.
        by_driver: Writes the records of objects that the host's code has left as they are; None: nothing can.

    Attributes:
        reason: Why the driver's own values are not written.
        references: What slugs fill rows with.

    Raises:
        FullPathError: Only marshmallow and SQLAlchemy can write the rows.
    """

    def __init__(
        self,
        connection: Connection,
        table: Table,
        builder: RowBuilder,
        insert: Insert,
        reason: str,
        by_driver: RowWriter | None = None,
    ) -> None:
        self._connection = connection
        self._table = table
        self._insert = insert
        self._maker = _RowMaker(table, builder, ())
        self._by_driver = by_driver
        self.reason = reason
        self.references: RelatedTree = self._maker.references

    def write(self, records: Records) -> None:
        """Write *records* with their ledgers.

        Raises:
            DeclinedError: A record needs the full path.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row, or the host's code refuses one.
            RetryError: The same call writes them in another way.
        """
        by_driver, table, maker = self._by_driver, self._table, self._maker
        if by_driver is None or not isinstance(self._insert, InsertObjects):
            self._insert(self._connection, table, maker.make(records))
            return
        creation = self._insert.creation
        rows = maker.make(records, creation.tables if creation.need is Need.COLUMNS else None)
        complete = functools.partial(maker.complete, rows, records)
        write = functools.partial(self._write_by_driver, by_driver, records)
        self._insert(self._connection, table, rows, Shortcut(complete, write))

    def _write_by_driver(self, by_driver: RowWriter, records: Records) -> None:
        try:
            by_driver.write(records)
        except DeclinedError:
            known = self.references.has_faults
            if self.references.find_faults(records) and not known:
                raise  # the caller has to note them
            by_driver.references.find_faults(records)
            if not by_driver.admits(records):
                self._by_driver = None
            raise RetryError from None

    def describe(self) -> Iterator[str]:
        """Why the driver's own values are not written."""
        yield f"SQLAlchemy writes the rows, at less than half of the speed: {self.reason}"

    def admits(self, records: Records) -> bool:
        """Whether `write` accepts *records*, as far as that is known before they are written."""
        try:
            self._maker.make(records)
        except DeclinedError:
            return False
        return True

    def keeps(self, records: Records) -> bool:
        """Whether the columns of members, but not those of references, keep the values of *records*."""
        return self._maker.keeps(records)


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    """How the column of a member is filled.

    Attributes:
        name: The member's name on the wire.
        column: The column.
        field: The field, if it has to be called for each record; None: *load* converts whole columns.
        load: Converts values in wire form, none of them null, to those that the column takes.
        limit: What the column does not keep; None: it keeps all values.
    """

    name: str
    column: sa.Column[Any]
    field: Field[Any] | None
    load: Callable[[Sequence[Any]], Iterable[Any]]
    limit: Limit | None

    def values(self, records: Records, default: Any) -> list[Any]:
        """The value of each record, *default* where it has none.

        Raises:
            DeclinedError: A record needs the full path.
        """
        values = self._load(records)
        if self.limit is not None and not all(map(functools.partial(_keeps, self.limit), values)):
            raise DeclinedError
        if not any(map(_is_odd, values)):
            return values
        null = as_parameter(self.column, None)
        return [default if each is _ABSENT else null if each is None else each for each in values]

    def _load(self, records: Records) -> list[Any]:
        """The loaded value of each record, `marshmallow.missing` where it has none."""
        name = self.name
        if self.field is not None:
            return load_values(self.field, name, records)
        found = [record.get(name, _ABSENT) for record in records]
        odd = None in found or _ABSENT in found
        loaded = iter(self.load([each for each in found if not _is_odd(each)] if odd else found))
        return [each if _is_odd(each) else next(loaded) for each in found] if odd else list(loaded)


def _is_odd(value: Any) -> bool:
    return value is None or value is _ABSENT


def _keeps(limit: Limit, value: Any) -> bool:
    """Whether a column with this *limit* keeps *value*."""
    return value is _ABSENT or (limit.null if value is None else limit.check(value)) is None


class _RowMaker:
    """Makes rows of the accepted records of one table; an owner's row fills the columns in *owned*."""

    def __init__(self, table: Table, builder: RowBuilder, owned: Columns) -> None:
        check_table(table, owned)
        self._defaults = builder.defaults[table]
        self._members = [
            _Member(
                table.names[member],
                column,
                table.fields[member] if is_called(table.fields[member]) else None,
                _loading(table.fields[member]),
                builder.limits[table].get(member),
            )
            for member, column in table.columns.items()
            if member not in table.computed
        ]
        references = plan_references(None, table)
        check_columns(table, [each.column for each in self._members], references, owned, self._defaults)
        self._related = Related(table, references, builder)
        self._keys = [column.key for column in references.columns]
        self._ledgers = [
            (ledger, table.names[ledger.member], _RowMaker(ledger.table, builder, ledger.local))
            for ledger in table.ledgers
        ]
        self.references: RelatedTree = RelatedTree(
            self._related, ((ledger, name, maker.references) for ledger, name, maker in self._ledgers)
        )

    def keeps(self, records: Records) -> bool:
        """Whether the columns of members keep the values of *records*, and those of ledgers."""
        try:
            for member in self._members:
                member.values(records, _ABSENT)
        except DeclinedError:
            return False
        return all(
            maker.keeps([entry for record in records for entry in ledger.to_list(record.get(name))])
            for ledger, name, maker in self._ledgers
        )

    def make(self, records: Records, tables: frozenset[Table] | None = None) -> list[Row]:
        """The rows of *records*.

        Args:
            records: The records.
            tables: Those of which rows are needed; other ledgers are left out, see `complete`. None: all.

        Raises:
            DeclinedError: A record needs the full path.
        """
        if not records:
            return []
        columns: dict[str, Sequence[Any]] = {}
        for key, make in self._defaults.items():
            columns[key] = [make()] * len(records)
        for member in self._members:
            key = member.column.key
            default = columns[key][0] if key in columns else _ABSENT
            columns[key] = member.values(records, default)
        columns |= zip(self._keys, map(tuple, self._related.columns(records)), strict=True)
        keys = list(columns)
        rows = [dict(zip(keys, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        if any(_ABSENT in column for column in columns.values()):
            rows = [{key: value for key, value in row.items() if value is not _ABSENT} for row in rows]
        made = [Row(parameters, tuple([] for _ in self._ledgers)) for parameters in rows]
        for place, (ledger, name, maker) in enumerate(self._ledgers):
            if tables is None or not tables.isdisjoint(ledger.table.all()):
                _add_entries(
                    made, place, [ledger.to_list(record.get(name)) for record in records], maker, tables
                )
        return made

    def complete(self, rows: Sequence[Row], records: Records) -> None:
        """Add the ledger entries that were left out of the *rows* of *records*."""
        for place, (ledger, name, maker) in enumerate(self._ledgers):
            entries = [ledger.to_list(record.get(name)) for record in records]
            there = [row for row in rows for row in row.ledgers[place]]
            if there:
                maker.complete(there, [entry for some in entries for entry in some])
            else:
                _add_entries(rows, place, entries, maker, None)


def _add_entries(
    rows: Sequence[Row],
    place: int,
    entries: Sequence[Sequence[Any]],
    maker: _RowMaker,
    tables: frozenset[Table] | None,
) -> None:
    """Add the rows of ledger *entries* to the *rows* of their owners."""
    made = iter(maker.make([entry for some in entries for entry in some], tables))
    for row, some in zip(rows, entries, strict=True):
        row.ledgers[place].extend(itertools.islice(made, len(some)))


def _loading(field: Field[Any]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A function that loads accepted values of *field*."""
    if isinstance(field, WireField) and type(field).from_wire is not WireField.from_wire:
        return functools.partial(map, field.from_wire)
    return _same


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values


def find_value_writer(
    destination: Destination, kind: Kind, creation: Creation, habits: Habits, *, reason: str
) -> ValueWriter | str:
    """The writer for accepted records of *kind*, whose values go through SQLAlchemy for this *reason*.

    A text: why there is none.
    """
    rules = destination.plan.recall(("fast path", kind.name), find_rules, kind)
    if rules.reason is not None:
        return rules.reason
    insert = choose_insert(creation, habits, within=(), count=functools.partial(_count, kind))
    by_driver: RowWriter | str | None = None
    # The host's code may change a JSON value in its place.
    if creation.need in (Need.COLUMNS, Need.OBJECTS) and not kind.has_json:
        by_driver = find_row_writer(destination, kind)
    by_driver = None if isinstance(by_driver, str) else by_driver
    try:
        return ValueWriter(destination.connection, kind.table, destination.builder, insert, reason, by_driver)
    except FullPathError as error:
        return str(error)


def _count(kind: Kind, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Check that the database has exactly *rows* of *kind*."""
    [part] = kind.identity.parts
    count_rows({row: row.parameters[part.column.key] for row in rows}, {})(connection, table, rows)
