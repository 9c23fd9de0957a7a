"""The way in: read → classify → resolve → write → report, a set of runs at a time."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.comparison import differences
from histio.contract import Contract, pointer
from histio.dialects import RowFaultError, check_deferred, latest, savepoint, unique_on
from histio.errors import DocumentError
from histio.exporter import PAGE, export_known
from histio.kinds import Kind, Table
from histio.report import Code, Counts, Fault, ImportReport, Problem
from histio.resolver import CHUNK, Resolver
from histio.rows import RowBuilder
from histio.runs import Reader, Renames, Run
from histio.writer import Row, write

_log = logging.getLogger("histio")

OnDuplicate = Literal["skip", "error", "verify"]


class Import:
    """One import of one document.

    Args:
        connection: In a transaction; what is written stays in it.
        kinds: The kinds of run a document may carry.
        contract: The JSON Schema of such documents.
        on_duplicate: What to do with a run whose UUID exists.
        rename: By member name, slugs to read as other slugs.
    """

    def __init__(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        contract: Contract,
        *,
        on_duplicate: OnDuplicate = "skip",
        rename: Renames | None = None,
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._contract = contract
        self._on_duplicate = on_duplicate
        self._reader = Reader(kinds, contract, rename or {})
        self._tables = [table.rows for kind in kinds for table in kind.table.all()]
        self._deferred = True
        resolver = Resolver(
            connection.execute, itertools.chain.from_iterable(kind.table.all() for kind in kinds)
        )
        self._builder = RowBuilder(kinds, resolver)
        self._written: set[tuple[Table, str]] = set()

    def check(self, document: object) -> list[Problem]:
        """What is wrong with *document*: form, references, and UUIDs that come twice. Writes nothing."""
        problems = self._contract.envelope(document)
        if problems:
            return problems
        runs = self._reader.read(document)
        with savepoint(self._connection):
            self._builder.build(runs)
        first: dict[tuple[Table, str], Run] = {}
        for run in runs:
            self._note_entries(run)
            if run.problems:
                continue  # it will not go in, and leaves its UUIDs to others
            for table, uuid, steps in run.uuids():
                seen = first.setdefault((table, uuid), run)
                if seen is not run:
                    fault = Fault(
                        f"Duplicate UUID: {uuid}, first in {pointer(*seen.steps)}", "duplicate-in-document"
                    )
                    run.note(fault, *steps, table.uuid, warning=not steps)
                    if not steps:
                        break  # the run comes again, and so do its entries
        return [problem for run in runs for problem in (*run.problems, *run.warnings)]

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
            self._deferred = self._may_check_deferred()
            pending = runs
            while pending:
                pending = self._import(pending)
            withheld = atomic and any(run.outcome == "rejected" for run in runs)
            if dry_run or withheld:
                nested.rollback()
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

    def _import(self, runs: list[Run]) -> list[Run]:
        """Bring *runs* to their ends; give back those that share a UUID with one that was tried now.

        Those are looked at again: what became of the other decides what they are.
        """
        fresh = self._classify(runs)
        rows = self._builder.build(fresh)
        self._classify_entries(fresh)
        accepted: list[Run] = []
        again: list[Run] = []
        taken: set[tuple[Table, str]] = set()
        for run in fresh:
            own = {(table, uuid) for table, uuid, _ in run.uuids()}
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
        """Settle the well-formed runs whose UUID exists; give back the others."""
        fresh = []
        for kind in self._kinds:
            of_kind = [run for run in runs if run.kind is kind]
            known = self._known(kind.table, [run.uuid for run in of_kind if run.well_formed])
            self._settle(kind, [run for run in of_kind if run.well_formed and run.uuid in known])
            fresh += [run for run in of_kind if run.outcome is None]
        return fresh

    def _known(self, table: Table, uuids: Iterable[str | None], *, now: bool = False) -> set[str]:
        """Which of *uuids* exist; *now*: also what others committed since this transaction began."""
        known: set[str] = set()
        remaining = iter(uuids)
        while chunk := list(itertools.islice(remaining, CHUNK)):
            statement = sa.select(table.uuid_column).where(table.uuid_column.in_(chunk))
            known.update(
                self._connection.execute(latest(self._connection, statement) if now else statement).scalars()
            )
        return known

    def _settle(self, kind: Kind, runs: list[Run]) -> None:
        """Deal with runs whose UUID exists as the caller wishes."""
        uuid = kind.table.uuid
        if self._on_duplicate == "verify":
            for start in range(0, len(runs), PAGE):
                self._verify(kind, runs[start : start + PAGE])
        for run in runs:
            again = (kind.table, run.uuid) in self._written
            fault = Fault(f"Duplicate UUID: {run.uuid}", "duplicate-in-document" if again else "duplicate")
            if self._on_duplicate == "error":
                run.note(fault, uuid)
            elif again:
                run.note(fault, uuid, warning=True)
            run.outcome = "rejected" if run.problems else "skipped"

    def _verify(self, kind: Kind, runs: list[Run]) -> None:
        page = export_known(self._connection, kind, [str(run.uuid) for run in runs])
        records = {record[kind.table.uuid]: record for record in page.records}
        unreadable = {problem.uuid: problem for problem in page.problems}
        # The row is there, but a REPEATABLE READ transaction cannot see who was faster.
        unseen = "another client has just written it; import again to compare"
        for run in runs:
            if run.uuid in records:
                stored = kind.table.schema.load(records[run.uuid])
                conflict = "; ".join(differences(kind.table, run.values, stored))
            else:
                conflict = str(unreadable.get(run.uuid, unseen))
            if conflict:
                run.note(Fault(f"Differs from the stored run: {conflict}", "conflict"))

    def _classify_entries(self, runs: list[Run]) -> None:
        """Note ledger entries whose UUID exists under another run, or comes twice in their own."""
        sought: dict[Table, list[str]] = {}
        for run in runs:
            for table, uuid, _ in run.entries():
                sought.setdefault(table, []).append(uuid)
        known = {(table, uuid) for table, uuids in sought.items() for uuid in self._known(table, uuids)}
        for run in runs:
            self._note_entries(run, known)

    def _note_entries(self, run: Run, known: Collection[tuple[Table, str]] = ()) -> None:
        seen = set()
        for table, uuid, steps in run.entries():
            code: Code = "duplicate-in-document"
            if (table, uuid) in known:
                text = f"Duplicate UUID: {uuid}, an entry of another run"
                code = code if (table, uuid) in self._written else "duplicate"
            elif (table, uuid) in seen:
                text = f"Duplicate UUID: {uuid}, twice in its run"
            else:
                seen.add((table, uuid))
                continue
            run.note(Fault(text, code), *steps, table.uuid)

    def _write(self, kind: Kind, rows: dict[Run, Row]) -> None:
        runs = list(rows)
        identity = unique_on(kind.table.uuid_column)
        entries = {name for table in kind.table.all() for name in unique_on(table.uuid_column)} - identity
        key = kind.table.uuid_column.key

        def rivals(some: Sequence[Row]) -> set[Row]:
            known = self._known(kind.table, [row.parameters[key] for row in some], now=True)
            return {row for row in some if row.parameters[key] in known}

        failures = write(
            self._connection, kind.table, list(rows.values()), deferred=self._deferred, rivals=rivals
        )
        for place, constraint in failures:
            run = runs[place]
            # Another client may have written the run since it was looked up; where this transaction reads an
            # older moment, the constraint alone tells.
            if constraint in identity or rivals([rows[run]]):
                self._settle(kind, [run])
                continue
            duplicate = Fault(f"Duplicate UUID of a ledger entry: {constraint}", "duplicate")
            refused = Fault(f"Cannot be written: {constraint}", "constraint")
            run.note(duplicate if constraint in entries else refused)
            run.outcome = "rejected"
        for run in runs:
            if run.outcome is None:
                run.outcome = "imported"
                self._written.update((table, uuid) for table, uuid, _ in run.uuids())

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
            dry_run=dry_run,
        )
