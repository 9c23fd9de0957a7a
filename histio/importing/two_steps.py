"""Write runs that refer to each other in a circle: first the rows, then the references to later runs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from histio.database.dialects import check_deferred, deferring, row_fault, savepoint
from histio.database.sessions import Habits
from histio.importing.batches import write
from histio.importing.classify import Classifier
from histio.importing.destination import Destination
from histio.importing.graph import BLANK, LATE, LEFT, Need, RunGraph
from histio.importing.open_runs import OpenRuns, load_in_groups
from histio.importing.row import Insert, Row
from histio.importing.run import Run
from histio.importing.run_writer import RunWriter
from histio.importing.second_step import set_columns
from histio.importing.update.apply import Results, Scope, update_by_unit_of_work
from histio.importing.update.places import UniquePlaces
from histio.kinds.table import Kind, Table
from histio.log import log_handled
from histio.report import Fault

_ENOUGH = 1_000
"""The number of rejected runs at which an attempt stops."""


class TwoSteps:
    """Writes runs that refer to each other, in one transaction.

    Runs that the database refuses are rejected, with all runs that need them; the others are written. No run
    is stored without a reference that it has.

    Args:
        destination: The database.
        classifier: Separates the runs to insert from those that exist.
        writer: Writes the rows of runs.
        habits: The habits of the session that is used.
        deferred: Whether deferred constraints are checked now.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        classifier: Classifier,
        writer: RunWriter,
        habits: Habits,
        deferred: bool,
    ) -> None:
        self._connection = destination.connection
        self._kinds = destination.kinds
        self._dependencies = destination.dependencies
        self._builder = destination.builder
        self._resolver = destination.resolver
        self._identities = destination.identities
        self._spool = destination.spool
        self._sides = destination.sides
        self._tables = destination.tables
        self._classifier = classifier
        self._writer = writer
        self._habits = habits
        self._deferred = deferred
        # Between the steps, values that no row has violate a constraint.
        self._checked = deferred and not self._dependencies.defers

    def write(self, graph: RunGraph, runs: OpenRuns) -> None:
        """Write the runs of *graph* that can be written; reject those that the database refuses."""
        cut = True
        while graph.solve(cut=cut):
            mark = self._spool.mark()
            runs.begin()
            failed = self._attempt(graph, runs)
            if not failed:
                return
            problems = {number: run.problems.copy() for number, run in failed.items()}
            runs.revert()
            self._spool.forget(mark)
            for kind in self._kinds:
                self._resolver.forget(kind.table.mapper.class_)
            if cut and graph.is_cut:  # a rule of the database may forbid what was left blank
                cut = False
                continue
            for number, run in failed.items():
                run.problems = problems[number]
                run.outcome = "rejected"
                runs.end(number, run)
            graph.remove(failed)

    def _attempt(self, graph: RunGraph, runs: OpenRuns) -> dict[int, Run]:
        """Write all runs of *graph*; if some are refused, write none, and return those."""
        failed: dict[int, Run] = {}
        deferred = self._tables if self._dependencies.defers else ()
        try:
            with savepoint(self._connection) as nested, deferring(self._connection, deferred):
                failed = self._write_first(graph, runs)
                if not failed:
                    failed = self._complete_all(graph, runs)
                if failed:
                    nested.rollback()
                elif self._deferred:
                    check_deferred(self._connection, deferred)
        except Exception as error:  # drivers raise faults of rows as different classes
            connection = self._connection
            if (
                not connection.in_transaction()
                or (fault := row_fault(error, self._tables, connection)) is None
            ):
                raise
            failed = {number: runs.load(number) for number, _, _ in graph.runs(least=LATE)}
            if not failed:
                raise
            log_handled(f"a deferred constraint refuses some of {len(failed)} runs", error)
            for run in failed.values():  # the database does not say which of them it is
                run.note(Fault(f"Cannot be written: {fault}", "constraint"))
        return failed

    def _write_first(self, graph: RunGraph, runs: OpenRuns) -> dict[int, Run]:
        """Write all runs, level by level, without references to later runs; return those refused."""
        failed: dict[int, Run] = {}
        for _, level in itertools.groupby(graph.runs(), key=lambda each: each[1]):
            for group in load_in_groups(level, runs):
                failed |= self._write_group(group, graph, runs)
                self._resolver.trim()
                if len(failed) >= _ENOUGH:
                    return failed
            if failed:  # otherwise, runs that need those would be reported as well
                return failed
        return failed

    def _write_group(self, group: Mapping[int, Run], graph: RunGraph, runs: OpenRuns) -> dict[int, Run]:
        fresh = self._classifier.select_writable(list(group.values()))
        self._builder.look_up(fresh)
        lacking = {run: self._dependencies.find_missing(run, self._resolver) for run in fresh}
        for run in fresh:
            self._dependencies.expect(run, graph, self._resolver, hard=False)
        first = {run: _without_late(run, lacking[run]) for run in fresh}
        rows = self._builder.build(list(first.values()))
        self._resolver.forget_expected()
        for kind in self._kinds:
            own = [run for run in fresh if run.kind is kind and not run.problems]
            of_kind = {run: rows[first[run]] for run in own}
            rivals = self._writer.write(kind, of_kind, deferred=self._checked)
            self._classifier.settle(kind, rivals)
        failed = {}
        for number, run in group.items():
            if run.problems:
                failed[number] = run
            elif run.outcome is None:
                graph.note_step(number, LEFT)
            elif run.outcome == "imported" and lacking[run]:
                graph.note_step(number, min(need.softness for need in lacking[run]))
            else:
                runs.end(number, run)
        return failed

    def _complete_all(self, graph: RunGraph, runs: OpenRuns) -> dict[int, Run]:
        """Write the references that were left out of all runs; return the runs that are refused."""
        failed: dict[int, Run] = {}
        for step in (BLANK, LATE):
            of_step = (each for each in graph.runs(least=LATE) if each[2] == step)
            for group in load_in_groups(of_step, runs):
                failed |= self._complete(group, runs, late=step == LATE)
                if len(failed) >= _ENOUGH:
                    return failed
        return failed

    def _complete(self, group: Mapping[int, Run], runs: OpenRuns, *, late: bool) -> dict[int, Run]:
        """Write the references that were left out of a *group*; return the runs that are refused."""
        for run in group.values():
            run.forget()  # what was noted in the first step is noted again
        rows = self._builder.build(list(group.values()))
        self._resolver.trim()
        for kind in self._kinds:
            own = {run: rows[run] for run in group.values() if run.kind is kind and not run.problems}
            self._complete_kind(kind, own, late=late)
        failed = {number: run for number, run in group.items() if run.problems}
        for number, run in group.items():
            if not run.problems:
                run.outcome = "imported"
                runs.end(number, run)
        return failed

    def _complete_kind(self, kind: Kind, rows: Mapping[Run, Row], *, late: bool) -> None:
        within = self._identities.scope(kind.table)
        results: Results = {}
        given = {row: run.values for run, row in rows.items()}
        update = update_by_unit_of_work(
            self._habits, given, within, results, UniquePlaces(kind.table), sides=self._sides
        )
        failures = write(
            self._connection,
            kind.table,
            list(rows.values()),
            deferred=self._checked,
            insert=self._second_step(kind, within, update if late else None),
        )
        for place, constraint in failures:
            list(rows)[place].note(Fault(f"Cannot be written: {constraint}", "constraint"))
        for run, row in rows.items():
            result = results.get(row)
            if isinstance(result, str):
                run.note(Fault(f"Cannot be written: {result}", "conflict"))

    def _second_step(self, kind: Kind, within: Scope, update: Insert | None) -> Insert:
        """A function that completes rows: it updates their columns, and *update* writes their ledgers."""
        columns = self._dependencies.blank_columns(kind)

        def complete(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
            set_columns(connection, kind, columns, rows, within=within)
            if update is not None:
                update(connection, table, rows)

        return complete


def _without_late(run: Run, needs: Collection[Need]) -> Run:
    """*run* without the members that are written after the runs in *needs*."""
    late = {need.late for need in needs if need.late is not None}
    return replace(run, values={key: value for key, value in run.values.items() if key not in late})
