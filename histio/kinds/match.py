"""Pair the ledger entries of two versions of a run.

Imports with ``on_duplicate="verify"`` or ``"update"``, `histio.diff` and ``histio verify`` use this rule:

1. Entries with an identity are paired by it. Without one, the members of their primary key pair them, and
   without those the members of ``Meta.order``.
2. Entries that are equal in these members are paired by position. So are all entries of a ledger that has no
   such members, or whose given entries leave them out. Entries that are alike at the beginning and at the end
   are pairs; those in between are paired one by one.
3. Where exports sort equal entries by their content, or an identity comes twice, alike entries are paired
   first, and the rest one by one.
4. The sequence of entries matters only among those that are equal in the members of ``Meta.order``, and not
   where exports sort these by their content.
5. Ledgers below entries are paired in the same way.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from histio.kinds.table import Ledger, Table

Values: TypeAlias = Mapping[str, Any]
"""A record or ledger entry as its schema loads it."""

Alike: TypeAlias = Callable[[Values, Values], bool]
"""Whether a given entry and a stored one are equal."""


def match(
    ledger: Ledger, given: Sequence[Values], stored: Sequence[Values], alike: Alike, *, strict: bool = False
) -> list[int | None]:
    """For each of the *given* entries, its index in *stored*; None: it is not stored.

    Args:
        ledger: The ledger.
        given: The entries of one version, in the order of the document.
        stored: The entries of the other version, in the order of exports.
        alike: Compares two entries.
        strict: Whether a member that a given entry leaves out is null. Otherwise its value is unknown.
    """
    members = key_members(ledger)
    if not strict:
        members = [member for member in members if all(member in entry for entry in given)]
    theirs = _group(members, stored)
    places: list[int | None] = [None] * len(given)
    for key, ours in _group(members, given).items():
        own, other = [given[place] for place in ours], [stored[place] for place in theirs[key]]
        if len(own) == len(other) == 1:
            found: Sequence[int | None] = [0]
        elif ledger.keeps_sequence and ledger.table.identity is None:
            found = _match_by_position(own, other, alike)
        else:
            found = _match_by_content(ledger.table, own, other, alike)
        for place, index in zip(ours, found, strict=True):
            places[place] = None if index is None else theirs[key][index]
    return places


def key_members(ledger: Ledger) -> list[str]:
    """The members that distinguish the entries of a ledger; empty: only their positions do."""
    table = ledger.table
    if table.identity is not None:
        return [*table.identity.members]
    key = [member for member, column in table.columns.items() if column.primary_key]
    return key or [*ledger.order]


def find_misplaced(ledger: Ledger, entries: Sequence[Values], recorded: Sequence[Any]) -> list[int]:
    """The indices of *entries* that were recorded before an entry that should precede them.

    Args:
        ledger: The ledger of the entries.
        entries: The entries, in the sequence that they should have.
        recorded: For each entry, a value that grows from one recorded entry to the next; None: the entry is
            new, and will be recorded last.
    """
    if not ledger.keeps_sequence:
        return []
    found: list[int] = []
    for places in _group(ledger.order, entries).values():
        for index, (before, own) in enumerate(itertools.pairwise(recorded[place] for place in places), 1):
            if own is not None and (before is None or before > own):
                found += places[index:]
                break
    return sorted(found)


def _group(members: Iterable[str], entries: Sequence[Values]) -> defaultdict[Hashable, list[int]]:
    """The indexes of *entries*, by the values of *members*."""
    members = list(members)
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        groups[tuple(_to_hashable(entry.get(member)) for member in members)].append(place)
    return groups


def _to_hashable(value: Any) -> Hashable:
    """A key for grouping: equal for equal values, whether of JSON or loaded."""
    if isinstance(value, Mapping):
        return frozenset((name, _to_hashable(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_to_hashable, value))
    return value if isinstance(value, Hashable) else None  # a larger group is compared entry by entry


def _match_by_position(given: Sequence[Values], stored: Sequence[Values], alike: Alike) -> list[int | None]:
    head = _count_alike(given, stored, alike)
    tail = _count_alike(given[head:][::-1], stored[head:][::-1], alike)
    between = range(head, len(stored) - tail)[: len(given) - head - tail]
    new = len(given) - head - len(between) - tail
    return [*range(head), *between, *[None] * new, *range(len(stored) - tail, len(stored))]


def _count_alike(given: Sequence[Values], stored: Sequence[Values], alike: Alike) -> int:
    """The number of pairs from the beginning that are alike."""
    return sum(1 for _ in itertools.takewhile(lambda pair: alike(*pair), zip(given, stored, strict=False)))


def _match_by_content(
    table: Table, given: Sequence[Values], stored: Sequence[Values], alike: Alike
) -> list[int | None]:
    places: list[int | None] = [None] * len(given)
    left = dict.fromkeys(range(len(stored)))
    candidates: dict[tuple[str, ...], dict[Hashable, list[int]]] = {}
    # An entry that leaves members out may be like several, so those with more members choose first.
    for place in sorted(range(len(given)), key=lambda place: -len(given[place])):
        members = tuple(find_compared_members(table, given[place]))
        if members not in candidates:
            candidates[members] = _group(members, stored)
        [key] = _group(members, [given[place]])
        among = candidates[members].get(key, [])
        found = next((each for each in among if each in left and alike(given[place], stored[each])), None)
        if found is not None:
            places[place] = found
            among.remove(found)
            del left[found]
    rest = iter(left)
    return [next(rest, None) if place is None else place for place in places]


def find_compared_members(table: Table, given: Values) -> list[str]:
    """The members of *given*, other than ledgers, that have the same values in a record that is alike.

    Of several slugs for one row, only the one that resolves.
    """
    ignored = {ledger.member for ledger in table.ledgers}
    for reference in table.references:
        deciding = reference.present_members(given)[:1]
        ignored.update(member for member in reference.slugs if deciding and member not in deciding)
    return [member for member in given if member not in ignored and member in table.names]
