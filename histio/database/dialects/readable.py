"""Find stored values that SQLAlchemy cannot read, or reads as other values.

Which values these are depends on the database, its driver and the type of the column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from histio.database.dialects.limits import is_single
from histio.database.dialects.names import MYSQL
from histio.database.dialects.raw import as_it_is, json_text
from histio.database.dialects.time_bounds import is_text_time
from histio.kinds.column_types import AnyInterval, declared

Condition: TypeAlias = sa.ColumnElement[bool] | None
"""A condition for values of a column; None: it has no such values."""

LAST_DIGIT = 3e-16
"""The relative difference up to which two computed floats count as the same value."""

_HEX = 32
_DAY = len("0000-00-00")


def decimal_digits(dialect: sa.Dialect, column_type: TypeEngine[Any]) -> int | None:
    """The digits after the point to which SQLAlchemy rounds the floats of the driver.

    None: it does not round, because the driver returns decimals, or the application reads floats.
    """
    stored = declared(column_type, dialect)
    if dialect.name != "sqlite" or not isinstance(stored, sa.Numeric | sa.Float) or not stored.asdecimal:
        return None
    own = type(stored).__module__.startswith("sqlalchemy.")
    read: Any = stored.dialect_impl(dialect).result_processor(dialect, None) if own else None
    # The scale to which SQLAlchemy rounds differs between its versions.
    return None if read is None else -int(read(1 / 3).as_tuple().exponent)


def altered(dialect: sa.Dialect, column: InstrumentedAttribute[Any], *, is_json: bool = False) -> Condition:
    """A condition for values in *column* that SQLAlchemy reads as other values; None: there can be none.

    Args:
        dialect: The database's.
        column: The column.
        is_json: Whether its values are any JSON, perhaps as text. Those that meet the condition may still be
            read as they are stored: `find_rounded_in` decides.
    """
    stored = declared(column.type, dialect)
    if isinstance(stored, sa.JSON) or (is_json and isinstance(stored, sa.String)):
        return _may_be_rounded(dialect, column)
    if dialect.name == "sqlite":
        return _altered_by_sqlite(dialect, column, stored)
    if dialect.name in MYSQL:
        return _altered_by_mysql(dialect, column, stored)
    return _altered_by_postgresql(column, stored) if dialect.name == "postgresql" else None


def unreadable(dialect: sa.Dialect, column: InstrumentedAttribute[Any]) -> Condition:
    """A condition for values in *column* that SQLAlchemy cannot read; None: there can be none."""
    find = _UNREADABLE.get(dialect.name)
    return find and find(dialect, column, declared(column.type, dialect))


def stored_text(dialect: sa.Dialect, column: Any) -> Any:
    """An expression for the values of *column* as the database spells them.

    The driver can return all of them. SQLite's are of any type.
    """
    if isinstance(declared(column.type, dialect), sa.JSON):
        return json_text(dialect, column)
    if dialect.name == "sqlite":
        return as_it_is(column)
    return sa.cast(sa.type_coerce(column, sa.String), sa.CHAR if dialect.name in MYSQL else sa.Text)


def _may_be_rounded(dialect: Any, column: Any) -> Condition:
    """A condition for JSON with a number of many digits, or with an exponent."""
    if dialect._json_deserializer is not None:  # noqa: SLF001 - SQLAlchemy reads it too
        return None  # the host reads numbers by itself
    text = stored_text(dialect, column)
    if dialect.name == "sqlite":
        patterns = (f"*{'[0-9.]' * 17}*", "*[0-9][eE]*")
        return sa.or_(*(text.op("GLOB")(pattern) for pattern in patterns))
    return text.regexp_match("[0-9.]{17}|[0-9][eE]")  # type: ignore[no-any-return]


def is_conversion_error(error: exc.DBAPIError) -> bool:
    """Whether the driver could not convert a value that the server has sent, as psycopg with 24:00."""
    cause = error.orig
    return isinstance(error, exc.DataError) and getattr(cause, "sqlstate", "") is None


# --- SQLite: any value in any column ---------------------------------------------------------------------


def _altered_by_sqlite(dialect: sa.Dialect, column: Any, stored: TypeEngine[Any]) -> Condition:
    text: Any = sa.type_coerce(column, sa.String)
    if isinstance(stored, sa.Boolean):
        is_number = sa.func.typeof(column).in_(["integer", "real", "null"])
        return sa.not_(sa.and_(is_number, sa.type_coerce(column, sa.Integer).in_([0, 1])))
    if isinstance(stored, sa.DateTime | sa.Time | sa.Interval):  # Python drops a seventh digit
        return text.op("GLOB")(f"*.{'[0-9]' * 7}*")  # type: ignore[no-any-return]
    digits = decimal_digits(dialect, column.type)
    if digits is None:
        return None
    number: Any = sa.type_coerce(column, sa.Float)
    off = sa.func.abs(sa.func.round(number, digits) - number) > sa.func.abs(number) * LAST_DIGIT
    as_float = sa.cast(sa.cast(number, sa.REAL), sa.Integer)
    return sa.or_(
        sa.and_(sa.func.typeof(column) == "real", off),
        sa.and_(sa.func.typeof(column) == "integer", as_float != number),
    )


def _unreadable_in_sqlite(dialect: sa.Dialect, column: Any, stored: TypeEngine[Any]) -> Condition:
    kind = sa.func.typeof(column)
    if isinstance(stored, sa.Numeric) and stored.scale is not None:
        return kind.in_(["text", "blob"])
    if isinstance(stored, sa.types._Binary):  # noqa: SLF001 - what BINARY and LargeBinary share
        return kind.not_in(["blob", "null"])
    if isinstance(stored, sa.Uuid):
        digits: Any = sa.func.replace(sa.type_coerce(column, sa.String), "-", "")
        hexadecimal = sa.and_(sa.func.length(digits) == _HEX, digits.op("NOT GLOB")("*[^0-9a-fA-F]*"))
        return sa.and_(column.is_not(None), sa.not_(sa.and_(kind == "text", hexadecimal)))
    if not isinstance(stored, sa.Date) and not is_text_time(dialect, column.type):
        return None
    raw_text: Any = sa.type_coerce(column, sa.String)
    date, time = sa.func.substr(raw_text, 1, _DAY), sa.func.substr(raw_text, _DAY + 2)
    fine = [
        kind == "text",
        raw_text >= "0001-",  # "0001" would be compared as a number
        sa.func.date(date, "+0 days") == date,  # a day that the month lacks becomes another
        sa.or_(sa.func.length(raw_text) <= _DAY, sa.func.time(time).is_not(None)),
    ]
    if isinstance(stored, sa.Date):
        fine.append(sa.func.length(raw_text) <= _DAY)
    return sa.and_(column.is_not(None), sa.not_(sa.func.coalesce(sa.and_(*fine), sa.false())))


# --- MariaDB and MySQL -----------------------------------------------------------------------------------


def _altered_by_mysql(dialect: Any, column: Any, stored: TypeEngine[Any]) -> Condition:
    raw = as_it_is(column)
    if isinstance(stored, sa.Boolean):  # any text is true
        is_text = sa.and_(column.is_not(None), sa.func.collation(raw) != "binary")
        number: Any = sa.type_coerce(column, sa.Integer)
        is_zero_bit = sa.func.hex(sa.func.concat(raw)) == "00"  # any byte is true
        return sa.or_(number.not_in([0, 1]), is_text, is_zero_bit)
    if isinstance(stored, sa.Time):  # a length of time, of which SQLAlchemy drops the days
        return sa.or_(raw < sa.literal_column("'00:00:00'"), raw >= sa.literal_column("'24:00:00'"))
    if not isinstance(stored, sa.Numeric | sa.Float) or not dialect._support_float_cast:  # noqa: SLF001 - the compiler reads it too
        return None
    if isinstance(stored, sa.Float):  # the server sends six digits of a single float
        is_single_float = is_single(stored, dialect)
        return raw != sa.cast(sa.cast(raw, sa.CHAR), sa.Float()) if is_single_float else None
    as_read = sa.cast(sa.cast(sa.cast(raw, sa.Double()), sa.CHAR), sa.Numeric(65, 30))
    return None if stored.asdecimal else raw != as_read


def _unreadable_in_mysql(_dialect: sa.Dialect, column: Any, stored: TypeEngine[Any]) -> Condition:
    """Zero dates: 0000-00-00, and days without a month or year."""
    if not isinstance(stored, sa.DateTime | sa.Date | sa.Interval):
        return None
    raw = as_it_is(column)
    return sa.or_(sa.func.month(raw) == 0, sa.func.dayofmonth(raw) == 0, sa.func.year(raw) == 0)


# --- PostgreSQL ------------------------------------------------------------------------------------------

_SMALL: sa.ColumnElement[Any] = sa.literal_column("1e-300")
_LARGE: sa.ColumnElement[Any] = sa.literal_column("1e300")
_LONGEST = 999_999_999 * 86_400
"""The length of the longest `timedelta`, in seconds."""


def _altered_by_postgresql(column: Any, stored: TypeEngine[Any]) -> Condition:
    if isinstance(stored, AnyInterval):  # the driver takes a month for 30 days
        return sa.or_(*(sa.extract(part, as_it_is(column)) != 0 for part in ("year", "month")))
    if not isinstance(stored, sa.Numeric) or isinstance(stored, sa.Float) or stored.asdecimal:
        return None
    raw: Any = sa.type_coerce(column, sa.Numeric)
    size, as_read = sa.func.abs(raw), sa.cast(sa.cast(sa.cast(raw, sa.Double), sa.Text), sa.Numeric)
    # Beyond these sizes, the server converts no number to a double.
    return sa.case((sa.and_(size > _SMALL, size < _LARGE), raw != as_read), else_=size > 0)


def _unreadable_in_postgresql(_dialect: sa.Dialect, column: Any, stored: TypeEngine[Any]) -> Condition:
    raw = as_it_is(column)
    if isinstance(stored, sa.DateTime | sa.Date):
        return sa.or_(raw < sa.literal_column("'0002-01-01'"), raw >= sa.literal_column("'9999-12-31'"))
    if isinstance(stored, sa.Time):
        return sa.extract("hour", raw) == 24  # noqa: PLR2004 - midnight at the end of the day
    if isinstance(stored, AnyInterval):
        return sa.func.abs(sa.extract("epoch", raw)) >= _LONGEST
    return None


_Find: TypeAlias = Callable[[sa.Dialect, Any, TypeEngine[Any]], Condition]
_UNREADABLE: dict[str, _Find] = {
    "sqlite": _unreadable_in_sqlite,
    "postgresql": _unreadable_in_postgresql,
    **dict.fromkeys(MYSQL, _unreadable_in_mysql),
}
