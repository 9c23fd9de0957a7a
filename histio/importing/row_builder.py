"""Build the rows of runs: resolve references, and fill in what records leave out."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from histio.bound import Constants
from histio.database.dialects import Limit, cut_time, second_digits
from histio.errors import BindingError
from histio.importing.row import Row
from histio.importing.run import Run, Values
from histio.kinds.fields import UtcTimestamp
from histio.kinds.mapping import find_column
from histio.kinds.table import Kind, Links, Reference, Table
from histio.kinds.walk import Steps
from histio.report import Fault
from histio.resolving.circles import Blank
from histio.resolving.hints import format_key
from histio.resolving.lookup import Found
from histio.resolving.resolve import MemberFault, Resolver
from histio.resolving.stored_slugs import replace_slugs
from histio.tuning import with_pauses

Related: TypeAlias = tuple[dict[str, Any], list[MemberFault]]
"""By column key, what the references of a record fill, and their faults."""


class RowBuilder:
    """Builds the rows of runs.

    Args:
        kinds: The kinds of run.
        resolver: Finds related rows.
        values: By attribute, what fills columns that the format leaves out.
        limits: By table and member, what the format allows and the database cannot keep.
        defaults: By table, the result of `plan_defaults`.
        blanks: By reference, the values that its columns have until the run that it refers to is written.

    Attributes:
        limits: By table and member, what the format allows and the database cannot keep.
        defaults: By table and column key, what fills columns that a record leaves out.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        resolver: Resolver,
        *,
        values: Constants,
        limits: Mapping[Table, Mapping[str, Limit]],
        defaults: Mapping[Table, Mapping[str, Callable[[dt.datetime], Any]]],
        blanks: Mapping[Reference | Links, Blank],
    ) -> None:
        self._kinds = kinds
        self._resolver = resolver
        self._blanks = blanks
        self.limits = limits
        now = dt.datetime.now(dt.UTC)
        self.defaults: dict[Table, dict[str, Callable[[], Any]]] = {
            table: {key: functools.partial(make, now) for key, make in of_table.items()}
            | _filled(table, values)
            for table, of_table in defaults.items()
        }

    def build(self, runs: Sequence[Run]) -> dict[Run, Row]:
        """Build the rows of *runs*, with one SELECT per related model, and note their problems."""
        self.look_up(runs)
        return {run: self._row(run, run.kind.table, run.values, ()) for run in with_pauses(runs)}

    def look_up(self, runs: Sequence[Run]) -> None:
        """Look up all rows that *runs* refer to."""
        for kind in self._kinds:
            self._resolver.collect(kind.table, (run.values for run in with_pauses(runs) if run.kind is kind))
        self._resolver.fetch()

    def _row(self, run: Run, table: Table, values: Values, steps: Steps) -> Row:
        """Build the row of a record with its ledgers, and note its problems."""
        parameters = {key: make() for key, make in self.defaults[table].items()} | {
            column.key: as_parameter(column, values[member])
            for member, column in table.columns.items()
            if member in values and member not in table.computed
        }
        resolved = self._resolve(table, values)
        findings = [*resolved.findings, *_excesses(values, self.limits[table])]
        parameters = {**resolved.empty, **parameters, **resolved.filled}
        for finding in findings:
            at = (*steps, table.names[finding.member])
            run.note(finding.fault, *at, hint=finding.hint, warning=finding.warning)
        ledgers: tuple[list[Row], ...] = tuple([] for _ in table.ledgers)
        places = {ledger: place for place, ledger in enumerate(table.ledgers)}
        for ledger, below, entry in table.entries(values):
            ledgers[places[ledger]].append(self._row(run, ledger.table, entry, (*steps, *below)))
        return Row(parameters, ledgers, resolved.linked)

    def as_stored(
        self, table: Table, records: Sequence[Values], *, fill: bool = False
    ) -> list[dict[str, Any]]:
        """*records* with the slugs that an export would write.

        Args:
            table: The table of the records.
            records: Loaded records.
            fill: As in `replace_slugs`.
        """
        self._resolver.collect(table, records)
        self._resolver.fetch()
        return [replace_slugs(self._resolver, table, record, fill=fill) for record in records]

    def related(self, table: Table, records: Sequence[Values]) -> list[Related]:
        """For each of *records*, by column key what its references fill, and their faults."""
        self._resolver.collect(table, records)
        self._resolver.fetch()
        all_resolved = [self._resolve(table, values) for values in records]
        return [({**each.empty, **each.filled}, each.findings) for each in all_resolved]

    def _resolve(self, table: Table, values: Values) -> _Resolved:
        """Resolve the references of one record, without its ledgers."""
        related: dict[str, Found] = {}
        findings: list[MemberFault] = []
        filled: dict[str, Any] = {}
        empty: dict[str, Any] = {}
        for reference in table.references:
            found, faults = self._resolver.resolve(reference, values)
            findings += faults
            relation = reference.relation
            if found is not None:
                related[relation.name] = found
                for local, remote in zip(relation.local, relation.remote, strict=True):
                    filled[local.key] = found.columns[remote]
            elif not reference.present_members(values):
                empty |= {local.key: None for local in relation.local if local.nullable}
            elif not faults and reference in self._blanks:
                filled |= self._blanks[reference].make()
        linked = []
        for links in table.links:
            rows, faults = self._resolver.resolve_links(links, values)
            findings += faults
            linked.append([tuple(row.columns[column] for column in links.relation.link[1]) for row in rows])  # type: ignore[index]
        findings += _disagreements(table, values, related)
        for snapshot in table.snapshots:
            findings += self._resolver.check_snapshot(snapshot, values)
        return _Resolved(filled, empty, tuple(linked), findings)


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The resolved references of a record.

    Attributes:
        filled: Values by column key.
        empty: By column key, null for references without a slug; other values have precedence.
        linked: As in `Row.links`.
        findings: The faults of the references.
    """

    filled: dict[str, Any]
    empty: dict[str, Any]
    linked: tuple[list[tuple[Any, ...]], ...]
    findings: list[MemberFault]


def plan_defaults(table: Table, limits: Mapping[str, Limit]) -> dict[str, Callable[[dt.datetime], Any]]:
    """By column key, what fills the column where a record leaves it out, from the time of the import.

    A default that is a function, in Python or in the database, is called when the row is written.
    """
    defaults: dict[str, Callable[[dt.datetime], Any]] = {}
    for member, column in table.columns.items():
        field = table.fields[member]
        default = column.default
        if field.required or column.server_default is not None:
            continue
        if isinstance(field, UtcTimestamp) and not field.allow_none:
            defaults[column.key] = functools.partial(_now, field, second_digits(field, limits.get(member)))
        elif isinstance(default, sa.ColumnDefault) and default.is_scalar:
            defaults[column.key] = functools.partial(_constant, default.arg)
        elif default is not None:
            continue
        elif column.nullable and member not in table.computed:
            defaults[column.key] = functools.partial(_constant, as_parameter(column, None))
    return defaults


def _now(field: UtcTimestamp, digits: int | None, now: dt.datetime) -> Any:
    """*now* as the column of a time takes it, cut to *digits* of a second's fraction; None: not cut."""
    return field.to_column(cut_time(now, digits))


