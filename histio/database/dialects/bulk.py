"""Write rows in bulk by the fastest method of each driver, without SQLAlchemy's conversion of values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.transactions import packet_size
from histio.database.dialects.written import check_count
from histio.database.dialects.zones import IN_ZONE
from histio.kinds.mapping import Columns


@dataclass(frozen=True, slots=True)
class Driver:
    """How a driver takes the values of records.

    Attributes:
        floats: Decimals are passed as floats; otherwise as text.
        zone: The suffix of a time in UTC. Columns without time zone ignore it.
        takes_wire_times: Whether times in UTC can be passed as the format has them.
    """

    floats: bool = False
    zone: str = ""
    takes_wire_times: bool = False


_POSTGRESQL = Driver(zone="+00:00", takes_wire_times=True)
_DRIVERS = {
    **dict.fromkeys(("pysqlite", "aiosqlite"), Driver(floats=True)),
    **dict.fromkeys(("pymysql", "aiomysql", "asyncmy", "mysqldb"), Driver()),
    "psycopg": _POSTGRESQL,
}

_MANY = 100
"""The number of rows from which they are written past SQLAlchemy, by COPY or as literals."""


def driver_of(connection: Connection) -> Driver | None:
    """How the driver of *connection* takes values; None: not known."""
    translated = connection.get_execution_options().get("schema_translate_map")
    return None if translated else _DRIVERS.get(connection.dialect.driver)


def binds(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """The function that converts values of *column* for the driver; None: they need no conversion."""
    return column.type.dialect_impl(dialect).bind_processor(dialect)


@functools.lru_cache(maxsize=256)
def further_columns(table: sa.Table, columns: Columns, dialect: sa.Dialect) -> Columns | None:
    """The columns that an INSERT of *columns* fills with Python defaults; None: it also does other things."""
    keys = {column.key for column in columns}
    for column in table.primary_key:
        is_filled = column.key in keys or column.default is not None or column.server_default is not None
        if not is_filled and column is not table.autoincrement_column:
            return None
    compiled: Any = sa.insert(table).compile(dialect=dialect, column_keys=list(keys))
    further = tuple(compiled.insert_prefetch)
    called = any(column.type._has_bind_expression for column in (*columns, *further))  # noqa: SLF001 - SQLAlchemy reads it too
    return None if called or set(compiled.binds) != keys | {column.key for column in further} else further


_MADE = sa.table("sqlite_master", sa.column("tbl_name"), sa.column("type"), sa.column("sql"))
_OTHERWISE = sa.select(sa.literal(1)).where(
    sa.func.lower(_MADE.c.tbl_name) == sa.func.lower(sa.bindparam("name")),
    sa.or_(_MADE.c.type == "trigger", _MADE.c.sql.icontains("AUTOINCREMENT")),
)


def chooses_keys(connection: Connection, column: sa.Column[Any]) -> bool:
    """Whether the import may choose the next values of *column*, a key, by `reserve_keys`.

    In SQLite, one transaction writes at a time, and the next key is the highest key plus one. This is not
    true with AUTOINCREMENT, which remembers the keys of deleted rows, or with triggers, which may write rows.
    In PostgreSQL, the default has to be the next value of a sequence, and no trigger may change it.
    """
    dialect, table = connection.dialect, column.table
    if dialect.name == "postgresql":
        name = dialect.identifier_preparer.format_table(table).replace("%%", "%")
        return connection.scalar(_IS_SERIAL, {"table": name, "column": column.name}) is True
    rowid = column.type.compile(dialect=dialect) == "INTEGER"
    if dialect.name != "sqlite" or table.schema is not None or not rowid:
        return False
    return connection.execute(_OTHERWISE, {"name": table.name}).first() is None


_SEQUENCE = "pg_get_serial_sequence(:table, :column)"
_IS_SERIAL = sa.text(
    f"""
    SELECT c.relkind = 'r' AND NOT c.relhasrules
        AND (a.attidentity = 'd'
            OR pg_get_expr(d.adbin, d.adrelid) = format('nextval(%L::regclass)', {_SEQUENCE}::regclass::text))
        AND has_column_privilege(c.oid, a.attnum, 'insert') AND has_sequence_privilege({_SEQUENCE}, 'USAGE')
        AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = :column
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.oid = to_regclass(:table)
    """  # noqa: S608 - it has no values
)
_RESERVED = sa.text(f"SELECT nextval({_SEQUENCE}) FROM generate_series(1, :count)")  # noqa: S608 - as above


def reserve_keys(connection: Connection, column: sa.Column[Any], count: int) -> Sequence[int]:
    """The next values of a key for which `chooses_keys` is true, in ascending order."""
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(column.table).replace("%%", "%")
        found = connection.scalars(_RESERVED, {"table": name, "column": column.name, "count": count})
        return found.all()
    first = connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1)).scalar_one()
    return range(int(first), int(first) + count)


class BulkInsert:
    """Writes rows of a table in one transaction, by the fastest method of the driver.

    Args:
        connection: A connection in a transaction.
        table: The table.
        columns: The columns that are written.
    """

    def __init__(self, connection: Connection, table: sa.Table, columns: Columns) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns

    def write(self, values: Sequence[Iterable[Any]], count: int) -> None:
        """Write rows that are given by column.

        Args:
            values: The values of each column, already converted for the driver.
            count: The number of rows.

        Raises:
            sqlalchemy.exc.DBAPIError: The database rejects a row.
            RowFaultError: It did not keep every row.
        """
        if count:
            write = self._choose_method(count)
            reported = write(self._connection, self._table, self._columns, values)
            check_count(self._connection, self._table, reported, count)

    def _choose_method(self, count: int) -> _Method:
        connection = self._connection
        if count < _MANY or connection.info.get(IN_ZONE):  # in a zone, a listener converts times
            return _execute_many
        if connection.dialect.driver == "pymysql":
            return _execute_literals
        return _copy if self._takes_copy else _execute_many

    @functools.cached_property
    def _takes_copy(self) -> bool:
        """Whether COPY into the table works like INSERT: not for views, rules or row-level security."""
        dialect = self._connection.dialect
        if _DRIVERS.get(dialect.driver) is not _POSTGRESQL or dialect.is_async:
            return False
        name = dialect.identifier_preparer.format_table(self._table).replace("%%", "%")
        return self._connection.scalar(_PLAIN, {"name": name}) is True


_Method: TypeAlias = Callable[[Connection, sa.Table, Columns, Sequence[Iterable[Any]]], int]


def update_rows(
    connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Set *columns* in rows of *table*; the last of *columns* tells which row.

    Args:
        connection: In a transaction.
        table: The table.
        columns: The columns to set, and at the end one that is unique.
        rows: For each row, the values of *columns*, already converted for the driver.

    Raises:
        sqlalchemy.exc.DBAPIError: The database rejects a row.
        RowFaultError: There is not exactly one row for each value of the last column.
    """
    statement = _update(connection.dialect, table, columns)
    check_count(connection, table, _send(connection, statement, columns, rows), len(rows))


