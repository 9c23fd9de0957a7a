"""Turn accepted records into rows, column by column, for the driver's bulk insert."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import counts_up, driver_of, insert_rows, next_key
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, find_obstacles
from histio.importing.destination import Destination
from histio.importing.fast.by_value import Records
from histio.importing.fast.plan import (
    LedgerPlan,
    ReferencePlan,
    TablePlan,
    Target,
    plan_table,
)
from histio.importing.owner_keys import find_keys, owner_columns
from histio.importing.row_builder import RowBuilder
from histio.kinds.table import Kind, Table

_REMEMBERED = 50_000
"""How many slugs, or combinations of slugs, are remembered with the values that they fill in."""


class RowWriter:
    """Writes the records of one table, with their ledgers.

    Args:
        plan: How the columns are filled.
        builder: Resolves references, and has the defaults.

    Attributes:
        plan: How the columns are filled.
        related: What the slugs of records fill rows with.
        ledgers: Writes the entries of each ledger.
    """

    def __init__(self, plan: TablePlan, builder: RowBuilder) -> None:
        self.plan = plan
        self._defaults = builder.defaults[plan.table]
        self.related = Related(plan.table, plan.references, builder)
        self.ledgers = [LedgerWriter(below, builder) for below in plan.ledgers]

    def write(self, connection: Connection, records: Records, owned: Sequence[Sequence[Any]] = ()) -> None:
        """Write *records* with their ledgers; *owned* are the columns that the rows of their owners fill.

        Raises:
            DeclinedError: A record needs the full path.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row.
        """
        if not records:
            return
        plan, keys = self.plan, list[tuple[Any, ...]]()
        if plan.counted is not None:
            first = next_key(connection, plan.counted)
            keys = [(key,) for key in range(first, first + len(records))]
        columns = [*zip(*keys, strict=True), *self._columns(records), *owned]
        columns += [fill(self._defaults, len(records)) for fill in plan.fillers]
        insert_rows(connection, plan.table.rows, plan.columns, list(zip(*columns, strict=True)))
        if plan.keys is not None:
            keys = find_keys(connection, plan.keys, records)
        for below in self.ledgers:
            below.write(connection, records, keys)

    def _columns(self, records: Records) -> list[Iterable[Any]]:
        members = [member.fill(records, self._defaults) for member in self.plan.members]
        return [*members, *self.related.columns(records)]

    def describe(self) -> Iterator[str]:
        """The columns that are written of the table, and of each of its ledgers."""
        return self.plan.describe()

    def admits(self, record: Mapping[str, Any]) -> bool:
        """Whether `write` accepts *record*, as far as that is known before it is written."""
        try:
            self._columns([record])
        except DeclinedError:
            return False
        return all(below.admits(record) for below in self.ledgers)


class Related:
    """What the slugs of records fill rows with, remembered by those slugs."""

    def __init__(self, table: Table, plan: ReferencePlan, builder: RowBuilder) -> None:
        self._table = table
        self._plan = plan
        self._builder = builder
        self._found: dict[Any, tuple[Any, ...]] = {}
        self._declined: set[Any] = set()

    def columns(self, records: Records) -> Iterable[Iterable[Any]]:
        """The parameters of the columns of all references.

        Raises:
            DeclinedError: A slug has a problem or a warning.
        """
        names = self._plan.names
        if not names:
            return ()
        slugs = [[record.get(name) for record in records] for name in names]
        keys = slugs[0] if len(slugs) == 1 else list(zip(*slugs, strict=True))
        if len(self._found) + len(self._declined) > _REMEMBERED:
            self._found.clear()
            self._declined.clear()
        new = set(keys).difference(self._found)
        if new and (new & self._declined or not self._look_up(list(new))):
            raise DeclinedError
        return zip(*map(self._found.__getitem__, keys), strict=True) if self._plan.columns else ()

    def _look_up(self, keys: list[Any]) -> bool:
        """Resolve *keys*, and remember the result; return whether all of them are without a finding."""
        several = keys if len(self._plan.names) > 1 else [(key,) for key in keys]
        slugs = [dict(zip(self._plan.members, each, strict=True)) for each in several]
        for key, values in zip(keys, self._builder.related(self._table, slugs), strict=True):
            parameters = None if values is None else self._plan.parameters(values)
            if parameters is None:
                self._declined.add(key)
            else:
                self._found[key] = parameters
        return self._declined.isdisjoint(keys)


class LedgerWriter:
    """Writes the entries of one ledger.

    Attributes:
        plan: How they are filled.
        rows: Writes their rows.
    """

    def __init__(self, plan: LedgerPlan, builder: RowBuilder) -> None:
        self.plan = plan
        self.rows = RowWriter(plan.table, builder)

    def write(self, connection: Connection, records: Records, keys: Sequence[tuple[Any, ...]]) -> None:
        """Write the entries of *records*, whose rows have these *keys*."""
        name, many = self.plan.name, self.plan.ledger.many
        entries: list[Mapping[str, Any]] = []
        owners: list[tuple[Any, ...]] = []
        for record, key in zip(records, keys, strict=True):
            some = record.get(name)
            if some:
                entries += some if many else [some]
                owners += [key] * (len(some) if many else 1)
        if entries:
            filled = list(zip(*owners, strict=True))
            self.rows.write(connection, entries, [filled[place] for place in self.plan.places])

    def admits(self, record: Mapping[str, Any]) -> bool:
        return all(map(self.rows.admits, self.plan.ledger.to_list(record.get(self.plan.name))))


@dataclass(frozen=True, slots=True)
class KindRules:
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
    rules = plan.recall(("fast path", kind.name), find_rules, kind)
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


def find_rules(kind: Kind) -> KindRules:
    """What decides about the fast path of *kind* in any database."""
    reason = next(find_obstacles(kind.table, "load"), None)
    if reason is None and not kind.table.has_own_uuid:
        reason = f"{kind.name}: no UUID, unique by itself, identifies its runs"
    keys = [(table.growing_key, owner_columns(table)) for table in kind.table.all()]
    return KindRules(reason, [key for key, columns in keys if key is not None and columns == (key,)])


def _find_table_plan(table: Table, target: Target) -> TablePlan | str:
    try:
        return plan_table(target, table)
    except FullPathError as error:
        return str(error)
