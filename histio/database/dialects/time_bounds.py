"""Select rows by their time with an index, however the times are stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from histio.database.dialects.names import MYSQL
from histio.database.dialects.raw import as_it_is
from histio.kinds.column_types import declared

Ranges: TypeAlias = Sequence[sa.ColumnElement[bool]]
"""Conditions for rows, of which a row meets only one; an index on their column finds the rows of each.

SQLite may not use the index if they are one condition.
"""

EVERY_ROW: Ranges = (sa.true(),)

TEMPLATE = "0000-00-00 00:00:00.000000"
"""SQLAlchemy's spelling of a time in SQLite."""

STORAGE: str = sqlite.DATETIME()._storage_format  # type: ignore[no-untyped-call]  # noqa: SLF001

_DAY = len("0000-00-00")
_HIGHEST = "\U0010ffff"


def as_sorted(connection: Connection, column: sa.Column[Any], value: Any) -> Any:
    """Convert *value* to the form in which the database compares it."""
    if not is_text_time(connection.dialect, column.type):
        return value
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return value if process is None else process(value)


def time_text(dialect: sa.Dialect, column: InstrumentedAttribute[Any]) -> Any:
    """The times in *column* as text that can be compared with them; None: the driver's values are as fast.

    The drivers for MariaDB and MySQL are slow at reading times.
    """
    is_slow = dialect.name in MYSQL and isinstance(declared(column.type, dialect), sa.DateTime)
    return sa.cast(column, sa.CHAR) if is_slow else None


def is_text_time(dialect: sa.Dialect, column_type: TypeEngine[Any]) -> bool:
    """Whether SQLAlchemy stores times of this type as text, in its usual form: only in SQLite."""
    stored = declared(column_type, dialect)
    usual = getattr(stored, "_storage_format", STORAGE) == STORAGE
    return dialect.name == "sqlite" and isinstance(stored, sa.DateTime) and usual


class TimeBounds(NamedTuple):
    """The rows whose time is within bounds.

    Attributes:
        key: An expression that sorts like the times, and can be compared in their stored form.
        conditions: The conditions for these rows.
        ranges: The rows whose time may be within the bounds, or cannot be read. Two kinds are not among them:
            NULL, and times that cannot be read and that the database sorts among times outside the bounds.
    """

    key: sa.ColumnElement[Any]
    conditions: Sequence[sa.ColumnElement[bool]]
    ranges: Ranges


def has_row(connection: Connection, entity: Any, ranges: Ranges, *conditions: Any) -> bool:
    """Whether there is a row of *entity* in *ranges* that meets the *conditions*."""
    row = sa.select(sa.literal(1)).select_from(entity)
    found = sa.union_all(*(row.where(each, *conditions) for each in ranges)).limit(1)
    return connection.execute(found).first() is not None


def time_ranges(
    connection: Connection, column: InstrumentedAttribute[Any], since: Any, until: Any = None
) -> Ranges:
    """The rows whose time in *column* may be within bounds, or cannot be read; see `TimeBounds.ranges`."""
    find = None if since is until is None else _FINDERS.get(connection.dialect.name)
    return EVERY_ROW if find is None else tuple(find(connection, column, since, until)) or EVERY_ROW


def with_null(ranges: Ranges, column: InstrumentedAttribute[Any]) -> Ranges:
    """*ranges* of rows, and the rows where *column* is NULL."""
    return [sa.or_(*ranges, column.is_(None))] if len(ranges) == 1 else [*ranges, column.is_(None)]


