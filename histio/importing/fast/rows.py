"""Turn accepted records into rows, column by column, for the driver's bulk insert."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import BulkInsert, chooses_keys, driver_of, reserve_keys
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, find_obstacles
from histio.importing.destination import Destination
from histio.importing.fast.by_value import Records
from histio.importing.fast.plan import LedgerPlan, TablePlan, Target, plan_table
from histio.importing.fast.related import Related, RelatedTree
from histio.importing.owner_keys import find_keys, owner_columns
from histio.importing.row_builder import RowBuilder
from histio.kinds.table import Kind, Table


class RowWriter:
    """Writes the records of one table, with their ledgers, in one transaction.

    Args:
        connection: A connection in a transaction.
        plan: How the columns are filled.
        builder: Resolves references, and has the defaults.

    Attributes:
        plan: How the columns are filled.
        related: What the slugs of records fill rows with.
        references: The same, with the entries of their ledgers.
        ledgers: Writes the entries of each ledger.
    """

    def __init__(self, connection: Connection, plan: TablePlan, builder: RowBuilder) -> None:
        self._connection = connection
        self.plan = plan
        self._defaults = builder.defaults[plan.table]
        self.related: Related = Related(plan.table, plan.references, builder)
        self.ledgers: list[LedgerWriter] = [
            LedgerWriter(connection, below, builder) for below in plan.ledgers
        ]
        self.references: RelatedTree = RelatedTree(
            self.related, ((each.plan.ledger, each.plan.name, each.rows.references) for each in self.ledgers)
        )

    @functools.cached_property
    def _insert(self) -> BulkInsert:
        return BulkInsert(self._connection, self.plan.rows, self.plan.columns)

    def write(self, records: Records, owned: Sequence[Sequence[Any]] = ()) -> None:
        """Write *records* with their ledgers; *owned* are the columns that the rows of their owners fill.

        Raises:
            DeclinedError: A record needs the full path.
            sqlalchemy.exc.DBAPIError: From the database.
            RowFaultError: The database did not keep every row.
        """
        if not records:
            return
        plan, connection, keys = self.plan, self._connection, list[Sequence[Any]]()
        if plan.counted is not None:
            keys = [reserve_keys(connection, plan.counted, len(records))]
        columns = [*keys, *self._columns(records), *owned]
        columns += [fill(self._defaults, len(records)) for fill in plan.fillers]
        self._insert.write(columns, len(records))
        if plan.keys is not None:
            keys = list(zip(*find_keys(connection, plan.keys, records), strict=True))
        for below in self.ledgers:
            below.write(records, keys)

    def _columns(self, records: Records) -> list[Iterable[Any]]:
        return [*self._members(records), *self.related.columns(records)]

    def _members(self, records: Records) -> list[Iterable[Any]]:
        return [member.fill(records, self._defaults) for member in self.plan.members]

    def describe(self) -> Iterator[str]:
        """The columns that are written of the table, and of each of its ledgers."""
        return self.plan.describe()

    def admits(self, records: Records) -> bool:
        """Whether `write` accepts *records*, as far as that is known before they are written."""
        return self._can(lambda writer, some: writer._columns(some), records)  # noqa: SLF001 - of this class

    def keeps(self, records: Records) -> bool:
        """Whether the columns of members, but not those of references, keep the values of *records*."""
        return self._can(lambda writer, some: writer._members(some), records)  # noqa: SLF001 - of this class

    def _can(self, convert: Callable[[RowWriter, Records], object], records: Records) -> bool:
        """Whether *convert* declines no record, nor an entry."""
        try:
            convert(self, records)
        except DeclinedError:
            return False
        return all(each.rows._can(convert, each.entries(records)) for each in self.ledgers)  # noqa: SLF001


class LedgerWriter:
    """Writes the entries of one ledger.

    Attributes:
        plan: How they are filled.
        rows: Writes their rows.
    """

    def __init__(self, connection: Connection, plan: LedgerPlan, builder: RowBuilder) -> None:
        self.plan = plan
        self.rows: RowWriter = RowWriter(connection, plan.table, builder)

    def write(self, records: Records, keys: Sequence[Sequence[Any]]) -> None:
        """Write the entries of *records*, whose rows have these *keys*, given by column."""
        name, many = self.plan.name, self.plan.ledger.many
        ledgers = [record.get(name) or () for record in records]
        if not many:
            ledgers = [[entry] if entry else () for entry in ledgers]
        counts = list(map(len, ledgers))
        owned = [list(chain.from_iterable(map(repeat, keys[place], counts))) for place in self.plan.places]
        self.rows.write(list(chain.from_iterable(ledgers)), owned)

    def entries(self, records: Records) -> Records:
        """The entries of all *records*."""
        name, to_list = self.plan.name, self.plan.ledger.to_list
        return [entry for record in records for entry in to_list(record.get(name))]


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
    counted = frozenset(key for key in rules.growing_keys if chooses_keys(connection, key))
    defaults = {table: tuple(own) for table, own in builder.defaults.items()}
    target = Target(connection.dialect, driver, builder.limits, defaults, counted)
    found = plan.recall(("rows", kind.name), functools.partial(_find_table_plan, kind.table), target)
    return found if isinstance(found, str) else RowWriter(connection, found, builder)


def find_rules(kind: Kind) -> KindRules:
    """What decides about the fast path of *kind* in any database."""
    reason = next(find_obstacles(kind.table, "load", hooks=()), None)
    if reason is None and not kind.table.has_own_uuid:
        reason = f"{kind.name}: no UUID, unique by itself, identifies its runs"
    keys = [(table.growing_key, owner_columns(table)) for table in kind.table.all()]
    return KindRules(reason, [key for key, columns in keys if key is not None and columns == (key,)])


def _find_table_plan(table: Table, target: Target) -> TablePlan | str:
    try:
        return plan_table(target, table)
    except FullPathError as error:
        return str(error)
