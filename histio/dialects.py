"""What differs between databases: transactions, snapshots, and which errors are a row's own fault."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.fields.numbers import FLOAT_DIGITS
from histio.kinds import Kind
from histio.mapping import underlying, unique_rules
from histio.report import Fault

_MYSQL = {"mysql", "mariadb"}

# MariaDB and MySQL error numbers that speak of a row's content: null, duplicate, foreign key, range, length,
# bad value, view and partition rules, SIGNAL from a trigger, CHECK (MySQL, MariaDB).
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_MYSQL_ROW_FAULTS = frozenset(
    (
        1048,
        1062,
        1216,
        1217,
        1264,
        1265,
        1292,
        1364,
        1366,
        1369,
        1406,
        1451,
        1452,
        1526,
        1586,
        1644,
        3819,
        4025,
    )
)

# The servers' own numbers stay below; what is above, a trigger has made up.
_MYSQL_MADE_UP = 20_000

# SQLSTATE classes that speak of a row's content: data exception, integrity constraint violation, WITH CHECK
# OPTION, RAISE in a trigger; and those of the implementation that PostgreSQL itself uses for other things.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATE_ROW_FAULTS = ("22", "23", "44", "45", "P0")
_SQLSTATE_DATA = "22000"
_SQLSTATE_SYSTEM = ("53", "54", "55", "57", "58", "72", "XX")

# How a connection tells the character set in which it speaks, and the one that carries every character.
_CHARACTER_SETS = {
    "postgresql": ("SHOW client_encoding", "UTF8"),
    "mysql": ("SELECT concat_ws(' ', @@character_set_client, @@character_set_results)", "utf8mb4 utf8mb4"),
}
_CHARACTER_SETS["mariadb"] = _CHARACTER_SETS["mysql"]


# SQLAlchemy's spelling of a time in SQLite.
_TEMPLATE = "0000-00-00 00:00:00.000000"
_WIDTH = len(_TEMPLATE)


class RowFaultError(Exception):
    """A row broke a rule that the database did not speak of itself."""


def create_engine(url: str | sa.URL, **options: Any) -> Engine:
    """SQLAlchemy's `create_engine`, with SQLite set up to keep its promises.

    On SQLite, foreign keys are enforced, and transactions begin when SQLAlchemy says so: the driver's own
    habit of beginning late makes RELEASE SAVEPOINT commit.
    """
    engine = sa.create_engine(url, **options)
    set_up(engine)
    return engine


def set_up(engine: Engine) -> None:
    """Let *engine*, which may be an AsyncEngine's, keep what `create_engine` promises."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        sa.event.listen(engine, "checkin", _end_failed_commit)


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    dbapi_connection.execute("PRAGMA foreign_keys = ON").close()


def _end_failed_commit(dbapi_connection: Any, _record: Any) -> None:
    # As in `commit`, for sessions of the application's own.
    if dbapi_connection is not None:
        dbapi_connection.rollback()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("histio_begin", "BEGIN"))


def reading_options(bind: Engine | Connection) -> dict[str, Any]:
    """Execution options under which all SELECTs of a transaction on *bind* see one moment.

    Nothing can be said of a Connection, which may be in a transaction already; SQLite needs nothing said.
    """
    several_moments = bind.dialect.name == "postgresql" or bind.dialect.name in _MYSQL
    return {"isolation_level": "REPEATABLE READ"} if several_moments and isinstance(bind, Engine) else {}


def writing_options(bind: Engine | Connection) -> dict[str, Any]:
    """Execution options under which what a transaction on *bind* reads stays true until it writes.

    SQLite takes its write lock at once; elsewhere, constraints speak when another client was faster.
    """
    return {"histio_begin": "BEGIN IMMEDIATE"} if bind.dialect.name == "sqlite" else {}


