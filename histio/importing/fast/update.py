"""Update stored runs on the fast path, where only columns differ from what is stored."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from histio.exporting.fast.columns import DeclinedError
from histio.exporting.pages import known_texts
from histio.importing.batches import try_to_write
from histio.importing.destination import Destination
from histio.importing.fast.changes import RowChange, RowUpdater, write_changes
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
    changes: Sequence[RowChange]


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
        self._core_tables = core_tables
        self._deferred = deferred

    def update(self, records: Mapping[Any, Mapping[str, Any]]) -> dict[Any, Update]:
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
        differing = {identity: records[identity] for identity, update in found.items() if update.changes}
        written = self._write({each: found[each].changes for each in self._admitted(differing)})
        return {each: update for each, update in found.items() if each in written or not update.changes}

    def _find_changes(self, record: Mapping[str, Any], stored: str) -> list[RowChange] | None:
        """The changes of one run; None: it needs the full path."""
        try:
            return list(self._rows.find_changes(record, json.loads(stored)))
        except DeclinedError:
            return None

    def _admitted(self, records: Mapping[Any, Mapping[str, Any]]) -> list[Any]:
        """The identities of those of *records* whose references have neither problems nor warnings."""
        if self._rows.admits(list(records.values())):
            return list(records)
        return [identity for identity, record in records.items() if self._rows.admits([record])]

    def _write(self, changes: Mapping[Any, Sequence[RowChange]]) -> Mapping[Any, Sequence[RowChange]]:
        """Write the *changes* of runs, by identity; return those that are written: all, or none."""
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
            kept = {each: some for each, some in changes.items() if all(map(RowChange.is_kept, some))}
            return self._write(kept) if len(kept) < len(changes) else {}
        return changes if fault is None else {}
