"""Plan what an update does to a stored run and its ledger entries, before anything is written."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from histio.importing.row import Row
from histio.importing.run import Values
from histio.importing.update.compare import BY_CONTENT
from histio.kinds.compare import Sides, contrast
from histio.kinds.entry_order import order_names
from histio.kinds.mapping import attribute
from histio.kinds.match import find_misplaced
from histio.kinds.table import Ledger, Table
from histio.kinds.walk import Steps, walk_values
from histio.pointer import pointer


@dataclass(frozen=True, slots=True, eq=False)
class RowUpdate:
    """What an update does to a stored row and to its ledgers.

    Attributes:
        target: The object that is updated.
        given: The values in the document, as the schema loads them.
        stored: The values in the database, as the schema loads them.
        row: The row that the document asks for, with its references resolved.
        members: The members that change, other than ledgers.
        ledgers: The updates of the ledgers that the document has.
    """

    table: Table
    target: Any
    given: Values
    stored: Values
    row: Row
    members: frozenset[str]
    ledgers: list[LedgerUpdate]

    def all_ledgers(self, steps: Steps = ()) -> Iterator[tuple[Steps, LedgerUpdate]]:
        """The updates of all ledgers below the row, with the steps from the run to the ledger."""
        for update in self.ledgers:
            at = (*steps, self.table.names[update.ledger.member])
            yield at, update
            for index, entry in update.kept():
                yield from entry.all_ledgers((*at, index) if update.ledger.many else at)

    def removals(self, depth: int = 0) -> Iterator[tuple[int, Removal]]:
        """The removed entries and all entries below them, with their depth."""
        for update in self.ledgers:
            for entry in update.removed.values():
                yield from _removals(Removal(update.ledger, self.target, entry), depth)
            for _, entry in update.kept():
                yield from entry.removals(depth + 1)

    def stored_entries(self, update: LedgerUpdate, places: Iterable[int]) -> Iterator[Values]:
        """The values in the database of the entries of a ledger at these *places*."""
        entries = update.ledger.to_list(self.stored.get(update.ledger.member))
        return (entries[place] for place in places)

    def stored_value(self, column: sa.Column[Any]) -> Any:
        """The value that the row has in *column*."""
        return getattr(self.target, attribute(self.table.mapper, column).key)

    def new_values(self) -> Iterator[tuple[sa.Column[Any], Any]]:
        """The columns that change, with their new values."""
        parameters = self.row.parameters
        for member, column in self.table.columns.items():
            if member in self.members and column is not self.table.mapper.version_id_col:
                yield column, parameters[column.key]
        for reference in self.table.references:
            if self.members & reference.slugs.keys():
                yield from ((column, parameters.get(column.key)) for column in reference.relation.local)

    @property
    def touches_row(self) -> bool:
        """Whether its own row changes, and not only rows that belong to it."""
        linked = {links.member for links in self.table.links}
        keys = (update for update in self.ledgers if update.ledger.owner_has_key)
        return bool(self.members - linked) or any(each.removed or each.added() for each in keys)


@dataclass(frozen=True, slots=True, eq=False)
class LedgerUpdate:
    """What an update does to the entries that a row has in one ledger.

    Attributes:
        entries: The entries in the order of the document: updates of stored ones, and new rows.
        places: For each of `entries`, its index among the stored ones; None: it is new.
        removed: By index among the stored entries, the objects of those that are removed.
        rewritten: The indexes in `entries` of those that are deleted and inserted again, to be recorded in
            this order.
        objects: The objects of `entries`, once the new ones exist.
    """

    ledger: Ledger
    entries: list[RowUpdate | Row]
    places: list[int | None]
    removed: dict[int, Any]
    rewritten: list[int]
    objects: list[Any] = field(default_factory=list)

    def kept(self) -> Iterator[tuple[int, RowUpdate]]:
        """The stored entries that stay, with their indexes in `entries`."""
        return ((place, each) for place, each in enumerate(self.entries) if isinstance(each, RowUpdate))

    def added(self) -> list[Row]:
        """The new entries."""
        return [each for each in self.entries if isinstance(each, Row)]


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """An entry that is removed, and the object that it belongs to."""

    ledger: Ledger
    owner: Any
    entry: Any


def _removals(removal: Removal, depth: int) -> Iterator[tuple[int, Removal]]:
    yield depth, removal
    table = removal.ledger.table
    for ledger in table.ledgers:
        for entry in get_entries(table, ledger, removal.entry):
            yield from _removals(Removal(ledger, removal.entry, entry), depth + 1)


def get_entries(table: Table, ledger: Ledger, row: Any) -> list[Any]:
    """The objects of the entries of *row*, in the order of exports."""
    return ledger.to_list(table.schema.get_attribute(row, ledger.member, None))


def plan_update(table: Table, target: Any, given: Values, row: Row, stored: Values) -> RowUpdate:
    """Plan the update of the object *target* to the *given* values; `RowUpdate` describes the arguments."""
    given = _with_choices(table, given)
    ledgers = [
        _plan_ledger(ledger, get_entries(table, ledger, target), given, rows, stored)
        for ledger, rows in zip(table.ledgers, row.ledgers, strict=True)
        if ledger.member in given
    ]
    members = frozenset(BY_CONTENT.find_changed_members(table, given, stored)) - table.computed
    return RowUpdate(table, target, given, stored, row, members, ledgers)


def _with_choices(table: Table, given: Values) -> Values:
    """*given*, with null for references that it leaves out because it has another one of a choice."""
    members = {name: member for member, name in table.names.items()}
    for group in table.schema.choices():
        given = {members[name]: None for name in group} | given
    return given


def _plan_ledger(
    ledger: Ledger, objects: list[Any], given: Values, rows: list[Row], stored: Values
) -> LedgerUpdate:
    """Plan the update of a ledger.

    Args:
        ledger: The ledger.
        objects: Its stored entries, in the order of exports.
        given: The values of its owner in the document.
        rows: Its entries in the document, with references resolved.
        stored: The values of its owner in the database.
    """
    ours, theirs = (ledger.to_list(values.get(ledger.member)) for values in (given, stored))
    places = BY_CONTENT.match(ledger, ours, theirs)
    entries = [
        row if place is None else plan_update(ledger.table, objects[place], entry, row, theirs[place])
        for entry, row, place in zip(ours, rows, places, strict=True)
    ]
    kept = set(places)
    removed = {place: each for place, each in enumerate(objects) if place not in kept}
    merged = [
        entry if place is None else {**theirs[place], **entry}
        for entry, place in zip(ours, places, strict=True)
    ]
    rewritten = find_misplaced(ledger, merged, _recorded(ledger, objects, places))
    if rewritten and ledger.table.identity is None and (ledger.table.ledgers or ledger.table.links):
        # Inserted entries without identity are found by their owner, so all of its entries are rewritten.
        rewritten = [*range(len(entries))]
    return LedgerUpdate(ledger, entries, places, removed, rewritten)


def _recorded(ledger: Ledger, objects: list[Any], places: list[int | None]) -> list[Any]:
    """For the *objects* at *places*, a value that grows from one recorded entry to the next; None: new."""
    growing = ledger.table.growing_key
    if growing is None or ledger.further_order != "recording":
        return [*places]
    name = attribute(ledger.table.mapper, growing).key
    return [None if place is None else getattr(objects[place], name) for place in places]


def find_conflicts(update: RowUpdate, sides: Sides, steps: Steps = ()) -> Iterator[str]:
    """The reasons why *update* cannot be applied; *sides*: what they call the document and the database."""
    table = update.table
    for member in () if steps and may_change_key(table) else table.columns:
        if member in update.members and table.columns[member].primary_key:
            ours, theirs = (
                table.wire(member, values.get(member)) for values in (update.given, update.stored)
            )
            difference = contrast(ours, theirs, sides)
            yield f"{pointer(*steps, table.names[member])}: {difference}, and keys never change"
    for each in update.ledgers:
        at = (*steps, table.names[each.ledger.member])
        reason = _why_fixed(each.ledger) if each.rewritten else None
        if reason is not None:
            yield f"{pointer(*at)} cannot be put into that order: {reason}"
        for index, entry in each.kept():
            yield from find_conflicts(entry, sides, (*at, index) if each.ledger.many else at)


@functools.cache
def may_change_key(table: Table) -> bool:
    """Whether the primary keys of ledger entries may change, because no other rows refer to them."""
    others = (key for other in table.rows.metadata.tables.values() for key in other.foreign_key_constraints)
    return not any(_points_to(key, table) for key in others)


@functools.cache
def _why_fixed(ledger: Ledger) -> str | None:
    """The reason why entries cannot be deleted and inserted again; None: they can."""
    if ledger.further_order == "hidden":
        hidden = order_names(ledger.table.schema, ledger.relation)[len(ledger.order) :]
        return f"the format does not have {' and '.join(hidden)}, which orders them"
    for each in _tables_with_key(ledger.table):
        if len(each.mapper.tables) > 1 or each.mapper.inherits is not None:
            return f"{each.mapper.class_.__name__} is mapped by inheritance"
        for other in each.rows.metadata.tables.values():
            if any(_points_to(key, each) and not _is_own(key, each) for key in other.foreign_key_constraints):
                return f"rows of {other.name} may point to them"
    return None


def _tables_with_key(table: Table) -> Iterator[Table]:
    """*table*, and the tables below it whose rows have a key of their owner."""
    yield table
    for ledger in table.ledgers:
        if not ledger.owner_has_key:
            yield from _tables_with_key(ledger.table)


def _points_to(key: sa.ForeignKeyConstraint, table: Table) -> bool:
    # Compared by name, because other tables that the key refers to may be missing in the metadata.
    return any(each.target_fullname.rpartition(".")[0] == table.rows.fullname for each in key.elements)


def _is_own(key: sa.ForeignKeyConstraint, table: Table) -> bool:
    """Whether the rows with *key* are inserted again along with those of *table*."""
    ledgers = [set(ledger.local) for ledger in table.ledgers if not ledger.constants]
    links = [
        set(links.relation.remote)
        for links in table.links
        if links.relation.link and {*links.relation.remote, *links.relation.link[0]} == set(key.table.columns)
    ]
    return any(set(key.columns) <= own for own in (*ledgers, *links))


def count_entries(update: RowUpdate) -> Iterator[str]:
    """For each entry below *update* that it touches: ``added``, ``changed`` or ``removed``."""
    for each in update.ledgers:
        rewritten = set(each.rewritten)
        for place, entry in each.kept():
            if entry.members or place in rewritten:
                yield "changed"
            yield from count_entries(entry)
        for row in each.added():
            yield from ("added" for _ in _with_all_below(row))
        for values in update.stored_entries(each, each.removed):
            yield from ("removed" for _ in walk_values(each.ledger.table, values))


def _with_all_below(row: Row) -> Iterator[Row]:
    yield row
    for entry in (entry for entries in row.ledgers for entry in entries):
        yield from _with_all_below(entry)
