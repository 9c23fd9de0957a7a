"""Turn accepted records into rows, column by column, for the driver's bulk insert."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import counts_up, driver_of, insert_rows, next_key
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, find_obstacles
from histio.importing.destination import Destination
from histio.importing.fast.plan import (
    LedgerPlan,
    Records,
    ReferencePlan,
    TablePlan,
    Target,
    plan_table,
)
from histio.importing.owner_keys import find_keys, owner_columns
from histio.importing.row_builder import RowBuilder
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps
from histio.resolving.resolve import MemberFault

_REMEMBERED = 50_000
"""How many slugs, or combinations of slugs, are remembered with the values that they fill in."""

Finding: TypeAlias = tuple[Steps, MemberFault]
"""The steps from a record to a member, and its fault."""


class RowWriter:
    """Writes the records of one table, with their ledgers.

    Args:
        plan: How the columns are filled.
        builder: Resolves references, and has the defaults.
    """

    def __init__(self, plan: TablePlan, builder: RowBuilder) -> None:
        self._plan = plan
        self._defaults = builder.defaults[plan.table]
        self._related = _Related(plan.table, plan.references, builder)
        self._ledgers = [_LedgerWriter(below, builder) for below in plan.ledgers]

    def write(self, connection: Connection, records: Records, owned: Sequence[Sequence[Any]] = ()) -> None:
        """Write *records* with their ledgers; *owned* are the columns that the rows of their owners fill.

        Raises:
            DeclinedError: A record needs the full path.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row.
        """
        if not records:
            return
        plan, keys = self._plan, list[tuple[Any, ...]]()
        if plan.counted is not None:
            first = next_key(connection, plan.counted)
            keys = [(key,) for key in range(first, first + len(records))]
        columns = [*zip(*keys, strict=True), *self._columns(records), *owned]
        columns += [fill(self._defaults, len(records)) for fill in plan.fillers]
        insert_rows(connection, plan.table.rows, plan.columns, list(zip(*columns, strict=True)))
        if plan.keys is not None:
            keys = find_keys(connection, plan.keys, records)
        for below in self._ledgers:
            below.write(connection, records, keys)

    def _columns(self, records: Records) -> list[Iterable[Any]]:
        members = [member.fill(records, self._defaults) for member in self._plan.members]
        return [*members, *self._related.columns(records)]

    def describe(self) -> Iterator[str]:
        """The columns that are written of the table, and of each of its ledgers."""
        return self._plan.describe()

    @property
    def has_findings(self) -> bool:
        """Whether references of some records so far have faults."""
        return bool(self._related.findings) or any(below.rows.has_findings for below in self._ledgers)

    def find_faults(self, records: Records) -> dict[int, list[Finding]]:
        """The faults of the references of *records*, by index, in the order of the members."""
        table = self._plan.table
        found: dict[int, list[Finding]] = {
            index: [((table.names[fault.member],), fault) for fault in faults]
            for index, faults in self._related.find_faults(records)
        }
        for below in self._ledgers:
            for index, steps, fault in below.find_faults(records):
                found.setdefault(index, []).append((steps, fault))
        return found

    def select_admitted(self, records: Records) -> Records:
        """Those of *records* that `write` accepts, as far as that is known before they are written."""
        if self.admits(records):
            return records
        half = len(records) // 2
        parts = (records[:half], records[half:]) if half else ()
        return [record for part in parts for record in self.select_admitted(part)]

    def admits(self, records: Records) -> bool:
        """Whether `write` accepts all *records*, as far as that is known before they are written."""
        try:
            self._columns(records)
        except DeclinedError:
            return False
        return all(below.admits(records) for below in self._ledgers)

    def keeps(self, records: Records) -> bool:
        """Whether the columns keep the values of all *records*."""
        try:
            for member in self._plan.members:
                if member.is_limited:
                    member.fill(records, self._defaults)
        except DeclinedError:
            return False
        return all(below.keeps(records) for below in self._ledgers)


class _Related:
    """What the slugs of records fill rows with, remembered by those slugs.

    Attributes:
        findings: By slugs, the faults of their references, if there are any.
    """

    def __init__(self, table: Table, plan: ReferencePlan, builder: RowBuilder) -> None:
        self._table = table
        self._plan = plan
        self._builder = builder
        self._found: dict[Any, tuple[Any, ...]] = {}
        self._declined: set[Any] = set()
        self.findings: dict[Any, list[MemberFault]] = {}

    def columns(self, records: Records) -> Iterable[Iterable[Any]]:
        """The parameters of the columns of all references.

        Raises:
            DeclinedError: There are new findings, or a slug has no row.
        """
        keys = self._keys(records)
        if keys is None:
            return ()
        if not self._look_up(keys):
            raise DeclinedError
        return zip(*map(self._found.__getitem__, keys), strict=True) if self._plan.columns else ()

    def find_faults(self, records: Records) -> Iterator[tuple[int, list[MemberFault]]]:
        """The faults of *records*, with the index of each."""
        keys = self._keys(records) or ()
        self._look_up(keys)
        findings = self.findings
        if findings:
            yield from ((index, findings[key]) for index, key in enumerate(keys) if key in findings)

    def _keys(self, records: Records) -> Sequence[Any] | None:
        """The slugs of each of *records*; None: they have none."""
        names = self._plan.names
        slugs = [[record.get(name) for record in records] for name in names]
        return slugs[0] if len(slugs) == 1 else list(zip(*slugs, strict=True)) if slugs else None

    def _look_up(self, keys: Iterable[Any]) -> bool:
        """Resolve new *keys*; return whether all keys fill columns, and none has new faults."""
        new = set(keys).difference(self._found)
        if not new:
            return True
        if len(self._found) + len(self._declined) > _REMEMBERED:
            self._found.clear()
            self._declined.clear()
            self.findings.clear()
            new = set(keys)
        unknown = list(new - self._declined)
        several = unknown if len(self._plan.names) > 1 else [(key,) for key in unknown]
        slugs = [dict(zip(self._plan.members, each, strict=True)) for each in several]
        related = self._builder.related(self._table, slugs)
        for key, (values, faults) in zip(unknown, related, strict=True):
            is_fine = all(fault.warning for fault in faults)
            parameters = self._plan.parameters(values) if is_fine else None
            if parameters is None:
                self._declined.add(key)
            else:
                self._found[key] = parameters
            if faults:
                self.findings[key] = faults
        return self._declined.isdisjoint(new) and self.findings.keys().isdisjoint(unknown)


class _LedgerWriter:
    """Writes the entries of one ledger."""

    def __init__(self, plan: LedgerPlan, builder: RowBuilder) -> None:
        self._plan = plan
        self.rows = RowWriter(plan.table, builder)

    def write(self, connection: Connection, records: Records, keys: Sequence[tuple[Any, ...]]) -> None:
        """Write the entries of *records*, whose rows have these *keys*."""
        name, many = self._plan.name, self._plan.ledger.many
        entries: list[Mapping[str, Any]] = []
        owners: list[tuple[Any, ...]] = []
        for record, key in zip(records, keys, strict=True):
            some = record.get(name)
            if some:
                entries += some if many else [some]
                owners += [key] * (len(some) if many else 1)
        if entries:
            filled = list(zip(*owners, strict=True))
            self.rows.write(connection, entries, [filled[place] for place in self._plan.places])

    def _entries(self, records: Records) -> list[list[Mapping[str, Any]]]:
        """The entries of each of *records*."""
        name, to_list = self._plan.name, self._plan.ledger.to_list
        return [to_list(record.get(name)) for record in records]

    def admits(self, records: Records) -> bool:
        return self.rows.admits(list(itertools.chain(*self._entries(records))))

    def keeps(self, records: Records) -> bool:
        return self.rows.keeps(list(itertools.chain(*self._entries(records))))

    def find_faults(self, records: Records) -> Iterator[tuple[int, Steps, MemberFault]]:
        """The faults of the references of entries, each with the index of its record, and its steps."""
        entries = self._entries(records)
        starts = list(itertools.accumulate(map(len, entries), initial=0))
        found = self.rows.find_faults(list(itertools.chain(*entries)))
        for place in sorted(found):
            owner = bisect.bisect_right(starts, place) - 1
            index = (place - starts[owner],) if self._plan.ledger.many else ()
            for steps, fault in found[place]:
                yield owner, (self._plan.name, *index, *steps), fault


@dataclass(frozen=True, slots=True)
class _KindRules:
    """What decides about the fast path of a kind in any database.

    Attributes:
        reason: Why its runs take the full path in any database; None: the database decides.
        growing_keys: The keys of its tables that an import may choose, if nobody else can meanwhile.
    """

    reason: str | None
    growing_keys: Sequence[sa.Column[Any]]


def find_row_writer(destination: Destination, kind: Kind) -> RowWriter | str:
    """The writer for accepted records of *kind*; a text: why they take the full path."""
    connection, builder, plan = destination.connection, destination.builder, destination.plan
    rules = plan.recall(("fast path", kind.name), _find_rules, kind)
    if rules.reason is not None:
        return rules.reason
    driver = driver_of(connection)
    if driver is None:
        return f"{kind.name}: the driver is not known: {connection.dialect.driver}"
    counted = frozenset(key for key in rules.growing_keys if counts_up(connection, key))
    defaults = {table: tuple(own) for table, own in builder.defaults.items()}
    target = Target(connection.dialect, driver, builder.limits, defaults, counted)
    found = plan.recall(("rows", kind.name), functools.partial(_find_table_plan, kind.table), target)
    return found if isinstance(found, str) else RowWriter(found, builder)


def _find_rules(kind: Kind) -> _KindRules:
    reason = next(find_obstacles(kind.table, "load", hooks=("post_load", "validates_schema")), None)
    if reason is None and not kind.table.has_own_uuid:
        reason = f"{kind.name}: no UUID, unique by itself, identifies its runs"
    keys = [(table.growing_key, owner_columns(table)) for table in kind.table.all()]
    return _KindRules(reason, [key for key, columns in keys if key is not None and columns == (key,)])


def _find_table_plan(table: Table, target: Target) -> TablePlan | str:
    try:
        return plan_table(target, table)
    except FullPathError as error:
        return str(error)
