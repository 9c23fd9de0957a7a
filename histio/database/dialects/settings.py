"""Keep settings of a session from changing the values that are read and written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import Stored
from histio.database.dialects.zones import keeps_instants, writing_in
from histio.kinds.table import Kind

_Neutral: TypeAlias = Callable[[str], str]
"""Returns the value of a setting that changes nothing, from the present value."""

_ZONES = ("time_zone", "timezone")
_UTC = ("UTC", "Etc/UTC", "GMT")

_POSTGRESQL: Mapping[str, _Neutral] = {
    "datestyle": lambda style: style if style.startswith("ISO") else "ISO",
    "intervalstyle": lambda _: "postgres",
    "extra_float_digits": lambda digits: digits if int(digits) > 0 else "1",
    "array_nulls": lambda _: "on",
    "timezone": lambda zone: zone if zone in _UTC else "UTC",
}

_LIMITS_OF_RECURSION = ("cte_max_recursion_depth", "max_recursive_iterations")
_UNLIMITED = 2**32 - 1

_ALTERING = {"PAD_CHAR_TO_FULL_LENGTH", "EMPTY_STRING_IS_NULL", "ORACLE"}
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
    "time_zone": lambda zone: zone if zone in _UTC else "+00:00",
}

_IS_NEUTRAL = "histio_neutral"

Settings: TypeAlias = Mapping[str, str]
"""The values of settings by name."""


@contextmanager
def neutral_settings(
    connection: Connection, kinds: Collection[Kind], has_instants: Callable[[], bool] | None = None
) -> Iterator[None]:
    """In this block, no setting of the session changes the values of *kinds* that are read.

    Afterwards, the session has its own settings again. The transaction, or a savepoint around the block, has
    to be rolled back if the block raises. *has_instants* returns what `keeps_instants` returns; None: ask the
    database.
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
    with ExitStack() as stack:
        for name in changes.keys() & _ZONES:
            stack.enter_context(writing_in(connection, found[name], stored))
        stack.enter_context(_changed(connection, found, changes))
        yield


@contextmanager
def unlimited_recursion(connection: Connection, *, needed: bool) -> Iterator[None]:
    """In this block, if it is *needed*, a recursive query has as many steps as it needs.

    Otherwise, MariaDB and MySQL stop after 1,000 steps, and MariaDB returns what it has found so far.
    """
    name = _LIMITS_OF_RECURSION[bool(getattr(connection.dialect, "is_mariadb", False))]
    if not needed or connection.dialect.name not in MYSQL:
        yield
        return
    before = connection.exec_driver_sql(f"SELECT @@SESSION.{name}").scalar_one()
    _set(connection, {name: str(_UNLIMITED)})
    try:
        yield
    finally:
        if not connection.invalidated:
            with suppress(exc.OperationalError):
                _set(connection, {name: str(before)})


def _find_changes(
    connection: Connection, found: Settings, has_instants: Callable[[], bool]
) -> dict[str, str]:
    """The neutral values of the settings that have others.

    *has_instants*: returns whether the time zone matters.
    """
    rules = _rules_of(connection)
    wanted = {name: rules[name](value) for name, value in found.items()}
    changes = {name: value for name, value in wanted.items() if value != found[name]}
    if changes.keys() & _ZONES and not has_instants():
        return {name: value for name, value in changes.items() if name not in _ZONES}
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
