"""Write runs, and find out why some of them are refused."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from histio.database.dialects import Repeated, hides_rivals
from histio.database.sessions import Habits
from histio.importing.batches import write
from histio.importing.collisions import explain_refusal, explain_taken_uuid
from histio.importing.destination import Destination
from histio.importing.identities import Rivals
from histio.importing.model_behavior import Creation
from histio.importing.objects import choose_insert
from histio.importing.row import Insert, Row
from histio.importing.row_counts import KeptRows, count_rows
from histio.importing.run import Run
from histio.kinds.keys import unique_on
from histio.kinds.table import Kind

_RENAMED = "if it was renamed, read the old slug as the new one with rename="


class RunWriter:
    """Writes the rows of runs that do not exist.

    Args:
        destination: The database.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        kept_rows: Decides whether rows have to be counted after they are written.
        deferred: Whether deferred constraints are checked now.

    Attributes:
        written: The kinds of which runs have been written.
        blocked: The runs of the last call that have a unique value which another row has.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        habits: Habits,
        creations: Mapping[str, Creation],
        kept_rows: KeptRows,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._habits = habits
        self._creations = creations
        self._kept_rows = kept_rows
        self._deferred = deferred
        self.written: set[Kind] = set()
        self.blocked: list[Run] = []

    def write(self, kind: Kind, rows: Mapping[Run, Row], *, deferred: bool) -> list[Run]:
        """Write the *rows* of runs of *kind*, and set the outcomes of the runs.

        Args:
            kind: The kind of the runs.
            rows: The row of each run.
            deferred: Whether deferred constraints are checked now.

        Returns:
            Runs that another client has written since they were looked up. They have no outcome.

        Raises:
            sqlalchemy.exc.DBAPIError: No row is at fault, as after a deadlock or a lost connection.
        """
        self.blocked.clear()
        if not rows:
            return []
        destination, runs = self._destination, list(rows)
        identities = {row: run.identity for run, row in rows.items()}
        rivals = Rivals(destination.identities, kind.table, identities)
        within = destination.identities.scope(kind.table)
        counts_all = self._kept_rows.must_be_counted(kind)
        choose = functools.partial(
            choose_insert, self._creations[kind.name], self._habits, within=tuple(within)
        )
        failures = write(
            destination.connection,
            kind.table,
            list(rows.values()),
            deferred=deferred,
            rivals=rivals,
            insert=choose(count=count_rows(identities, within), counts_all=counts_all),
        )
        by_run = ((runs[place], constraint) for place, constraint in failures)
        written_by_others = self._reject_refused(kind, rivals, rows, by_run, choose(count=None))
        imported = [run for run in runs if run.outcome is None and run not in written_by_others]
        self._note_imported(kind, imported)
        if written_by_others:
            destination.resolver.see_latest([kind.table.mapper.class_])
        return written_by_others

    def _reject_refused(
        self,
        kind: Kind,
        rivals: Rivals,
        rows: Mapping[Run, Row],
        failures: Iterable[tuple[Run, str]],
        insert: Insert,
    ) -> list[Run]:
        """Reject the runs of which the rows are refused; return those that another client has written.

        *failures*: these runs, each with the constraint, while further rows are written.
        """
        written_by_others: list[Run] = []
        others: dict[Run, str] = {}
        for run, constraint in failures:
            if not isinstance(constraint, Repeated):
                others[run] = constraint
            elif self._is_rival(kind, rivals, rows[run], constraint):
                written_by_others.append(run)
            else:  # now, because further rows may have the value, too
                self._reject(run, rows[run], constraint, insert)
        found = rivals.find([rows[run] for run in others]) if others else ()
        for run, constraint in others.items():
            if rows[run] in found:
                written_by_others.append(run)
            else:
                self._reject(run, rows[run], constraint, insert)
        return written_by_others

    def _is_rival(self, kind: Kind, rivals: Rivals, row: Row, constraint: str) -> bool:
        """Whether *row* was refused because another client has written the run meanwhile."""
        if rivals.find([row]):
            return True
        # A transaction that reads an older snapshot knows it from the constraint alone.
        return constraint in unique_on(*kind.identity.columns) and hides_rivals(self._destination.connection)

    def _reject(self, run: Run, row: Row, constraint: str, insert: Insert) -> None:
        destination = self._destination
        within = destination.identities.scope(run.kind.table)
        taken = isinstance(constraint, Repeated) and explain_taken_uuid(destination.connection, run, within)
        fault, steps = taken or explain_refusal(
            destination.connection,
            run.kind,
            row,
            constraint=constraint,
            insert=insert,
            deferred=self._deferred,
            stored=destination.stored,
        )
        run.note(fault, *steps, hint=_RENAMED if taken else None)
        run.outcome = "rejected"
        if isinstance(constraint, Repeated):
            self.blocked.append(run)

    def _note_imported(self, kind: Kind, runs: list[Run]) -> None:
        for run in runs:
            run.outcome = "imported"
        if runs:
            self.written.add(kind)
        self._destination.spool.note(kind.name, [(run.uuid or "", run.place) for run in runs])
        if self._destination.receipt is not None:
            identities = [run.identity for run in runs]
            self._destination.receipt.note_created(kind, identities, self._destination.spool)
        self._destination.resolver.forget_missing(kind.table.mapper.class_)
