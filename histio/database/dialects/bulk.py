"""Write rows in bulk by the fastest method of each driver, without SQLAlchemy's conversion of values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.written import check_count
from histio.database.dialects.zones import IN_ZONE
from histio.kinds.mapping import Columns


@dataclass(frozen=True, slots=True)
class Driver:
    """How a driver takes the values of records.

    Attributes:
        floats: Decimals are passed as floats; otherwise as text.
        zone: The suffix of a time in UTC. Columns without time zone ignore it.
    """

    floats: bool = False
    zone: str = ""


_POSTGRESQL = Driver(zone="+00:00")
_DRIVERS = {
    **dict.fromkeys(("pysqlite", "aiosqlite"), Driver(floats=True)),
    **dict.fromkeys(("pymysql", "aiomysql", "asyncmy", "mysqldb"), Driver()),
    "psycopg": _POSTGRESQL,
}

_COPIED = 100
"""The smallest number of rows for which COPY is faster than INSERT."""


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


def counts_up(connection: Connection, column: sa.Column[Any]) -> bool:
    """Whether the import may choose the next values of *column*, a key, because nobody else can choose them.

    In SQLite, one transaction writes at a time, and the next key is the highest key plus one. This is not
    true with AUTOINCREMENT, which remembers the keys of deleted rows, or with triggers, which may write rows.
    """
    rowid = column.type.compile(dialect=connection.dialect) == "INTEGER"
    if connection.dialect.name != "sqlite" or column.table.schema is not None or not rowid:
        return False
    return connection.execute(_OTHERWISE, {"name": column.table.name}).first() is None


def next_key(connection: Connection, column: sa.Column[Any]) -> int:
    """The next value of a key for which `counts_up` is true."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1)).scalar_one())


def insert_rows(
    connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write *rows*, whose values are already converted for the driver.

    Raises:
        sqlalchemy.exc.DBAPIError: The database rejects a row.
        RowFaultError: It did not keep every row.
    """
    if not rows:
        return
    write = _copy if len(rows) >= _COPIED and _takes_copy(connection, table) else _execute_many
    check_count(connection, table, write(connection, table, columns, rows), len(rows))


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


def _takes_copy(connection: Connection, table: sa.Table) -> bool:
    """Whether COPY into *table* works like INSERT: not for views, rules or row-level security."""
    dialect = connection.dialect
    if _DRIVERS.get(dialect.driver) is not _POSTGRESQL or dialect.is_async or connection.info.get(IN_ZONE):
        return False
    name = dialect.identifier_preparer.format_table(table).replace("%%", "%")
    return connection.execute(_PLAIN, {"name": name}).scalar() is True


def _execute_many(
    connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> int:
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


def _copy(connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]) -> int:
    statement = f"COPY {_format_target(connection.dialect, table, columns).replace('%%', '%')} FROM STDIN"
    driver: Any = connection.connection.driver_connection
    own: Any = connection.dialect.loaded_dbapi
    try:
        with driver.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
            return int(cursor.rowcount)
    except own.Error as error:
        wrapped = sa.exc.DBAPIError.instance(statement, None, error, own.Error, dialect=connection.dialect)
        raise wrapped from error
