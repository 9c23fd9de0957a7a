"""Skip or update runs that exist, on the fast path."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Collection, Mapping
from typing import Any

from histio.exporting.fast.obstacles import FullPathError
from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.destination import Destination
from histio.importing.fast.rows import RowWriter
from histio.importing.fast.update import RunUpdater
from histio.importing.fast.window import Window, without
from histio.importing.fast.writers import Writer, Writers
from histio.importing.row_counts import KeptRows
from histio.importing.run import OnDuplicate, Run
from histio.importing.update.compare import warn_of_altered
from histio.importing.update.revisions import note_changes
from histio.kinds.table import Kind
from histio.report import KEPT, EntryCounts

_log = logging.getLogger("histio")


class ExistingRuns:
    """Skips or updates runs that exist.

    Args:
        destination: The database.
        window: The runs of the current window.
        kept_rows: Decides what has to be checked after rows are written.
        writers: The writers of new runs.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.

    Attributes:
        written: The kinds of which runs have been updated.
        entries: What was done to the ledger entries of updated runs.
    """

    def __init__(
        self,
        destination: Destination,
        window: Window,
        *,
        kept_rows: KeptRows,
        writers: Writers,
        on_duplicate: OnDuplicate,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._connection = destination.connection
        self._spool = destination.spool
        self._window = window
        self._kept_rows = kept_rows
        self._writers = writers
        self._on_duplicate = on_duplicate
        self._deferred = deferred
        self._updaters: dict[str, RunUpdater | None] = {}
        self._room = KEPT
        self.written: set[Kind] = set()
        self.entries: EntryCounts = EntryCounts()

    def settle(self, kind: Kind, writer: Writer, stored: Mapping[object, RawRun]) -> list[RawRun]:
        """Skip or update the *stored* runs, by identity; return those that take the full path."""
        rest = self._skip(kind, stored)
        if self._on_duplicate == "update" and rest and isinstance(writer, RowWriter):
            rest = self._update(kind, writer, rest)
        return list(rest.values())

    def _skip(self, kind: Kind, stored: Mapping[object, RawRun]) -> dict[object, RawRun]:
        """Skip existing runs; return those that may not be skipped, or are not known to be the same."""
        window, compares = self._window, self._on_duplicate in ("verify", "update")
        texts, altered = known_texts(self._connection, kind, list(stored)) if compares else ({}, set())
        rest: dict[object, RawRun] = {}
        warned: list[Run] = []
        for identity, raw in stored.items():
            uuid = window.uuid(kind, raw)
            is_same = not compares or (not window.is_cut(raw) and window.text(raw) == texts.get(uuid))
            if self._on_duplicate == "error" or not is_same or self._spool.place(kind.name, uuid) is not None:
                rest[identity] = raw
            elif self._on_duplicate == "update" and uuid in altered:
                run, record = window.note(kind, raw), window.record(raw)
                run.values = {member: record.get(name) for member, name in kind.table.names.items()}
                run.values[kind.identity.members[0]] = identity
                warned.append(run)
        warn_of_altered(self._connection, kind, warned, within=self._destination.identities.scope(kind.table))
        for run in window.end(kind, without(list(stored.values()), list(rest.values())), "skipped"):
            run.forget_cuts()
        return rest

    def _update(self, kind: Kind, writer: RowWriter, stored: Mapping[object, RawRun]) -> dict[object, RawRun]:
        """Update *stored* runs; return those that take the full path."""
        updater, window = self._find_updater(kind, writer), self._window
        if updater is None:
            return dict(stored)
        of_new_rows = {kind.table.names[member] for member in kind.members_of_new_rows}
        records = {
            identity: _without_members(window.record(raw), of_new_rows)
            for identity, raw in stored.items()
            if self._spool.place(kind.name, window.uuid(kind, raw)) is None
        }
        updates = updater.update(records)
        before: dict[object, str] = {}
        for identity, (text, changes) in updates.items():
            run = window.note(kind, stored[identity])
            run.outcome = "skipped"
            if changes:
                run.outcome = "updated"
                before[identity] = text
                mismatches = itertools.chain.from_iterable(each.mismatches for each in changes)
                self._room -= note_changes(run, mismatches, self._room)
                self.entries += functools.reduce(EntryCounts.__add__, (each.counts for each in changes))
        if before:
            self._note_updated(kind, before, [stored[identity] for identity in before])
        return {identity: raw for identity, raw in stored.items() if identity not in updates}

    def _note_updated(self, kind: Kind, before: Mapping[object, str], raw_runs: list[RawRun]) -> None:
        """Note that runs were updated; *before*: by identity, the JSON of the runs that were stored."""
        window = self._window
        self.written.add(kind)
        self._spool.note(
            kind.name, ((window.uuid(kind, raw), raw.place(kind.collection)) for raw in raw_runs)
        )
        if self._destination.receipt is not None:
            self._destination.receipt.note_updated(kind, before, self._spool)
        if self._kept_rows.must_be_compared(kind):
            window.warn_of_changed(kind, raw_runs)

    def _find_updater(self, kind: Kind, writer: RowWriter) -> RunUpdater | None:
        """What updates runs of *kind*; None: the unit of work does."""
        if kind.name not in self._updaters:
            self._updaters[kind.name] = None
            try:
                if not self._kept_rows.must_be_counted(kind):
                    tables = self._writers.core_tables[kind]
                    self._updaters[kind.name] = RunUpdater(
                        self._destination, kind, writer, tables, deferred=self._deferred
                    )
            except FullPathError as reason:
                _log.debug("updates of %s take the full path: %s", kind.name, reason)
        return self._updaters[kind.name]


def _without_members(record: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """*record* without the members with these *names*."""
    return {name: value for name, value in record.items() if name not in names} if names else record
