"""Compare two versions of a record, with their ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from histio.kinds.canonical import ONLY_DUMPED, dump_value
from histio.kinds.match import Values, known_by, match, out_of_sequence
from histio.kinds.table import Ledger, Table
from histio.kinds.walk import Steps
from histio.wire import equal


class Path(NamedTuple):
    """The steps that lead to a member or an entry, in the given record and in the stored one."""

    given: Steps = ()
    stored: Steps = ()

    def to(self, step: str) -> Path:
        """The path to a member of the record here."""
        return Path((*self.given, step), (*self.stored, step))

    def entry(self, ledger: Ledger, given: int | None, stored: int | None) -> Path:
        """The path to an entry of the *ledger* here, by its places; None: it has none."""
        steps = [() if place is None or not ledger.many else (place,) for place in (given, stored)]
        return Path((*self.given, *steps[0]), (*self.stored, *steps[1]))


START = Path()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that a given record and a stored one have differently.

    Attributes:
        what: A member has another value, only one of the two has the entry, or the entries of a ledger that
            both have are in another order.
        table: The table of the record, or of the entries.
        member: The member that has another value; `ONLY_DUMPED` for one that is only dumped, and for entries.
        path: Where it is; of an entry that only one of the two has, there.
        given: The value or entry that was given, or what identifies each of the entries; None: nothing.
        stored: The value or entry that is stored, or what identifies each of the entries; None: nothing.
    """

    what: Literal["value", "only given", "only stored", "order"]
    table: Table
    path: Path
    given: Any = None
    stored: Any = None
    member: str = ONLY_DUMPED


@dataclass(frozen=True, slots=True)
class Comparison:
    """A way to compare given records with stored ones.

    Attributes:
        strict: Whether a member that a given record leaves out is null, and slugs are compared one by one.
            Otherwise only members that the record has are compared, and of several slugs that name one row
            only the one that resolves.
    """

    strict: bool = False

    def alike(self, table: Table, given: Values, stored: Values) -> bool:
        """Whether two records of *table* say the same."""
        return next(self.mismatches(table, given, stored), None) is None

    def mismatches(
        self, table: Table, given: Values, stored: Values, path: Path = START
    ) -> Iterator[Mismatch]:
        """What two loaded records of *table* have differently: their members, then their ledgers."""
        for member in self.changed_members(table, given, stored):
            at = path.to(table.names[member])
            yield Mismatch("value", table, at, given.get(member), stored.get(member), member)
        if ONLY_DUMPED in given:
            yield from self._only_dumped(table, given[ONLY_DUMPED], stored.get(ONLY_DUMPED, {}), path)
        for ledger in table.ledgers:
            member = ledger.member
            if member in given or self.strict:
                at = path.to(table.names[member])
                yield from self._ledger_mismatches(ledger, given.get(member), stored.get(member), at)

    def changed_members(self, table: Table, given: Values, stored: Values) -> Iterator[str]:
        """The members, ledgers aside, that two loaded records of *table* have differently."""
        apart = {ledger.member for ledger in table.ledgers}
        apart |= set() if self.strict else _same_rows(table, given, stored)
        for member in {**given, **stored} if self.strict else given:
            is_compared = member in table.names and member not in apart
            if is_compared and not equal(given.get(member), stored.get(member)):
                yield member

    def _only_dumped(self, table: Table, given: Values, stored: Values, path: Path) -> Iterator[Mismatch]:
        for name in {**given, **stored} if self.strict else given:
            if not equal(given.get(name), stored.get(name)):
                yield Mismatch("value", table, path.to(name), given.get(name), stored.get(name), ONLY_DUMPED)

    def _ledger_mismatches(self, ledger: Ledger, given: Any, stored: Any, path: Path) -> Iterator[Mismatch]:
        table = ledger.table
        ours, theirs = ledger.listed(given), ledger.listed(stored)
        places = self.match(ledger, ours, theirs)
        for index, (entry, place) in enumerate(zip(ours, places, strict=True)):
            at = path.entry(ledger, index, place)
            if place is None:
                yield Mismatch("only given", table, at, given=entry)
            else:
                yield from self.mismatches(table, entry, theirs[place], at)
        matched = set(places)
        for place, entry in enumerate(theirs):
            if place not in matched:
                yield Mismatch("only stored", table, path.entry(ledger, None, place), stored=entry)
        kept = [(entry, place) for entry, place in zip(ours, places, strict=True) if place is not None]
        meant = [entry if self.strict else {**theirs[place], **entry} for entry, place in kept]
        if out_of_sequence(ledger, meant, [place for _, place in kept]):
            given, stored = ([_label(ledger, entry) for entry in some] for some in (ours, theirs))
            yield Mismatch("order", table, path, given, stored)

    def match(self, ledger: Ledger, given: list[Values], stored: list[Values]) -> list[int | None]:
        """The place among the *stored* entries of each of the *given* ones, as `match.match` finds them."""

        def alike(ours: Values, theirs: Values) -> bool:
            return self.alike(ledger.table, ours, theirs)

        return match(ledger, given, stored, alike, strict=self.strict)


def _same_rows(table: Table, given: Values, stored: Values) -> set[str]:
    """The slugs that name the row of the stored record, as the one says that resolves."""
    return {
        member
        for reference in table.references
        for deciding in reference.named_by(given)[:1]
        if equal(given[deciding], stored.get(deciding))
        for member in reference.slugs
    }


def _label(ledger: Ledger, entry: Values) -> Any:
    """What identifies an *entry* among those of its owner, in wire form: a list if it has several members."""
    values = [dump_value(ledger.table, member, entry.get(member)) for member in known_by(ledger)]
    return values[0] if len(values) == 1 else values
