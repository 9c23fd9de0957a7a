"""Records that the gate has accepted → rows, column by column, straight into the driver's bulk insert."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    Driver,
    Limit,
    RowFaultError,
    as_it_is,
    binds,
    counts_up,
    driver_of,
    further_columns,
    insert_rows,
    next_key,
    raw,
)
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, obstacles
from histio.importing.fast.parameters import Parameters, parameters
from histio.importing.row import owner_columns
from histio.importing.row_builder import RowBuilder
from histio.kinds.fields import FixedDecimal, Slug
from histio.kinds.mapping import is_unique
from histio.kinds.table import Kind, Ledger, Table
from histio.resolving.resolve import CHUNK

Records: TypeAlias = Sequence[Mapping[str, Any]]
Column: TypeAlias = Callable[[Records], Iterable[Any]]
"""Makes the parameters of one column."""

_REMEMBERED = 50_000


class Rows:
    """Writes the records of one table, with their ledgers.

    Args:
        connection: To the database that takes them.
        table: The table.
        builder: Resolves what records refer to, and knows what stands for what they leave out.
        owned: Columns that the row of an owner fills.
        further: Columns that always have the same value.

    Raises:
        FullPathError: Only marshmallow and SQLAlchemy can do it.
    """

    def __init__(
        self,
        connection: Connection,
        table: Table,
        builder: RowBuilder,
        owned: Sequence[sa.Column[Any]] = (),
        further: Mapping[sa.Column[Any], Any] | None = None,
    ) -> None:
        name, dialect, driver = table.mapper.class_.__name__, connection.dialect, driver_of(connection)
        if driver is None:
            raise FullPathError(f"{name}: nothing is known of the driver {dialect.driver}")
        if table.links:
            raise FullPathError(f"{name}: a list of slugs")
        if not _kept_apart(table, owned):
            raise FullPathError(f"{name}: the database takes entries of the same identity")
        self._rows = table.rows
        defaults, limits = builder.defaults[table], builder.limits[table]
        plain = {member: each for member, each in table.columns.items() if member not in table.computed}
        self._members = [
            _member(table, member, column, dialect, driver, defaults.get(column.key), limits.get(member))
            for member, column in plain.items()
        ]
        local = list(dict.fromkeys(each for one in table.references for each in one.relation.local))
        if defaults.keys() & {column.key for column in local}:
            raise FullPathError(f"{name}: a column of a reference is filled otherwise as well")
        self._related = _Related(dialect, table, builder, local)
        constants = {column: functools.partial(_same, value) for column, value in (further or {}).items()}
        counted = [
            key
            for key in (table.growing_key,)
            if key is not None and owner_columns(table) == (key,) and counts_up(connection, key)
        ]
        self._counted = _Counted(counted[0]) if counted else None
        self._found = _Found(dialect, table) if table.ledgers and not counted else None
        given = [*counted, *plain.values(), *local, *owned]
        filled = {table.rows.columns[key]: make for key, make in defaults.items()} | constants
        own = set(given)
        filled = {column: make for column, make in filled.items() if column not in own}
        made = further_columns(self._rows, (*given, *filled), dialect)
        if len(own) < len(given) or made is None:
            raise FullPathError(f"{name} has types that call functions, or a column with two meanings")
        self._filled = [_once(_bound(dialect, column, make)) for column, make in filled.items()]
        self._filled += [_default(dialect, column) for column in made]
        self._ordered = (*given, *filled, *made)
        self._ledgers = [_Below(connection, table, ledger, builder) for ledger in table.ledgers]

    def write(self, connection: Connection, records: Records, owners: Sequence[Sequence[Any]] = ()) -> None:
        """Write *records* with their ledgers; *owners* are columns of what the rows of those fill.

        Raises:
            DeclinedError: Of one of them, only marshmallow can say what it is.
            sqlalchemy.exc.DBAPIError: What the database says.
            RowFaultError: It did not keep every row.
        """
        if not records:
            return
        keys = [] if self._counted is None else self._counted.of(connection, records)
        columns = [*zip(*keys, strict=True), *self._columns(records), *owners]
        columns += [fill(len(records)) for fill in self._filled]
        insert_rows(connection, self._rows, self._ordered, list(zip(*columns, strict=True)))
        if self._found is not None:
            keys = self._found.of(connection, records)
        for below in self._ledgers:
            below.write(connection, records, keys)

    def _columns(self, records: Records) -> list[Iterable[Any]]:
        return [*(make(records) for make in self._members), *self._related.columns(records)]

    def describe(self) -> Iterator[str]:
        """The columns that are written of the table, and of each of its ledgers."""
        yield f"{self._rows}: {', '.join(column.name for column in self._ordered)}"
        for below in self._ledgers:
            yield from below.rows.describe()

    def admits(self, record: Mapping[str, Any]) -> bool:
        """Whether `write` takes *record*, as far as the database need not be asked."""
        try:
            self._columns([record])
        except DeclinedError:
            return False
        return all(below.admits(record) for below in self._ledgers)


def _kept_apart(table: Table, owned: Sequence[sa.Column[Any]]) -> bool:
    """Whether no two entries of an owner can have the same identity; UUIDs are not repeated by chance."""
    own = table.identity
    return own is None or own.is_uuid or is_unique(*own.columns, *owned)


def _member(
    table: Table,
    member: str,
    column: sa.Column[Any],
    dialect: sa.Dialect,
    driver: Driver,
    default: Callable[[], Any] | None,
    limit: Limit | None,
) -> Column:
    field, name = table.fields[member], table.names[member]
    make = parameters(field, column, dialect, driver)
    if make is None:
        raise FullPathError(f"{table.mapper.class_.__name__}.{member}: takes SQLAlchemy to be written")
    if limit is not None:
        make = functools.partial(_within, limit, make, as_given=isinstance(field, FixedDecimal))
    if field.required:
        return lambda records: make([record[name] for record in records])
    return functools.partial(_optional, name, make, default and _bound(dialect, column, default))


def _within(limit: Limit, make: Parameters, values: Sequence[Any], *, as_given: bool) -> Iterable[Any]:
    """The parameters that *make* makes of *values*, if the column keeps all of them.

    *as_given*: whether to check *values* instead of the parameters, which may have lost digits.

    Raises:
        DeclinedError: The column does not keep one of them.
    """
    made = list(make(values))
    if any(each is not None and limit.check_parameter(each) for each in (values if as_given else made)):
        raise DeclinedError
    return made


def _optional(
    name: str, make: Parameters, default: Callable[[], Any] | None, records: Records
) -> Iterable[Any]:
    given = [record[name] for record in records if name in record]
    if len(given) == len(records):
        return make(given)
    if default is None:
        raise DeclinedError
    done, absent = iter(make(given)), default()
    return [next(done) if name in record else absent for record in records]


def _bound(dialect: sa.Dialect, column: sa.Column[Any], make: Callable[[], Any]) -> Callable[[], Any]:
    """What *make* gives, as the driver takes it."""
    bind = binds(column, dialect)
    return make if bind is None else lambda: bind(make())


def _once(make: Callable[[], Any]) -> Callable[[int], Iterable[Any]]:
    """As many values as there are rows, all the same."""
    return lambda count: itertools.repeat(make(), count)


def _default(dialect: sa.Dialect, column: sa.Column[Any]) -> Callable[[int], Iterable[Any]]:
    """What the default of *column* gives, for each row anew where it is a function.

    Raises:
        FullPathError: The function looks at the row.
    """
    default: Any = column.default
    if default.is_scalar:
        return _once(_bound(dialect, column, functools.partial(_same, default.arg)))
    # SQLAlchemy wraps what takes no context into a function of its own that does.
    function = getattr(default.arg, "__wrapped__", None) if default.is_callable else None
    if function is None or default.arg.__code__.co_filename != sa.sql.schema.__file__:
        raise FullPathError(f"{column} has a default that looks at the row")
    make = _bound(dialect, column, function)
    return lambda count: [make() for _ in range(count)]


def _same(value: Any) -> Any:
    return value


class _Related:
    """What rows are filled with by the slugs that their records name, remembered by those slugs."""

    def __init__(
        self, dialect: sa.Dialect, table: Table, builder: RowBuilder, local: Sequence[sa.Column[Any]]
    ) -> None:
        self._table = table
        self._builder = builder
        self._local = [(column.key, binds(column, dialect)) for column in local]
        slugs = [member for reference in table.references for member in reference.slugs]
        self._members = [*slugs, *(snapshot.member for snapshot in table.snapshots)]
        for member in self._members:
            field = table.fields[member]
            if not isinstance(field, Slug) or not field.is_plain_text:
                raise FullPathError(f"{table.mapper.class_.__name__}.{member}: is no key of plain text")
        self._names = [table.names[member] for member in self._members]
        self._found: dict[Any, tuple[Any, ...]] = {}
        self._odd: set[Any] = set()

    def columns(self, records: Records) -> Iterable[Iterable[Any]]:
        """The parameters of the columns of all references."""
        if not self._names:
            return ()
        named = [[record.get(name) for record in records] for name in self._names]
        keys = named[0] if len(named) == 1 else list(zip(*named, strict=True))
        if len(self._found) + len(self._odd) > _REMEMBERED:
            self._found.clear()
            self._odd.clear()
        new = set(keys).difference(self._found)
        if new and (new & self._odd or not self._look_up(list(new))):
            raise DeclinedError
        return zip(*map(self._found.__getitem__, keys), strict=True) if self._local else ()

    def _look_up(self, keys: list[Any]) -> bool:
        """Whether there is nothing to be said of any of *keys*."""
        several = keys if len(self._names) > 1 else [(key,) for key in keys]
        given = [dict(zip(self._members, each, strict=True)) for each in several]
        for key, values in zip(keys, self._builder.related(self._table, given), strict=True):
            row = None if values is None else self._row(values)
            if row is None:
                self._odd.add(key)
            else:
                self._found[key] = row
        return not self._odd.intersection(keys)

    def _row(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        if not all(key in values for key, _ in self._local):
            return None
        return tuple(bind(values[key]) if bind else values[key] for key, bind in self._local)


class _Counted:
    """Gives new rows their keys, where nobody else can do so before this transaction ends."""

    def __init__(self, column: sa.Column[Any]) -> None:
        self._column = column

    def of(self, connection: Connection, records: Records) -> list[tuple[Any, ...]]:
        """What the row of each of *records* is to give to those of its ledgers."""
        first = next_key(connection, self._column)
        return [(key,) for key in range(first, first + len(records))]


class _Found:
    """Finds, by their identity, what written rows give to those of their ledgers."""

    def __init__(self, dialect: sa.Dialect, table: Table) -> None:
        name = table.mapper.class_.__name__
        [part] = table.identity.parts if table.identity is not None and table.has_own_uuid else [None]
        arriving = None if part is None else raw(dialect, part.column.type, part.column)
        if part is None or arriving is None:
            raise FullPathError(f"{name}: no UUID, unique by itself, identifies its rows")
        field: Any = part.field
        self._from_wire = field.from_wire
        self._has_hyphens = arriving[1] != "hex" and not field.is_hex
        self._name = part.name
        columns = map(as_it_is, owner_columns(table))
        among = part.column.in_(sa.bindparam("identities", expanding=True))
        self._select = sa.select(arriving[0], *columns).where(among)

    def of(self, connection: Connection, records: Records) -> list[tuple[Any, ...]]:
        """What the row of each of *records* gives to those of its ledgers."""
        identities = [record[self._name].lower() for record in records]
        found: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(identities), CHUNK):
            chunk = list(map(self._from_wire, identities[start : start + CHUNK]))
            with connection.execute(self._select, {"identities": chunk}) as result:
                found.update((row[0], tuple(row[1:])) for row in result.cursor.fetchall())
        if not self._has_hyphens:
            identities = [identity.replace("-", "") for identity in identities]
        if not found.keys() >= set(identities):
            raise RowFaultError("the database did not keep every row as it was")
        return [found[identity] for identity in identities]


class _Below:
    """Writes the entries of one ledger."""

    def __init__(self, connection: Connection, owner: Table, ledger: Ledger, builder: RowBuilder) -> None:
        self._ledger = ledger
        self._name = owner.names[ledger.member]
        self._places = [owner_columns(owner).index(column) for column in ledger.owner]
        self.rows = Rows(connection, ledger.table, builder, ledger.local, ledger.constants)

    def write(self, connection: Connection, records: Records, keys: Sequence[tuple[Any, ...]]) -> None:
        """Write the entries of *records*, whose rows have these *keys*."""
        entries: list[Mapping[str, Any]] = []
        owners: list[tuple[Any, ...]] = []
        for record, key in zip(records, keys, strict=True):
            some = record.get(self._name)
            if some:
                entries += some if self._ledger.many else [some]
                owners += [key] * (len(some) if self._ledger.many else 1)
        if entries:
            filled = list(zip(*owners, strict=True))
            self.rows.write(connection, entries, [filled[place] for place in self._places])

    def admits(self, record: Mapping[str, Any]) -> bool:
        return all(map(self.rows.admits, self._ledger.listed(record.get(self._name))))


def compiled_rows(connection: Connection, kind: Kind, builder: RowBuilder) -> Rows | str:
    """What writes accepted records of *kind*; a text: why marshmallow and SQLAlchemy have to."""
    reason = next(obstacles(kind.table, "load"), None)
    if reason is not None:
        return reason
    try:
        if not kind.table.has_own_uuid:
            return f"{kind.name}: no UUID, unique by itself, identifies its runs"
        return Rows(connection, kind.table, builder)
    except FullPathError as error:
        return str(error)
