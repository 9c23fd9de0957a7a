"""Turn accepted records into rows with the values that their fields load, for SQLAlchemy to write."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Field
from sqlalchemy.engine import Connection

from histio.database.dialects import Limit
from histio.database.sessions import Habits
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError
from histio.importing.destination import Destination
from histio.importing.fast.plan import Records, check_columns, check_table, plan_references
from histio.importing.fast.related import Related, RelatedTree
from histio.importing.fast.rows import find_rules
from histio.importing.model_behavior import Creation
from histio.importing.objects import choose_insert
from histio.importing.row import Insert, Row
from histio.importing.row_builder import RowBuilder, as_parameter
from histio.importing.row_counts import count_rows
from histio.kinds.mapping import Columns
from histio.kinds.table import Kind, Ledger, Table
from histio.wire import WireField

_ABSENT = object()


class ValueWriter:
    """Writes the records of one table, with their ledgers, as rows for SQLAlchemy.

    Args:
        table: The table.
        builder: Resolves references, and has the defaults.
        insert: Writes the rows.
        reason: Why the driver's own values are not written.

    Attributes:
        reason: Why the driver's own values are not written.
        references: What slugs fill rows with.

    Raises:
        FullPathError: Only marshmallow and SQLAlchemy can write the rows.
    """

    def __init__(self, table: Table, builder: RowBuilder, insert: Insert, reason: str) -> None:
        self._table = table
        self._insert = insert
        self._maker = _RowMaker(table, builder, ())
        self.reason = reason
        self.references = self._maker.references

    def write(self, connection: Connection, records: Records) -> None:
        """Write *records* with their ledgers.

        Raises:
            DeclinedError: A record needs the full path.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row, or the host's code refuses one.
        """
        self._insert(connection, self._table, self._maker.make(records))

    def describe(self) -> Iterator[str]:
        """Why the driver's own values are not written."""
        yield f"values go through SQLAlchemy: {self.reason}"

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
        load: Converts values in wire form, none of them null, to those that the column takes.
        limit: What the column does not keep; None: it keeps all values.
    """

    name: str
    column: sa.Column[Any]
    load: Callable[[Sequence[Any]], Iterable[Any]]
    limit: Limit | None

    def values(self, records: Records, default: Any) -> list[Any]:
        """The value of each record, *default* where it has none.

        Raises:
            DeclinedError: A record needs the full path.
        """
        name = self.name
        found = [record.get(name, _ABSENT) for record in records]
        odd = None in found or _ABSENT in found
        try:
            loaded = iter(self.load([each for each in found if not _is_odd(each)] if odd else found))
            values = [each if _is_odd(each) else next(loaded) for each in found] if odd else list(loaded)
        except ValidationError:
            raise DeclinedError from None
        if self.limit is not None and not all(map(functools.partial(_keeps, self.limit), values)):
            raise DeclinedError
        if not odd:
            return values
        null = as_parameter(self.column, None)
        return [default if each is _ABSENT else null if each is None else each for each in values]


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

    def make(self, records: Records) -> list[Row]:
        """The rows of *records*.

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
        if not self._ledgers:
            return [Row(parameters, ()) for parameters in rows]
        ledgers = zip(*(_make_entries(records, *each) for each in self._ledgers), strict=True)
        return [Row(parameters, entries) for parameters, entries in zip(rows, ledgers, strict=True)]


def _make_entries(records: Records, ledger: Ledger, name: str, maker: _RowMaker) -> Iterator[list[Row]]:
    """For each of *records*, the rows of the entries of one ledger."""
    entries = [ledger.to_list(record.get(name)) for record in records]
    rows = iter(maker.make([entry for some in entries for entry in some]))
    return (list(itertools.islice(rows, len(some))) for some in entries)


def _loading(field: Field[Any]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A function that loads accepted values of *field*."""
    if isinstance(field, WireField):
        load = field.from_wire
        return functools.partial(map, load) if type(field).from_wire is not WireField.from_wire else _same
    return functools.partial(map, field.deserialize)


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
    try:
        return ValueWriter(kind.table, destination.builder, insert, reason)
    except FullPathError as error:
        return str(error)


def _count(kind: Kind, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Check that the database has exactly *rows* of *kind*."""
    [part] = kind.identity.parts
    count_rows({row: row.parameters[part.column.key] for row in rows}, {})(connection, table, rows)
