"""Tell errors that a row causes from errors of the database, and find the violated constraint.

A deadlock, a lost connection or a full disk is never the fault of a row.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import quote_name
from histio.kinds.keys import unique_rules

_POSTGRESQL_RAISED = ("08", "25", "26", "40", "42", "53", "55", "57", "58", "72", "XX")
"""Classes of SQLSTATE that are no fault of a row: connection, state of the transaction, lost prepared
statement, deadlock, syntax and privileges, resources, locks, intervention, system, snapshot, internal error.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

_DENIED = "42501"
"""Also the SQLSTATE of a row that a policy of row-level security forbids."""

_DATA_EXCEPTION = "22000"
_UNIQUE_VIOLATION = "23505"

_MYSQL_RAISED = frozenset(
    (
        # The operating system, storage engines, and the client: lost connections, unreadable answers.
        # https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html
        *(*range(1000), *range(2000, 3000)),
        # Connections: too many, ended, killed, or with packets that are too large.
        *(1040, 1053, *range(1077, 1082), 1129, 1130, 1135, *range(1152, 1162), 1184, 1203, 1226, 1927, 4031),
        # Deadlocks, timeouts, interruptions, locks, and rows that have changed since the snapshot.
        *(1015, 1020, 1099, 1100, 1192, 1205, 1206, 1213, 1223, 1317, 1412, 1613, 1614, 1615, 1637, 1689),
        *(1931, 1969, 3024, 3058, 3572),
        # Read-only tables, transactions and servers.
        *(1036, 1207, 1290, 1792, 1836, 1874),
        # Disk, memory, files, damaged tables, binary log, COMMIT.
        *(1005, 1006, 1011, 1016, 1017, 1018, 1021, *range(1023, 1028), 1030, 1034, 1035, 1037, 1038, 1041),
        *(1114, 1180, 1181, 1194, 1195, 1197, 1429, 1430, 1534, 1598, *range(1661, 1668), 1705, 1712),
        *(*range(1810, 1816), 1817, 1877, 1932, 1964, 1983, 1986, 1998),
        # Unknown tables, columns, views and routines; syntax; statements that a table or view does not take.
        *(1046, 1049, 1051, 1054, 1064, 1109, 1136, 1146, 1149, 1286, 1288, 1305, 1348, 1356, 1471, 1630),
        # Missing privileges, and triggers and views of an unknown user.
        *(1044, 1045, 1142, 1143, 1227, 1370, 1449, 1698, 1820, 1862, 1873),
    )
)
"""Errors that are no fault of a row; those of SIGNAL in a trigger have the numbers 1642 to 1644, or its own.

https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
"""

_MYSQL_DUPLICATES = (1062, 1586)

_SQLITE_OF_ROWS = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE")
"""The only errors that are about a row, besides those of functions. https://www.sqlite.org/rescode.html"""

_SQLITE_ERROR = "SQLITE_ERROR"
"""The error of unknown tables, and of functions that fail for a value."""

_POSTGRESQL_CONFLICTS = frozenset(("40001", "40P01", "55P03"))
"""A transaction that cannot be serialized, a deadlock, and a lock that is not available."""

_MYSQL_CONFLICTS = frozenset((1020, 1205, 1213, 3572))
"""Rows that have changed since the snapshot, a lock timeout, a deadlock, and a lock that is not available."""

_SQLITE_CONFLICTS = ("SQLITE_BUSY", "SQLITE_LOCKED")


class RowFaultError(Exception):
    """A row violated a rule, although the database raised no error."""


class Repeated(str):
    """The name of a unique constraint that a row violated."""

    __slots__ = ()


def row_fault(error: Exception, tables: Collection[sa.Table], connection: Connection) -> str | None:
    """The constraint that a row of *tables* violated; None: the error is not about a row.

    Which errors are not about a row is known; all others are, as triggers and functions may raise any.

    Args:
        error: From the database, its driver, or a type of SQLAlchemy.
        tables: The tables that were written to.
        connection: In a transaction, in which the statement that failed has been rolled back.

    Returns:
        The name that the database reports. SQLite reports columns, so their constraint is looked up. The name
        of a unique constraint is a `Repeated`.
    """
    if isinstance(error, RowFaultError):
        return str(error)
    if not isinstance(error, exc.DBAPIError):
        # A type or the driver could not convert a value.
        own = isinstance(error, (exc.StatementError, OverflowError, UnicodeError))
        return str(getattr(error, "orig", error)).splitlines()[0] if own else None
    if error.connection_invalidated:
        return None
    cause: Any = error.orig
    if connection.dialect.name == "postgresql":
        return _postgresql_fault(error, tables, connection)
    if hasattr(cause, "sqlite_errorname"):
        return _sqlite_fault(str(cause), tables) if _is_about_row(error, connection) else None
    return _mysql_fault(cause) if connection.dialect.name in MYSQL else None


def is_conflict(error: BaseException) -> bool:
    """Whether the database has refused a statement because of another transaction; it can be repeated.

    The two wait for each other's locks (a deadlock), the other one has held a lock for longer than the lock
    timeout, or it has changed the same rows. Roll back, and call again. For all other errors, this is False.

    Args:
        error: As it is raised by `History`, `AsyncHistory` or SQLAlchemy.
    """
    cause: Any = getattr(error, "orig", None)
    if not isinstance(error, exc.DBAPIError):
        return False
    if hasattr(cause, "sqlite_errorname"):
        return str(cause.sqlite_errorname).startswith(_SQLITE_CONFLICTS)
    state = getattr(_diagnose(cause), "sqlstate", None)
    number = next(iter(cause.args), None) if cause is not None else None
    return state in _POSTGRESQL_CONFLICTS or (isinstance(number, int) and number in _MYSQL_CONFLICTS)


