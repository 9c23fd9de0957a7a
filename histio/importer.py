"""The way in: read → classify → resolve → write → report, a set of runs at a time."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection

from histio.contract import Contract, pointer
from histio.dialects import latest, savepoint
from histio.errors import DocumentError
from histio.exporter import PAGE, export_known
from histio.fields import Slug, shown
from histio.kinds import Kind, Table
from histio.report import Code, Counts, Fault, ImportReport, Problem, Renaming
from histio.resolver import CHUNK, Finding, Found, Resolver
from histio.writer import Row, write

_log = logging.getLogger("histio")

OnDuplicate = Literal["skip", "error", "verify"]
Outcome = Literal["imported", "skipped", "rejected"]
Renames = Mapping[str, Mapping[str, str]]
Steps = tuple[str | int, ...]
Values = dict[str, Any]


@dataclass(slots=True, eq=False)
class _Run:
    """One run on its way in.

    Attributes:
        values: What of the record has the right form, as the columns take it.
        well_formed: All of it has.
        outcome: None while it is on its way.
    """

    kind: Kind
    index: int
    values: Values = field(default_factory=dict)
    well_formed: bool = False
    outcome: Outcome | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    row: Row | None = None

    @property
    def uuid(self) -> str | None:
        """The run's UUID where it could be read."""
        return self.values.get(self.kind.table.uuid)

    @property
    def steps(self) -> Steps:
        """Where the run stands in its document."""
        return (self.kind.collection, self.index)

    def note(self, fault: Fault, *steps: str | int, hint: str | None = None, warning: bool = False) -> None:
        """Write down what is wrong at *steps* below the run."""
        where = pointer(*self.steps, *steps)
        at = self.kind.name, self.uuid, self.index
        problem = Problem("warning" if warning else "error", fault.code, str(fault), where, *at, hint=hint)
        (self.warnings if warning else self.problems).append(problem)

    def entries(self) -> Iterator[tuple[Table, str, Steps]]:
        """Table, UUID and place of every ledger entry."""
        return _entries(self.kind.table, self.values, ())

    def uuids(self) -> Iterator[tuple[Table, str, Steps]]:
        """Table, UUID and place of the run and of every ledger entry."""
        if self.uuid is not None:
            yield self.kind.table, self.uuid, ()
        yield from self.entries()


