"""Plan how the fast path of imports fills the columns of a table."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from histio.database.dialects import Driver, Limit, binds, further_columns
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, describe_calls
from histio.importing.fast.by_value import Defaults, FieldPlan, Filler, Records, is_called
from histio.importing.fast.parameters import Parameters, parameters
from histio.importing.owner_keys import KeyPlan, owner_columns, plan_keys
from histio.kinds.fields import FixedDecimal, Slug
from histio.kinds.keys import is_unique
from histio.kinds.mapping import Columns
from histio.kinds.table import Ledger, Table


@dataclass(frozen=True, slots=True)
class Target:
    """What plans need to know of the database that an import writes to.

    Attributes:
        dialect: The database's.
        driver: What its driver takes.
        limits: By table and member, what the database cannot keep of what the format allows.
        defaults: By table, the keys of columns that have defaults.
        counted: Growing keys whose next values the import chooses itself.
    """

    dialect: sa.Dialect
    driver: Driver
    limits: Mapping[Table, Mapping[str, Limit]]
    defaults: Mapping[Table, Collection[str]]
    counted: frozenset[sa.Column[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class MemberPlan:
    """How the column of a member is filled.

    Attributes:
        name: The member's name on the wire.
        key: The column's.
        is_required: Whether every record has the member.
        convert: Converts its values to parameters.
        absent: Makes parameters for records without the member; None: these need the full path.
    """

    name: str
    key: str
    is_required: bool
    convert: Parameters
    absent: Filler | None

    def fill(self, records: Records, defaults: Defaults) -> Iterable[Any]:
        """The parameters of the column.

        Raises:
            DeclinedError: A record needs the full path.
        """
        name = self.name
        if self.is_required:
            return self.convert(list(map(itemgetter(name), records)))
        values = [record[name] for record in records if name in record]
        if len(values) == len(records):
            return self.convert(values)
        if self.absent is None:
            raise DeclinedError
        converted = iter(self.convert(values))
        absent = iter(self.absent(defaults, len(records) - len(values)))
        return [next(converted if name in record else absent) for record in records]


@dataclass(frozen=True, slots=True, eq=False)
class ReferencePlan:
    """How the columns of all references are filled.

    Attributes:
        members: The slugs of a record, those kept as snapshots included.
        names: Their names on the wire.
        readers: For each of them, what loads a slug; None: the text itself is the key.
        columns: The columns that they fill.
        binds: By key of those columns, what converts a value to a parameter; None: it is one already.
    """

    members: Sequence[str]
    names: Sequence[str]
    readers: Sequence[Callable[[Any], Any] | None]
    columns: Columns
    binds: Mapping[str, Callable[[Any], Any] | None]

    def parameters(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The parameters of the columns from *values* by column key; None: one of them is missing."""
        if not values.keys() >= self.binds.keys():
            return None
        return tuple(_bound(bind, values[key]) for key, bind in self.binds.items())


@dataclass(frozen=True, slots=True, eq=False)
class LedgerPlan:
    """How the entries of one ledger are filled.

    Attributes:
        ledger: The ledger.
        name: Its name on the wire.
        places: The places of the columns, among those of the owner, that fill the entries.
        table: The plan of their table.
    """

    ledger: Ledger
    name: str
    places: Sequence[int]
    table: TablePlan


@dataclass(frozen=True, slots=True, eq=False)
class TablePlan:
    """How the rows of one table are filled, column by column.

    Attributes:
        table: The table.
        rows: Its Core table.
        columns: All columns that are written: the counted key, members, references, those that the owner
            fills, then the others.
        members: How members are filled.
        references: How references are filled.
        fillers: Fill the other columns.
        counted: The growing key, if the import chooses its values.
        keys: How the keys of written rows are found, if there are ledgers and the key is not counted.
        ledgers: How the ledgers are filled.
    """

    table: Table
    rows: sa.Table
    columns: Columns
    members: Sequence[MemberPlan | FieldPlan]
    references: ReferencePlan
    fillers: Sequence[Filler]
    counted: sa.Column[Any] | None
    keys: KeyPlan | None
    ledgers: Sequence[LedgerPlan]

    def describe(self) -> Iterator[str]:
        """The columns that are written and the fields that are called, for the table and each ledger."""
        called = {each.column: each for each in self.members if isinstance(each, FieldPlan)}
        for member, column in self.table.columns.items():
            if column in called:
                yield describe_calls(self.table, member, column.type)
        yield f"{self.table.rows}: {', '.join(column.name for column in self.columns)}"
        for below in self.ledgers:
            yield from below.table.describe()


