"""Updates stored runs and their ledgers to what a document says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from histio.database.sessions import Habits
from histio.importing.batches import write
from histio.importing.collisions import explain_refusal
from histio.importing.destination import Destination
from histio.importing.repetitions import note_entries, written_here
from histio.importing.row import Row
from histio.importing.run import Run, Values
from histio.importing.update.apply import Done, Scope, amend_by_unit_of_work
from histio.importing.update.compare import BY_CONTENT, given_values, note_altered, stored_values
from histio.kinds.table import Kind, Table
from histio.report import EntryCounts, Fault
from histio.tuning import tuning


class Updater:
    """Makes stored runs what a document says of them.

    Args:
        destination: The database.
        habits: Of the session that is used.
        deferred: Whether deferred constraints are checked now.
    """

    def __init__(self, destination: Destination, *, habits: Habits, deferred: bool) -> None:
        self._destination = destination
        self._connection = destination.connection
        self._builder = destination.builder
        self._identities = destination.identities
        self._habits = habits
        self._deferred = deferred
        self._counts: Counter[str] = Counter()

    @property
    def entries(self) -> EntryCounts:
        """What was done to the ledger entries of all runs that were updated."""
        return EntryCounts(**self._counts)

    def update(self, kind: Kind, runs: Sequence[Run]) -> Iterator[list[Run]]:
        """Bring well-formed *runs* whose identity exists to their ends; give them back group by group.

        No two of a group are the same run or share an entry, and each group finds what those before it left.
        """
        for start in range(0, len(runs), tuning().page):
            pending = list(runs[start : start + tuning().page])
            while pending:
                again = self._update(kind, pending)
                yield [run for run in pending if run.outcome is not None]
                pending = again

    def _update(self, kind: Kind, runs: list[Run]) -> list[Run]:
        """Update *runs*; return those that depend on the outcome of an earlier one."""
        within = self._identities.scope(kind.table)
        self._lock(kind, runs, within)
        differing: dict[Run, set[Any]] = {}
        again: list[Run] = []
        taken: set[Any] = set()
        found = stored_values(self._connection, kind, runs, within=within, now=True)
        given = given_values(kind.table, runs, found, self._builder.as_stored)
        for run, stored in zip(runs, found, strict=True):
            if taken & _identities_of(run):
                again.append(run)
            elif isinstance(stored, str):
                run.note(Fault(f"Cannot be compared with the stored run: {stored}", "conflict"))
                run.outcome = "rejected"
            elif not BY_CONTENT.alike(kind.table, _writable(kind.table, given[run]), stored):
                differing[run] = _identities_of(replace(run, values=stored))
                taken |= differing[run] | _identities_of(run)
            else:
                run.outcome = "skipped"
        now = [run for run in runs if run not in again and run.outcome != "rejected"]
        note_altered(self._connection, kind, now, within=within)
        rows = self._builder.build(list(differing))
        self._check_entries(differing)
        for run in differing:
            run.outcome = "rejected" if run.problems else None
        accepted = {run: rows[run] for run in differing if run.outcome is None}
        self._write(kind, accepted, given, within)
        return again

    def _lock(self, kind: Kind, runs: Sequence[Run], within: Scope) -> None:
        """Let nobody else change *runs* before this transaction ends."""
        own = kind.identity.sql()
        scope = [other == value for other, value in within.items()]
        known = own.select().where(own.among([run.identity for run in runs]), *scope)
        # Rows that others share with the runs stay free, where the database can tell them apart.
        of = kind.identity.columns[0].table if own.is_joined else None
        self._connection.execute(known.order_by(*own.parts).with_for_update(of=of))

    def _check_entries(self, runs: Mapping[Run, set[Any]]) -> None:
        """Note entries that others have; *runs* each with the identities that are stored under it."""
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
        given = {row: values[run] for run, row in rows.items()}
        done: Done = {}
        failures = write(
            self._connection,
            kind.table,
            list(given),
            deferred=self._deferred,
            insert=amend_by_unit_of_work(self._habits, given, within, done),
        )
        for place, constraint in failures:
            run = list(rows)[place]
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
        for run, row in rows.items():
            outcome = done.get(row)
            if isinstance(outcome, str):
                run.note(Fault(f"Cannot be updated: {outcome}", "conflict"))
            elif outcome is not None and not run.problems:
                self._counts += outcome
            run.outcome = "rejected" if run.problems else "updated"


def _identities_of(run: Run) -> set[Any]:
    """What identifies *run* and its entries wherever they are, each with its column."""
    own = run.kind.table
    return {
        (table.identity_columns, identity)
        for table, identity, _ in run.identities()
        if table is own or table.is_shared
    }


def _writable(table: Table, values: Values) -> Values:
    """*values* without what the database computes."""
    kept = {member: value for member, value in values.items() if member not in table.computed}
    for ledger in table.ledgers:
        if kept.get(ledger.member) is not None:
            entries = [_writable(ledger.table, entry) for entry in ledger.listed(kept[ledger.member])]
            kept[ledger.member] = ledger.collect(entries)
    return kept