def _entries(table: Table, values: Values, steps: Steps) -> Iterator[tuple[Table, str, Steps]]:
    for ledger in table.ledgers:
        for index, entry in enumerate(values.get(ledger.member) or ()):
            at = (*steps, ledger.member, index)
            if ledger.table.uuid in entry:
                yield ledger.table, entry[ledger.table.uuid], at
            yield from _entries(ledger.table, entry, at)


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
        self._rename = _checked(rename or {}, kinds)
        self._renamed: list[Renaming] = []
        self._resolver = Resolver(
            connection.execute, itertools.chain.from_iterable(kind.table.all() for kind in kinds)
        )
        self._defaults = {table: _defaults(table) for kind in kinds for table in kind.table.all()}
        self._written: set[tuple[Table, str]] = set()

    def check(self, document: object) -> list[Problem]:
        """What is wrong with *document*: form, references, and UUIDs that come twice. Writes nothing."""
        problems = self._contract.envelope(document)
        if problems:
            return problems
        runs = self._read(document)
        self._resolve(runs)
        first: dict[tuple[Table, str], _Run] = {}
        for run in runs:
            self._note_repeated_entries(run)
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
        runs = self._read(document)
        with savepoint(self._connection) as nested:
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

    def _read(self, document: Any) -> list[_Run]:
        return [
            self._read_run(kind, index, record)
            for kind in self._kinds
            for index, record in enumerate(document.get(kind.collection) or ())
        ]

    def _read_run(self, kind: Kind, index: int, record: Any) -> _Run:
        """Form: marshmallow says what is wrong; the JSON Schema speaks for what marshmallow would take."""
        run = _Run(kind, index)
        try:
            run.values = kind.table.schema.load(record)
        except ValidationError as error:
            run.values = error.valid_data if isinstance(error.valid_data, dict) else {}
            for steps, fault in _flat(error.messages, ()):
                run.note(fault, *steps)
        else:
            if not self._contract.accepts(kind.name, record):
                run.problems += [
                    replace(problem, kind=kind.name, uuid=run.uuid, index=index)
                    for problem in self._contract.explain(kind.name, record, run.steps)
                ]
        run.well_formed = not run.problems
        self._apply_renames(run, kind.table, run.values, ())
        return run

    def _apply_renames(self, run: _Run, table: Table, values: Values, steps: Steps) -> None:
        for member, names in self._rename.items():
            old = values.get(member)
            if old is not None and old in names:
                values[member] = names[old]
                self._renamed.append(Renaming(pointer(*run.steps, *steps, member), old, names[old]))
        for ledger in table.ledgers if self._rename else ():
            for index, entry in enumerate(values.get(ledger.member) or ()):
                self._apply_renames(run, ledger.table, entry, (*steps, ledger.member, index))

    def _import(self, runs: list[_Run]) -> list[_Run]:
        """Bring *runs* to their ends; give back those that share a UUID with one that was tried now.

        Those are looked at again: what became of the other decides what they are.
        """
        fresh = self._classify(runs)
        self._resolve(fresh)
        self._classify_entries(fresh)
        accepted: list[_Run] = []
        again: list[_Run] = []
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
            self._write(kind, [run for run in accepted if run.kind is kind])
        return again

    def _classify(self, runs: list[_Run]) -> list[_Run]:
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

    def _settle(self, kind: Kind, runs: list[_Run]) -> None:
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

    def _verify(self, kind: Kind, runs: list[_Run]) -> None:
        page = export_known(self._connection, kind, [str(run.uuid) for run in runs])
        unreadable = {problem.uuid: problem for problem in page.problems}
        for run in runs:
            if run.uuid in page.records:
                stored = kind.table.schema.load(page.records[run.uuid])
                differences = "; ".join(_differences(kind.table, run.values, stored, ()))
            else:
                # The row is there, but a REPEATABLE READ transaction cannot see who was faster.
                unseen = "another client has just written it; import again to compare"
                differences = str(unreadable.get(run.uuid, unseen))
            if differences:
                run.note(Fault(f"Differs from the stored run: {differences}", "conflict"))

    def _resolve(self, runs: list[_Run]) -> None:
        for kind in self._kinds:
            self._resolver.collect(kind.table, (run.values for run in runs if run.kind is kind))
        self._resolver.fetch()
        for run in runs:
            run.row = self._row(run, run.kind.table, run.values, ())

    def _row(self, run: _Run, table: Table, values: Values, steps: Steps) -> Row:
        """The parameters of a record and its ledgers; what does not resolve is noted."""
        parameters = self._defaults[table] | {
            column.key: values[member] for member, column in table.columns.items() if member in values
        }
        related: dict[str, Found] = {}
        findings: list[Finding] = []
        for reference in table.references:
            found, faults = self._resolver.resolve(reference, values)
            findings += faults
            if found is not None:
                related[reference.relationship.key] = found
                pairs = zip(reference.local, reference.remote, strict=True)
                parameters |= {local.key: found.columns[remote] for local, remote in pairs}
        findings += _disagreements(table, values, related)
        for snapshot in table.snapshots:
            findings += self._resolver.look_after(snapshot, values)
        for finding in findings:
            run.note(finding.fault, *steps, finding.member, hint=finding.hint, warning=finding.warning)
        return Row(
            parameters,
            tuple(
                [
                    self._row(run, ledger.table, entry, (*steps, ledger.member, index))
                    for index, entry in enumerate(values.get(ledger.member) or ())
                ]
                for ledger in table.ledgers
            ),
        )

    def _classify_entries(self, runs: list[_Run]) -> None:
        """Note ledger entries whose UUID exists under another run, or comes twice in their own."""
        sought: dict[Table, list[str]] = {}
        for run in runs:
            self._note_repeated_entries(run)
            for table, uuid, _ in run.entries():
                sought.setdefault(table, []).append(uuid)
        known = {table: self._known(table, uuids) for table, uuids in sought.items()}
        for run in runs:
            for table, uuid, steps in run.entries():
                if uuid in known[table]:
                    code: Code = "duplicate-in-document" if (table, uuid) in self._written else "duplicate"
                    run.note(
                        Fault(f"Duplicate UUID: {uuid}, an entry of another run", code), *steps, table.uuid
                    )

    @staticmethod
    def _note_repeated_entries(run: _Run) -> None:
        seen = set()
        for table, uuid, steps in run.entries():
            if (table, uuid) in seen:
                run.note(
                    Fault(f"Duplicate UUID: {uuid}, twice in its run", "duplicate-in-document"),
                    *steps,
                    table.uuid,
                )
            seen.add((table, uuid))

    def _write(self, kind: Kind, runs: list[_Run]) -> None:
        rows = [run.row for run in runs if run.row is not None]
        for index, constraint in write(self._connection, kind.table, rows):
            run = runs[index]
            # Another client may have written the run since it was looked up.
            if self._known(kind.table, [run.uuid], now=True):
                self._settle(kind, [run])
            else:
                run.note(Fault(f"The database refuses the run: {constraint}", "constraint"))
                run.outcome = "rejected"
        for run in runs:
            if run.outcome is None:
                run.outcome = "imported"
                self._written.update((table, uuid) for table, uuid, _ in run.uuids())

    def _report(self, runs: list[_Run], *, withheld: bool, dry_run: bool) -> ImportReport:
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
            renamed=tuple(self._renamed),
            dry_run=dry_run,
        )


