"""What is to become of a stored run and of its entries, worked out before anything is written."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import RelationshipDirection

from histio.importing.bulk import Row
from histio.importing.parse import Steps, Values
from histio.importing.update.compare import differences
from histio.kinds.entry_order import order_names
from histio.kinds.mapping import attribute
from histio.kinds.table import Ledger, Table
from histio.pointer import pointer
from histio.wire import equal, shown


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What is to become of a stored row.

    Attributes:
        row: The object.
        given: What the document says of it.
        stored: What is stored.
        made: What the document says, as a row with its references resolved.
        members: Those that change, ledgers aside.
        ledgers: What is to become of its entries, for each ledger of which the document speaks.
    """

    table: Table
    row: Any
    given: Values
    stored: Values
    made: Row
    members: frozenset[str]
    ledgers: list[Entries]

    def all_entries(self, steps: Steps = ()) -> Iterator[tuple[Steps, Entries]]:
        """Those of its ledgers and of the ledgers below, each with the steps that lead to it."""
        for entries in self.ledgers:
            at = (*steps, self.table.names[entries.ledger.member])
            yield at, entries
            for index, entry in entries.kept():
                yield from entry.all_entries((*at, index) if entries.ledger.many else at)

    def removals(self, depth: int = 0) -> Iterator[tuple[int, Removal]]:
        """Entries that are removed, with all that is below them, each with its depth."""
        for entries in self.ledgers:
            for entry in entries.gone:
                yield from _removals(Removal(entries.ledger, self.row, entry), depth)
            for _, entry in entries.kept():
                yield from entry.removals(depth + 1)

    @property
    def touches_row(self) -> bool:
        """Whether its own row changes, and not only rows that belong to it."""
        linked = {links.member for links in self.table.links}
        keys = (entries for entries in self.ledgers if keeps_key(entries.ledger))
        return bool(self.members - linked) or any(each.gone or each.added() for each in keys)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What is to become of the entries that a row has in one ledger.

    Attributes:
        wanted: In the document's order, those that are stored and those that are new.
        gone: The objects of those that are removed.
        misplaced: The place from which on they have to be written anew to come in that order; None: nowhere.
        rows: The objects of those that are wanted, once the new ones are made.
    """

    ledger: Ledger
    wanted: list[Change | Row]
    gone: list[Any]
    misplaced: int | None
    rows: list[Any] = field(default_factory=list)

    def kept(self) -> Iterator[tuple[int, Change]]:
        """Those that are stored, with their places."""
        return ((place, each) for place, each in enumerate(self.wanted) if isinstance(each, Change))

    def added(self) -> list[Row]:
        """Those that are new."""
        return [each for each in self.wanted if isinstance(each, Row)]


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
        for entry in stored_entries(table, ledger, removal.entry):
            yield from _removals(Removal(ledger, removal.entry, entry), depth + 1)


def keeps_key(ledger: Ledger) -> bool:
    """Whether the owner's row has the key of the entry, and not the other way round."""
    way = ledger.relation.relationship
    return way is not None and way.direction is RelationshipDirection.MANYTOONE


def stored_entries(table: Table, ledger: Ledger, row: Any) -> list[Any]:
    """The objects of the entries of *row*, in the order in which they are exported."""
    return ledger.listed(table.schema.get_attribute(row, ledger.member, None))


def change_of(table: Table, row: Any, given: Values, made: Row, stored: Values) -> Change:
    """What has to become of the object *row* so that it says what is *given*."""
    given = _with_choices(table, given)
    ledgers = []
    for ledger, rows in zip(table.ledgers, made.ledgers, strict=True):
        if ledger.member not in given:
            continue
        ours, theirs = (ledger.listed(values.get(ledger.member)) for values in (given, stored))
        objects, places = stored_entries(table, ledger, row), _places(ledger, ours, theirs)
        wanted = [
            own if place is None else change_of(ledger.table, objects[place], entry, own, theirs[place])
            for entry, own, place in zip(ours, rows, places, strict=True)
        ]
        kept = set(places)
        gone = [each for place, each in enumerate(objects) if place not in kept]
        ledgers.append(Entries(ledger, wanted, gone, _misplaced(ledger, places)))
    apart = {ledger.member for ledger in table.ledgers} | table.computed
    apart.update(member for reference in table.references for member in reference.named_by(given)[1:])
    members = {
        member
        for member, value in given.items()
        if member not in apart and not equal(value, stored.get(member))
    }
    return Change(table, row, given, stored, made, frozenset(members), ledgers)


def _with_choices(table: Table, given: Values) -> Values:
    """*given*, with null for the references that it leaves out because it has chosen another."""
    members = {name: member for member, name in table.names.items()}
    for group in table.schema.choices():
        given = {members[name]: None for name in group} | given
    return given


def _places(ledger: Ledger, ours: list[Values], theirs: list[Values]) -> list[int | None]:
    """For each of *ours* its place among *theirs*; None: it is not there."""
    known_by = _known_by(ledger)
    if not known_by:
        return _places_by_content(ledger, ours, theirs)
    left: dict[str, deque[int]] = defaultdict(deque)
    for place, entry in enumerate(theirs):
        left[_key(ledger, known_by, entry)].append(place)
    keys = (_key(ledger, known_by, entry) for entry in ours)
    return [left[key].popleft() if left[key] else None for key in keys]


