"""Remove the runs that an import has created, unless other rows refer to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import savepoint
from histio.database.sessions import Habits
from histio.importing.batches import try_to_write, write
from histio.importing.row import Row
from histio.importing.undo.delete import delete_by_unit_of_work, delete_in_bulk, wants_unit_of_work
from histio.importing.undo.notes import Notes, Step
from histio.importing.undo.references import (
    ForeignKey,
    Key,
    References,
    find_foreign_keys,
    places_of,
    source_key,
)
from histio.kinds.selects import is_among
from histio.kinds.table import Kind
from histio.resolving.circles import find_reachable

_ENOUGH = 1_000
"""The number of refused runs at which an attempt stops."""


def remove_runs(
    connection: Connection, kinds: Sequence[Kind], notes: Notes, *, habits: Habits, deferred: bool
) -> None:
    """Remove runs, beginning with those that refer to others; leave those with obstacles.

    Args:
        connection: In a transaction.
        kinds: The kinds of run.
        notes: The runs to remove.
        habits: The habits of the session that is used.
        deferred: Whether deferred constraints are checked now.
    """
    keys = find_foreign_keys(connection, kinds)
    for group in _find_groups(kinds, keys):
        if any(notes.count(kind.name, Step.REMOVE) for kind in group):
            references = References(connection, group, keys)
            _Group(connection, group, references, notes, habits, deferred).remove()


def _find_groups(kinds: Sequence[Kind], keys: Sequence[ForeignKey]) -> Iterator[Sequence[Kind]]:
    """The kinds that refer to each other in a circle, together; before those that they refer to."""
    tables = {kind: {core for place in places_of(kind) for core in place.core_tables} for kind in kinds}
    pairs = {(key.source, key.target) for key in keys}

    def refers(kind: Kind, other: Kind) -> bool:
        return any(source in tables[kind] and target in tables[other] for source, target in pairs)

    reachable = find_reachable(kinds, refers)
    sizes = {kind: len(reachable[kind] | {kind}) for kind in kinds}
    done: set[Kind] = set()
    for kind in sorted(kinds, key=lambda each: -sizes[each]):
        if kind not in done:
            group = [other for other in kinds if other is kind or _is_circle(kind, other, reachable)]
            done.update(group)
            yield group


def _is_circle(kind: Kind, other: Kind, reachable: Mapping[Kind, set[Kind]]) -> bool:
    return other in reachable[kind] and kind in reachable[other]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Kinds whose runs refer to each other, and how they are removed; see `remove_runs`."""

    connection: Connection
    kinds: Sequence[Kind]
    references: References
    notes: Notes
    habits: Habits
    deferred: bool

    def remove(self) -> None:
        """Remove the runs of these kinds that nothing else refers to."""
        self._find_references()
        while True:
            self.notes.leave_obstructed()
            with savepoint(self.connection) as nested:
                refused = self._attempt()
                if not refused:
                    break
                nested.rollback()
            for number, text in refused.items():
                self.notes.add_obstacle(number, "constraint", text)
        for kind in self.kinds:
            self.notes.end(kind.name)

    def _find_references(self) -> None:
        for place, key in enumerate(self.references.keys):
            for kind in self.kinds:
                for runs in self.notes.keys(kind.name):
                    self._note(place, key, kind, runs)

    def _note(self, place: int, key: ForeignKey, kind: Kind, runs: Mapping[int, Key]) -> None:
        """Note the rows that refer to *runs* of *kind* by *key*."""
        numbers = {own: number for number, own in runs.items()}
        inside: list[tuple[int, Key]] = []
        for found in self.references.find(key, kind, list(numbers)):
            if found.key:
                inside.append((numbers[found.target], found.key))
            else:
                self.notes.add_obstacle(numbers[found.target], "referenced", _describe(key, found.count))
        owners = self.references.find_owners(key, [row for _, row in inside]) if inside else {}
        sources = self._numbers(owner for of_row in owners.values() for owner in of_row)
        references = []
        for target, row in inside:
            own = [sources.get(owner) for owner in owners.get(row, [])]
            if not own or None in own:
                self.notes.add_obstacle(target, "referenced", _describe(key, 1))
            elif not (self.references.is_tie(key) and own == [target]):
                references += [(number, target, place, row) for number in own if number is not None]
        self.notes.add_references(references)

    def _numbers(self, owners: Iterator[tuple[Kind, Key]]) -> dict[tuple[Kind, Key], int]:
        """The numbers of those *owners* that are runs to remove."""
        by_kind: dict[Kind, set[Key]] = {}
        for kind, key in owners:
            by_kind.setdefault(kind, set()).add(key)
        return {
            (kind, key): number
            for kind, keys in by_kind.items()
            for key, number in self.notes.find(kind.name, keys).items()
        }

    def _attempt(self) -> dict[int, str]:
        """Remove all runs; return the numbers of those that the database refuses, with the reasons."""
        keys = self.references.keys
        hard = {place: key for place, key in enumerate(keys) if not self._blank(place, key)}
        of_runs = [place for place, key in hard.items() if self.references.is_of_runs(key)]
        refused: dict[int, str] = {}
        if any(self.notes.has_references(place) for place in hard.keys() - of_runs):
            for kind in self.kinds:
                for runs in self.notes.keys(kind.name):
                    refused |= self._delete(kind, runs, only_entries=True)
        if refused:
            return refused
        for level in range(self.notes.set_levels([kind.name for kind in self.kinds], of_runs)):
            for kind in self.kinds:
                for runs in self.notes.keys(kind.name, level=level):
                    refused |= self._delete(kind, runs, only_entries=False)
                    if len(refused) >= _ENOUGH:
                        return refused
        return refused

    def _blank(self, place: int, key: ForeignKey) -> bool:
        """Take back the references by *key* between the runs to remove; whether that was possible."""
        if not self.references.is_inside(key):
            return True
        source: Any = key.source
        blank = [each for each in key.columns if each.nullable and not each.primary_key]
        if self.references.is_of_links(key):
            change: Any = sa.delete(source)
        elif blank and not self.references.is_tie(key):
            change = sa.update(source).values(dict.fromkeys(blank))
        else:
            return False
        own = source_key(source)

        def apply() -> None:
            for rows in self.notes.referring_rows(place):
                self.connection.execute(change.where(is_among(own, rows)))

        return try_to_write(self.connection, list(self.references.tables), apply, deferred=False) is None

    def _delete(self, kind: Kind, runs: Mapping[int, Key], *, only_entries: bool) -> dict[int, str]:
        numbers = {Row({}, ()): number for number in runs}
        keys = {row: runs[number] for row, number in numbers.items()}
        rows = list(numbers)
        delete = (
            delete_by_unit_of_work(kind, self.habits, keys, only_entries=only_entries)
            if wants_unit_of_work(kind, self.habits)
            else delete_in_bulk(kind, keys, only_entries=only_entries)
        )
        failures = write(self.connection, kind.table, rows, deferred=self.deferred, insert=delete)
        return {numbers[rows[place]]: f"Cannot be removed: {fault}" for place, fault in failures}


def _describe(key: ForeignKey, count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'} of {key}"