def plan_table(
    target: Target,
    table: Table,
    owned: Columns = (),
    constants: Mapping[sa.Column[Any], Any] | None = None,
) -> TablePlan:
    """The plan for the rows of *table* and their ledgers.

    Args:
        target: The database.
        table: The table.
        owned: Columns that the row of an owner fills.
        constants: Columns that always have the same value.

    Raises:
        FullPathError: Only marshmallow and SQLAlchemy can write the rows.
    """
    dialect = target.dialect
    check_table(table, owned)
    if len(table.mapper.tables) > 1:
        raise FullPathError(f"{_name(table)} is mapped to several tables")
    members = {member: each for member, each in table.columns.items() if member not in table.computed}
    references = plan_references(dialect, table)
    check_columns(table, members.values(), references, owned, target.defaults[table])
    counted = table.growing_key if table.growing_key in target.counted else None
    keys = () if counted is None else (counted,)
    columns = (*keys, *members.values(), *references.columns, *owned)
    others = _plan_others(target, table, constants or {}, columns)
    return TablePlan(
        table,
        table.rows,
        (*columns, *others),
        [_plan_member(target, table, member, column) for member, column in members.items()],
        references,
        list(others.values()),
        counted,
        _plan_keys(dialect, table) if table.ledgers and counted is None else None,
        [_plan_ledger(target, table, ledger) for ledger in table.ledgers],
    )


def _name(table: Table) -> str:
    return table.mapper.class_.__name__


def check_columns(
    table: Table,
    members: Iterable[sa.Column[Any]],
    references: ReferencePlan,
    owned: Columns,
    defaults: Collection[str],
) -> None:
    """Raise FullPathError if a column is filled in two ways.

    Args:
        table: The table.
        members: The columns of members.
        references: The references.
        owned: Columns that the row of an owner fills.
        defaults: The keys of columns that have defaults.
    """
    if not {column.key for column in references.columns}.isdisjoint(defaults):
        raise FullPathError(f"{_name(table)}: a column of a reference is also filled by a default")
    columns = (*members, *references.columns, *owned)
    if len(set(columns)) < len(columns):
        raise FullPathError(f"{_name(table)} has a column with two meanings")


def check_table(table: Table, owned: Columns) -> None:
    """Raise FullPathError if records have lists of slugs, or the database does not keep identities apart."""
    if table.links:
        raise FullPathError(f"{_name(table)} has a list of slugs")
    own = table.identity
    # UUIDs do not repeat by chance.
    if own is not None and not own.is_uuid and not is_unique(*own.columns, *owned):
        raise FullPathError(f"{_name(table)}: the database takes entries of the same identity")


def _plan_member(target: Target, table: Table, member: str, column: sa.Column[Any]) -> MemberPlan | FieldPlan:
    field, limit = table.fields[member], target.limits[table].get(member)
    absent = _plan_absent(target, table, column)
    # A limit checks times with a space.
    driver = target.driver if limit is None else replace(target.driver, takes_wire_times=False)
    convert = None if is_called(field) else parameters(field, column, target.dialect, driver)
    if convert is None:
        return FieldPlan(table.names[member], field, column, limit, binds(column, target.dialect), absent)
    if limit is not None:
        convert = functools.partial(_convert_within, limit, convert, on_wire=isinstance(field, FixedDecimal))
    return MemberPlan(table.names[member], column.key, field.required, convert, absent)


def _plan_absent(target: Target, table: Table, column: sa.Column[Any]) -> Filler | None:
    """Fills *column* where records leave its member out; None: only SQLAlchemy or the database does."""
    if column.key in target.defaults[table]:
        return _fill_by_default(target.dialect, table, column.key)
    return _find_default(target.dialect, column)