def is_interruption(error: Exception) -> bool:
    """Whether a statement has ended for a reason outside it: a lost connection, a timeout, a full disk.

    A syntax error or an unknown function is not such a reason: another statement may not have it.
    """
    if not isinstance(error, exc.DBAPIError):
        return False
    cause: Any = error.orig
    if error.connection_invalidated:
        return True
    diagnosis = _diagnose(cause)
    if diagnosis is not None:
        state = diagnosis.sqlstate or ""
        return state.startswith(_POSTGRESQL_RAISED) and not state.startswith("42")
    if hasattr(cause, "sqlite_errorname"):
        return not cause.sqlite_errorname.startswith((*_SQLITE_OF_ROWS, _SQLITE_ERROR))
    return bool(cause.args) and cause.args[0] in _MYSQL_RAISED


def _postgresql_fault(
    error: exc.DBAPIError, tables: Collection[sa.Table], connection: Connection
) -> str | None:
    cause: Any = error.orig
    diagnosis = _diagnose(cause)
    state = getattr(diagnosis, "sqlstate", None)
    if state is None:
        # The driver cannot send a value.
        return str(cause) if isinstance(error, (exc.DataError, exc.IntegrityError)) else None
    if state == _DENIED:
        return str(diagnosis.message_primary) if _may_write(error, tables, connection) else None
    if state.startswith(_POSTGRESQL_RAISED):
        return None
    violated = diagnosis.constraint_name or (diagnosis.column_name and f"NOT NULL {diagnosis.column_name}")
    fault = str(violated or diagnosis.message_primary)
    return Repeated(fault) if state == _UNIQUE_VIOLATION else fault


def _may_write(error: exc.DBAPIError, tables: Collection[sa.Table], connection: Connection) -> bool:
    """Whether the user holds the privilege that the statement needs, so that a policy has denied it."""
    verb = str(error.statement).split(maxsplit=1)[0].upper()
    privilege = verb if verb in ("UPDATE", "DELETE") else "INSERT"
    names = [quote_name(connection, table) for table in tables]
    held = sa.select(*(sa.func.has_table_privilege(name, privilege) for name in names))
    return all(connection.execute(held).one())


def _diagnose(cause: Any) -> Any:
    """What PostgreSQL says about an error, with psycopg's names; None: an error of another database."""
    return _asyncpg_diagnosis(cause) or getattr(cause, "diag", None)


def _asyncpg_diagnosis(cause: Any) -> Any:
    """The attributes of an asyncpg error under psycopg's names; None: an error of another driver."""
    original: Any = getattr(cause, "__cause__", None)
    # If asyncpg cannot convert a value, it raises ValueError, without a state.
    unsent = isinstance(original, ValueError) and hasattr(cause, "sqlstate")
    if not unsent and not hasattr(original, "sqlstate"):
        return None
    return SimpleNamespace(
        sqlstate=_DATA_EXCEPTION if unsent else original.sqlstate,
        constraint_name=getattr(original, "constraint_name", None),
        column_name=getattr(original, "column_name", None),
        message_primary=getattr(original, "message", None) or str(original),
    )


def _mysql_fault(cause: Any) -> str | None:
    number = cause.args[0] if cause.args else None
    if not isinstance(number, int) or number in _MYSQL_RAISED:
        return None
    message = str(cause.args[-1])
    named = re.search(r"CONSTRAINT `([^`]+)`|for key '(?:[^'.]+\.)?([^']+)'", message)
    column = re.search(r"[Cc]olumn '([^']+)'|Field '([^']+)'", message)
    if named:
        return Repeated(named[2]) if number in _MYSQL_DUPLICATES else named[1] or named[2]
    return message if column is None else f"{column[1] or column[2]}: {message}"


def _is_about_row(error: exc.DBAPIError, connection: Connection) -> bool:
    """Whether an error of SQLite is about a row."""
    name: str = error.orig.sqlite_errorname  # type: ignore[union-attr]
    if name.startswith(_SQLITE_OF_ROWS):
        return True
    if name != _SQLITE_ERROR or error.statement is None:
        return False
    # If the statement still compiles, its tables exist, and a function has failed for a value.
    first = error.params[0] if isinstance(error.params, list) else error.params
    try:
        connection.exec_driver_sql(f"EXPLAIN {error.statement}", first).close()
    except exc.DBAPIError:
        return False
    return True


def _sqlite_fault(message: str, tables: Collection[sa.Table]) -> str:
    rule, _, subject = message.partition(" constraint failed")
    subject = subject.removeprefix(": ")
    if rule == "CHECK" and subject:
        return subject
    if rule == "UNIQUE":
        fault = f"{rule} {subject}".strip()
        columns = {name.strip() for name in subject.split(",")}
        for unique in (unique for table in tables for unique in unique_rules(table)):
            if unique.name is not None and {str(column) for column in unique.columns} == columns:
                fault = str(unique.name)
        return Repeated(fault)
    return f"{rule} {subject}".strip()
