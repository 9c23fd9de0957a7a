"""One transaction of an import: read, classify, resolve, write and report runs, a window at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    RowFaultError,
    advance_sequence,
    check_deferred,
    check_engines,
    refresh_statistics,
    savepoint,
    strict,
)
from histio.database.sessions import Habits
from histio.exporting.fast.collector import paused
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.importing.classify import Classifier
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.duplicates import Duplicates
from histio.importing.fast.take import FastPath
from histio.importing.graph import LEFT, Need, RunGraph
from histio.importing.parse import OnDuplicate, Run
from histio.importing.repetitions import shared_identities
from histio.importing.row_counts import RowCounts
from histio.importing.run_writer import RunWriter
from histio.importing.two_steps import RunsOfWindow, TwoSteps, WaitingRuns
from histio.importing.update.update import Updater
from histio.importing.windows import windows
from histio.kinds.table import Kind, Table
from histio.report import EntryCounts
from histio.tuning import tuning

_log = logging.getLogger("histio")


def import_items(
    destination: Destination,
    items: Iterable[RawItem],
    *,
    tally: Tally,
    habits: Habits,
    unit_of_work: Mapping[str, Sequence[str]],
    on_duplicate: OnDuplicate = "skip",
    last: bool = True,
    atomic: bool = False,
    dry_run: bool = False,
) -> bool:
    """Import *items* in one transaction.

    Args:
        destination: The database.
        items: In any order. If the iterator raises, everything is rolled back.
        tally: Counts the outcome of every run.
        habits: The habits of the session that is used.
        unit_of_work: By name, the kinds that the unit of work writes, with the reasons.
        on_duplicate: What to do with runs that exist.
        last: Whether no other transaction of this import follows, so that runs need not wait any longer
            for those that they refer to.
        atomic: Whether to roll everything back if a run is rejected.
        dry_run: Whether to roll everything back in any case.

    Returns:
        Whether everything was rolled back because a run was rejected.

    Raises:
        sqlalchemy.exc.DBAPIError: No run is at fault, as after a lost connection; nothing is written.
    """
    connection, tables = destination.connection, destination.tables
    with savepoint(connection) as nested:
        check_engines(connection, tables)
        work = Import(
            destination,
            tally=tally,
            habits=habits,
            unit_of_work=unit_of_work,
            on_duplicate=on_duplicate,
            deferred=_may_check_deferred(connection, tables),
        )
        with strict(connection):
            work.take(items)
            if last:
                work.take_waiting()
        tally.add_entries(work.entries)
        withheld = atomic and tally.rejected > 0
        if dry_run or withheld:
            nested.rollback()
        else:
            _advance_sequences(connection, work.written)
            if last and tally.written >= tuning().refresh_from:
                refresh_statistics(connection, tables)
    return withheld


class Import:
    """The work of one transaction of an import.

    Args:
        destination: The database.
        tally: Counts the outcome of every run.
        habits: The habits of the session that is used.
        unit_of_work: By name, the kinds that the unit of work writes, with the reasons.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        tally: Tally,
        habits: Habits,
        unit_of_work: Mapping[str, Sequence[str]],
        on_duplicate: OnDuplicate,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._dependencies = destination.dependencies
        self._spool = destination.spool
        self._resolver = destination.resolver
        self._tally = tally
        self._updates = on_duplicate == "update"
        self._deferred = deferred
        self._open: dict[Run, list[Need]] = {}
        counts = RowCounts(destination.connection)
        self._fast_path = FastPath(
            destination,
            tally=tally,
            counts=counts,
            unit_of_work=unit_of_work,
            on_duplicate=on_duplicate,
            deferred=deferred,
        )
        self._updater = Updater(destination, habits=habits, deferred=deferred)
        self._duplicates = Duplicates(destination, on_duplicate, self._updater)
        self._classifier = Classifier(destination, self._duplicates)
        self._writer = RunWriter(
            destination, habits=habits, unit_of_work=unit_of_work, counts=counts, deferred=deferred
        )
        self._two_steps = TwoSteps(
            destination,
            classifier=self._classifier,
            writer=self._writer,
            habits=habits,
            deferred=deferred,
        )

    @property
    def entries(self) -> EntryCounts:
        """What was done to the ledger entries of updated runs."""
        return self._updater.entries

    @property
    def written(self) -> set[Kind]:
        """The kinds of which runs were written."""
        return self._fast_path.written | self._writer.written | self._duplicates.written

    def take(self, items: Iterable[RawItem]) -> None:
        """Import *items*. Runs that refer to runs which are not stored wait in the spool."""
        self._take(((item, None) for item in items), last=False)

    def take_waiting(self) -> None:
        """Import the waiting runs that can be imported; reject the others."""
        before = None
        while self._spool.waiting and self._spool.waiting != before:
            before = self._spool.waiting
            waiting = WaitingRuns(self._spool, self._destination.reader, self._tally)
            self._two_steps.write(self._spool.graph, waiting)
            self._spool.end(number for number, _, step in self._spool.graph.runs() if step != LEFT)
            if not self._updates:
                break
            # Runs that exist may refer to some that have been written only now.
            self._take(self._spool.again(), last=False)
        self._take(self._spool.again(), last=True)

    def _take(self, items: Iterable[tuple[RawItem, int | None]], *, last: bool) -> None:
        """Import *items*, a window at a time.

        Args:
            items: Each with the number under which it has waited; None: it has not.
            last: Whether to reject runs that refer to runs which are not stored. False: they wait.
        """
        for window in windows(items):
            raw_runs = self._take_fast(window)
            numbers = {self._destination.reader.read(raw): number for raw, number in raw_runs}
            self._take_window(list(numbers), last=last)
            for run, number in numbers.items():
                if run.outcome is None:
                    self._wait(run, number)
                else:
                    self._tally.add(run)
            if self._spool.waiting:
                self._provide(self._spool.graph, list(numbers))
            self._resolver.let_go()

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
            left = set(map(id, self._fast_path.take(new)))
        ended = {id(raw) for raw in new} - left
        if left:
            _log.debug("%d of %d new runs take the full path", len(left), len(new))
        return [(raw, number) for raw, number in raw_runs if id(raw) not in ended]

    def _take_window(self, runs: list[Run], *, last: bool) -> None:
        """Import *runs* on the full path, those that others refer to first."""
        self._open.clear()
        for run in runs:
            self._destination.note_keys(run)
        for wave in self._dependencies.waves(runs):
            pending = wave
            while pending:
                pending = self._import(pending, last=last)
        self._write_open(runs)
        for run in runs if last else ():
            run.outcome = run.outcome or "rejected"

    def _import(self, runs: list[Run], *, last: bool) -> list[Run]:
        """Import *runs*; return those that share an identity with another one of them.

        These are classified again, because the outcome of the other decides about them. Runs that refer to
        runs which are not stored get no outcome, unless this is the *last* attempt.
        """
        fresh = self._classifier.select_fresh(runs)
        rows = self._destination.builder.build(fresh)
        fresh = self._classifier.check_entries(fresh)
        accepted: list[Run] = []
        again: list[Run] = []
        taken: set[tuple[Table, Any]] = set()
        for run in fresh:
            own = shared_identities(run)
            if run.well_formed and taken & own:
                run.forget()
                again.append(run)
            elif run.problems:
                self._reject_or_wait(run, last=last)
            else:
                accepted.append(run)
                taken |= own
        for kind in self._destination.kinds:
            of_kind = {run: rows[run] for run in accepted if run.kind is kind}
            rivals = self._writer.write(kind, of_kind, deferred=self._deferred)
            self._classifier.settle(kind, rivals)
        return again

    def _reject_or_wait(self, run: Run, *, last: bool) -> None:
        """Reject a *run* with problems, unless a run that it refers to may still come."""
        needs = [] if last else self._dependencies.lacking(run, self._resolver)
        run.outcome = None if needs else "rejected"
        if needs and run.is_open(needs):
            self._open[run] = needs

    def _write_open(self, runs: Sequence[Run]) -> None:
        """Write those of *runs* that need only each other."""
        still = [run for run in runs if run.outcome is None and run in self._open]
        if not still:
            return
        graph = self._spool.window
        graph.clear()
        for number, run in enumerate(still):
            graph.add(number, self._dependencies.names_of(run), self._open[run])
        self._provide(graph, runs)
        self._two_steps.write(graph, RunsOfWindow(dict(enumerate(still))))

    def _wait(self, run: Run, number: int | None) -> None:
        number = self._spool.wait(run.raw, number)
        if run in self._open:
            self._spool.graph.add(number, self._dependencies.names_of(run), self._open[run])

    def _provide(self, graph: RunGraph, runs: Sequence[Run]) -> None:
        """Tell *graph* which of *runs* are stored now."""
        written = (run for run in runs if run.outcome in ("imported", "updated"))
        graph.provide(name for run in written for name in self._dependencies.names_of(run))


def _may_check_deferred(connection: Connection, tables: Sequence[sa.Table]) -> bool:
    """Whether deferred constraints can be checked: not if the caller's own work violates them for now."""
    try:
        with savepoint(connection):
            check_deferred(connection, tables)
    except (sa.exc.IntegrityError, RowFaultError):
        _log.warning("the session's own work breaks a deferred constraint: those are left to its COMMIT")
        return False
    return True


def _advance_sequences(connection: Connection, kinds: Iterable[Kind]) -> None:
    """Move sequences behind the keys that were imported, so that the database does not assign them again."""
    for table in (table for kind in kinds for table in kind.table.all()):
        key = table.rows.autoincrement_column
        if key is not None and key in table.columns.values():
            try:
                with savepoint(connection):
                    advance_sequence(connection, key)
            except sa.exc.ProgrammingError:
                _log.warning("the sequence of %s could not be moved behind the keys that were imported", key)
