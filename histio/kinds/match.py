"""Which ledger entry is which: pairs the entries of two versions of a ledger.

Everything that compares histories goes by this one rule: imports with ``on_duplicate="verify"`` and
``"update"``, `histio.diff`, and the command ``histio verify``.

1. Entries with an identity are paired by it. Without one, the members of their primary key pair them, and
   without those the members that order them (``Meta.order``).
2. Entries that are equal in these members are paired by position. So are all entries of a ledger that has no
   such members, or whose given entries leave them out. Those that are alike at the beginning and at the end
   are pairs; what lies between is paired one by one, from the beginning.
3. Where the sequence of such entries says nothing, because exports sort them by their content or because
   they share an identity, those that are alike are pairs first, and the rest are paired one by one.
4. The sequence of entries counts only among those that are equal in the members that order them, and not
   where exports sort these by their content.
5. A ledger below an entry is compared with the ledger below the other entry of the pair.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from histio.kinds.table import Ledger, Table

Values: TypeAlias = Mapping[str, Any]
"""A record or entry as its schema loads it."""

Alike: TypeAlias = Callable[[Values, Values], bool]
"""Whether a given entry says the same as a stored one."""


def match(
    ledger: Ledger, given: Sequence[Values], stored: Sequence[Values], alike: Alike, *, strict: bool = False
) -> list[int | None]:
    """The place among *stored* of each of the *given* entries; None: it is not stored.

    Args:
        ledger: The ledger that both are versions of.
        given: Entries in the order of their document.
        stored: Entries in the order of exports.
        alike: Compares two entries.
        strict: Whether a member that a given entry leaves out is null. Otherwise nothing is known of it.
    """
    members = known_by(ledger)
    if not strict:
        members = [member for member in members if all(member in entry for entry in given)]
    theirs = _grouped(members, stored)
    places: list[int | None] = [None] * len(given)
    for key, ours in _grouped(members, given).items():
        own, other = [given[place] for place in ours], [stored[place] for place in theirs[key]]
        if len(own) == len(other) == 1:
            found: Sequence[int | None] = [0]
        elif ledger.keeps_sequence and ledger.table.identity is None:
            found = _by_position(own, other, alike)
        else:
            found = _by_content(ledger.table, own, other, alike)
        for place, index in zip(ours, found, strict=True):
            places[place] = None if index is None else theirs[key][index]
    return places


def known_by(ledger: Ledger) -> list[str]:
    """The members that tell the entries of one owner apart; empty: only their position does."""
    table = ledger.table
    if table.identity is not None:
        return [*table.identity.members]
    key = [member for member, column in table.columns.items() if column.primary_key]
    return key or [*ledger.order]


def out_of_sequence(ledger: Ledger, entries: Sequence[Values], recorded: Sequence[Any]) -> list[int]:
    """The places of those *entries* that come after one that was recorded later.

    Args:
        ledger: The ledger of the entries.
        entries: In the sequence that they should have.
        recorded: For each of them, what grows from one recorded entry to the next; None: it is not recorded
            yet, and will be the last one.
    """
    if not ledger.keeps_sequence:
        return []
    found: list[int] = []
    for places in _grouped(ledger.order, entries).values():
        for index, (before, own) in enumerate(itertools.pairwise(recorded[place] for place in places), 1):
            if own is not None and (before is None or before > own):
                found += places[index:]
                break
    return sorted(found)


def _grouped(members: Iterable[str], entries: Sequence[Values]) -> defaultdict[Hashable, list[int]]:
    """The places of *entries*, by the values of *members*."""
    members = list(members)
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        groups[tuple(_hashable(entry.get(member)) for member in members)].append(place)
    return groups


def _hashable(value: Any) -> Hashable:
    """A key that is equal for equal values, of JSON or loaded."""
    if isinstance(value, Mapping):
        return frozenset((name, _hashable(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value if isinstance(value, Hashable) else None  # a larger group is compared entry by entry


def _by_position(given: Sequence[Values], stored: Sequence[Values], alike: Alike) -> list[int | None]:
    head = _count_alike(given, stored, alike)
    tail = _count_alike(given[head:][::-1], stored[head:][::-1], alike)
    between = range(head, len(stored) - tail)[: len(given) - head - tail]
    new = len(given) - head - len(between) - tail
    return [*range(head), *between, *[None] * new, *range(len(stored) - tail, len(stored))]


def _count_alike(given: Sequence[Values], stored: Sequence[Values], alike: Alike) -> int:
    """How many pairs are alike before the first that is not."""
    return sum(1 for _ in itertools.takewhile(lambda pair: alike(*pair), zip(given, stored, strict=False)))


def _by_content(
    table: Table, given: Sequence[Values], stored: Sequence[Values], alike: Alike
) -> list[int | None]:
    places: list[int | None] = [None] * len(given)
    left = dict.fromkeys(range(len(stored)))
    candidates: dict[tuple[str, ...], dict[Hashable, list[int]]] = {}
    # An entry that leaves members out may be like several, so the others choose first.
    for place in sorted(range(len(given)), key=lambda place: -len(given[place])):
        members = tuple(compared_members(table, given[place]))
        if members not in candidates:
            candidates[members] = _grouped(members, stored)
        [key] = _grouped(members, [given[place]])
        among = candidates[members].get(key, [])
        found = next((each for each in among if each in left and alike(given[place], stored[each])), None)
        if found is not None:
            places[place] = found
            among.remove(found)
            del left[found]
    rest = iter(left)
    return [next(rest, None) if place is None else place for place in places]


def compared_members(table: Table, given: Values) -> list[str]:
    """The members of *given*, ledgers aside, that say the same in a record of the same content.

    Of several slugs that name one row, that is the one that resolves.
    """
    ignored = {ledger.member for ledger in table.ledgers}
    for reference in table.references:
        deciding = reference.named_by(given)[:1]
        ignored.update(member for member in reference.slugs if deciding and member not in deciding)
    return [member for member in given if member not in ignored and member in table.names]
