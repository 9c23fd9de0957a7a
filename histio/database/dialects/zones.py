"""Keep instants, whatever the time zone of a session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import Stored, stored_columns
from histio.errors import BindingError
from histio.kinds.column_types import declared
from histio.kinds.table import Kind

IN_ZONE = "histio_in_zone"
"""The key in the `info` of a connection whose statements have different time zones."""

_Zoned: TypeAlias = Mapping[sa.Column[Any], int]
"""By column, 1 if it keeps instants, which are passed as local times; -1 if it is the other way round."""

_SET = {"postgresql": "SET LOCAL timezone = '{}'", **dict.fromkeys(MYSQL, "SET time_zone = '{}'")}
_OFFSET = {
    "postgresql": "SELECT extract(timezone FROM now())",
    **dict.fromkeys(MYSQL, "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())"),
}
"""The query for the seconds that the time zone of the session is ahead of UTC."""


def keeps_instants(connection: Connection, kinds: Collection[Kind]) -> bool:
    """Whether times in a table of *kinds*, or one that they refer to, depend on the session's time zone."""
    mappers = {each for kind in kinds for table in kind.table.all() for each in table.mappers()}
    tables: set[Any] = {table for mapper in mappers for table in mapper.tables}
    columns = [column for table in tables for column in table.columns]
    return bool(_find_zoned(connection.dialect, stored_columns(connection, columns)))


def _find_zoned(dialect: sa.Dialect, stored: Mapping[sa.Column[Any], Stored]) -> _Zoned:
    """The columns whose times the database converts to or from the time zone of the session.

    MariaDB and MySQL convert those of each TIMESTAMP. PostgreSQL converts those of a column with a time zone
    if its model has none, and the other way round.
    """
    of_mysql = dialect.name in MYSQL
    zoned = {}
    for column, kept in stored.items():
        passes_instants = not of_mysql and getattr(declared(column.type, dialect), "timezone", False)
        keeps_instants = of_mysql or "with time zone" in kept.type
        if kept.type.startswith("timestamp") and keeps_instants != passes_instants:
            zoned[column] = 1 if keeps_instants else -1
    return zoned


@contextmanager
def writing_in(connection: Connection, zone: str, stored: Mapping[sa.Column[Any], Stored]) -> Iterator[None]:
    """In this block, let statements that write have the present offset of the time *zone* of the session.

    Other statements are in UTC. Times for the columns of *stored* are converted. Unlike another time zone, an
    offset has a local time for every instant.

    Raises:
        BindingError: The database has no such offset.
    """
    name = connection.dialect.name
    offset = dt.timedelta(seconds=int(connection.exec_driver_sql(_OFFSET[name]).scalar_one()))
    own_zone = _name_zone(offset, name)
    own = _SET[name].format(own_zone)
    try:
        connection.exec_driver_sql(own)
    except exc.DBAPIError as error:
        raise BindingError(
            f"the database does not take {own_zone}, the offset of the connection's time zone {zone}, "
            "as a time zone, so no TIMESTAMP can be written",
            advice="SET time_zone = '+00:00'",
        ) from error
    zoned = _find_zoned(connection.dialect, stored)
    utc = _SET[name].format("+00:00" if name in MYSQL else "UTC")
    writes = _Writes(zoned, offset, own=own, utc=utc, drops_zone=name in MYSQL)
    info = connection.info
    info[IN_ZONE] = True
    sa.event.listen(connection, "before_execute", writes.convert, retval=True)
    sa.event.listen(connection, "before_cursor_execute", writes.prepare, retval=True)
    sa.event.listen(connection, "rollback_savepoint", writes.forget)
    try:
        yield
    finally:
        del info[IN_ZONE]
        sa.event.remove(connection, "before_execute", writes.convert)
        sa.event.remove(connection, "before_cursor_execute", writes.prepare)
        sa.event.remove(connection, "rollback_savepoint", writes.forget)


def _name_zone(offset: dt.timedelta, name: str) -> str:
    """*offset* as the time zone of a database with this *name*."""
    hours, minutes = divmod(abs(offset) // dt.timedelta(minutes=1), 60)
    ahead, back = (f"{sign}{hours:02}:{minutes:02}" for sign in ("+-" if offset >= dt.timedelta() else "-+"))
    return ahead if name in MYSQL else f"<{ahead}>{back}"  # POSIX counts the other way round


_WRITES = {"INSERT": True, "UPDATE": True, "DELETE": True, "REPLACE": True, "SELECT": False, "WITH": False}
"""By its first word, whether a statement writes; others have any time zone."""


class _Writes:
    """Runs the statements that write in another time zone than those that read.

    Args:
        zoned: The columns whose times are converted.
        offset: The offset of the time zone of statements that write.
        own: The statement that sets this time zone.
        utc: The statement that sets UTC.
        drops_zone: Whether the driver passes times without their time zone.
    """

    def __init__(self, zoned: _Zoned, offset: dt.timedelta, *, own: str, utc: str, drops_zone: bool) -> None:
        self._zoned = zoned
        self._drops_zone = drops_zone
        self._offset = offset
        self._statements = {True: own, False: utc}
        self._is_own: bool | None = None

    def forget(self, *_: object) -> None:
        """After the rollback to a savepoint, any time zone may be set."""
        self._is_own = None

    def convert(
        self, _connection: Connection, statement: Any, several: Any, one: Any, _options: object
    ) -> tuple[Any, Any, Any]:
        """Convert the parameters of SQLAlchemy's INSERT, UPDATE and DELETE."""
        table = getattr(statement, "table", None)
        own = {column: sign for column, sign in self._zoned.items() if column.table is table}
        zoned = {column.key: sign for column, sign in own.items()}
        # The unit of work calls a key by its label where it also sets the column.
        zoned |= {str(column._label): sign for column, sign in own.items()}  # noqa: SLF001
        if zoned and isinstance(statement, sa.Insert | sa.Update | sa.Delete):
            several = [self._convert_by_name(zoned, each) for each in several]
            one = self._convert_by_name(zoned, one)
        return statement, several, one

    def _convert_by_name(self, zoned: Mapping[str, int], values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._shift(value, zoned.get(name, 0)) for name, value in values.items()}

    def prepare(
        self,
        _connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        several: object,
    ) -> tuple[str, Any]:
        """Set the time zone for *statement*, and convert the parameters of the fast path."""
        is_own = _WRITES.get(statement.lstrip(" (\n").partition(" ")[0].upper(), self._is_own)
        if is_own is not self._is_own and is_own is not None:
            cursor.execute(self._statements[is_own])
            self._is_own = is_own
        columns = context.execution_options.get("histio_columns", ()) if context is not None else ()
        signs = [self._zoned.get(column, 0) for column in columns]
        if any(signs):
            rows = [tuple(map(self._shift, row, signs)) for row in (parameters if several else [parameters])]
            parameters = rows if several else rows[0]
        return statement, parameters

    def _shift(self, value: Any, sign: int) -> Any:
        """A time in UTC as it has to be passed to a column with this *sign*; 0: as it is."""
        # What was read from a column has the time zone that its model lacks, and is an instant already.
        shifts = self._drops_zone or (sign > 0) is (getattr(value, "tzinfo", None) is None)
        if sign and isinstance(value, dt.datetime):
            return value + sign * self._offset if shifts else value
        # The fast path passes times as text.
        if sign and isinstance(value, str) and not value.endswith(("+00:00", "Z")):
            return (dt.datetime.fromisoformat(value) + sign * self._offset).isoformat(" ", "microseconds")
        return value
