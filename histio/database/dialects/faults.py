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

from histio.kinds.keys import unique_rules

# MariaDB and MySQL error numbers about the content of a row: null, duplicate, foreign key, range, length,
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


# Servers use lower numbers; triggers can use higher ones.
_MYSQL_CUSTOM = 20_000


# SQLSTATE classes about the content of a row: data exception, integrity constraint violation, WITH CHECK
# OPTION, RAISE in a trigger; then implementation-defined classes that PostgreSQL uses for other errors.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATE_ROW_FAULTS = ("22", "23", "44", "45", "P0")


_SQLSTATE_SYSTEM = ("53", "54", "55", "57", "58", "72", "XX")


_SQLSTATE_DATA = "22000"


_UNIQUE_VIOLATION = "23505"


_MYSQL_DUPLICATES = (1062, 1586)


class RowFaultError(Exception):
    """A row violated a rule, although the database raised no error."""


class Repeated(str):
    """The name of a unique constraint that a row violated."""

    __slots__ = ()


def row_fault(error: Exception, tables: Collection[sa.Table]) -> str | None:
    """The constraint that a row of *tables* violated; None: the error is not about a row.

    It is the name that the database reports. SQLite reports columns, so their constraint is looked up. The
    name of a unique constraint is a `Repeated`.
    """
    if isinstance(error, RowFaultError):
        return str(error)
    if not isinstance(error, exc.DBAPIError):
        # A type or the driver could not convert a value.
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
    """The attributes of an asyncpg error under psycopg's names; None: an error of another driver."""
    original: Any = getattr(cause, "__cause__", None)
    # If asyncpg cannot convert a value, it raises ValueError, without a state.
    unsent = isinstance(original, ValueError) and hasattr(cause, "sqlstate")
    if not unsent and not hasattr(original, "sqlstate"):
        return None
    return SimpleNamespace(
        sqlstate=_SQLSTATE_DATA if unsent else original.sqlstate,
        constraint_name=getattr(original, "constraint_name", None),
        column_name=getattr(original, "column_name", None),
        message_primary=getattr(original, "message", None) or str(original),
    )


def _postgresql_fault(diagnosis: Any) -> str | None:
    state = diagnosis.sqlstate or ""
    # Classes from 5 and from I on are implementation-defined; triggers use those that PostgreSQL does not.
    is_custom = state[:1] >= "5" and not "A" <= state[:1] <= "H" and not state.startswith(_SQLSTATE_SYSTEM)
    if not (state.startswith(_SQLSTATE_ROW_FAULTS) or is_custom):
        return None
    violated = diagnosis.constraint_name or (diagnosis.column_name and f"NOT NULL {diagnosis.column_name}")
    fault = str(violated or diagnosis.message_primary)
    return Repeated(fault) if state == _UNIQUE_VIOLATION else fault


def _mysql_fault(cause: Any) -> str | None:
    number = cause.args[0] if cause.args else None
    if not isinstance(number, int) or (number not in _MYSQL_ROW_FAULTS and number < _MYSQL_CUSTOM):
        return None
    message = str(cause.args[-1])
    named = re.search(r"CONSTRAINT `([^`]+)`|for key '(?:[^'.]+\.)?([^']+)'", message)
    column = re.search(r"[Cc]olumn '([^']+)'|Field '([^']+)'", message)
    if named:
        return Repeated(named[2]) if number in _MYSQL_DUPLICATES else named[1] or named[2]
    return message if column is None else f"{column[1] or column[2]}: {message}"


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
