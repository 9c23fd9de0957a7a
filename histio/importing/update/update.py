"""Update stored runs and their ledgers from a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from histio.database.dialects import Repeated
from histio.database.sessions import Habits
from histio.importing.batches import write
from histio.importing.collisions import explain_refusal
from histio.importing.destination import Destination
from histio.importing.receipt import read_before
from histio.importing.repetitions import note_entries, written_here
from histio.importing.row import Row
from histio.importing.run import Run, Values
from histio.importing.update.apply import Results, Scope, update_by_unit_of_work
from histio.importing.update.compare import (
    BY_CONTENT,
    lock_runs,
    read_stored,
    resolve_given,
    warn_of_altered,
)
from histio.importing.update.places import UniquePlaces
from histio.importing.update.plan import RowUpdate, count_entries
from histio.importing.update.revisions import note_revisions
from histio.kinds.table import Kind, Table
from histio.report import KEPT, EntryCounts, Fault
from histio.tuning import tuning, with_pauses


class Updater:
    """Updates stored runs.

    Args:
        destination: The database.
        habits: The habits of the host's own session.
        deferred: Whether to check deferred constraints before the transaction ends.

    Attributes:
        may_wait: Whether runs can wait until others have given up the unique values that they take.
        blocked: Those runs of the last group that take a unique value which another row still has.
    """

    def __init__(self, destination: Destination, *, habits: Habits, deferred: bool) -> None:
        self._destination = destination
        self._connection = destination.connection
        self._builder = destination.builder
        self._identities = destination.identities
        self._habits = habits
        self._deferred = deferred
        self._counts: Counter[str] = Counter()
        self._room = KEPT
        self._places: dict[Kind, UniquePlaces] = {}
        self.may_wait = False
        self.blocked: set[Run] = set()

    @property
    def entries(self) -> EntryCounts:
        """The numbers of ledger entries that were added, changed and removed."""
        return EntryCounts(**self._counts)

    def update(self, kind: Kind, runs: Sequence[Run]) -> Iterator[list[Run]]:
        """Set the outcomes of well-formed *runs* that exist, and yield them in groups.

        A group never has the same run or entry twice, so that each run is compared with what those before
        it have left.
        """
        for start in range(0, len(runs), tuning().batch):
            pending = list(runs[start : start + tuning().batch])
            while pending:
                left = self._update_group(kind, pending)
                yield [run for run in pending if run.outcome is not None]
                pending = left

    def _update_group(self, kind: Kind, runs: list[Run]) -> list[Run]:
        """Set the outcomes of *runs*; return those that share a run or an entry with one before them."""
        self.blocked.clear()
        within = self._identities.scope(kind.table)
        lock_runs(self._connection, kind, [run.identity for run in runs], within)
        stored = read_stored(self._connection, kind, runs, within=within, now=True)
        given = resolve_given(kind.table, runs, stored, self._builder.as_stored)
        differing, left = _compare(kind.table, runs, stored, given)
        compared = [run for run in runs if run not in left and run.outcome != "rejected"]
        warn_of_altered(self._connection, kind, compared, within=within)
        rows = self._builder.build(list(differing))
        self._check_entries(differing)
        for run in differing:
            run.outcome = "rejected" if run.problems else None
        accepted = {run: rows[run] for run in differing if run.outcome is None}
        self._write(kind, accepted, given, within)
        return left

    def _check_entries(self, runs: Mapping[Run, set[Any]]) -> None:
        """Note entries that exist under other runs.

        Args:
            runs: By run, the identities that are stored under it; see `_identities_of`.
        """
        sought: dict[Table, list[Any]] = {}
        for table, identity, _ in (entry for run in runs for entry in run.entries()):
            if table.is_shared:
                sought.setdefault(table, []).append(identity)
        known = {
            table: self._identities.find_known(table, wanted, now=True) for table, wanted in sought.items()
        }
        for run, own in runs.items():
            foreign = {
                (table, identity)
                for table, identity, _ in run.entries()
                if identity in known.get(table, ()) and (table.identity_columns, identity) not in own
            }
            own_runs = written_here(self._identities, self._destination.spool, [run], foreign)
            note_entries(run, foreign, own_runs)

    def _write(
        self, kind: Kind, rows: Mapping[Run, Row], values: Mapping[Run, Values], within: Scope
    ) -> None:
        """Update *rows*, and set the outcomes of their runs."""
        given = {row: values[run] for run, row in rows.items()}
        receipt, before = self._destination.receipt, {}
        if receipt is not None:
            before = read_before(self._connection, kind, [run.identity for run in rows], within)
        results: Results = {}
        places = self._places.setdefault(kind, UniquePlaces(kind.table))
        places.may_wait = self.may_wait
        failures = write(
            self._connection,
            kind.table,
            list(given),
            deferred=self._deferred,
            insert=update_by_unit_of_work(
                self._habits, given, within, results, places, sides=self._destination.sides
            ),
            places=places,
        )
        for place, constraint in failures:
            run = list(rows)[place]
            if isinstance(constraint, Repeated):
                self.blocked.add(run)
                if self.may_wait:
                    continue
            fault, steps = explain_refusal(
                self._connection,
                kind,
                rows[run],
                constraint=constraint,
                insert=None,
                deferred=self._deferred,
                stored=self._destination.stored,
            )
            run.note(fault, *steps)
        places.forget()
        for run, row in rows.items():
            result = results.get(row)
            if isinstance(result, str):
                run.note(Fault(f"Cannot be updated: {result}", "conflict"))
            run.outcome = "rejected" if run.problems or run in self.blocked else "updated"
            if run.outcome == "updated" and isinstance(result, RowUpdate):
                self._counts.update(count_entries(result))
                self._room -= note_revisions(run, result, self._room)
        if receipt is not None:
            updated = {run.identity for run in rows if run.outcome == "updated"}
            records = {each: text for each, text in before.items() if each in updated}
            receipt.note_updated(kind, records, self._destination.spool)


def _compare(
    table: Table, runs: Sequence[Run], stored: Sequence[Values | str], given: Mapping[Run, Values]
) -> tuple[dict[Run, set[Any]], list[Run]]:
    """Skip runs that are the same as stored, and reject those that cannot be compared.

    Returns:
        The runs that differ, with the identities stored under them; and the runs that share an identity with
        one of these, which are not compared.
    """
    differing: dict[Run, set[Any]] = {}
    left: list[Run] = []
    changing: set[Any] = set()
    for run, values in with_pauses(zip(runs, stored, strict=True)):
        if changing & _identities_of(run):
            left.append(run)
        elif isinstance(values, str):
            run.note(Fault(f"Cannot be compared with the stored run: {values}", "conflict"))
            run.outcome = "rejected"
        elif BY_CONTENT.is_alike(table, _without_computed(table, given[run]), values):
            run.outcome = "skipped"
        else:
            differing[run] = _identities_of(replace(run, values=values))
            changing |= differing[run] | _identities_of(run)
    return differing, left


def _identities_of(run: Run) -> set[Any]:
    """The identities that no two runs or entries share, of *run* and its entries, each with its columns."""
    own = run.kind.table
    return {
        (table.identity_columns, identity)
        for table, identity, _ in run.identities()
        if table is own or table.is_shared
    }


def _without_computed(table: Table, values: Values) -> Values:
    """*values* without the members that the database computes."""
    kept = {member: value for member, value in values.items() if member not in table.computed}
    for ledger in table.ledgers:
        if kept.get(ledger.member) is not None:
            entries = [
                _without_computed(ledger.table, entry) for entry in ledger.to_list(kept[ledger.member])
            ]
            kept[ledger.member] = ledger.collect(entries)
    return kept
