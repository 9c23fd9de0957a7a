"""Find what an update changes in stored rows, and write it in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from marshmallow import missing
from sqlalchemy.engine import Connection

from histio.database.dialects import delete_rows, update_rows
from histio.exporting.fast.columns import DeclinedError
from histio.importing.fast.by_value import is_called
from histio.importing.fast.changeable import (
    check_table,
    find_fixed_columns,
    find_single_slugs,
    may_gain_and_lose,
)
from histio.importing.fast.rows import LedgerWriter, RowWriter
from histio.importing.owner_keys import find_keys, plan_keys
from histio.kinds.column_types import is_renewed
from histio.kinds.compare import START, Mismatch, Path
from histio.kinds.fields import Json
from histio.kinds.mapping import Columns
from histio.kinds.table import Ledger, Table
from histio.report import EntryCounts
from histio.wire import equal

Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RowChange:
    """Members of a stored row that an update changes.

    Attributes:
        updater: Updates the rows of its table.
        record: The given record.
        mismatches: The members.
    """

    updater: RowUpdater
    record: Record
    mismatches: Sequence[Mismatch]

    @property
    def counts(self) -> EntryCounts:
        """What it does to ledger entries."""
        return EntryCounts(changed=int(self.updater.is_entry))

    def is_kept(self) -> bool:
        """Whether the columns keep the new values, as far as that is known before they are written."""
        try:
            self.updater.convert(self.updater.find_names(self), [self.record])
        except DeclinedError:
            return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class EntryChange:
    """Ledger entries that an update adds to a stored row, and removes from it.

    Attributes:
        updater: Updates the ledger.
        owner: The given record of the row.
        added: The new entries.
        removed: The stored entries that the row loses.
        mismatches: All of these.
    """

    updater: LedgerUpdater
    owner: Record
    added: Sequence[Record]
    removed: Sequence[Record]
    mismatches: Sequence[Mismatch]

    @property
    def counts(self) -> EntryCounts:
        """What it does to ledger entries."""
        return EntryCounts(added=len(self.added), removed=len(self.removed))

    def is_kept(self) -> bool:
        """Whether the columns keep the new entries, as far as that is known before they are written."""
        return self.updater.writer.rows.admits(self.added)


Change: TypeAlias = RowChange | EntryChange


class RowUpdater:
    """Compares accepted records of one table with the stored ones, and updates their rows.

    Unique values, keys with alternatives and the order of entries need the full path.

    Args:
        writer: Writes new rows of the table.
        ledger: The ledger that the rows belong to; None: they are runs.

    Attributes:
        is_entry: Whether the rows are ledger entries.

    Raises:
        FullPathError: Only the unit of work can update the rows.
    """

    def __init__(self, writer: RowWriter, ledger: Ledger | None = None) -> None:
        self._table = table = writer.plan.table
        check_table(table)
        self.is_entry: bool = ledger is not None
        self._writer = writer
        self._plans = {each.name: each for each in writer.plan.members}
        self._identity = self._plans[table.names[table.identity_members[0]]]
        self._slugs = find_single_slugs(table)
        plain = {table.names[member]: column for member, column in table.columns.items()}
        filled: dict[str, Columns] = {name: (column,) for name, column in plain.items()} | self._slugs
        fixed = find_fixed_columns(table, ledger)
        self._changeable = {
            name
            for name, columns in filled.items()
            if fixed.isdisjoint(columns) and (name in self._plans or name in self._slugs)
        }
        self._renewed = [name for name, column in plain.items() if is_renewed(column)]
        self._set_by_update = {name for name, column in plain.items() if column.onupdate is not None}
        self._compared = {
            name: (member, field, equal if isinstance(field, Json) or is_called(field) else None)
            for member, name in table.names.items()
            for field in [table.fields[member]]
            if name in filled and member not in table.computed
        }
        self._ambiguous = [
            [table.names[member] for member in reference.slugs]
            for reference in table.references
            if not self._slugs.keys() & {table.names[member] for member in reference.slugs}
        ]
        self._ledgers = [LedgerUpdater(below, table) for below in writer.ledgers]

    def find_changes(self, given: Record, stored: Record, path: Path = START) -> Iterator[Change]:
        """What differs between a *given* record and the *stored* one, row by row.

        Raises:
            DeclinedError: The record needs the full path.
        """
        mismatches = list(self._find_mismatches(given, stored, path))
        self._check_ambiguous(given, stored)
        if mismatches:
            if not self._set_by_update <= given.keys():
                raise DeclinedError
            yield RowChange(self, given, mismatches)
        for below in self._ledgers:
            yield from below.find_changes(given, stored, path)

    def _find_mismatches(self, given: Record, stored: Record, path: Path) -> Iterator[Mismatch]:
        for name, (member, field, is_same) in self._compared.items():
            if name not in given:
                if field.load_default is not missing:
                    raise DeclinedError
                continue
            value, other = given[name], stored.get(name)
            if value == other and (is_same is None or is_same(value, other)):
                continue
            if is_called(field):
                raise DeclinedError
            ours, theirs = field.deserialize(value), field.deserialize(other)
            if equal(ours, theirs):
                continue
            if name not in self._changeable:
                raise DeclinedError
            yield Mismatch("value", self._table, path.to(name), ours, theirs, member)

    def _check_ambiguous(self, given: Record, stored: Record) -> None:
        """Check that references with several members name the rows that those of *stored* name.

        Raises:
            DeclinedError: They may name other rows.
        """
        for names in self._ambiguous:
            deciding = next((name for name in names if given.get(name) is not None), None)
            compared = names if deciding is None else [deciding]
            if any(name in given and given[name] != stored.get(name) for name in compared):
                raise DeclinedError

    def admits(self, records: Sequence[Record]) -> bool:
        """Whether the references of *records* and of their entries have neither problems nor warnings."""
        return self._writer.related.resolves(records) and all(
            below.admits(records) for below in self._ledgers
        )

    def find_names(self, change: RowChange) -> tuple[str, ...]:
        """The members whose columns are set: those that differ, and those that the database would renew."""
        changed = [self._table.names[each.member] for each in change.mismatches]
        renewed = [name for name in self._renewed if name in change.record and name in self._plans]
        return tuple(dict.fromkeys((*changed, *renewed)))

    def convert(self, names: Iterable[str], records: Sequence[Record]) -> dict[Any, Iterable[Any]]:
        """By column, the parameters of the members with these *names*, for each of *records*.

        Raises:
            DeclinedError: A column does not keep one of the values.
        """
        filled: dict[Any, Iterable[Any]] = {}
        columns = self._table.rows.columns
        for name in names:
            if name in self._slugs:
                filled |= {column: self._resolve(column, records) for column in self._slugs[name]}
            else:
                plan = self._plans[name]
                filled[columns[plan.key]] = plan.fill(records, {})
        return filled

    def _resolve(self, column: Any, records: Sequence[Record]) -> Iterable[Any]:
        """The parameters of a *column* that a reference fills."""
        references = self._writer.plan.references
        place = references.columns.index(column)
        return [row[place] for row in zip(*self._writer.related.columns(records), strict=True)]

    def write(self, connection: Connection, names: Iterable[str], records: Sequence[Record]) -> None:
        """Set the columns of the members with these *names* in the rows of *records*.

        Raises:
            DeclinedError: A column does not keep one of the values.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not change every row.
        """
        filled = self.convert(names, records)
        own = self._table.rows.columns[self._identity.key]
        keys = self.identify(records)
        update_rows(
            connection, self._table.rows, (*filled, own), list(zip(*filled.values(), keys, strict=True))
        )

    def identify(self, records: Iterable[Record]) -> list[Any]:
        """The parameters of the identities of *records*."""
        return list(self._identity.fill(list(records), {}))

    def delete(self, connection: Connection, records: Iterable[Record]) -> None:
        """Delete the rows of stored *records*.

        Raises:
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not delete every row.
        """
        own = self._table.rows.columns[self._identity.key]
        delete_rows(connection, self._table.rows, own, self.identify(records))


class LedgerUpdater:
    """Compares the entries of one ledger with the stored ones, and updates them.

    Args:
        writer: Writes new entries.
        owner: The table of the rows that have the entries.

    Attributes:
        writer: Writes new entries.
        rows: Updates stored entries.
        table: The table of the entries.
    """

    def __init__(self, writer: LedgerWriter, owner: Table) -> None:
        self.writer = writer
        self._ledger = writer.plan.ledger
        self._name = writer.plan.name
        self._owner = owner
        self.table: Table = self._ledger.table
        self.rows: RowUpdater = RowUpdater(writer.rows, self._ledger)
        self._identity = self.table.names[self.table.identity_members[0]]
        self._may_gain_and_lose = may_gain_and_lose(self._ledger)

    def find_changes(self, given: Record, stored: Record, path: Path) -> Iterator[Change]:
        """What differs in the entries; see `RowUpdater.find_changes`.

        Raises:
            DeclinedError: They need the full path.
        """
        if self._name not in given:
            return
        ours, theirs = (self._ledger.to_list(record.get(self._name)) for record in (given, stored))
        kept = self._find_kept(ours, theirs)
        at = path.to(self._name)
        for index, place in enumerate(kept):
            entry = at.entry(self._ledger, index, place)
            yield from self.rows.find_changes(ours[index], theirs[place], entry)
        if len(kept) < max(len(ours), len(theirs)):
            yield self._change_entries(given, ours, theirs, kept, at)

    def _find_kept(self, given: Sequence[Record], stored: Sequence[Record]) -> list[int]:
        """The places among the *stored* entries of those that stay, which are the first ones in *given*.

        Raises:
            DeclinedError: New entries come before others, or the order has changed.
        """
        uuids = list(map(self.identify, given))
        places = {self.identify(entry): place for place, entry in enumerate(stored)}
        kept = [places[uuid] for uuid in uuids if uuid in places]
        new = uuids[len(kept) :]
        if kept != sorted(set(kept)) or len(set(new)) < len(new) or not places.keys().isdisjoint(new):
            raise DeclinedError
        return kept

    def _change_entries(
        self,
        owner: Record,
        given: Sequence[Record],
        stored: Sequence[Record],
        kept: Sequence[int],
        at: Path,
    ) -> EntryChange:
        """The entries that are added and removed, where those at *kept* places stay."""
        if not self._may_gain_and_lose:
            raise DeclinedError
        added = given[len(kept) :]
        removed = {place: entry for place, entry in enumerate(stored) if place not in set(kept)}
        mismatches = [
            self._mismatch("only given", at.entry(self._ledger, index, None), given=entry)
            for index, entry in enumerate(added, start=len(kept))
        ]
        mismatches += [
            self._mismatch("only stored", at.entry(self._ledger, None, place), stored=entry)
            for place, entry in removed.items()
        ]
        return EntryChange(self, owner, added, list(removed.values()), mismatches)

    def _mismatch(self, what: Any, path: Path, **records: Record) -> Mismatch:
        values = {side: self.table.schema.load(record, many=False) for side, record in records.items()}
        return Mismatch(what, self.table, path, **values)

    def identify(self, entry: Record) -> str:
        """The UUID of an *entry*, in lower case."""
        uuid: str = entry[self._identity]
        return uuid.lower()

    def identities(self, entries: Iterable[Record]) -> dict[Any, str]:
        """The identities of *entries*, as their column takes them, with their UUIDs."""
        field: Any = self.table.fields[self.table.identity_members[0]]
        return {field.from_wire(uuid): uuid for uuid in map(self.identify, entries)}

    def admits(self, records: Iterable[Record]) -> bool:
        """Whether the references of the entries of *records* have neither problems nor warnings."""
        entries = [entry for record in records for entry in self._ledger.to_list(record.get(self._name))]
        return not entries or self.rows.admits(entries)

    def insert(self, connection: Connection, changes: Sequence[EntryChange]) -> None:
        """Write the new entries of *changes*.

        Raises:
            DeclinedError: A column does not keep one of the values.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row.
        """
        plan = plan_keys(connection.dialect, self._owner)
        if plan is None:
            raise DeclinedError
        keys = find_keys(connection, plan, [change.owner for change in changes])
        by_column = list(zip(*keys, strict=True))
        self.writer.write([{self._name: change.added} for change in changes], by_column)


def write_changes(connection: Connection, changes: Iterable[Change]) -> None:
    """Write *changes*: one executemany for all rows of a table in which the same columns are set.

    Raises:
        DeclinedError: A column does not keep one of the values.
        sqlalchemy.exc.DBAPIError: From the database.
        RowFaultError: The database did not change every row.
    """
    set_rows: dict[tuple[RowUpdater, tuple[str, ...]], list[Record]] = defaultdict(list)
    ledgers: dict[LedgerUpdater, list[EntryChange]] = defaultdict(list)
    for change in changes:
        if isinstance(change, EntryChange):
            ledgers[change.updater].append(change)
        else:
            set_rows[change.updater, change.updater.find_names(change)].append(change.record)
    for updater, of_ledger in ledgers.items():
        updater.rows.delete(connection, (entry for change in of_ledger for entry in change.removed))
    for (rows, names), records in set_rows.items():
        rows.write(connection, names, records)
    for updater, of_ledger in ledgers.items():
        gaining = [change for change in of_ledger if change.added]
        if gaining:
            updater.insert(connection, gaining)