def comparable(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[Any]:
    """An expression for the times in *column*, in whatever spelling, that can be compared.

    No index has it: it is for rows that are within `time_ranges`.
    """
    if not is_text_time(connection.dialect, column.type):
        return column.expression
    return _normal_spelling(sa.type_coerce(column, sa.String))


def bound_times(
    connection: Connection,
    column: InstrumentedAttribute[Any],
    since: Any,
    until: Any,
    criteria: Iterable[Any],
) -> TimeBounds:
    """The bounds of the times in *column*.

    SQLite stores times as text, which other programs may spell differently from SQLAlchemy. Only if some of
    the rows are spelled so, all spellings are normalized; then no index sorts them.

    Args:
        connection: Only read from.
        column: The column.
        since: The first time, as `as_sorted` returns it; None: no bound.
        until: The last time.
        criteria: Further conditions for the rows.
    """
    ranges = time_ranges(connection, column, since, until)
    key: Any = column.expression
    if not is_text_time(connection.dialect, column.type):
        return TimeBounds(key, _between(key, since, until), ranges)
    text: Any = sa.type_coerce(column, sa.String)
    if not has_row(connection, column.parent.entity, ranges, _is_other_spelling(text), *criteria):
        return TimeBounds(text, _between(text, since, until), ranges)
    days = [] if since is None else [text >= since[:_DAY]]
    days += [] if until is None else [text < until[:_DAY] + _HIGHEST]
    key = _normal_spelling(text)
    return TimeBounds(key, [*_between(key, since, until), *days], ranges)


def _is_other_spelling(text: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the *text* of a time in SQLite is spelled differently from SQLAlchemy's."""
    return sa.or_(sa.func.length(text) != len(TEMPLATE), sa.func.substr(text, _DAY + 1, 1) != TEMPLATE[_DAY])


def _normal_spelling(text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The *text* of a time in SQLite, spelled as SQLAlchemy does."""
    spaced = sa.func.replace(text, "T", " ", type_=sa.String)
    return spaced.concat(sa.func.substr(TEMPLATE, sa.func.length(spaced) + 1))


def _between(key: Any, since: Any, until: Any) -> list[sa.ColumnElement[bool]]:
    return [*([] if since is None else [key >= since]), *([] if until is None else [key <= until])]


def _in_sqlite(connection: Connection, column: Any, since: Any, until: Any) -> Iterator[Any]:
    """Texts: a day has one spelling, and what follows it has several.

    Numbers sort before all texts, and bytes after them.
    """
    if isinstance(declared(column.type, connection.dialect), sa.Date):
        since, until = (None if day is None else day.isoformat() for day in (since, until))
    elif not is_text_time(connection.dialect, column.type):
        return
    text: Any = sa.type_coerce(column, sa.String)
    if since is not None:
        yield text < "0001-"  # "0001" would be compared as a number
        day = since[:_DAY]
        while len(since) > _DAY and since[-1] == TEMPLATE[len(since) - 1]:
            since = since[:-1]  # a time may lack zeros at its end
        if since > day:
            yield sa.and_(text >= day, text < f"{day} 0")
    yield sa.and_(*_between(text, since, until))
    if until is not None:
        day, after = until[:_DAY], " 24" if len(until) > _DAY else " "
        yield sa.and_(text >= day + after, text < day + _HIGHEST)
        yield text >= ":"  # after all digits


def _in_mysql(connection: Connection, column: Any, since: Any, until: Any) -> Iterator[Any]:
    """Times. A month or day that is zero sorts before the others of its year or month."""
    stored = declared(column.type, connection.dialect)
    if not isinstance(stored, sa.DateTime | sa.Date):
        return
    raw = as_it_is(column)
    odd = [raw < _literal("0001-01-01")]
    end_of_day = "" if isinstance(stored, sa.Date) else " 23:59:59.999999"
    for month in () if since is None or since.year == 1 else (1, since.month):
        first = dt.date(since.year, month, 1)
        before = f"{first - dt.timedelta(days=1)}{end_of_day}"
        odd.append(sa.and_(raw > _literal(before), raw < _literal(first.isoformat())))
    yield sa.or_(sa.and_(*_between(column, since, until)), *odd)


def _in_postgresql(connection: Connection, column: Any, since: Any, until: Any) -> Iterator[Any]:
    """Times, with those beyond the years of Python."""
    raw = as_it_is(column)
    if isinstance(declared(column.type, connection.dialect), sa.DateTime | sa.Date):
        odd = raw < _literal("0002-01-01"), raw >= _literal("9999-12-31")
        yield sa.or_(sa.and_(*_between(column, since, until)), *odd)


def _literal(time: str) -> sa.ColumnElement[Any]:
    return sa.literal_column(f"'{time}'")


_FINDERS: dict[str, Callable[[Connection, Any, Any, Any], Iterator[Any]]] = {
    "sqlite": _in_sqlite,
    "postgresql": _in_postgresql,
    **dict.fromkeys(MYSQL, _in_mysql),
}