def latest(connection: Connection, statement: sa.Select[Any]) -> sa.Select[Any]:
    """*statement* made to see what is committed now, also where the transaction reads an older snapshot."""
    return statement.with_for_update(read=True) if connection.dialect.name in _MYSQL else statement


def ensure_transaction(connection: Connection) -> None:
    """Begin the transaction of *connection* where SQLAlchemy or the driver has not done so yet.

    Raises:
        BindingError: The connection is in autocommit mode, or its character set would alter text.
    """
    if not connection.in_transaction():
        connection.begin()
    # Of a transaction in SQLite, SQLAlchemy's adapter of an asyncio driver tells nothing; the driver does.
    pooled = connection.connection
    driver = pooled.driver_connection if connection.dialect.name == "sqlite" else pooled.dbapi_connection
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT" or _autocommits(driver):
        raise BindingError(
            "the connection is in AUTOCOMMIT mode, where nothing can be rolled back: "
            "hand over a connection or session with transactions"
        )
    # The driver's own habit is to begin with the first change, after which RELEASE SAVEPOINT would commit.
    if connection.dialect.name == "sqlite" and not getattr(driver, "in_transaction", True):
        _begin_sqlite(connection)
    question, whole = _CHARACTER_SETS.get(connection.dialect.name, ("", ""))
    told = connection.exec_driver_sql(question).scalar_one() if question else whole
    if told != whole:
        needed = whole.split()[0]
        raise BindingError(f"the connection speaks {told}, which alters characters: let it speak {needed}")


def _autocommits(driver: Any) -> bool:
    if hasattr(driver, "in_transaction"):  # SQLite: an engine without transactions has not begun one by now
        return driver.isolation_level is None and not driver.in_transaction
    if hasattr(driver, "get_autocommit"):
        return bool(driver.get_autocommit())
    return getattr(driver, "autocommit", False) is True


def commit(session: Session, connection: Connection) -> None:
    """Commit *session*, whose connection is *connection*; when that fails, really roll back.

    A COMMIT that finds SQLite locked leaves the transaction open, SQLAlchemy takes it for ended, and the next
    user of the pooled connection would commit it.
    """
    driver = connection.connection.dbapi_connection
    try:
        session.commit()
    except exc.OperationalError:
        if connection.dialect.name == "sqlite":
            driver.rollback()  # type: ignore[union-attr]
        raise


@contextmanager
def savepoint(connection: Connection) -> Iterator[sa.NestedTransaction]:
    """A savepoint that is rolled back when the block raises, and released otherwise.

    Where the database has ended the whole transaction (a deadlock, a full disk, ON CONFLICT ROLLBACK), the
    savepoint is gone; the error that goes up is the first one. On SQLite, where each statement that follows
    would commit by itself, the transaction is then ended for SQLAlchemy too.
    """
    nested = connection.begin_nested()
    try:
        yield nested
    except BaseException:
        try:
            if nested.is_active:
                nested.rollback()
        except exc.SQLAlchemyError:
            root = connection.get_transaction()
            if connection.dialect.name == "sqlite" and root is not None:
                root.rollback()
        raise
    if nested.is_active:
        nested.commit()


