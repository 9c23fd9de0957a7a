"""Apply planned updates through the ORM's unit of work, as a host's own code would do it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from histio.database.dialects import RowFaultError
from histio.database.sessions import Habits, own_session
from histio.importing.orm import ObjectWriter, cascades, constant_values
from histio.importing.row import Insert, Row
from histio.importing.row_counts import check_kept, rows_of
from histio.importing.run import Values
from histio.importing.update.places import UniquePlaces
from histio.importing.update.plan import (
    LedgerUpdate,
    Removal,
    RowUpdate,
    find_conflicts,
    get_entries,
    plan_update,
)
from histio.importing.update.reinsert import reinsert_entries
from histio.kinds.column_types import is_renewed
from histio.kinds.compare import Sides
from histio.kinds.identity import Identity
from histio.kinds.mapping import attribute
from histio.kinds.selects import select_rows
from histio.kinds.table import Ledger, Table
from histio.resolving.construct import assign
from histio.resolving.eager import eager_options, fetch_apart

Scope: TypeAlias = Mapping[sa.Column[Any], Any]
"""Columns that identify a run together with its identity, and their values."""

Results: TypeAlias = dict[Row, RowUpdate | str]
"""By row, the update that was applied; a text: why the run cannot be updated."""


def update_by_unit_of_work(
    habits: Habits,
    given: Mapping[Row, Values],
    within: Scope,
    results: Results,
    places: UniquePlaces,
    *,
    sides: Sides,
) -> Insert:
    """A function that updates the rows of stored runs, in a session of histio's own.

    Args:
        habits: The habits of the host's own session.
        given: By row, the values of the document; no others are changed.
        within: Columns that identify a run together with its identity, and their values.
        results: Receives the result for each row.
        places: The unique values of the rows.
        sides: What messages call the document and the database.

    Returns:
        The function. It raises RowFaultError for whatever the host's code raises.
    """

    def update(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        # Others may have changed the entries before they had to wait for this transaction.
        with own_session(connection, habits, now=True) as session:
            try:
                writer = _UpdateWriter(session, table, within, places, sides)
                results.update(writer.update({row: given[row] for row in rows}))
            except (sa.exc.StatementError, RowFaultError):  # raised by the database or its driver
                raise
            except Exception as error:
                raise RowFaultError(f"{type(error).__name__}: {error}") from error

    return update


class _UpdateWriter(ObjectWriter):
    """Updates of the stored runs of one table, in one session."""

    def __init__(
        self, session: Session, table: Table, within: Scope, places: UniquePlaces, sides: Sides
    ) -> None:
        super().__init__(session)
        self._table = table
        self._within = within
        self._places = places
        self._sides = sides
        self._targets: dict[int, Any] = {}
        self._released: set[tuple[int, str]] = set()

    def update(self, given: Mapping[Row, Values]) -> Results:
        """Update the stored runs of *given*, with their ledgers."""
        table = self._table
        assert table.identity is not None  # noqa: S101 - the table of runs
        planned, results = self._plan(table.identity, given)
        updates = list(planned.values())
        self.load_related(table, given)
        self._release([update.target for update in updates])
        self._remove(removal for update in updates for removal in update.removals())
        self._places.give_up(self._session.connection(), planned)
        for update in updates:
            self._update_row(update)
        self.write(table, [])
        reinsert_entries(self._session.connection(), table, updates)
        expected = {table.identity.read(update.given): _expected_row(update) for update in updates}
        check_kept(self._session.connection(), table, expected, within=self._within, now=True)
        return results

    def _plan(self, identity: Identity, given: Mapping[Row, Values]) -> tuple[dict[Row, RowUpdate], Results]:
        """The updates of the runs in *given* that can be updated, and the results for all of them."""
        table = self._table
        identities = {row: identity.read(values) for row, values in given.items()}
        stored = self._load(identity, list(identities.values()))
        updates: dict[Row, RowUpdate] = {}
        results: Results = {}
        for row, values in given.items():
            target = stored.get(identities[row])
            if target is None:
                results[row] = "another client has just removed it"
                continue
            update = plan_update(table, target, values, row, table.schema.load(table.schema.dump(target)))
            conflict = "; ".join(find_conflicts(update, self._sides))
            results[row] = conflict or update
            if not conflict:
                updates[row] = update
        return updates, results

    def _load(self, identity: Identity, identities: Sequence[Any]) -> dict[Any, Any]:
        """The objects of runs with everything that belongs to them, by identity."""
        model = self._table.mapper.class_
        own = identity.sql(model)
        scope = [column == value for column, value in self._within.items()]
        statement = own.join(select_rows(model, *own.parts)).options(*eager_options(self._table))
        rows = self._session.execute(statement.where(own.among(identities), *scope)).all()
        fetch_apart(self._session, self._table, [row for row, *_ in rows])
        return {identity.normalize(identity.join_parts(values)): row for row, *values in rows}

    def _release(self, targets: Sequence[Any]) -> None:
        """Let runs refer to each other by their columns only, not by relationships.

        The unit of work finds no order for objects that refer to each other in a circle.
        """
        self._targets = {id(target): target for target in targets}
        for way in (each.relation for each in self._table.references if each.relation.writable is not None):
            for target in targets:
                if id(sa.inspect(target).dict.get(way.name)) in self._targets:
                    self._session.expire(target, [way.name])
                    self._released.add((id(target), way.name))

    def _remove(self, removals: Iterator[tuple[int, Removal]]) -> None:
        """Delete entries, the deepest first, before others are written with the same unique values."""
        levels: dict[int, list[Removal]] = defaultdict(list)
        for depth, removal in removals:
            levels[depth].append(removal)
        for depth in sorted(levels, reverse=True):
            detach(levels[depth])
            for removal in levels[depth]:
                self._session.delete(removal.entry)
            self._session.flush()

    def _update_row(self, update: RowUpdate) -> None:
        """Set what changes in a row and in its ledgers."""
        table, target = update.table, update.target
        self._set_columns(update)
        self._set_references(update)
        for ledger in table.ledgers:
            copied = _keys_from_owner(table, ledger, target, further=True)
            for entry in get_entries(table, ledger, target) if copied else ():
                for name, value in copied.items():
                    setattr(entry, name, value)
        for each in update.ledgers:
            self._update_ledger(update, each)
        if update.touches_row:
            self._keep_given(update)

    def _set_columns(self, update: RowUpdate) -> None:
        table, target = update.table, update.target
        for member, column in table.columns.items():
            if member in update.members and column is not table.mapper.version_id_col:
                name = table.attribute(member).key
                setattr(target, name, update.row.parameters[column.key])
                if not sa.inspect(target).attrs[name].history.has_changes():
                    flag_modified(target, name)  # within JSON, 1 and true are the same to SQLAlchemy

    def _set_references(self, update: RowUpdate) -> None:
        """Let a row refer to the related rows that the document names."""
        table, target, row = update.table, update.target, update.row
        for way in (each.relation for each in table.references if update.members & each.slugs.keys()):
            key = tuple(row.parameters.get(column.key) for column in way.local)
            for column, value in zip(way.local, key, strict=True):
                setattr(target, attribute(table.mapper, column).key, value)
            related = self.related.get((way, key))
            by_column = id(related) in self._targets or (id(target), way.name) in self._released
            if way.writable is not None and related is not None and not by_column:
                setattr(target, way.name, related)
        for links, keys in zip(table.links, row.links, strict=True):
            if links.member in update.members:
                assign(target, links.relation.name, [self.related[links.relation, key] for key in keys])

    def _keep_given(self, update: RowUpdate) -> None:
        """Keep the values of the document where a version counter or an UPDATE would set others."""
        table, target = update.table, update.target
        for member, column in table.columns.items():
            if member not in update.given or member in table.computed:
                continue
            if column is table.mapper.version_id_col:
                self.counters.append((table.mapper, target, update.row.parameters[column.key]))
            elif is_renewed(column):
                flag_modified(target, table.attribute(member).key)

    def _update_ledger(self, update: RowUpdate, entries: LedgerUpdate) -> None:
        """Update the entries of a ledger, and add the new ones."""
        ledger = entries.ledger
        keys = _keys_from_owner(update.table, ledger, update.target, further=ledger.owner_has_key)
        keys = constant_values(ledger) | keys
        new = []
        for each in entries.entries:
            if isinstance(each, RowUpdate):
                self._update_row(each)
                entries.objects.append(each.target)
            else:
                new.append(self.build(ledger.table, each, keys))
                entries.objects.append(new[-1])
        if new:
            self._add_new(update.target, entries, new)

    def _add_new(self, owner: Any, entries: LedgerUpdate, new: Sequence[Any]) -> None:
        """Put *new* objects into the ledger of their *owner*, and into the session."""
        ledger, relation = entries.ledger, entries.ledger.relation
        if not cascades(ledger):
            self._session.add_all(new)
        if relation.writable is None:
            return
        if relation.apart:
            for entry in new:
                getattr(owner, relation.name).add(entry)
        elif not ledger.many:
            setattr(owner, relation.name, new[0])
        elif isinstance(getattr(owner, relation.name), list):
            setattr(owner, relation.name, entries.objects)
        else:  # a set has no order, and the keys of a mapping may be changing too
            self._session.add_all(new)


def _expected_row(update: RowUpdate) -> Row:
    """The rows that should be stored after *update*, to be counted: without their values."""
    stored = rows_of(update.table, update.stored)
    updated = {
        each.ledger: [
            _expected_row(entry) if isinstance(entry, RowUpdate) else entry for entry in each.entries
        ]
        for each in update.ledgers
    }
    ledgers = (
        updated.get(ledger, entries)
        for ledger, entries in zip(update.table.ledgers, stored.ledgers, strict=True)
    )
    links = (
        new if each.member in update.given else kept
        for each, new, kept in zip(update.table.links, update.row.links, stored.links, strict=True)
    )
    return Row({}, tuple(ledgers), tuple(links))


def detach(removals: Sequence[Removal]) -> None:
    """Take entries out of their owners' relationships, without events for the host."""
    lists: dict[int, tuple[Any, set[int]]] = {}
    for removal in removals:
        relation, owner = removal.ledger.relation, removal.owner
        if removal.ledger.owner_has_key:
            setattr(owner, relation.name, None)
        elif relation.apart:
            continue
        elif not removal.ledger.many:
            set_committed_value(owner, relation.name, None)
        elif isinstance(found := getattr(owner, relation.name), list):
            lists.setdefault(id(found), (found, set()))[1].add(id(removal.entry))
        else:
            collection_adapter(found).remove_without_event(removal.entry)
    for found, removed in lists.values():  # all at once: list.remove searches from the beginning
        list.__setitem__(found, slice(None), [each for each in found if id(each) not in removed])


def _keys_from_owner(table: Table, ledger: Ledger, owner: Any, *, further: bool) -> dict[str, Any]:
    """By attribute, the values that an entry takes from its *owner*.

    *further*: without the columns of the relationship itself.
    """
    pairs = list(zip(ledger.local, ledger.owner, strict=True))
    return {
        attribute(ledger.table.mapper, local).key: getattr(owner, attribute(table.mapper, own).key)
        for local, own in pairs[len(ledger.relation.local) if further else 0 :]
    }
