"""Keep settings of a session from changing the values that are read and written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import Stored, stored_columns
from histio.errors import BindingError
from histio.kinds.table import Kind

_Neutral: TypeAlias = Callable[[str], str]
"""Returns the value of a setting that changes nothing, from the present value."""

_POSTGRESQL: Mapping[str, _Neutral] = {
    "datestyle": lambda style: style if style.startswith("ISO") else "ISO",
    "intervalstyle": lambda _: "postgres",
    "extra_float_digits": lambda digits: digits if int(digits) > 0 else "1",
    "array_nulls": lambda _: "on",
}

_ALTERING = {"PAD_CHAR_TO_FULL_LENGTH", "EMPTY_STRING_IS_NULL"}
_STRICT = ("STRICT_ALL_TABLES", "NO_AUTO_VALUE_ON_ZERO")
_SORTED = 1024
"""The bytes of a text that MariaDB compares when it sorts, if nothing else is set."""


def _plain_mode(mode: str, *further: str) -> str:
    names = [name for name in mode.split(",") if name and name not in _ALTERING]
    return ",".join([*names, *(name for name in further if name not in names)])


_MYSQL: Mapping[str, _Neutral] = {
    "sql_mode": _plain_mode,
    "sql_select_limit": lambda _: str(2**64 - 1),
    "sql_auto_is_null": lambda _: "0",
    "max_sort_length": lambda length: str(max(int(length), _SORTED)),
    "time_zone": lambda zone: zone if zone in ("UTC", "Etc/UTC") else _UTC,
}
_UTC = "+00:00"

_IS_NEUTRAL = "histio_neutral"

Settings: TypeAlias = Mapping[str, str]
"""The values of settings by name."""


@contextmanager
def neutral_settings(
    connection: Connection, kinds: Collection[Kind], has_instants: Callable[[], bool] | None = None
) -> Iterator[None]:
    """In this block, no setting of the session changes the values of *kinds* that are read.

    Afterwards, the session has its own settings again. The transaction, or a savepoint around the block, has
    to be rolled back if the block raises. *has_instants*
    returns what `keeps_instants` returns; None: ask the database.
    """
    found = {} if connection.info.get(_IS_NEUTRAL) else _read(connection)
    changes = _find_changes(connection, found, has_instants or partial(keeps_instants, connection, kinds))
    with _changed(connection, found, changes):
        yield


@contextmanager
def strict_settings(
    connection: Connection, kinds: Collection[Kind], stored: Mapping[sa.Column[Any], Stored]
) -> Iterator[None]:
    """In this block, settings change no values, and MariaDB and MySQL reject values instead of cutting them.

    A key of 0 is kept. Statements that write have the time zone of the session, because defaults and triggers
    may call `NOW()`; times for the columns of *stored* are converted.
    """
    found = _read(connection)
    changes = _find_changes(connection, found, partial(keeps_instants, connection, kinds))
    if "sql_mode" in found:
        mode = _plain_mode(found["sql_mode"], *_STRICT)
        changes |= {"sql_mode": mode} if mode != found["sql_mode"] else {}
    times = {column for column, kept in stored.items() if _is_instant(kept)}
    with ExitStack() as stack:
        if "time_zone" in changes:
            stack.enter_context(_writing_in(connection, found["time_zone"], times))
        stack.enter_context(_changed(connection, found, changes))
        yield


def _find_changes(
    connection: Connection, found: Settings, has_instants: Callable[[], bool]
) -> dict[str, str]:
    """The neutral values of the settings that have others."""
    rules = _rules_of(connection)
    wanted = {name: rules[name](value) for name, value in found.items()}
    changes = {name: value for name, value in wanted.items() if value != found[name]}
    if "time_zone" in changes and not has_instants():
        del changes["time_zone"]
    return changes


@contextmanager
def _changed(connection: Connection, found: Settings, changes: Settings) -> Iterator[None]:
    """Make *changes* to the settings *found*, and undo them after the block.

    Inside the block, `neutral_settings` does not ask for the settings again.
    """
    info, before = connection.info, {name: found[name] for name in changes}
    _set(connection, changes)
    outer = info.get(_IS_NEUTRAL, False)
    info[_IS_NEUTRAL] = True
    try:
        yield
    except BaseException:
        # PostgreSQL restores its settings with the savepoint. If the connection is lost, its error is raised.
        if connection.dialect.name in MYSQL and not connection.invalidated:
            with suppress(exc.OperationalError):
                _set(connection, before)
        raise
    else:
        _set(connection, before)
    finally:
        info[_IS_NEUTRAL] = outer


def _rules_of(connection: Connection) -> Mapping[str, _Neutral]:
    return _MYSQL if connection.dialect.name in MYSQL else _POSTGRESQL


def _read(connection: Connection) -> dict[str, str]:
    """The present values of the settings, in one statement."""
    names = list(_rules_of(connection))
    if connection.dialect.name not in MYSQL:
        columns = ", ".join(f"current_setting('{name}')" for name in names)
        return dict(zip(names, connection.exec_driver_sql(f"SELECT {columns}").one(), strict=True))
    columns = ", ".join(f"@@SESSION.{name}" for name in names)
    *values, system = connection.exec_driver_sql(f"SELECT {columns}, @@system_time_zone").one()
    found = dict(zip(names, map(str, values), strict=True))
    return found | {"time_zone": "UTC"} if (found["time_zone"], system) == ("SYSTEM", "UTC") else found


def _set(connection: Connection, settings: Settings) -> None:
    if not settings:
        return
    if connection.dialect.name in MYSQL:
        values = {
            name: int(value) if value.isdigit() and name != "sql_mode" else value
            for name, value in settings.items()
        }
        parts = ", ".join(f"{name} = :{name}" for name in settings)
        connection.execute(sa.text(f"SET SESSION {parts}"), values)
    else:
        calls = ", ".join(f"set_config('{name}', :{name}, true)" for name in settings)
        connection.execute(sa.text(f"SELECT {calls}"), settings)


def keeps_instants(connection: Connection, kinds: Collection[Kind]) -> bool:
    """Whether times in a table of *kinds*, or one that they refer to, depend on the session's time zone."""
    mappers = {each for kind in kinds for table in kind.table.all() for each in table.mappers()}
    tables: set[Any] = {table for mapper in mappers for table in mapper.tables}
    columns = [column for table in tables for column in table.columns]
    return any(map(_is_instant, stored_columns(connection, columns).values()))


