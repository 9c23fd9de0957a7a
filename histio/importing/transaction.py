"""One transaction of an import: read, classify, resolve, write and report runs, a window at a time."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    RowFaultError,
    advance_sequence,
    check_deferred,
    check_engines,
    has_deferred,
    refresh_statistics,
    row_fault,
    savepoint,
    strict,
)
from histio.database.sessions import Habits
from histio.exporting.fast.collector import paused
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.fast.take import FastPath
from histio.importing.full_path import Attempt, FullPath
from histio.importing.model_behavior import Creation
from histio.importing.open_runs import WaitingRuns
from histio.importing.options import ImportOptions
from histio.importing.row_counts import KeptRows
from histio.importing.run import OnDuplicate, Run
from histio.importing.windows import windows
from histio.kinds.table import Kind
from histio.report import EntryCounts
from histio.tuning import tuned, tuning, with_pauses

_log = logging.getLogger("histio")

_LARGER = 10
"""How many times as many runs as usual a batch has for updates of runs that have waited."""


def import_items(
    destination: Destination,
    items: Iterable[RawItem],
    options: ImportOptions,
    *,
    tally: Tally,
    habits: Habits,
    creations: Mapping[str, Creation],
    last: bool,
    first: Callable[[], Import | None] | None = None,
) -> bool:
    """Import *items* in one transaction.

    Args:
        destination: The database.
        items: In any order. If the iterator raises, everything is rolled back.
        options: The options of the import.
        tally: Counts the outcome of every run.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        last: Whether no other transaction of this import follows, so that runs need not wait any longer
            for those that they refer to.
        first: Imports the catalog in the same transaction; returns None if it writes no rows. None: there is
            no catalog.

    Returns:
        Whether everything was rolled back because a run was rejected.

    Raises:
        sqlalchemy.exc.DBAPIError: No run is at fault, as after a lost connection; nothing is written.
        OSError: The receipt cannot be written; nothing else is.
    """
    connection, tables = destination.connection, destination.tables
    with savepoint(connection) as nested:
        catalog = None if first is None else first()
        if catalog is not None:
            destination.resolver.see_latest(catalog.destination.resolver.seen_late)
        transaction = Import(
            destination,
            tally=tally,
            habits=habits,
            creations=creations,
            on_duplicate=options.on_duplicate,
            compare=options.compare,
        )
        transaction.take(items, last=last)
        withheld = options.atomic and tally.rejected > 0
        if destination.receipt is not None and not withheld:
            with strict(connection, destination.kinds, destination.stored):
                scopes = {} if catalog is None else catalog.destination.identities.scopes
                scopes = {**scopes, **destination.identities.scopes}
                latest = bool(destination.resolver.seen_late)
                destination.receipt.write(connection, scopes, latest=latest)
        tally.add_entries(transaction.entries)
        if options.dry_run or withheld:
            nested.rollback()
        else:
            created = set() if catalog is None else catalog.written
            advance_sequences(connection, created | transaction.written)
            if last and tally.written >= tuning().refresh_from:
                refresh_statistics(connection, tables)
    return withheld


class Import:
    """One transaction of an import.

    Args:
        destination: The database.
        tally: Counts the outcome of every run.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        on_duplicate: What to do with runs that exist.
        compare: Whether to compare each written run with what the database stores of it.

    Attributes:
        destination: The database.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        tally: Tally,
        habits: Habits,
        creations: Mapping[str, Creation],
        on_duplicate: OnDuplicate,
        compare: bool,
    ) -> None:
        connection, tables = destination.connection, destination.plan.core_tables
        deferred = may_check_deferred(connection, tables)
        check_engines(connection, tables)
        self.destination = destination
        self._spool = destination.spool
        self._tally = tally
        self._updates = on_duplicate == "update"
        kept_rows = KeptRows(destination.connection, destination.stored, compare=compare)
        self._fast_path = FastPath(
            destination,
            tally=tally,
            kept_rows=kept_rows,
            habits=habits,
            creations=creations,
            on_duplicate=on_duplicate,
            deferred=deferred,
        )
        self._open_full_path = functools.partial(
            FullPath,
            destination,
            habits=habits,
            creations=creations,
            kept_rows=kept_rows,
            on_duplicate=on_duplicate,
            deferred=deferred,
        )

    @functools.cached_property
    def _full_path(self) -> FullPath:
        """Opened by the first run that the fast path returns: most imports have none."""
        return self._open_full_path()

    @property
    def _is_full_path_open(self) -> bool:
        return "_full_path" in vars(self)

    @property
    def entries(self) -> EntryCounts:
        """What was done to the ledger entries of updated runs."""
        fast = self._fast_path.entries
        return fast + self._full_path.entries if self._is_full_path_open else fast

    @property
    def written(self) -> set[Kind]:
        """The kinds of which runs were written."""
        return self._fast_path.written | (self._full_path.written if self._is_full_path_open else set())

    def take(self, items: Iterable[RawItem], *, last: bool) -> None:
        """Import *items*. Runs that refer to runs which are not stored wait in the spool.

        Args:
            items: In any order.
            last: Whether to import the waiting runs that can be imported now, and reject the others.
        """
        destination = self.destination
        with strict(destination.connection, destination.kinds, destination.stored):
            self._take(((item, None) for item in items), Attempt.FIRST)
            # Runs that take unique values from each other have to meet in one batch.
            with tuned(batch=tuning().batch * (_LARGER if self._updates else 1)):
                if last:
                    self._take_waiting()

    def _take_waiting(self) -> None:
        before = None
        while self._spool.waiting and self._spool.waiting != before:
            before = self._spool.waiting
            waiting = WaitingRuns(self._spool, self.destination.reader, self._tally)
            self._full_path.write_waiting(waiting)
            if not self._updates:
                break
            # Runs that exist may refer to some that have been written only now.
            self._take(self._spool.pop_waiting(), Attempt.TOGETHER)
        for attempt in (Attempt.APART, Attempt.LAST) if self._updates else (Attempt.LAST,):
            if self._spool.waiting:
                self._take(self._spool.pop_waiting(), attempt)

    def _take(self, items: Iterable[tuple[RawItem, int | None]], attempt: Attempt) -> None:
        """Import *items*, a window at a time.

        Args:
            items: Each with the number under which it has waited; None: it has not.
            attempt: What happens to runs that cannot be written yet.
        """
        for window in windows(items):
            raw_runs = self._take_fast(window)
            runs = self._take_full(raw_runs, attempt) if raw_runs else {}
            self._provide()
            self._count(window, runs)
            self.destination.resolver.trim()

    def _provide(self) -> None:
        """Tell waiting runs which runs the fast path has written."""
        written = self._fast_path.referable if self._spool.waiting else ()
        runs = [self.destination.reader.read(raw) for raw in written]
        for run in runs:
            run.outcome = "imported"
        if runs:
            self._full_path.provide(self._spool.graph, runs)

    def _count(self, window: Sequence[tuple[RawItem, int | None]], runs: Mapping[int, Run]) -> None:
        """Count the runs of a *window* with an outcome and something to report, in their order."""
        noted = {**self._fast_path.noted, **runs}
        for item, _ in window if noted else ():
            run = noted.get(id(item))
            if run is not None:
                self._tally.add(run)

    def _take_fast(self, window: Sequence[tuple[RawItem, int | None]]) -> list[tuple[RawRun, int | None]]:
        """Count unreadable lines and import what the fast path accepts; return the rest."""
        raw_runs: list[tuple[RawRun, int | None]] = []
        for item, number in window:
            if isinstance(item, UnreadableLine):
                self._tally.refuse(item)
            else:
                raw_runs.append((item, number))
        new = [raw for raw, number in raw_runs if number is None]
        with paused():
            rest = set(map(id, self._fast_path.take(new)))
        if rest:
            _log.debug("%d of %d new runs take the full path", len(rest), len(new))
        return [(raw, number) for raw, number in raw_runs if number is not None or id(raw) in rest]

    def _take_full(self, raw_runs: Sequence[tuple[RawRun, int | None]], attempt: Attempt) -> dict[int, Run]:
        """Import *raw_runs* on the full path; return those with an outcome by id, and let the others wait."""
        known = self._fast_path.read
        read = self.destination.reader.read
        numbers = {known.get(id(raw)) or read(raw): number for raw, number in with_pauses(raw_runs)}
        for run in numbers:
            if run.problems and not run.values:  # there is nothing to look up
                run.outcome = "rejected"
        self._full_path.take([run for run in numbers if run.outcome is None], attempt)
        for run, number in numbers.items():
            if run.outcome is None:
                self._full_path.wait(run, number)
        if self._spool.waiting:
            self._full_path.provide(self._spool.graph, list(numbers))
        return {id(run.raw): run for run in numbers if run.outcome is not None}


def may_check_deferred(connection: Connection, tables: Sequence[sa.Table]) -> bool:
    """Whether to check deferred constraints: not if there are none, or the caller's work violates them."""
    if not has_deferred(connection, tables):
        return False
    try:
        with savepoint(connection):
            check_deferred(connection, tables)
    except (sa.exc.DBAPIError, RowFaultError) as error:  # constraint triggers raise any class
        if row_fault(error, tables, connection) is None:
            raise
        _log.warning(
            "the session's own changes violate a deferred constraint: its COMMIT will check those constraints"
        )
        return False
    return True


def advance_sequences(connection: Connection, kinds: Iterable[Kind]) -> None:
    """Move sequences behind the keys that were imported, so that the database does not assign them again."""
    for table in (table for kind in kinds for table in kind.table.all()):
        key = table.rows.autoincrement_column
        if key is not None and key in table.columns.values():
            try:
                with savepoint(connection):
                    advance_sequence(connection, key)
            except sa.exc.ProgrammingError:
                _log.warning("the sequence of %s could not be moved behind the keys that were imported", key)
