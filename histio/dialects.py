"""What differs between databases: transactions, snapshots, and which errors are a row's own fault."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from histio.errors import BindingError

_MYSQL = {"mysql", "mariadb"}

# MariaDB and MySQL error numbers that speak of a row's content: null, duplicate, foreign key, range, length,
# bad value, CHECK (MariaDB, MySQL), SIGNAL from a trigger.
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_MYSQL_ROW_FAULTS = {
    1048,
    1062,
    1216,
    1217,
    1264,
    1265,
    1292,
    1364,
    1366,
    1406,
    1451,
    1452,
    1586,
    1644,
    3819,
    4025,
}

# SQLSTATE classes that speak of a row's content: data exception, integrity constraint violation,
# RAISE in a trigger, WITH CHECK OPTION. https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATE_ROW_FAULTS = ("22", "23", "P0001", "44")


def create_engine(url: str | sa.URL, **options: Any) -> Engine:
    """SQLAlchemy's `create_engine`, with SQLite set up to keep its promises.

    On SQLite, foreign keys are enforced, and transactions begin when SQLAlchemy says so: the driver's own
    habit of beginning late makes RELEASE SAVEPOINT commit.
    """
    engine = sa.create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        sa.event.listen(engine, "checkin", _end_failed_commit)
    return engine


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


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
        BindingError: The connection is in autocommit mode.
    """
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.dbapi_connection
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT" or _autocommits(driver):
        raise BindingError(
            "the connection is in AUTOCOMMIT mode, where nothing can be rolled back: "
            "hand over a connection or session with transactions"
        )
    # The driver's own habit is to begin with the first change, after which RELEASE SAVEPOINT would commit.
    if connection.dialect.name == "sqlite" and not getattr(driver, "in_transaction", True):
        _begin_sqlite(connection)


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

    Where the server has already ended the transaction (a deadlock, a lost connection), the rollback fails
    too; the error that goes up is the first one.
    """
    nested = connection.begin_nested()
    try:
        yield nested
    except BaseException as error:
        try:
            nested.rollback()
        except exc.SQLAlchemyError:
            error.add_note("The savepoint was gone: the database had ended the transaction.")
        raise
    if nested.is_active:
        nested.commit()


def check_deferred(connection: Connection, tables: Collection[sa.Table]) -> None:
    """Let the deferrable constraints of *tables* speak now rather than at COMMIT.

    PostgreSQL only, where a savepoint that is rolled back leaves the transaction's own deferral as it was.

    Raises:
        sqlalchemy.exc.IntegrityError: One of them is violated.
    """
    if connection.dialect.name != "postgresql":
        return
    names = [
        constraint.name
        for table in tables
        for constraint in table.constraints
        if getattr(constraint, "deferrable", None) and constraint.name
    ]
    if not names:
        return
    quote = connection.dialect.identifier_preparer.quote
    nested = connection.begin_nested()
    try:
        connection.exec_driver_sql(
            f"SET CONSTRAINTS {', '.join(quote(str(name)) for name in names)} IMMEDIATE"
        )
    finally:
        nested.rollback()


def row_fault(error: Exception, tables: Collection[sa.Table]) -> str | None:
    """The constraint that a row of *tables* violated; None where the error is no row's fault.

    The name is the database's own where it tells one; SQLite tells columns, from which it is looked up.
    """
    if not isinstance(error, exc.DBAPIError):
        # Values that a type or the driver could not convert never reached the database.
        own = isinstance(error, (exc.StatementError, OverflowError, UnicodeError))
        return str(getattr(error, "orig", error)).splitlines()[0] if own else None
    cause: Any = error.orig
    if error.connection_invalidated:
        return None
    if hasattr(cause, "diag"):
        return _postgresql_fault(cause.diag)
    if hasattr(cause, "sqlite_errorname"):
        integrity = isinstance(error, (exc.IntegrityError, exc.DataError))
        return _sqlite_fault(str(cause), tables) if integrity else None
    if cause.args and cause.args[0] in _MYSQL_ROW_FAULTS:
        return _mysql_fault(str(cause.args[-1]))
    return None


def _postgresql_fault(diagnosis: Any) -> str | None:
    if not (diagnosis.sqlstate or "").startswith(_SQLSTATE_ROW_FAULTS):
        return None
    told = diagnosis.constraint_name or (diagnosis.column_name and f"NOT NULL {diagnosis.column_name}")
    return str(told or diagnosis.message_primary)


def _mysql_fault(message: str) -> str:
    named = re.search(r"CONSTRAINT `([^`]+)`|for key '(?:[^'.]+\.)?([^']+)'", message)
    column = re.search(r"[Cc]olumn '([^']+)'|Field '([^']+)'", message)
    if named:
        return named[1] or named[2]
    return f"{message}" if column is None else f"{column[1] or column[2]}: {message}"


def _sqlite_fault(message: str, tables: Collection[sa.Table]) -> str:
    rule, _, subject = message.partition(" constraint failed")
    subject = subject.removeprefix(": ")
    if rule == "CHECK" and subject:
        return subject
    if rule == "UNIQUE":
        columns = {name.strip() for name in subject.split(",")}
        for table in tables:
            for unique in (*table.constraints, *table.indexes):
                if (
                    isinstance(unique, (sa.UniqueConstraint, sa.Index))
                    and {str(c) for c in unique.columns} == columns
                ):
                    return str(unique.name)
    return f"{rule} {subject}".strip()
