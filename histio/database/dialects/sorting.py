"""Sort identities the same way in every database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute

from histio.database.dialects.names import MYSQL
from histio.kinds.column_types import declared


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
