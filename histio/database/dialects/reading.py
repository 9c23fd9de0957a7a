"""Sort values the same way in every database."""

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
STORAGE = sqlite.DATETIME()._storage_format  # type: ignore[no-untyped-call]  # noqa: SLF001


def sort_key(connection: Connection, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[Any]:
    """An expression that sorts like the times in *column*, and can be compared in its stored form.

    SQLite stores times as text, which other programs may spell differently from SQLAlchemy. Such spellings
    are normalized; if there are none, the plain column is used, so that its index can be used.
    """
    if not is_text_time(connection.dialect, column.type):
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
    if not is_text_time(connection.dialect, column.type):
        return value
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return value if process is None else process(value)


def is_text_time(dialect: sa.Dialect, column_type: TypeEngine[Any]) -> bool:
    """Whether SQLAlchemy stores times of this type as text, in its usual form: only in SQLite."""
    stored = declared(column_type, dialect)
    usual = getattr(stored, "_storage_format", STORAGE) == STORAGE
    return dialect.name == "sqlite" and isinstance(stored, sa.DateTime) and usual


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
