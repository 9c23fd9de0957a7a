"""Look up what an import would find in the database, without writing anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from histio.database.dialects import neutral_savepoint
from histio.database.sessions import Habits
from histio.exporting.fast.formatter import RowFormatter
from histio.exporting.plan import plan_export
from histio.files.raw_runs import RawRun
from histio.importing.counts import Tally
from histio.importing.destination import Destination, find_noted, note_keys
from histio.importing.fast.take import FastPath
from histio.importing.fast.writers import Writer
from histio.importing.missing_indexes import explain_missing_indexes
from histio.importing.repetitions import note_entries, note_repeated
from histio.importing.row_counts import KeptRows
from histio.importing.run import OnCatalog, Run
from histio.importing.spool import Spool
from histio.importing.windows import windows
from histio.kinds.table import Kind, Table
from histio.report import Problem
from histio.resolving.circles import circle_warnings
from histio.resolving.lookup import Found
from histio.resolving.resolve import MemberFault, Resolver, Values, slugs_in
from histio.tuning import with_pauses


class LookUps:
    """Looks up records and runs in a database; writes nothing.

    Args:
        destination: The database.
        rows: Looks up the catalog rows of the same file; None: it has none.

    Attributes:
        rows: Looks up the catalog rows of the same file, which come before the runs; None: it has none.
    """

    def __init__(self, destination: Destination, rows: CatalogLookUps | None = None) -> None:
        self.rows = rows
        self._destination = destination
        self._resolver = destination.resolver
        self._spool = destination.spool

    @property
    def refers_to_runs(self) -> bool:
        """Whether runs of some kind refer to other runs."""
        return self._destination.dependencies.exist

    @property
    def has_limits(self) -> bool:
        """Whether the database keeps less of some values than the format allows."""
        by_table = self._destination.builder.limits.values()
        return any(not limit.is_rare for limits in by_table for limit in limits.values())

    @property
    def needs_every_run(self) -> bool:
        """Whether valid runs have to be looked up, even if all that they refer to is known."""
        return self.refers_to_runs or self.has_limits

    def is_possible(self, column: sa.Column[Any], value: Any) -> bool:
        """Whether the character set of *column* has all characters of *value*."""
        return bool(self._destination.identities.character_sets.select_possible([value], lambda: [column]))

    def find_related(self, table: Table, record: Values) -> tuple[list[Found], list[MemberFault]]:
        """The rows that a loaded *record* of *table* refers to, and the faults of its references."""
        self._resolver.collect(table, [record])
        self._resolver.fetch()
        rows: list[Found] = []
        faults: list[MemberFault] = []
        for reference in table.references:
            row, wrong = self._resolver.resolve(reference, record)
            rows += [] if row is None else [row]
            faults += wrong
        for links in table.links:
            linked, wrong = self._resolver.resolve_links(links, record)
            rows += linked
            faults += wrong
        return rows, faults

    def check_references(self, table: Table, records: Sequence[Values]) -> list[list[MemberFault]]:
        """For each of the loaded *records* of *table*, the faults of its references."""
        self._resolver.collect(table, records)
        self._resolver.fetch()
        faults = [
            [
                *self._resolver.find_faults(table, record),
                *(each for one in table.snapshots for each in self._resolver.check_snapshot(one, record)),
            ]
            for record in records
        ]
        self._resolver.trim()
        return faults

    def find_known(self, kind: Kind, identities: Iterable[Any]) -> list[Any]:
        """Those of the loaded *identities* of runs of *kind* that exist."""
        return list(self._destination.identities.find_known(kind.table, identities))

    def scope(self, kind: Kind) -> Mapping[sa.Column[Any], Any]:
        """The columns that identify a run of *kind* together with its identity, and their values."""
        return self._destination.identities.scope(kind.table)

    def as_stored(self, table: Table, record: dict[str, Any]) -> dict[str, Any]:
        """A loaded *record* of *table* with the slugs that an export would write."""
        [stored] = self._destination.builder.as_stored(table, [record], fill=True)
        self._resolver.trim()
        return stored

    def check(self, raw_runs: Iterable[RawRun]) -> list[Problem]:
        """The problems and warnings of *raw_runs*: form, references, and UUIDs that come twice."""
        checked = list(with_pauses(raw_runs))
        if self.refers_to_runs:
            self.expect(checked)
        runs = self.look_up(checked)
        for run in with_pauses(runs):
            if not run.problems:  # a rejected run leaves its identities to others
                note_repeated(run, self._spool)
        return [problem for run in runs for problem in run.findings()]

    def expect(self, raw_runs: Iterable[RawRun]) -> None:
        """Find out which of *raw_runs* could be imported; `look_up` then resolves references to them."""
        dependencies = self._destination.dependencies
        numbers = itertools.count()
        for window in windows((raw, None) for raw in raw_runs):
            runs = [self._destination.reader.read(raw) for raw, _ in window]
            self._resolve(runs)
            for run in runs:
                needs = dependencies.find_missing(run, self._resolver)
                if run.is_open(needs):
                    self._spool.graph.add(next(numbers), dependencies.names_of(run), needs)
            self._resolver.trim()
        self._spool.graph.solve()

    def look_up(self, raw_runs: Iterable[RawRun]) -> list[Run]:
        """The runs of *raw_runs*, with the problems of their form and their references."""
        runs = [self._destination.reader.read(raw) for raw in with_pauses(raw_runs)]
        readable = [run for run in runs if run.values]
        for run in with_pauses(readable):
            self._destination.dependencies.expect(run, self._spool.graph, self._resolver, hard=True)
            if self.rows is not None:
                self.rows.expect_rows(run, self._resolver)
        self._resolve(readable)
        self._resolver.forget_expected()
        self._resolver.trim()
        return runs

    def _resolve(self, runs: Sequence[Run]) -> None:
        for run in with_pauses(runs):
            self._destination.note_keys(run)
        with neutral_savepoint(self._destination.connection, *self._destination.kinds):
            self._destination.builder.build(runs)
        for run in with_pauses(runs):
            note_entries(run)

    def export_path(self, kind: Kind) -> RowFormatter | str:
        """What exports *kind* on the fast path; a text: why it takes the full path."""
        return plan_export(kind, self._destination.connection.dialect).path

    def import_path(self, kind: Kind) -> Writer | str:
        """What imports *kind* on the fast path; a text: why it takes the full path."""
        kinds = self._destination.kinds
        path = FastPath(
            self._destination,
            tally=Tally(kinds),
            kept_rows=KeptRows(self._destination.connection, self._destination.stored),
            habits=Habits(),
            creations=self._destination.plan.creations(Habits()),
            on_duplicate="skip",
            deferred=True,
        )
        return path.find_writer(kind)

    def missing_indexes(self, kind: Kind) -> list[str]:
        """A line for each index that *kind* needs and the database lacks."""
        return explain_missing_indexes(self._destination.connection, kind, self.scope(kind))

    def circle_warnings(self) -> list[Problem]:
        """A warning for each kind whose runs no import can write."""
        return list(circle_warnings(self._destination.kinds, self._destination.connection.dialect))


class CatalogLookUps(LookUps):
    """Looks up the catalog rows of a file, and remembers those that an import would write.

    Args:
        destination: The database, for catalog rows.
        accepted: Remembers the rows that the import would write.
        absent: Remembers the rows that it would ignore or reject.
        on_catalog: What the import would do with the rows.
    """

    def __init__(
        self, destination: Destination, accepted: Spool, absent: Spool, on_catalog: OnCatalog
    ) -> None:
        super().__init__(destination)
        self._accepted = accepted
        self._absent = absent
        self._is_ignored = on_catalog == "ignore"
        self._keeps_existing = on_catalog == "create"

    @property
    def refers_to_runs(self) -> bool:
        """Whether rows of some kind refer to other rows; False if the import would ignore them."""
        return not self._is_ignored and super().refers_to_runs

    @property
    def needs_every_run(self) -> bool:
        """True: each row has to be remembered."""
        return True

    def check(self, raw_runs: Iterable[RawRun]) -> list[Problem]:
        """The problems and warnings of catalog rows; without references, if the import would ignore them."""
        if not self._is_ignored:
            return super().check(raw_runs)
        return [problem for row in self.look_up(raw_runs) for problem in row.findings()]

    def look_up(self, raw_runs: Iterable[RawRun]) -> list[Run]:
        """The rows of *raw_runs*, with the problems of their form and their references."""
        if self._is_ignored:
            rows = [self._destination.reader.read(raw) for raw in with_pauses(raw_runs)]
            self._note(self._absent, rows)
            return rows
        rows = super().look_up(raw_runs)
        self._note(self._absent, [row for row in rows if row.problems])
        for kind in self._destination.kinds:
            of_kind = [row for row in rows if row.kind is kind and not row.problems]
            identities = [row.identity for row in of_kind if self._keeps_existing]
            known = self._destination.identities.find_known(kind.table, identities)
            self._note(self._accepted, [row for row in of_kind if row.identity not in known])
        return rows

    def _note(self, spool: Spool, rows: Iterable[Run]) -> None:
        """Remember the keys of *rows* in *spool*."""
        for row in rows:
            note_keys(spool, self._destination.dependencies, row)

    def expect_rows(self, run: Run, resolver: Resolver) -> None:
        """Let *resolver* expect the accepted rows that *run* refers to."""
        for model, sought in slugs_in(run.kind.table, [run.values]):
            if find_noted(self._accepted, model, sought) is not None:
                resolver.expect(model, sought)
