"""Find the columns that an update of stored rows changes, and write them in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.engine import Connection

from histio.database.dialects import update_rows
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError
from histio.importing.fast.plan import MemberPlan
from histio.importing.fast.rows import LedgerWriter, RowWriter
from histio.importing.owner_keys import owner_columns
from histio.kinds.column_types import is_renewed
from histio.kinds.compare import START, Mismatch, Path
from histio.kinds.fields import Json
from histio.kinds.keys import unique_rules
from histio.kinds.listeners import composite_listeners
from histio.kinds.table import Ledger, Reference, Table
from histio.wire import equal

Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RowChange:
    """What an update changes in one row.

    Attributes:
        updater: Updates the rows of its table.
        record: The given record.
        mismatches: The members that differ.
    """

    updater: RowUpdater
    record: Record
    mismatches: Sequence[Mismatch]

    def is_kept(self) -> bool:
        """Whether the columns keep the new values, as far as that is known before they are written."""
        try:
            self.updater.convert(self.updater.names_to_set(self), [self.record])
        except DeclinedError:
            return False
        return True


class RowUpdater:
    """Compares accepted records of one table with the stored ones, and updates their rows.

    It changes plain columns only. Rows that are added, removed, or refer to other rows than before take the
    full path, as do values that have to be unique.

    Args:
        writer: Writes new rows of the table.
        ledger: The ledger that the rows belong to; None: they are runs.

    Attributes:
        is_entry: Whether the rows are ledger entries.

    Raises:
        FullPathError: Only the unit of work can update the rows.
    """

    def __init__(self, writer: RowWriter, ledger: Ledger | None = None) -> None:
        plan = writer.plan
        table = plan.table
        _check_table(table)
        self.is_entry = ledger is not None
        self._writer = writer
        self._table = table
        self._plans = {each.name: each for each in plan.members}
        self._fixed = set(_fixed_members(table, ledger))
        self._renewed = [
            table.names[member] for member, column in table.columns.items() if is_renewed(column)
        ]
        self._must_be_given = _names_with_update_default(table)
        self._identity = self._plans[table.names[table.identity_members[0]]]
        self._references = [_slugs_of(table, reference) for reference in table.references]
        self._compared = _compared_members(table)
        self._ledgers = list(map(_LedgerUpdater, writer.ledgers))

    def find_changes(self, given: Record, stored: Record, path: Path = START) -> Iterator[RowChange]:
        """What differs between a *given* record and the *stored* one, row by row.

        Raises:
            DeclinedError: The record needs the full path.
        """
        mismatches = list(self._find_mismatches(given, stored, path))
        self._check_references(given, stored)
        if mismatches:
            if not self._must_be_given <= given.keys():
                raise DeclinedError
            yield RowChange(self, given, mismatches)
        for below in self._ledgers:
            yield from below.find_changes(given, stored, path)

    def _find_mismatches(self, given: Record, stored: Record, path: Path) -> Iterator[Mismatch]:
        for name, (member, field, compare) in self._compared.items():
            if name not in given:
                continue
            value, other = given[name], stored.get(name)
            if value == other and (compare is None or compare(value, other)):
                continue
            ours, theirs = field.deserialize(value), field.deserialize(other)
            if equal(ours, theirs):
                continue
            if member in self._fixed or name not in self._plans:
                raise DeclinedError
            yield Mismatch("value", self._table, path.to(name), ours, theirs, member)

    def _check_references(self, given: Record, stored: Record) -> None:
        """Check that the references of *given* name the rows that those of *stored* name.

        Raises:
            DeclinedError: They may name other rows.
        """
        for names in self._references:
            deciding = next((name for name in names if given.get(name) is not None), None)
            compared = names if deciding is None else [deciding]
            if any(name in given and given[name] != stored.get(name) for name in compared):
                raise DeclinedError

    def admits(self, records: Sequence[Record]) -> bool:
        """Whether the references of *records* and of their entries have neither problems nor warnings."""
        try:
            self._writer.related.columns(records)
        except DeclinedError:
            return False
        return all(below.admits(records) for below in self._ledgers)

    def write(self, connection: Connection, names: Sequence[str], records: Sequence[Record]) -> None:
        """Set the columns of the members with these *names* in the rows of *records*.

        Raises:
            DeclinedError: A column does not keep one of the values.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not change every row.
        """
        columns = self._table.rows.columns
        targets = tuple(columns[member.key] for member in self._to_set(names))
        update_rows(connection, self._table.rows, targets, self.convert(names, records))

    def convert(self, names: Sequence[str], records: Sequence[Record]) -> list[tuple[Any, ...]]:
        """For each of *records*, the parameters of the members with these *names*, and of its identity.

        Raises:
            DeclinedError: A column does not keep one of the values.
        """
        members = self._to_set(names)
        filled = [member.convert([record[member.name] for record in records]) for member in members]
        return list(zip(*filled, strict=True))

    def _to_set(self, names: Sequence[str]) -> list[MemberPlan]:
        return [*map(self._plans.__getitem__, names), self._identity]

    def names_to_set(self, change: RowChange) -> tuple[str, ...]:
        """The members whose columns are set: those that differ, and those that the database would renew."""
        changed = {self._table.names[each.member] for each in change.mismatches}
        renewed = (name for name in self._renewed if name in change.record and name in self._plans)
        return tuple(dict.fromkeys((*sorted(changed), *renewed)))


class _LedgerUpdater:
    """Compares the entries of one ledger with the stored ones."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._ledger = ledger = writer.plan.ledger
        self._name = writer.plan.name
        self._rows = RowUpdater(writer.rows, ledger)
        self._identity = ledger.table.names[ledger.table.identity_members[0]]

    def find_changes(self, given: Record, stored: Record, path: Path) -> Iterator[RowChange]:
        """What differs in the entries; see `RowUpdater.find_changes`.

        Raises:
            DeclinedError: Entries are added, removed, or in another order.
        """
        if self._name not in given:
            return
        ours, theirs = (self._ledger.to_list(record.get(self._name)) for record in (given, stored))
        if self._identify(ours) != self._identify(theirs):
            raise DeclinedError
        at = path.to(self._name)
        for index, (entry, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from self._rows.find_changes(entry, other, at.entry(self._ledger, index, index))

    def _identify(self, entries: Iterable[Record]) -> list[str]:
        return [entry[self._identity].lower() for entry in entries]

    def admits(self, records: Iterable[Record]) -> bool:
        entries = [entry for record in records for entry in self._ledger.to_list(record.get(self._name))]
        return not entries or self._rows.admits(entries)


def write_changes(connection: Connection, changes: Iterable[RowChange]) -> None:
    """Write *changes*: one executemany for all rows of a table in which the same columns are set.

    Raises:
        DeclinedError: A column does not keep one of the values.
        sqlalchemy.exc.DBAPIError: From the database.
        RowFaultError: The database did not change every row.
    """
    groups: dict[tuple[RowUpdater, tuple[str, ...]], list[Record]] = defaultdict(list)
    for change in changes:
        groups[change.updater, change.updater.names_to_set(change)].append(change.record)
    for (updater, names), records in groups.items():
        updater.write(connection, names, records)


def _check_table(table: Table) -> None:
    """Raise FullPathError if only the unit of work can update rows of *table*."""
    mapper, model = table.mapper, table.mapper.class_.__name__
    if not table.has_own_uuid:
        raise FullPathError(f"{model}: no UUID, unique by itself, identifies its rows")
    if mapper.version_id_col is not None:
        raise FullPathError(f"{model} has a version counter")
    for event in ("before_update", "after_update"):
        if len(list(getattr(mapper.dispatch, event))) > composite_listeners(mapper, event):
            raise FullPathError(f"{model} has a listener for {event}")
    members = {column for member, column in table.columns.items() if member not in table.computed}
    if any(column.onupdate is not None and column not in members for column in table.rows.columns):
        raise FullPathError(f"{model} has a column that is not a member, and is set by each update")


def _names_with_update_default(table: Table) -> set[str]:
    """The names of members that each update would set to another value unless a record has them."""
    return {table.names[member] for member, column in table.columns.items() if column.onupdate is not None}


def _fixed_members(table: Table, ledger: Ledger | None) -> Iterator[str]:
    """Members whose change needs more than an UPDATE of one row."""
    fixed = {
        column for rule in (table.rows.primary_key, *unique_rules(table.rows)) for column in rule.columns
    }
    fixed |= {*owner_columns(table), *(() if ledger is None else ledger.local)}
    ordering = () if ledger is None else ledger.order
    for member, column in table.columns.items():
        if column in fixed or member in ordering or column.table is not table.rows:
            yield member


def _slugs_of(table: Table, reference: Reference) -> list[str]:
    return [table.names[member] for member in reference.slugs]


def _compared_members(table: Table) -> dict[str, tuple[str, Any, Any]]:
    """By name, the plain members with their fields, and what compares values that Python takes for equal."""
    return {
        name: (member, table.fields[member], equal if isinstance(table.fields[member], Json) else None)
        for member, name in table.names.items()
        if member in table.columns and member not in table.computed
    }
