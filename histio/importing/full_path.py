"""The full path of imports: validate, classify, resolve and write runs of any form."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from histio.database.sessions import Habits
from histio.importing.classify import Classifier
from histio.importing.destination import Destination
from histio.importing.duplicates import Duplicates
from histio.importing.graph import LEFT, Need, RunGraph
from histio.importing.model_behavior import Creation
from histio.importing.open_runs import RunsOfWindow, WaitingRuns, load_in_groups
from histio.importing.repetitions import shared_identities
from histio.importing.row_counts import KeptRows
from histio.importing.run import WRITTEN, OnDuplicate, Run
from histio.importing.run_writer import RunWriter
from histio.importing.two_steps import TwoSteps
from histio.importing.update.compare import warn_of_changed
from histio.importing.update.update import Updater
from histio.kinds.table import Kind, Table
from histio.report import EntryCounts
from histio.tuning import with_pauses


class Attempt(enum.Enum):
    """What happens to runs that refer to runs which are not stored, or take unique values that others have.

    Attributes:
        FIRST: They wait.
        TOGETHER: They wait; the runs, which have waited before, can take values from each other.
        APART: Those that refer to runs wait; those that take values are tried alone, and rejected.
        LAST: They are rejected.
    """

    FIRST = enum.auto()
    TOGETHER = enum.auto()
    APART = enum.auto()
    LAST = enum.auto()


class FullPath:
    """The full path of one transaction of an import.

    Args:
        destination: The database.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        kept_rows: Decides what has to be checked after rows are written.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        habits: Habits,
        creations: Mapping[str, Creation],
        kept_rows: KeptRows,
        on_duplicate: OnDuplicate,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._dependencies = destination.dependencies
        self._spool = destination.spool
        self._resolver = destination.resolver
        self._kept_rows = kept_rows
        self._updates = on_duplicate == "update"
        self._attempt = Attempt.FIRST
        self._deferred = deferred
        self._open: dict[Run, list[Need]] = {}
        self._updater = Updater(destination, habits=habits, deferred=deferred)
        self._duplicates = Duplicates(destination, on_duplicate, self._updater)
        self._classifier = Classifier(destination, self._duplicates)
        self._writer = RunWriter(
            destination, habits=habits, creations=creations, kept_rows=kept_rows, deferred=deferred
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
        return self._writer.written | self._duplicates.written

    def take(self, runs: list[Run], attempt: Attempt) -> None:
        """Import *runs*, beginning with those that others refer to. Runs that have to wait get no outcome."""
        self._open.clear()
        self._attempt = attempt
        self._updater.may_wait = attempt in (Attempt.FIRST, Attempt.TOGETHER)
        for run in runs:
            self._destination.note_keys(run)
        is_together = attempt in (Attempt.TOGETHER, Attempt.APART)
        for wave in [runs] if is_together else self._dependencies.waves(runs):
            pending = wave
            while pending:
                pending = self._import(pending)
        self._write_open(runs)
        for run in runs if attempt is Attempt.LAST else ():
            run.outcome = run.outcome or "rejected"
        self._warn_of_changed([run for run in runs if run.outcome in WRITTEN])

    def write_waiting(self, waiting: WaitingRuns) -> None:
        """Write the *waiting* runs that need only stored runs and each other."""
        graph = self._spool.graph
        self._two_steps.write(graph, waiting)
        if any(map(self._kept_rows.must_be_compared, self._destination.kinds)):
            for group in load_in_groups((each for each in graph.runs() if each[2] != LEFT), waiting):
                self._warn_of_changed(group.values())
                waiting.warn(group.values())
        self._spool.end(number for number, _, step in graph.runs() if step != LEFT)

    def wait(self, run: Run, number: int | None) -> None:
        """Let *run* wait, under the *number* under which it has waited before, if it has."""
        number = self._spool.wait(run.raw, number)
        if run in self._open:
            self._spool.graph.add(number, self._dependencies.names_of(run), self._open[run])

    def provide(self, graph: RunGraph, runs: Sequence[Run]) -> None:
        """Tell *graph* which of *runs* are stored now."""
        written = (run for run in runs if run.outcome in WRITTEN)
        graph.provide(name for run in written for name in self._dependencies.names_of(run))

    def _warn_of_changed(self, written: Collection[Run]) -> None:
        """Warn in *written* runs about values that the database has changed."""
        for kind in self._destination.kinds:
            of_kind = [run for run in written if run.kind is kind]
            if of_kind and self._kept_rows.must_be_compared(kind):
                warn_of_changed(self._destination, kind, of_kind)

    def _import(self, runs: list[Run]) -> list[Run]:
        """Import *runs*; return those that share an identity with another one of them.

        These are classified again, because the outcome of the other decides about them.
        """
        fresh = self._classifier.select_fresh(runs)
        rows = self._destination.builder.build(fresh)
        fresh = self._classifier.check_entries(fresh)
        accepted: list[Run] = []
        again: list[Run] = []
        taken: set[tuple[Table, Any]] = set()
        for run in with_pauses(fresh):
            own = shared_identities(run)
            if run.well_formed and taken & own:
                run.forget()
                again.append(run)
            elif run.problems:
                self._reject_or_wait(run)
            else:
                accepted.append(run)
                taken |= own
        for kind in self._destination.kinds:
            of_kind = {run: rows[run] for run in accepted if run.kind is kind}
            rivals = self._writer.write(kind, of_kind, deferred=self._deferred)
            self._classifier.settle(kind, rivals)
            for run in self._writer.blocked if self._updates and self._updater.may_wait else ():
                run.outcome = None  # an update may give up the value
        return again

    def _reject_or_wait(self, run: Run) -> None:
        """Reject a *run* with problems, unless a run that it refers to may still come."""
        is_last = self._attempt is Attempt.LAST
        needs = [] if is_last else self._dependencies.find_missing(run, self._resolver)
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
        self.provide(graph, runs)
        self._two_steps.write(graph, RunsOfWindow(dict(enumerate(still))))