def delete_rows(connection: Connection, table: sa.Table, column: sa.Column[Any], keys: Sequence[Any]) -> None:
    """Delete rows of *table*: for each of *keys*, the one that has it in *column*, which is unique.

    Args:
        connection: In a transaction.
        table: The table.
        column: The column.
        keys: Its values, already converted for the driver.

    Raises:
        sqlalchemy.exc.DBAPIError: The database refuses.
        RowFaultError: There is not exactly one row for each of *keys*.
    """
    if not keys:
        return
    quote = connection.dialect.identifier_preparer
    where = f"{quote.format_column(column)} = {_mark(connection.dialect)}"
    statement = f"DELETE FROM {quote.format_table(table)} WHERE {where}"  # noqa: S608 - names are quoted
    check_count(
        connection, table, _send(connection, statement, (column,), [(key,) for key in keys]), len(keys)
    )


@functools.lru_cache(maxsize=256)
def _update(dialect: sa.Dialect, table: sa.Table, columns: Columns) -> str:
    quote, mark = dialect.identifier_preparer, _mark(dialect)
    *assigned, own = (f"{quote.format_column(column)} = {mark}" for column in columns)
    return f"UPDATE {quote.format_table(table)} SET {', '.join(assigned)} WHERE {own}"  # noqa: S608 - names are quoted