@contextmanager
def quiet_pipelines() -> Iterator[None]:
    """Keep psycopg from also logging, once for each failed executemany, the error that it raises."""

    def told_twice(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("error ignored terminating")

    logger = logging.getLogger("psycopg")
    logger.addFilter(told_twice)
    try:
        yield
    finally:
        logger.removeFilter(told_twice)


def check_deferred(connection: Connection, tables: Collection[sa.Table]) -> None:
    """Let the deferred constraints of the transaction speak now rather than at COMMIT.

    Raises:
        sqlalchemy.exc.IntegrityError: One is violated.
        RowFaultError: A foreign key of *tables* is violated (SQLite).
    """
    if connection.dialect.name == "postgresql":
        # A savepoint that is rolled back leaves the transaction's own deferral as it was.
        nested = connection.begin_nested()
        try:
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        finally:
            nested.rollback()
    elif connection.dialect.name == "sqlite":
        made = sa.table("sqlite_master", sa.column("name"), sa.column("sql"))
        names = [table.name for table in tables]
        deferring = sa.select(made.c.name).where(made.c.name.in_(names), made.c.sql.ilike("%DEFERRED%"))
        for name in connection.scalars(deferring).all():
            quoted = connection.dialect.identifier_preparer.quote(name)
            if connection.exec_driver_sql(f"PRAGMA foreign_key_check({quoted})").first():
                raise RowFaultError(f"FOREIGN KEY of {name}")


def sort_key(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[Any]:
    """An expression that sorts like the times in *column*, and can be read and compared as it is stored.

    SQLite keeps times as text. Written by others, they may be in other spellings than SQLAlchemy's, which
    are made alike here; where there are none, the index still serves.
    """
    if not _is_text_time(connection, column.type):
        return column.expression
    text: sa.ColumnElement[Any] = sa.type_coerce(column, sa.String)
    other = sa.select(sa.literal(1)).where(
        sa.or_(sa.func.length(text) != _WIDTH, sa.func.substr(text, 11, 1) != " ")
    )
    if connection.execute(other.limit(1)).first() is None:
        return text
    spaced = sa.func.replace(text, "T", " ", type_=sa.String)
    return spaced.concat(sa.func.substr(_TEMPLATE, sa.func.length(spaced) + 1))


def as_sorted(connection: Connection, column: sa.Column[Any], value: Any) -> Any:
    """*value* as `sort_key` gives it."""
    return value.isoformat(" ", "microseconds") if _is_text_time(connection, column.type) else value


def _is_text_time(connection: Connection, column_type: TypeEngine[Any]) -> bool:
    return connection.dialect.name == "sqlite" and isinstance(underlying(column_type), sa.DateTime)


def order_key(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[Any]:
    """An expression that sorts *column* alike everywhere: text by code point, UUIDs by their digits."""
    stored = underlying(column.type)
    name = connection.dialect.name
    if name in _MYSQL and isinstance(stored, sa.Uuid):
        return sa.cast(column, sa.String(36))  # MariaDB's own type sorts by the parts' age
    length = getattr(stored, "length", None)
    if not isinstance(stored, sa.String) or length in (32, 36):
        return column.expression
    if name in _MYSQL:
        return sa.cast(column, sa.LargeBinary)
    return sa.collate(column, "BINARY" if name == "sqlite" else "C")


def unreadable(connection: Connection, column: sa.Column[Any]) -> sa.ColumnElement[bool] | None:
    """What is true of values in *column* that SQLAlchemy would round or could not read.

    None where there can be none; SQLite stores anything in any column.
    """
    if connection.dialect.name != "sqlite":
        return None
    kind = sa.func.typeof(column)
    if isinstance(column.type, sa.Numeric) and column.type.scale is not None:
        raw = sa.type_coerce(column, sa.Float)
        # Beyond what a float's last digit may differ by.
        rounded = sa.func.abs(sa.func.round(raw, column.type.scale) - raw) > sa.func.abs(raw) * 3e-16
        return sa.or_(kind == "text", kind == "blob", rounded)
    if isinstance(column.type, sa.Boolean):
        return sa.type_coerce(column, sa.Integer).not_in([0, 1])
    if not isinstance(column.type, sa.DateTime | sa.Date):
        return None
    raw_text = sa.type_coerce(column, sa.String)
    date, time = sa.func.substr(raw_text, 1, 10), sa.func.substr(raw_text, 12)
    fine = (
        kind == "text",
        sa.func.length(raw_text) <= (_WIDTH if isinstance(column.type, sa.DateTime) else len("0000-00-00")),
        raw_text >= "0001",
        sa.func.date(date, "+0 days") == date,  # a day that the month lacks becomes another
        sa.or_(time == "", sa.func.time(time).is_not(None)),
    )
    return sa.and_(column.is_not(None), sa.not_(sa.func.coalesce(sa.and_(*fine), sa.false())))


Limit: TypeAlias = Callable[[Any], Fault | None]
"""What is wrong with a value that a column's type allows and a database does not keep as it is."""


def limits(dialect: sa.Dialect, columns: Mapping[str, sa.Column[Any]]) -> dict[str, Limit]:
    """By member, what a database of *dialect* would round or drop in silence."""
    found = {name: _limit(dialect, column) for name, column in columns.items()}
    return {name: limit for name, limit in found.items() if limit is not None}


def _limit(dialect: sa.Dialect, column: sa.Column[Any]) -> Limit | None:
    stored = underlying(column.type.dialect_impl(dialect))
    if dialect.name in _MYSQL and isinstance(stored, sa.DateTime) and not getattr(stored, "fsp", None):
        return _whole_seconds
    if not isinstance(stored, sa.Numeric) or isinstance(stored, sa.Float):
        return None
    if dialect.name == "sqlite" and (stored.precision or FLOAT_DIGITS + 1) > FLOAT_DIGITS:
        return _within_floats
    # MariaDB and MySQL read NUMERIC as NUMERIC(10, 0).
    return _whole_number if dialect.name in _MYSQL and stored.precision is None else None


def _whole_seconds(value: Any) -> Fault | None:
    if not getattr(value, "microsecond", 0):
        return None
    return Fault("The database keeps whole seconds only in this column.", "precision")


def _within_floats(value: Any) -> Fault | None:
    if len(Decimal(str(value)).normalize().as_tuple().digits) <= FLOAT_DIGITS:
        return None
    return Fault(f"SQLite keeps {FLOAT_DIGITS} digits of a decimal.", "precision")


def _whole_number(value: Any) -> Fault | None:
    if value == int(value) and abs(value) < 10**10:
        return None
    return Fault("The database keeps ten digits and no fraction in this column.", "precision")


@functools.cache
def check_kind(kind: Kind, dialect_name: str) -> None:
    """Raise BindingError where a database of this dialect cannot hold the decimals of *kind*."""
    if dialect_name != "sqlite":
        return
    for table in kind.table.all():
        for member, column in table.columns.items():
            width = getattr(table.fields[member], "precision", None) or 0
            if isinstance(underlying(column.type), sa.Numeric) and width > FLOAT_DIGITS:
                raise BindingError(
                    f"{table.mapper.class_.__name__}.{member}: SQLite keeps decimals as floats, which carry "
                    f"{FLOAT_DIGITS} digits, and this one has {width}: write FixedDecimal(precision="
                    f"{FLOAT_DIGITS}, scale=…), or keep it as text by a TypeDecorator"
                )


@contextmanager
def strict(connection: Connection) -> Iterator[None]:
    """A block in which MariaDB and MySQL refuse what they would otherwise cut to fit."""
    if connection.dialect.name not in _MYSQL:
        yield
        return
    mode = connection.exec_driver_sql("SELECT @@SESSION.sql_mode").scalar_one()
    lenient = "STRICT_ALL_TABLES" not in mode.split(",")
    setting = sa.text("SET SESSION sql_mode = :mode")
    if lenient:
        connection.execute(setting, {"mode": f"{mode},STRICT_ALL_TABLES".lstrip(",")})
    try:
        yield
    finally:
        if lenient and not connection.invalidated:
            connection.execute(setting, {"mode": mode})


def advance_sequence(connection: Connection, column: sa.Column[Any]) -> None:
    """Let the sequence of a key, of which rows were written with values of their own, go on behind them.

    MariaDB and SQLite do so by themselves.
    """
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    schema = connection.schema_for_object(column.table)
    table = ".".join(quote(part) for part in (schema, column.table.name) if part)
    sequence = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table, column.name))).scalar()
    highest = connection.execute(sa.select(sa.func.max(column))).scalar()
    if sequence is not None and highest is not None:
        # Never backwards: others may have been given higher ones.
        ahead = sa.text(f"SELECT setval(:name, greatest(:highest, (SELECT last_value FROM {sequence})))")  # noqa: S608
        connection.execute(ahead, {"name": sequence, "highest": highest})