def _convert_within(
    limit: Limit, convert: Parameters, values: Sequence[Any], *, on_wire: bool
) -> Iterable[Any]:
    """The parameters that *convert* makes of *values*, if the column keeps all of them.

    *on_wire*: whether to check *values* instead of the parameters, which may have lost digits.

    Raises:
        DeclinedError: The column does not keep one of them.
    """
    converted = list(convert(values))
    checked = values if on_wire else converted
    if any(limit.null if each is None else limit.check_parameter(each) for each in checked):
        raise DeclinedError
    return converted


def plan_references(dialect: sa.Dialect | None, table: Table) -> ReferencePlan:
    """How the columns of the references of *table* are filled.

    Args:
        dialect: The dialect whose driver gets the values; None: SQLAlchemy gets them.
        table: The table.
    """
    columns = tuple(dict.fromkeys(each for one in table.references for each in one.relation.local))
    slugs = [member for reference in table.references for member in reference.slugs]
    members = [*slugs, *(snapshot.member for snapshot in table.snapshots)]
    readers: list[Callable[[Any], Any] | None] = []
    for member in members:
        field = table.fields[member]
        if not isinstance(field, Slug):
            raise FullPathError(f"{_name(table)}.{member}: is not a slug")
        readers.append(None if field.is_plain_text else field.from_wire)
    found = {column.key: None if dialect is None else binds(column, dialect) for column in columns}
    return ReferencePlan(members, [table.names[member] for member in members], readers, columns, found)


def _plan_keys(dialect: sa.Dialect, table: Table) -> KeyPlan:
    plan = plan_keys(dialect, table)
    if plan is None:
        raise FullPathError(f"{_name(table)}: no UUID, unique by itself, identifies its rows")
    return plan


def _plan_ledger(target: Target, owner: Table, ledger: Ledger) -> LedgerPlan:
    places = [owner_columns(owner).index(column) for column in ledger.owner]
    table = plan_table(target, ledger.table, ledger.local, ledger.constants)
    return LedgerPlan(ledger, owner.names[ledger.member], places, table)


def _plan_others(
    target: Target, table: Table, constants: Mapping[sa.Column[Any], Any], filled: Columns
) -> dict[sa.Column[Any], Filler]:
    """How the columns are filled that are not in *filled*: no member, reference or owner fills them."""
    dialect = target.dialect
    others = {
        table.rows.columns[key]: _fill_by_default(dialect, table, key) for key in target.defaults[table]
    }
    others |= {column: _fill_with(dialect, column, value) for column, value in constants.items()}
    others = {column: fill for column, fill in others.items() if column not in set(filled)}
    further = further_columns(table.rows, (*filled, *others), dialect)
    if further is None:
        raise FullPathError(f"{_name(table)} has types that call functions")
    return others | {column: _fill_anew(dialect, column) for column in further}


def _fill_by_default(dialect: sa.Dialect, table: Table, key: str) -> Filler:
    """Fills the column with this *key* with its default, the same for all rows."""
    bind = binds(table.rows.columns[key], dialect)
    return lambda defaults, count: itertools.repeat(_bound(bind, defaults[key]()), count)


def _fill_with(dialect: sa.Dialect, column: sa.Column[Any], value: Any) -> Filler:
    """Fills *column* with *value*."""
    bind = binds(column, dialect)
    return lambda _, count: itertools.repeat(_bound(bind, value), count)


def _fill_anew(dialect: sa.Dialect, column: sa.Column[Any]) -> Filler:
    """Fills *column* with its default in SQLAlchemy, called for each row if it is a function.

    Raises:
        FullPathError: The function looks at the row.
    """
    found = _find_default(dialect, column)
    if found is None:
        raise FullPathError(f"{column} has a default that looks at the row")
    return found


def _find_default(dialect: sa.Dialect, column: sa.Column[Any]) -> Filler | None:
    """Fills *column* with its default in Python; None: it has none, or one that looks at the row."""
    default: Any = column.default
    if not isinstance(default, sa.ColumnDefault):
        return None
    if default.is_scalar:
        return _fill_with(dialect, column, default.arg)
    # SQLAlchemy wraps what takes no context into a function of its own that does.
    function = getattr(default.arg, "__wrapped__", None) if default.is_callable else None
    if function is None or default.arg.__code__.co_filename != sa.sql.schema.__file__:
        return None
    bind = binds(column, dialect)
    return lambda _, count: [_bound(bind, function()) for _ in range(count)]


def _bound(bind: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if bind is None else bind(value)
