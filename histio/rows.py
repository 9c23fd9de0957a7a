"""Loaded values → rows to write: references resolved, what is left out filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from histio.kinds import Kind, Table
from histio.report import Fault
from histio.resolver import Finding, Found, Resolver
from histio.runs import Run, Steps, Values
from histio.writer import Row


class RowBuilder:
    """Makes the rows of runs.

    Args:
        kinds: The kinds of run.
        resolver: Finds related rows.
    """

    def __init__(self, kinds: Sequence[Kind], resolver: Resolver) -> None:
        self._kinds = kinds
        self._resolver = resolver
        self._defaults = {table: _defaults(table) for kind in kinds for table in kind.table.all()}

    def build(self, runs: Sequence[Run]) -> dict[Run, Row]:
        """The rows of *runs*, with one SELECT per related model; what does not resolve is noted."""
        for kind in self._kinds:
            self._resolver.collect(kind.table, (run.values for run in runs if run.kind is kind))
        self._resolver.fetch()
        return {run: self._row(run, run.kind.table, run.values, ()) for run in runs}

    def _row(self, run: Run, table: Table, values: Values, steps: Steps) -> Row:
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
    references = {reference.relationship.key: reference for reference in table.references}
    for name, found in related.items():
        agrees = references[name].agrees
        if agrees is None or agrees[0] not in related:
            continue
        other, theirs, own = agrees
        if [found.columns[column] for column in theirs] != [related[other].columns[column] for column in own]:
            (member, _), *_ = references[name].named_by(values)
            (wanted, _), *_ = references[other].named_by(values)
            model = references[name].model.__name__
            text = f"{model} {values[member]} belongs to another {other} than {values[wanted]}"
            yield Finding(member, Fault(text, "mismatched-reference"), warning=True)