def _is_instant(stored: Stored) -> bool:
    """Whether MariaDB or MySQL converts the times of a column to and from the time zone of the session."""
    return stored.type.startswith("timestamp")


@contextmanager
def _writing_in(connection: Connection, zone: str, times: Collection[sa.Column[Any]]) -> Iterator[None]:
    """In this block, let statements that write have the present offset of the time *zone* of the session.

    Unlike another time zone, an offset has a local time for every instant.

    Raises:
        BindingError: The database has no such offset.
    """
    seconds = connection.exec_driver_sql("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())").scalar_one()
    hours, minutes = divmod(abs(seconds) // 60, 60)
    offset = f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}"
    try:
        connection.exec_driver_sql(f"SET time_zone = '{offset}'")
    except exc.DBAPIError as error:
        raise BindingError(
            f"the database does not take {offset}, the offset of the connection's time zone {zone}, "
            "as a time zone, so no TIMESTAMP can be written",
            advice="SET time_zone = '+00:00'",
        ) from error
    writes = _Writes(times, offset, seconds)
    sa.event.listen(connection, "before_execute", writes.convert, retval=True)
    sa.event.listen(connection, "before_cursor_execute", writes.prepare, retval=True)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_execute", writes.convert)
        sa.event.remove(connection, "before_cursor_execute", writes.prepare)


_WRITES = {"INSERT": True, "UPDATE": True, "DELETE": True, "REPLACE": True, "SELECT": False, "WITH": False}
"""By its first word, whether a statement writes; others have any time zone."""


class _Writes:
    """Runs the statements that write in another time zone than those that read.

    Args:
        columns: The columns whose times are converted.
        zone: The time zone of statements that write.
        offset: Its offset, in seconds.
    """

    def __init__(self, columns: Collection[sa.Column[Any]], zone: str, offset: int) -> None:
        self._columns = columns
        self._zone = zone
        self._offset = dt.timedelta(seconds=offset)
        self._is_writing = False

    def convert(
        self, _connection: Connection, statement: Any, several: Any, one: Any, _options: object
    ) -> tuple[Any, Any, Any]:
        """Convert the parameters of SQLAlchemy's INSERT and UPDATE."""
        table = getattr(statement, "table", None)
        names = {column.key for column in self._columns if column.table is table}
        if names and isinstance(statement, sa.Insert | sa.Update):
            several = [self._convert_by_name(names, each) for each in several]
            one = self._convert_by_name(names, one)
        return statement, several, one

    def _convert_by_name(self, names: Collection[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._local(value) if name in names else value for name, value in parameters.items()}

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
        writes = _WRITES.get(statement.lstrip(" (\n").partition(" ")[0].upper(), self._is_writing)
        if writes is not self._is_writing:
            cursor.execute(f"SET time_zone = '{self._zone if writes else _UTC}'")
            self._is_writing = writes
        columns = context.execution_options.get("histio_columns", ()) if context is not None else ()
        places = {place for place, column in enumerate(columns) if column in self._columns}
        if places:
            rows = parameters if several else [parameters]
            rows = [self._convert_by_place(places, row) for row in rows]
            parameters = rows if several else rows[0]
        return statement, parameters

    def _convert_by_place(self, places: Collection[int], row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(self._local(value) if place in places else value for place, value in enumerate(row))

    def _local(self, value: Any) -> Any:
        """*value*, a time in UTC, in the time zone of statements that write."""
        if isinstance(value, str):  # as the fast path passes it
            return (dt.datetime.fromisoformat(value) + self._offset).isoformat(" ", "microseconds")
        return value + self._offset if isinstance(value, dt.datetime) else value
