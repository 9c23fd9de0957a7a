"""Sort values the same way in every database, and find those that are read differently than stored.

Which values SQLAlchemy cannot read, or reads as other values, depends on the database.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from histio.database.dialects.names import MYSQL
from histio.kinds.column_types import declared

# SQLAlchemy's spelling of a time in SQLite.
TEMPLATE = "0000-00-00 00:00:00.000000"


_WIDTH = len(TEMPLATE)
_HEX = 32
STORAGE = sqlite.DATETIME()._storage_format  # type: ignore[no-untyped-call]  # noqa: SLF001


def sort_key(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[Any]:
    """An expression that sorts like the times in *column*, and can be compared in its stored form.

    SQLite stores times as text, which other programs may spell differently from SQLAlchemy. Such spellings
    are normalized; if there are none, the plain column is used, so that its index can be used.
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
    return spaced.concat(sa.func.substr(TEMPLATE, sa.func.length(spaced) + 1))


def as_sorted(connection: Connection, column: sa.Column[Any], value: Any) -> Any:
    """Convert *value* to the form that `sort_key` compares."""
    if not _is_text_time(connection, column.type):
        return value
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return value if process is None else process(value)


def _is_text_time(connection: Connection, column_type: TypeEngine[Any]) -> bool:
    stored = declared(column_type, connection.dialect)
    usual = getattr(stored, "_storage_format", STORAGE) == STORAGE
    return connection.dialect.name == "sqlite" and isinstance(stored, sa.DateTime) and usual


def order_key(
    dialect: sa.Dialect, column: InstrumentedAttribute[Any], *, of_uuids: bool
) -> sa.ColumnElement[Any]:
    """An expression that sorts *column* the same in every database: text by code point, UUIDs by digits."""
    stored, name = declared(column.type, dialect), dialect.name
    if name in MYSQL and isinstance(stored, sa.Uuid):
        return sa.cast(column, sa.String(36))  # MariaDB's UUID type sorts by other parts first
    if not isinstance(stored, sa.String) or of_uuids:
        return column.expression
    if name in MYSQL:
        return sa.cast(column, sa.LargeBinary)
    if name == "sqlite":
        return sa.collate(column, "BINARY")
    # Native enums sort by declaration, CITEXT ignores case.
    text = sa.cast(column, sa.Text) if isinstance(stored, sa.Enum | postgresql.CITEXT) else column
    return sa.collate(text, "C")


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


LAST_DIGIT = 3e-16
"""The relative difference up to which two computed floats count as the same value."""


def altered(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[bool] | None:
    """A condition for values in *column* that SQLAlchemy reads with fewer digits; None: there can be none.

    SQLite stores a decimal as a float, with all of its digits.
    """
    digits = decimal_digits(connection.dialect, column.type)
    if digits is None:
        return None
    stored: Any = sa.type_coerce(column, sa.Float)
    off = sa.func.abs(sa.func.round(stored, digits) - stored) > sa.func.abs(stored) * LAST_DIGIT
    as_float = sa.cast(sa.cast(stored, sa.REAL), sa.Integer)
    return sa.or_(
        sa.and_(sa.func.typeof(column) == "real", off),
        sa.and_(sa.func.typeof(column) == "integer", as_float != stored),
    )


def unreadable(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[bool] | None:
    """A condition for values in *column* that SQLAlchemy cannot read, or reads as another value.

    None: there can be none. SQLite stores any value in any column, and PostgreSQL stores years that Python
    lacks.
    """
    if connection.dialect.name == "postgresql" and isinstance(column.type, sa.DateTime | sa.Date):
        first: Any = sa.literal_column("'0002-01-01'")
        last: Any = sa.literal_column("'9999-12-31'")
        return sa.or_(column < first, column >= last)
    return _unreadable_in_sqlite(connection, column) if connection.dialect.name == "sqlite" else None


def _unreadable_in_sqlite(  # noqa: PLR0911 - one for each kind of column
    connection: Connection, column: InstrumentedAttribute[Any]
) -> sa.ColumnElement[bool] | None:
    kind = sa.func.typeof(column)
    if isinstance(column.type, sa.Numeric) and column.type.scale is not None:
        return kind.in_(["text", "blob"])
    if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - what BINARY and LargeBinary share
        return kind.not_in(["blob", "null"])
    if isinstance(column.type, sa.Uuid):
        digits: Any = sa.func.replace(sa.type_coerce(column, sa.String), "-", "")
        hexadecimal = sa.and_(sa.func.length(digits) == _HEX, digits.op("NOT GLOB")("*[^0-9a-fA-F]*"))
        return sa.and_(column.is_not(None), sa.not_(sa.and_(kind == "text", hexadecimal)))
    if isinstance(column.type, sa.Boolean):
        return sa.type_coerce(column, sa.Integer).not_in([0, 1])
    if isinstance(column.type, sa.Time | sa.Interval):  # Python drops a seventh digit
        longest = len("00:00:00.000000") if isinstance(column.type, sa.Time) else _WIDTH
        return sa.func.length(sa.type_coerce(column, sa.String)) > longest
    if not isinstance(column.type, sa.Date) and not _is_text_time(connection, column.type):
        return None
    raw_text = sa.type_coerce(column, sa.String)
    date, time = sa.func.substr(raw_text, 1, 10), sa.func.substr(raw_text, 12)
    fine = (
        kind == "text",
        sa.func.length(raw_text) <= (len("0000-00-00") if isinstance(column.type, sa.Date) else _WIDTH),
        raw_text >= "0001",
        sa.func.date(date, "+0 days") == date,  # a day that the month lacks becomes another
        sa.or_(time == "", sa.func.time(time).is_not(None)),
    )
    return sa.and_(column.is_not(None), sa.not_(sa.func.coalesce(sa.and_(*fine), sa.false())))