def _constant(value: Any, _now: dt.datetime) -> Any:
    return value


def _filled(table: Table, values: Constants) -> dict[str, Callable[[], Any]]:
    """By column key, functions that make the values which the host fills in."""
    filled: dict[str, Callable[[], Any]] = {}
    for name, value in values.items():
        column = find_column(table.mapper, name)
        if column is not None and name not in table.columns:
            filled[column.key] = functools.partial(_same, value)
    mapper = table.mapper
    if isinstance(mapper.polymorphic_on, sa.Column):
        filled.setdefault(mapper.polymorphic_on.key, lambda: mapper.polymorphic_identity)
    version, generate = mapper.version_id_col, mapper.version_id_generator
    if isinstance(version, sa.Column) and callable(generate) and version not in table.columns.values():
        filled.setdefault(version.key, lambda: generate(None))
    return filled


def as_parameter(column: sa.Column[Any], value: Any) -> Any:
    """*value*, but SQL's NULL for None in a column of JSON, where None would be JSON's null."""
    as_json = value is None and isinstance(column.type, sa.JSON) and not column.type.none_as_null
    return sa.null() if as_json and column.nullable else value


def _same(value: Any) -> Any:
    return value


def check_values(values: Constants, kinds: Sequence[Kind]) -> None:
    """Check that *values* names only columns that the format leaves out.

    Raises:
        BindingError: A name is not a column, or the format fills it.
    """
    tables = [table for kind in kinds for table in kind.table.all()]
    for name in values:
        having = [table for table in tables if find_column(table.mapper, name) is not None]
        if not having:
            raise BindingError(f"values: no model of these kinds has a column {name!r}")
        columns = [find_column(table.mapper, name) for table in having]
        if all(
            any(reference.relation.local == (column,) for reference in table.references)
            for table, column in zip(having, columns, strict=True)
        ):
            raise BindingError(f"values: {name!r} is filled by a reference of the format")
        if all(name in table.columns for table in having):
            raise BindingError(f"values: {name!r} is a member of the format already")


def _excesses(values: Values, limits: Mapping[str, Limit]) -> Iterator[MemberFault]:
    """Yield a fault for each value that the database would round, cut or refuse."""
    for member, limit in limits.items():
        value = values.get(member)
        null = limit.null if member in values else None
        fault = null if value is None else limit.check(value)
        if fault is not None:
            yield MemberFault(member, fault, functools.partial(_same, limit.hint))


def _disagreements(table: Table, values: Values, related: Mapping[str, Found]) -> Iterator[MemberFault]:
    """Yield a warning for each related row that belongs to another row than the one the record names."""
    references = {reference.relation.name: reference for reference in table.references}
    for name, found in related.items():
        agrees = references[name].agrees
        if agrees is None or agrees[0] not in related:
            continue
        other, theirs, own = agrees
        if [found.columns[column] for column in theirs] != [related[other].columns[column] for column in own]:
            member, *_ = references[name].present_members(values)
            wanted, *_ = references[other].present_members(values)
            model = references[name].relation.model.__name__
            slug, owner = format_key(values[member]), format_key(values[wanted])
            text = f"{model} {slug} belongs to another {other} than {owner}"
            yield MemberFault(member, Fault(text, "mismatched-reference"), warning=True)
