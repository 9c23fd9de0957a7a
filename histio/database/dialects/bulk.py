"""Rows written in bulk, as their drivers do it fastest, without what SQLAlchemy would make of the values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.written import check_count
from histio.kinds.mapping import Columns


@dataclass(frozen=True, slots=True)
class Driver:
    """What a driver takes for values as they stand in a record.

    Attributes:
        floats: Decimals are floats; otherwise their digits as text.
        zone: What stands behind a time in UTC, in a column that keeps the zone.
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
"""From so many rows on, COPY is worth its round trips."""


def driver_of(connection: Connection) -> Driver | None:
    """What the driver of *connection* takes; None: nothing is known of it."""
    translated = connection.get_execution_options().get("schema_translate_map")
    return None if translated else _DRIVERS.get(connection.dialect.driver)


def binds(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """What makes a value of *column* what the driver takes; None: nothing needs to."""
    return column.type.dialect_impl(dialect).bind_processor(dialect)


@functools.lru_cache(maxsize=256)
def further_columns(table: sa.Table, columns: Columns, dialect: sa.Dialect) -> Columns | None:
    """Columns that an INSERT of these *columns* fills by defaults of Python; None: it does more."""
    keys = {column.key for column in columns}
    for column in table.primary_key:
        given = column.key in keys or column.default is not None or column.server_default is not None
        if not given and column is not table.autoincrement_column:
            return None
    compiled: Any = sa.insert(table).compile(dialect=dialect, column_keys=list(keys))
    further = tuple(compiled.insert_prefetch)
    called = any(column.type._has_bind_expression for column in (*columns, *further))  # noqa: SLF001 - as it asks
    return None if called or set(compiled.binds) != keys | {column.key for column in further} else further


_MADE = sa.table("sqlite_master", sa.column("tbl_name"), sa.column("type"), sa.column("sql"))
_OTHERWISE = sa.select(sa.literal(1)).where(
    sa.func.lower(_MADE.c.tbl_name) == sa.func.lower(sa.bindparam("name")),
    sa.or_(_MADE.c.type == "trigger", _MADE.c.sql.icontains("AUTOINCREMENT")),
)


def counts_up(connection: Connection, column: sa.Column[Any]) -> bool:
    """Whether who writes may give the next values of *column*, a key: nobody else can at the same time.

    In SQLite one transaction writes at a time, and the next key is the highest one's successor. Not with
    AUTOINCREMENT, which remembers the keys of rows that are gone, nor where triggers may write rows as well.
    """
    rowid = column.type.compile(dialect=connection.dialect) == "INTEGER"
    if connection.dialect.name != "sqlite" or column.table.schema is not None or not rowid:
        return False
    return connection.execute(_OTHERWISE, {"name": column.table.name}).first() is None


def next_key(connection: Connection, column: sa.Column[Any]) -> int:
    """The next value of a key that `counts_up`."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1)).scalar_one())


def insert_rows(
    connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write *rows*, whose values the driver takes as they are.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
        RowFaultError: It did not keep every row.
    """
    if not rows:
        return
    written = _copy if len(rows) >= _COPIED and _takes_copy(connection, table) else _execute_many
    check_count(connection, table, written(connection, table, columns, rows), len(rows))


_PLAIN = sa.text(
    "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity "
    "FROM pg_class WHERE oid = to_regclass(:name)"
)


def _takes_copy(connection: Connection, table: sa.Table) -> bool:
    """Whether COPY does to *table* what INSERT does: not to views, and rules and policies are passed over."""
    dialect = connection.dialect
    if _DRIVERS.get(dialect.driver) is not _POSTGRESQL or dialect.is_async:
        return False
    name = dialect.identifier_preparer.format_table(table).replace("%%", "%")
    return connection.execute(_PLAIN, {"name": name}).scalar() is True


def _execute_many(
    connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> int:
    statement = _insert(connection.dialect, table, columns)
    options = {"preserve_rowcount": True}
    return connection.exec_driver_sql(statement, list(rows), execution_options=options).rowcount


@functools.lru_cache(maxsize=256)
def _insert(dialect: sa.Dialect, table: sa.Table, columns: Columns) -> str:
    values = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * len(columns))
    return f"INSERT INTO {_named(dialect, table, columns)} VALUES ({values})"  # noqa: S608 - names are quoted


def _named(dialect: sa.Dialect, table: sa.Table, columns: Columns) -> str:
    quote = dialect.identifier_preparer
    names = ", ".join(quote.format_column(column) for column in columns)
    return f"{quote.format_table(table)} ({names})"


def _copy(connection: Connection, table: sa.Table, columns: Columns, rows: Sequence[tuple[Any, ...]]) -> int:
    statement = f"COPY {_named(connection.dialect, table, columns).replace('%%', '%')} FROM STDIN"
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