def row_fault(error: Exception, tables: Collection[sa.Table]) -> str | None:
    """The constraint that a row of *tables* violated; None where the error is no row's fault.

    The name is the database's own where it tells one; SQLite tells columns, from which it is looked up.
    """
    if isinstance(error, RowFaultError):
        return str(error)
    if not isinstance(error, exc.DBAPIError):
        # Values that a type or the driver could not convert never reached the database.
        own = isinstance(error, (exc.StatementError, OverflowError, UnicodeError))
        return str(getattr(error, "orig", error)).splitlines()[0] if own else None
    cause: Any = error.orig
    diagnosis = getattr(cause, "diag", None) or _asyncpg_diagnosis(cause)
    if diagnosis is not None:
        return _postgresql_fault(diagnosis)
    if hasattr(cause, "sqlite_errorname"):
        integrity = isinstance(error, (exc.IntegrityError, exc.DataError))
        return _sqlite_fault(str(cause), tables) if integrity else None
    return _mysql_fault(cause)


def _asyncpg_diagnosis(cause: Any) -> Any:
    """What asyncpg says of an error, under psycopg's names; None for an error of another driver."""
    told: Any = getattr(cause, "__cause__", None)
    # A value that asyncpg cannot convert is a ValueError without a state: it never reached the database.
    unsent = isinstance(told, ValueError) and hasattr(cause, "sqlstate")
    if not unsent and not hasattr(told, "sqlstate"):
        return None
    return SimpleNamespace(
        sqlstate=_SQLSTATE_DATA if unsent else told.sqlstate,
        constraint_name=getattr(told, "constraint_name", None),
        column_name=getattr(told, "column_name", None),
        message_primary=getattr(told, "message", None) or str(told),
    )


