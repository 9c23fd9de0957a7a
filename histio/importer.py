"""The way in: read → classify → resolve → write → report, a set of runs at a time."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection

from histio.comparison import differences
from histio.contract import Contract, pointer
from histio.dependencies import Dependencies
from histio.dialects import (
    RowFaultError,
    advance_sequence,
    check_deferred,
    check_engines,
    hides_rivals,
    limits,
    savepoint,
    strict,
)
from histio.errors import DocumentError
from histio.exporter import PAGE, export_known
from histio.identities import Identities
from histio.kinds import Kind, Table
from histio.mapping import attribute, unique_on
from histio.report import Code, Counts, Fault, ImportReport, Problem
from histio.resolver import Resolver
from histio.rows import Constants, RowBuilder
from histio.runs import Reader, Renames, Run
from histio.sessions import Habits
from histio.unit_of_work import insert_by_unit_of_work, reasons
from histio.versions import Versions
from histio.writer import Row, insert_in_bulk, write

_log = logging.getLogger("histio")

OnDuplicate = Literal["skip", "error", "verify"]


class Import:
    """One import of one document.

    Args:
        connection: In a transaction; what is written stays in it.
        kinds: The kinds of run a document may carry.
        contract: The JSON Schema of such documents.
        versions: The versions of the format that are read.
        values: By attribute, what columns are filled with that the format leaves out.
        habits: Of the session that is used, for kinds that the unit of work writes.
        on_duplicate: What to do with a run whose identity exists.
        rename: By name on the wire, slugs to read as other slugs.
    """

    def __init__(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        contract: Contract,
        *,
        versions: Versions,
        values: Constants,
        habits: Habits,
        on_duplicate: OnDuplicate = "skip",
        rename: Renames | None = None,
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._contract = contract
        self._on_duplicate = on_duplicate
        self._reader = Reader(kinds, contract, versions, rename or {})
        self._values = {name: value() if callable(value) else value for name, value in values.items()}
        self._dependencies = Dependencies(kinds)
        tables = [table for kind in kinds for table in kind.table.all()]
        self._tables = [rows for table in tables for rows in table.core_tables]
        self._deferred = True
        self._identities = Identities(connection, self._values)
        # A run may refer to one of an earlier import, whatever that was filled with.
        runs = {
            kind.table.mapper.class_: {
                attribute(kind.table.mapper, column).key: value
                for column, value in self._identities.scope(kind.table).items()
            }
            for kind in kinds
        }
        self._resolver = Resolver(connection.execute, tables, scope=self._values, scopes=runs)
        limit = functools.partial(limits, connection.dialect)
        self._builder = RowBuilder(
            kinds,
            self._resolver,
            values=self._values,
            limits={table: limit(table.columns) for table in tables},
        )
        self._unit_of_work = {kind.name: why for kind in kinds if (why := reasons(kind, habits))}
        self._by_unit_of_work = insert_by_unit_of_work(habits)
        self._written: set[tuple[Table, Any]] = set()

    def check(self, document: object) -> list[Problem]:
        """What is wrong with *document*: form, references, and UUIDs that come twice. Writes nothing."""
        problems = self._contract.envelope(document)
        if problems:
            return problems
        runs = self._reader.read(document)
        first: dict[tuple[Table, Any], Run] = {}
        with savepoint(self._connection):
            for wave in self._dependencies.waves(runs):
                self._builder.build(wave)
                for run in wave:
                    self._note_entries(run)
                    if run.problems:
                        continue  # it will not go in, and leaves its identities to others
                    self._note_repeated(run, first)
                    for sought in self._dependencies.keys_of(run):
                        self._resolver.promise(run.kind.table.mapper.class_, sought)
        return [problem for run in runs for problem in (*run.problems, *run.warnings)]

    def _note_repeated(self, run: Run, first: dict[tuple[Table, Any], Run]) -> None:
        for table, identity, steps in run.identities():
            if steps and not table.is_shared:
                continue
            seen = first.setdefault((table, identity), run)
            if seen is not run:
                text = f"{_duplicate(table, identity)}, first in {pointer(*seen.steps)}"
                run.note(
                    Fault(text, "duplicate-in-document"), *steps, _identity_name(table), warning=not steps
                )
                if not steps:
                    break  # the run comes again, and so do its entries

    def run(self, document: object, *, atomic: bool = False, dry_run: bool = False) -> ImportReport:
        """Write what *document* holds and the database lacks, and say what became of every run.

        Raises:
            DocumentError: The document as a whole cannot be read.
            sqlalchemy.exc.DBAPIError: What is no run's fault; nothing is written then.
        """
        problems = self._contract.envelope(document)
        if problems:
            raise DocumentError(tuple(problems))
        runs = self._reader.read(document)
        with savepoint(self._connection) as nested:
            check_engines(self._connection, self._tables)
            self._deferred = self._may_check_deferred()
            for run in runs:
                for sought in self._dependencies.keys_of(run):
                    self._resolver.stands(run.kind.table.mapper.class_, sought, pointer(*run.steps))
            with strict(self._connection):
                for wave in self._dependencies.waves(runs):
                    pending = wave
                    while pending:
                        pending = self._import(pending)
            withheld = atomic and any(run.outcome == "rejected" for run in runs)
            if dry_run or withheld:
                nested.rollback()
            else:
                self._advance_sequences()
        report = self._report(runs, withheld=withheld, dry_run=dry_run)
        _log.info(
            "%s: %d imported, %d skipped, %d rejected",
            "dry run" if dry_run else "import",
            report.imported,
            report.skipped,
            report.rejected,
        )
        return report

    def _may_check_deferred(self) -> bool:
        """Whether deferred constraints may be checked: not where the caller's own work still breaks them."""
        try:
            with savepoint(self._connection):
                check_deferred(self._connection, self._tables)
        except (sa.exc.IntegrityError, RowFaultError):
            _log.warning("the session's own work breaks a deferred constraint: those are left to its COMMIT")
            return False
        return True

    def _advance_sequences(self) -> None:
        """Keys that came with the document must not be given away again."""
        written = {table for table, _ in self._written}
        kinds = [kind for kind in self._kinds if kind.table in written]
        for table in (table for kind in kinds for table in kind.table.all()):
            given = table.rows.autoincrement_column
            if given is not None and given in table.columns.values():
                try:
                    with savepoint(self._connection):
                        advance_sequence(self._connection, given)
                except sa.exc.ProgrammingError:
                    _log.warning(
                        "the sequence of %s could not be moved behind the keys that were imported", given
                    )

    def _import(self, runs: list[Run]) -> list[Run]:
        """Bring *runs* to their ends; give back those that share an identity with one that was tried now.

        Those are looked at again: what became of the other decides what they are.
        """
        fresh = self._classify(runs)
        rows = self._builder.build(fresh)
        fresh = self._classify_entries(fresh)
        accepted: list[Run] = []
        again: list[Run] = []
        taken: set[tuple[Table, Any]] = set()
        for run in fresh:
            own = {(table, identity) for table, identity, _ in run.identities() if table.is_shared}
            if run.well_formed and taken & own:
                run.problems.clear()
                run.warnings.clear()
                again.append(run)
            elif run.problems:
                run.outcome = "rejected"
            else:
                accepted.append(run)
                taken |= own
        for kind in self._kinds:
            self._write(kind, {run: rows[run] for run in accepted if run.kind is kind})
        return again

    def _classify(self, runs: list[Run]) -> list[Run]:
        """Settle the well-formed runs whose identity exists; give back the others."""
        fresh = []
        for kind in self._kinds:
            of_kind = [run for run in runs if run.kind is kind]
            known = self._identities.known(kind.table, [run.identity for run in of_kind if run.well_formed])
            for run in self._identities.of_others(kind, [run for run in of_kind if run.identity in known]):
                text = f"{_duplicate(kind.table, run.identity)}, of a row that is no {kind.name}"
                run.note(Fault(text, "duplicate"), _identity_name(kind.table))
                run.outcome = "rejected"
            known_here = [run for run in of_kind if run.outcome is None and run.well_formed]
            self._settle(kind, [run for run in known_here if run.identity in known])
            fresh += [run for run in of_kind if run.outcome is None]
        return fresh

    def _settle(self, kind: Kind, runs: list[Run]) -> None:
        """Deal with runs whose identity exists as the caller wishes."""
        if self._on_duplicate == "verify":
            for start in range(0, len(runs), PAGE):
                self._verify(kind, runs[start : start + PAGE])
        for run in runs:
            again = (kind.table, run.identity) in self._written
            code: Code = "duplicate-in-document" if again else "duplicate"
            fault = Fault(_duplicate(kind.table, run.identity), code)
            if self._on_duplicate == "error":
                run.note(fault, _identity_name(kind.table))
            elif again:
                run.note(fault, _identity_name(kind.table), warning=True)
            run.outcome = "rejected" if run.problems else "skipped"

    def _verify(self, kind: Kind, runs: list[Run]) -> None:
        within = self._identities.scope(kind.table)
        page = export_known(self._connection, kind, [run.identity for run in runs], within=within)
        records = {str(record[_identity_name(kind.table)]): record for record in page.records}
        unreadable = {problem.uuid: problem for problem in page.problems}
        # The row is there, but a REPEATABLE READ transaction cannot see who was faster.
        unseen = "it cannot be seen: hidden from this kind, or another client has just written it"
        for run in runs:
            if run.uuid in records:
                conflict = self._difference(kind, run, records[run.uuid])
            else:
                conflict = str(unreadable.get(run.uuid, unseen))
            if conflict:
                run.note(Fault(f"Differs from the stored run: {conflict}", "conflict"))

    def _difference(self, kind: Kind, run: Run, record: dict[str, Any]) -> str:
        """How *run* differs from the stored *record*; empty: not at all."""
        try:
            stored = kind.table.schema.load(record)
        except ValidationError as error:
            return f"what is stored cannot be loaded: {error}"
        return "; ".join(differences(kind.table, run.values, stored))

    def _classify_entries(self, runs: list[Run]) -> list[Run]:
        """Note ledger entries whose identity exists under another run, or comes twice in their own.

        Runs that another client has written, with their entries, since they were looked up are settled; the
        others are given back.
        """
        sought: dict[Table, list[Any]] = {}
        for run in runs:
            for table, identity, _ in run.entries():
                if table.is_shared:
                    sought.setdefault(table, []).append(identity)
        known = {
            (table, found)
            for table, wanted in sought.items()
            for found in self._identities.known(table, wanted)
        }
        if known:
            runs = self._classify(runs)
        for run in runs:
            self._note_entries(run, known)
        return runs

    def _note_entries(self, run: Run, known: Collection[tuple[Table, Any]] = ()) -> None:
        seen = set()
        for table, identity, steps in run.entries():
            code: Code = "duplicate-in-document"
            if (table, identity) in known:
                text = f"{_duplicate(table, identity)}, an entry of another run"
                code = code if (table, identity) in self._written else "duplicate"
            elif (table, identity, where := () if table.is_shared else steps[:-2]) in seen:
                text = f"{_duplicate(table, identity)}, twice in its run"
            else:
                seen.add((table, identity, where))
                continue
            run.note(Fault(text, code), *steps, _identity_name(table))

    def _write(self, kind: Kind, rows: dict[Run, Row]) -> None:
        runs = list(rows)
        column = kind.table.columns[kind.identity]
        identity = unique_on(column)
        entries = {
            name
            for table in kind.table.all()
            if table.identity_column is not None and table.is_shared
            for name in unique_on(table.identity_column)
        } - identity

        def rivals(some: Sequence[Row]) -> set[Row]:
            known = self._identities.known(kind.table, [row.parameters[column.key] for row in some], now=True)
            return {row for row in some if row.parameters[column.key] in known}

        by_unit_of_work = kind.name in self._unit_of_work
        bulk = functools.partial(insert_in_bulk, within=tuple(self._identities.scope(kind.table)))
        insert = self._by_unit_of_work if by_unit_of_work else bulk
        failures = write(
            self._connection,
            kind.table,
            list(rows.values()),
            deferred=self._deferred,
            rivals=rivals,
            insert=insert,
        )
        for place, constraint in failures:
            run = runs[place]
            # Another client may have written the run since it was looked up; where this transaction reads an
            # older moment, the constraint alone tells.
            if rivals([rows[run]]) or (constraint in identity and hides_rivals(self._connection)):
                self._settle(kind, [run])
                continue
            duplicate = Fault(f"Duplicate UUID of a ledger entry: {constraint}", "duplicate")
            same = " (the database takes the identity of another row for the same)" * (constraint in identity)
            refused = Fault(f"Cannot be written: {constraint}{same}", "constraint")
            run.note(duplicate if constraint in entries else refused)
            run.outcome = "rejected"
        for run in runs:
            if run.outcome is None:
                run.outcome = "imported"
                self._written.update((table, each) for table, each, _ in run.identities())
        if runs:
            self._resolver.forget_missing(kind.table.mapper.class_)

    def _report(self, runs: list[Run], *, withheld: bool, dry_run: bool) -> ImportReport:
        by_kind = {}
        for kind in self._kinds:
            ends = Counter(run.outcome for run in runs if run.kind is kind)
            imported = 0 if withheld else ends["imported"]
            by_kind[kind.name] = Counts(imported=imported, skipped=ends["skipped"], rejected=ends["rejected"])
        problems = tuple(problem for run in runs for problem in run.problems)
        warnings = tuple(problem for run in runs for problem in run.warnings)
        return ImportReport(
            imported=sum(counts.imported for counts in by_kind.values()),
            skipped=sum(counts.skipped for counts in by_kind.values()),
            rejected=sum(counts.rejected for counts in by_kind.values()),
            by_kind=by_kind,
            problems=problems,
            warnings=warnings,
            problem_count=len(problems),
            warning_count=len(warnings),
            renamed=tuple(self._reader.renamed),
            unit_of_work=self._unit_of_work,
            dry_run=dry_run,
        )


def _identity_name(table: Table) -> str:
    return table.names[table.identity or ""]


def _duplicate(table: Table, identity: Any) -> str:
    return f"Duplicate {table.identity_name}: {table.wire(table.identity or '', identity)}"
