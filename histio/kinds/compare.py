"""Compare two versions of a record, with their ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from histio.kinds.canonical import ONLY_DUMPED, dump, dump_value
from histio.kinds.match import Values, find_misplaced, key_members, match
from histio.kinds.table import Ledger, Table
from histio.kinds.walk import Steps
from histio.pointer import pointer
from histio.similar import describe_look_alike
from histio.wire import equal, quote


class Path(NamedTuple):
    """The steps to a member or ledger entry, in the given record and in the stored one."""

    given: Steps = ()
    stored: Steps = ()

    def to(self, step: str) -> Path:
        """The path to a member of the record at this path."""
        return Path((*self.given, step), (*self.stored, step))

    def entry(self, ledger: Ledger, given: int | None, stored: int | None) -> Path:
        """The path to an entry of the *ledger* at this path, by its indices; None: that record lacks it."""
        steps = [() if place is None or not ledger.many else (place,) for place in (given, stored)]
        return Path((*self.given, *steps[0]), (*self.stored, *steps[1]))

    @property
    def pointer(self) -> str:
        """The pointer into the given record; to an entry that only the stored one has, by its index there."""
        return pointer(*self.given, *self.stored[len(self.given) :])


START = Path()

Sides: TypeAlias = tuple[str, str]
"""What messages call the side with the given values, and the one with the stored values."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A difference between a given record and a stored one.

    Attributes:
        what: ``"value"``: a member has another value. ``"only given"``, ``"only stored"``: the other record
            lacks a ledger entry. ``"order"``: the ledger entries that both have are in another order.
        table: The table of the record that has the member, or of the entries.
        path: The path to the member, entry or ledger.
        given: The given value or entry; for ``"order"``, a list of what identifies each entry.
        stored: The stored value or entry; for ``"order"``, a list of what identifies each entry.
        member: The member that has another value; `ONLY_DUMPED`: it is only dumped, or *what* is another.
    """

    what: Literal["value", "only given", "only stored", "order"]
    table: Table
    path: Path
    given: Any = None
    stored: Any = None
    member: str = ONLY_DUMPED

    def to_wire(self) -> tuple[Any, Any]:
        """The given and the stored value in wire form."""
        return self._to_wire(self.given), self._to_wire(self.stored)

    def _to_wire(self, value: Any) -> Any:
        if value is None or self.what == "order":
            return value
        if self.what == "value":
            return value if self.member == ONLY_DUMPED else dump_value(self.table, self.member, value)
        return dump(self.table, value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How given records are compared with stored ones.

    Attributes:
        strict: True: a member that a record leaves out is null, and each slug is compared as text. False:
            only members that the given record has are compared; of several slugs for one row, only the one
            that resolves.
    """

    strict: bool = False

    def is_alike(self, table: Table, given: Values, stored: Values) -> bool:
        """Whether two loaded records of *table* are equal."""
        return next(self.find_mismatches(table, given, stored), None) is None

    def find_mismatches(
        self, table: Table, given: Values, stored: Values, path: Path = START
    ) -> Iterator[Mismatch]:
        """The differences between two loaded records of *table*: first in their members, then in ledgers."""
        for member in self.find_changed_members(table, given, stored):
            at = path.to(table.names[member])
            yield Mismatch("value", table, at, given.get(member), stored.get(member), member)
        if ONLY_DUMPED in given:
            yield from self._find_only_dumped(table, given[ONLY_DUMPED], stored.get(ONLY_DUMPED, {}), path)
        for ledger in table.ledgers:
            member = ledger.member
            if member in given or self.strict:
                at = path.to(table.names[member])
                yield from self._find_ledger_mismatches(ledger, given.get(member), stored.get(member), at)

    def find_changed_members(self, table: Table, given: Values, stored: Values) -> Iterator[str]:
        """The members, other than ledgers, that differ between two loaded records of *table*."""
        apart = {ledger.member for ledger in table.ledgers}
        apart |= set() if self.strict else _same_rows(table, given, stored)
        for member in {**given, **stored} if self.strict else given:
            is_compared = member in table.names and member not in apart
            if is_compared and not equal(given.get(member), stored.get(member)):
                yield member

    def _find_only_dumped(
        self, table: Table, given: Values, stored: Values, path: Path
    ) -> Iterator[Mismatch]:
        for name in {**given, **stored} if self.strict else given:
            if not equal(given.get(name), stored.get(name)):
                yield Mismatch("value", table, path.to(name), given.get(name), stored.get(name), ONLY_DUMPED)

    def _find_ledger_mismatches(
        self, ledger: Ledger, given: Any, stored: Any, path: Path
    ) -> Iterator[Mismatch]:
        table = ledger.table
        ours, theirs = ledger.to_list(given), ledger.to_list(stored)
        places = self.match(ledger, ours, theirs)
        for index, (entry, place) in enumerate(zip(ours, places, strict=True)):
            at = path.entry(ledger, index, place)
            if place is None:
                yield Mismatch("only given", table, at, given=entry)
            else:
                yield from self.find_mismatches(table, entry, theirs[place], at)
        matched = set(places)
        for place, entry in enumerate(theirs):
            if place not in matched:
                yield Mismatch("only stored", table, path.entry(ledger, None, place), stored=entry)
        if ledger.keeps_sequence and self.is_misplaced(ledger, ours, theirs, places):
            yield Mismatch("order", table, path, list_labels(ledger, ours), list_labels(ledger, theirs))

    def is_misplaced(
        self, ledger: Ledger, given: list[Values], stored: list[Values], places: list[int | None]
    ) -> bool:
        """Whether the entries that both have are in another order."""
        pairs = [(entry, place) for entry, place in zip(given, places, strict=True) if place is not None]
        merged = [entry if self.strict else {**stored[place], **entry} for entry, place in pairs]
        return bool(find_misplaced(ledger, merged, [place for _, place in pairs]))

    def match(self, ledger: Ledger, given: list[Values], stored: list[Values]) -> list[int | None]:
        """For each of the *given* entries, its index in *stored*; None: it is not stored."""

        def alike(ours: Values, theirs: Values) -> bool:
            return self.is_alike(ledger.table, ours, theirs)

        return match(ledger, given, stored, alike, strict=self.strict)


def contrast(given: object, stored: object, sides: Sides, *, none: str = "null") -> str:
    """Two different values with the names of their sides, such as ``file 7, database 29``.

    *none*: the text for None.
    """
    ours, theirs = (none if value is None else quote(value) for value in (given, stored))
    difference = describe_look_alike(given, stored, sides)
    return f"{sides[0]} {ours}, {sides[1]} {theirs}{f' ({difference})' if difference else ''}"


def _same_rows(table: Table, given: Values, stored: Values) -> set[str]:
    """The slugs of *given* that need no comparison, because the deciding slug equals the stored one."""
    return {
        member
        for reference in table.references
        for deciding in reference.present_members(given)[:1]
        if equal(given[deciding], stored.get(deciding))
        for member in reference.slugs
    }


def list_labels(ledger: Ledger, entries: list[Values]) -> list[Any]:
    """What identifies each of the *entries*, in wire form; of several members, a list of their values."""
    members = key_members(ledger)
    labels = [
        [dump_value(ledger.table, member, entry.get(member)) for member in members] for entry in entries
    ]
    return [values for [values] in labels] if len(members) == 1 else labels