def _postgresql_fault(diagnosis: Any) -> str | None:
    state = diagnosis.sqlstate or ""
    # Classes from 5 and from I on are the implementation's; what PostgreSQL does not use, a trigger made up.
    made_up = state[:1] >= "5" and not "A" <= state[:1] <= "H" and not state.startswith(_SQLSTATE_SYSTEM)
    if not (state.startswith(_SQLSTATE_ROW_FAULTS) or made_up):
        return None
    told = diagnosis.constraint_name or (diagnosis.column_name and f"NOT NULL {diagnosis.column_name}")
    return str(told or diagnosis.message_primary)


def _mysql_fault(cause: Any) -> str | None:
    number = cause.args[0] if cause.args else None
    if not isinstance(number, int) or (number not in _MYSQL_ROW_FAULTS and number < _MYSQL_MADE_UP):
        return None
    message = str(cause.args[-1])
    named = re.search(r"CONSTRAINT `([^`]+)`|for key '(?:[^'.]+\.)?([^']+)'", message)
    column = re.search(r"[Cc]olumn '([^']+)'|Field '([^']+)'", message)
    if named:
        return named[1] or named[2]
    return message if column is None else f"{column[1] or column[2]}: {message}"


def _sqlite_fault(message: str, tables: Collection[sa.Table]) -> str:
    rule, _, subject = message.partition(" constraint failed")
    subject = subject.removeprefix(": ")
    if rule == "CHECK" and subject:
        return subject
    if rule == "UNIQUE":
        columns = {name.strip() for name in subject.split(",")}
        for unique in (unique for table in tables for unique in unique_rules(table)):
            if {str(column) for column in unique.columns} == columns:
                return str(unique.name)
    return f"{rule} {subject}".strip()
