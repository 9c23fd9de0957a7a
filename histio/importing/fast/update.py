"""Update stored runs on the fast path: the columns and ledger entries that differ from what is stored."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from histio.exporting.fast.columns import DeclinedError
from histio.exporting.pages import known_texts
from histio.importing.batches import try_to_write
from histio.importing.destination import Destination
from histio.importing.fast.changes import (
    Change,
    EntryChange,
    LedgerUpdater,
    Record,
    RowUpdater,
    write_changes,
)
from histio.importing.fast.repeated import UuidReader
from histio.importing.fast.rows import RowWriter
from histio.importing.update.compare import lock_runs
from histio.kinds.table import Kind
from histio.tuning import with_pauses


class Update(NamedTuple):
    """What is known of a run that has been compared with the stored one.

    Attributes:
        before: The JSON of the stored run.
        changes: What the update has changed; empty: nothing differs.
    """

    before: str
    changes: Sequence[Change]


class RunUpdater:
    """Updates the stored runs of one kind.

    Args:
        destination: The database.
        kind: The kind.
        writer: Writes new rows of the kind.
        core_tables: The Core tables that runs of the kind have rows in.
        deferred: Whether deferred constraints are checked now.

    Raises:
        FullPathError: Only the unit of work can update the rows.
    """

    def __init__(
        self,
        destination: Destination,
        kind: Kind,
        writer: RowWriter,
        core_tables: Sequence[sa.Table],
        *,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._kind = kind
        self._rows = RowUpdater(writer)
        self._uuids = UuidReader(kind.table)
        self._core_tables = core_tables
        self._deferred = deferred

    def update(self, records: Mapping[Any, Record]) -> dict[Any, Update]:
        """Update runs to *records*, by identity, which are accepted and exist.

        Returns:
            By identity, the runs that were updated, and those that do not differ. The others take the full
            path.
        """
        connection, kind = self._destination.connection, self._kind
        lock_runs(connection, kind, list(records), self._destination.identities.scope(kind.table))
        texts, altered = known_texts(connection, kind, list(records), now=True)
        found: dict[Any, Update] = {}
        for identity, record in with_pauses(records.items()):
            uuid = kind.format_identity(identity)
            if uuid in texts and uuid not in altered:
                changes = self._find_changes(record, texts[uuid])
                if changes is not None:
                    found[identity] = Update(texts[uuid], changes)
        differing = {identity: update.changes for identity, update in found.items() if update.changes}
        alone = self._without_collisions(records, differing, is_all=len(found) == len(records))
        written = self._write({each: differing[each] for each in self._admitted(alone, records)})
        return {each: update for each, update in found.items() if each in written or not update.changes}

    def _find_changes(self, record: Record, stored: str) -> list[Change] | None:
        """The changes of one run; None: it needs the full path."""
        try:
            return list(self._rows.find_changes(record, json.loads(stored)))
        except DeclinedError:
            return None

    def _without_collisions(
        self, records: Mapping[Any, Record], changes: Mapping[Any, Sequence[Change]], *, is_all: bool
    ) -> list[Any]:
        """The identities of those runs in *changes* whose order among *records* does not matter.

        *is_all*: whether none of *records* takes the full path.
        """
        of_entries = [each for some in changes.values() for each in some if isinstance(each, EntryChange)]
        if is_all and not of_entries:
            return list(changes)
        uses = Counter(itertools.chain.from_iterable(map(self._uuids.read, records.values())))
        taken = self._find_known(of_entries) | {uuid for uuid, count in uses.items() if count > 1}
        alone = []
        for identity, some in changes.items():
            moving = [each for each in some if isinstance(each, EntryChange)]
            lost = {uuid for each in moving for uuid in map(each.updater.identify, each.removed)}
            own = self._uuids.read(records[identity])
            if taken.isdisjoint(own) and lost.isdisjoint(uses):
                alone.append(identity)
        return alone

    def _find_known(self, changes: Iterable[EntryChange]) -> set[str]:
        """The UUIDs of added entries that exist, under other runs."""
        added: dict[LedgerUpdater, dict[Any, str]] = defaultdict(dict)
        for each in changes:
            added[each.updater] |= each.updater.identities(each.added)
        return {
            uuids[identity]
            for updater, uuids in added.items()
            for identity in self._destination.identities.find_known(updater.table, uuids, now=True)
        }

    def _admitted(self, identities: Sequence[Any], records: Mapping[Any, Record]) -> list[Any]:
        """Those of *identities* whose *records* have references without problems and warnings."""
        if self._rows.admits([records[each] for each in identities]):
            return list(identities)
        return [each for each in identities if self._rows.admits([records[each]])]

    def _write(self, changes: Mapping[Any, Sequence[Change]]) -> Mapping[Any, Sequence[Change]]:
        """Write the *changes* of runs, by identity; return those that are written."""
        if not changes:
            return {}
        connection = self._destination.connection
        try:
            fault = try_to_write(
                connection,
                self._core_tables,
                lambda: write_changes(connection, itertools.chain.from_iterable(changes.values())),
                deferred=self._deferred,
            )
        except DeclinedError:
            kept = {run: some for run, some in changes.items() if all(each.is_kept() for each in some)}
            return self._write(kept) if len(kept) < len(changes) else {}
        return changes if fault is None else self._write_halves(changes)

    def _write_halves(self, changes: Mapping[Any, Sequence[Change]]) -> Mapping[Any, Sequence[Change]]:
        """Write the *changes*, which cannot be written together, in halves."""
        if len(changes) == 1:
            return {}
        runs, half = list(changes), len(changes) // 2
        parts = ({run: changes[run] for run in some} for some in (runs[:half], runs[half:]))
        return {run: some for part in parts for run, some in self._write(part).items()}