def _checked(rename: Renames, kinds: Sequence[Kind]) -> Renames:
    """*rename*, when its names are slugs of the kinds and its new values are slugs at all."""
    fields: dict[str, Slug] = {}
    for kind in kinds:
        for table in kind.table.all():
            fields |= {name: each for name, each in table.schema.fields.items() if isinstance(each, Slug)}
    for member, names in rename.items():
        if member not in fields:
            raise ValueError(
                f"rename: {member!r} is no slug of these kinds; they have {', '.join(sorted(fields))}"
            )
        for new in names.values():
            try:
                fields[member].check(new)
            except ValidationError as error:
                raise ValueError(f"rename: {member}: {shown(new)}: {error.messages[0]}") from None
    return rename


def _defaults(table: Table) -> dict[str, Any]:
    """By column key, what an optional member that is left out stands for in the whole import.

    Where the database knows better (a server default), the column is left to it.
    """
    defaults = {}
    for member, column in table.columns.items():
        if table.schema.fields[member].required:
            continue
        default = column.default
        if isinstance(default, sa.ColumnDefault) and default.is_scalar:
            defaults[column.key] = default.arg
        elif isinstance(default, sa.ColumnDefault) and default.is_callable:
            defaults[column.key] = default.arg(None)
        elif default is None and column.nullable and column.server_default is None:
            defaults[column.key] = None
    return defaults


def _disagreements(table: Table, values: Values, related: Mapping[str, Found]) -> Iterator[Finding]:
    """Warnings for related rows that belong to another row than the one their record names."""
    for reference in table.references:
        found = related.get(reference.relationship.key)
        if found is None or reference.agrees is None or reference.agrees[0] not in related:
            continue
        other, theirs, own = reference.agrees
        if [found.columns[column] for column in theirs] != [related[other].columns[column] for column in own]:
            member = next(name for name in reference.slugs if values.get(name) is not None)
            message = f"{reference.model.__name__} {values[member]} belongs to another {other}"
            yield Finding(member, Fault(message, "mismatched-reference"), warning=True)


def _flat(messages: Any, steps: Steps) -> Iterator[tuple[Steps, Fault]]:
    """Nested messages of marshmallow's, each with its place."""
    if isinstance(messages, Mapping):
        for step, inner in messages.items():
            # marshmallow's name for what concerns a record as a whole.
            yield from _flat(inner, steps if step == "_schema" else (*steps, step))
    else:
        for message in messages:
            yield steps, message if isinstance(message, Fault) else Fault(str(message))


def _differences(table: Table, given: Values, stored: Values, steps: Steps) -> Iterator[str]:
    """A phrase for each member that *given* has and *stored* has otherwise."""
    ledgers = {ledger.member: ledger.table for ledger in table.ledgers}
    for member, value in given.items():
        at = pointer(*steps, member)
        if member not in ledgers:
            if value != stored.get(member):
                yield f"{at} is {shown(_plain(value))}, stored {shown(_plain(stored.get(member)))}"
            continue
        inner = ledgers[member]
        entries = {entry[inner.uuid]: entry for entry in stored[member]}
        for index, entry in enumerate(value):
            there = entries.pop(entry[inner.uuid], None)
            if there is None:
                yield f"{pointer(*steps, member, index)} is not stored"
            else:
                yield from _differences(inner, entry, there, (*steps, member, index))
        for uuid in entries:
            yield f"{at} lacks the stored entry {uuid}"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)