def _known_by(ledger: Ledger) -> list[str]:
    """The members by which entries of one owner are told apart; empty: nothing but their order does."""
    table = ledger.table
    if table.identity is not None:
        return [*table.identity.members]
    of_key = [member for member, column in table.columns.items() if column.primary_key]
    return of_key or [*ledger.order]


def _key(ledger: Ledger, members: list[str], entry: Values) -> str:
    return repr([ledger.table.wire(member, entry.get(member)) for member in members])


def _places_by_content(ledger: Ledger, ours: list[Values], theirs: list[Values]) -> list[int | None]:
    """What is alike at the beginning and at the end stays; in between, one entry becomes the other."""

    def alike(some: Sequence[Values], others: Sequence[Values]) -> int:
        pairs = enumerate(zip(some, others, strict=False))
        return next(
            (place for place, pair in pairs if any(differences(ledger.table, *pair))),
            min(len(some), len(others)),
        )

    head = alike(ours, theirs)
    tail = alike(ours[head:][::-1], theirs[head:][::-1])
    between = range(head, len(theirs) - tail)
    new = len(ours) - head - tail - len(between)
    end = range(len(theirs) - tail, len(theirs))
    return [*range(head), *between[: len(ours) - head - tail], *[None] * new, *end]


def _misplaced(ledger: Ledger, places: list[int | None]) -> int | None:
    """The first place whose entry comes after one that is recorded later; None: there is none."""
    if not ledger.many or ledger.order:
        return None
    for index, (before, own) in enumerate(itertools.pairwise(places), 1):
        if own is not None and (before is None or before > own):
            # Entries that nothing identifies are found by their owner, so it must have no others.
            alone = ledger.table.identity is None and (ledger.table.ledgers or ledger.table.links)
            return 0 if alone else index
    return None


def conflicts(change: Change, steps: Steps = ()) -> Iterator[str]:
    """Why *change* cannot be made."""
    table = change.table
    for member in table.columns:
        if member in change.members and table.columns[member].primary_key:
            ours, theirs = (
                shown(table.wire(member, values.get(member))) for values in (change.given, change.stored)
            )
            yield f"{pointer(*steps, table.names[member])} is {ours}, stored {theirs}, and keys never change"
    for entries in change.ledgers:
        at = (*steps, table.names[entries.ledger.member])
        reason = None if entries.misplaced is None else _fixed(entries.ledger)
        if reason is not None:
            yield f"{pointer(*at)} cannot be brought into that order: {reason}"
        for index, entry in entries.kept():
            yield from conflicts(entry, (*at, index) if entries.ledger.many else at)


@functools.cache
def _fixed(ledger: Ledger) -> str | None:
    """Why entries cannot be deleted and written anew; None: they can."""
    table = ledger.table
    growing = table.growing_key
    ordered_by = order_names(table.schema, ledger.relation)
    if growing is None or ordered_by != (attribute(table.mapper, growing).key,):
        return f"{' and '.join(ordered_by)} orders them, of which the format knows nothing"
    for each in _moving(table):
        if len(each.mapper.tables) > 1 or each.mapper.inherits is not None:
            return f"{each.mapper.class_.__name__} is mapped by inheritance"
        for other in each.rows.metadata.tables.values():
            if any(_points_to(key, each) and not _is_own(key, each) for key in other.foreign_key_constraints):
                return f"rows of {other.name} may point to them"
    return None


def _moving(table: Table) -> Iterator[Table]:
    """The tables whose rows hold a key of a row of *table*, and that one."""
    yield table
    for ledger in table.ledgers:
        if not keeps_key(ledger):
            yield from _moving(ledger.table)


def _points_to(key: sa.ForeignKeyConstraint, table: Table) -> bool:
    # By name: what else a host's keys refer to may not be there.
    return any(each.target_fullname.rpartition(".")[0] == table.rows.fullname for each in key.elements)


def _is_own(key: sa.ForeignKeyConstraint, table: Table) -> bool:
    """Whether the rows with *key* are written anew along with those of *table*."""
    ledgers = [set(ledger.local) for ledger in table.ledgers if not ledger.constants]
    links = [
        set(links.relation.remote)
        for links in table.links
        if links.relation.link and {*links.relation.remote, *links.relation.link[0]} == set(key.table.columns)
    ]
    return any(set(key.columns) <= own for own in (*ledgers, *links))


def counted(change: Change) -> Iterator[str]:
    """What is done to each entry below *change*: ``added``, ``changed`` or ``removed``."""
    for _, entries in change.all_entries():
        for place, entry in entries.kept():
            moved = entries.misplaced is not None and place >= entries.misplaced
            yield from ["changed"] if entry.members or moved else []
        for made in entries.added():
            yield from ("added" for _ in _with_all_below(made))
    yield from ("removed" for _ in change.removals())


def _with_all_below(row: Row) -> Iterator[Row]:
    yield row
    for entry in (entry for entries in row.ledgers for entry in entries):
        yield from _with_all_below(entry)