_PLAIN = sa.text(
    "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity "
    "FROM pg_class WHERE oid = to_regclass(:name)"
)


def _execute_many(
    connection: Connection, table: sa.Table, columns: Columns, values: Sequence[Iterable[Any]]
) -> int:
    rows = list(zip(*values, strict=True))
    return _send(connection, _insert(connection.dialect, table, columns), columns, rows)


def _send(connection: Connection, statement: str, columns: Columns, rows: Sequence[tuple[Any, ...]]) -> int:
    """Execute *statement* for each of *rows*, and return the number of rows that were written."""
    options = {"preserve_rowcount": True, "histio_columns": columns}  # for conversion to a time zone
    return connection.exec_driver_sql(statement, list(rows), execution_options=options).rowcount


@functools.lru_cache(maxsize=256)
def _insert(dialect: sa.Dialect, table: sa.Table, columns: Columns) -> str:
    values = ", ".join([_mark(dialect)] * len(columns))
    return f"INSERT INTO {_format_target(dialect, table, columns)} VALUES ({values})"  # noqa: S608 - names are quoted


def _mark(dialect: sa.Dialect) -> str:
    """Where a parameter stands in a statement."""
    return "?" if dialect.paramstyle == "qmark" else "%s"


def _format_target(dialect: sa.Dialect, table: sa.Table, columns: Columns) -> str:
    quote = dialect.identifier_preparer
    names = ", ".join(quote.format_column(column) for column in columns)
    return f"{quote.format_table(table)} ({names})"


@contextmanager
def _driver_cursor(connection: Connection, statement: str) -> Iterator[Any]:
    """A cursor of the driver itself; its errors are raised as SQLAlchemy raises those of *statement*."""
    driver: Any = connection.connection.driver_connection
    own: Any = connection.dialect.loaded_dbapi
    try:
        with closing(driver.cursor()) as cursor:
            yield cursor
    except own.Error as error:
        wrapped = sa.exc.DBAPIError.instance(statement, None, error, own.Error, dialect=connection.dialect)
        raise wrapped from error


def _copy(connection: Connection, table: sa.Table, columns: Columns, values: Sequence[Iterable[Any]]) -> int:
    statement = f"COPY {_format_target(connection.dialect, table, columns).replace('%%', '%')} FROM STDIN"
    with _driver_cursor(connection, statement) as cursor:
        with cursor.copy(statement) as copy:
            for row in zip(*values, strict=True):
                copy.write_row(row)
        return int(cursor.rowcount)


def _execute_literals(
    connection: Connection, table: sa.Table, columns: Columns, values: Sequence[Iterable[Any]]
) -> int:
    """Write the values into the statement by column: the driver would convert each of them in Python."""
    statement = _insert(connection.dialect, table, columns)
    driver: Any = connection.connection.driver_connection
    literals = [_literals(driver, list(column)) for column in values]
    template = ",".join(place for place, _ in literals)
    rows = [template % row for row in zip(*(each for _, each in literals), strict=True)]
    opening = statement[: statement.rindex("(")].replace("%%", "%")
    with _driver_cursor(connection, statement) as cursor:
        return sum(map(cursor.execute, _statements(driver, opening, rows, packet_size(connection))))


def _literals(driver: Any, values: Sequence[Any]) -> tuple[str, Iterable[Any]]:
    """How pymysql writes a column of *values* into a statement: a format, and what to put into it."""
    types = set(map(type, values))
    if types == {int}:
        return "%d", values
    joined = "".join(values) if types == {str} else _SPECIAL
    needs_escapes = any(special in joined for special in _SPECIAL)
    return ("%s", map(driver.escape, values)) if needs_escapes else ("'%s'", values)


_SPECIAL = "\0\n\r\x1a\"'\\"
"""The characters that a literal of text may have to escape."""


def _statements(driver: Any, opening: str, rows: Sequence[str], largest: int) -> Iterator[bytes]:
    """Statements of up to *largest* bytes that insert *rows*, unless a single row is longer."""
    statement: bytes = f"{opening}({'),('.join(rows)})".encode(driver.encoding, "surrogateescape")
    if len(statement) <= largest or len(rows) == 1:
        yield statement
        return
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        yield from _statements(driver, opening, part, largest)
