"""Stored values as the driver gives them, without what SQLAlchemy would make of them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.dialects.names import MYSQL
from histio.dialects.reading import STORAGE
from histio.mapping import declared, is_decorated

Form: TypeAlias = Literal["boolean", "integer", "float", "digits", "moment", "day", "uuid", "text"]
"""How a stored value arrives: a truth value or 0 or 1; a number; a float; a decimal's digits as text; a time
or a day as ISO 8601 text, in UTC and with a blank between the two; a UUID's text; text."""

_AS_IT_IS = sa.types.NullType()

_FORMS: tuple[tuple[type[TypeEngine[Any]], Form | None], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Float, None),
    (sa.Numeric, "digits"),
    (sa.DateTime, "moment"),
    (sa.Date, "day"),
    (sa.Uuid, "uuid"),
    (sa.CHAR, None),
    (sa.String, "text"),
)


def raw(dialect: sa.Dialect, column_type: TypeEngine[Any], column: Any) -> tuple[Any, Form] | None:
    """An expression for *column*, and how its values arrive; None: in a way of the type's own."""
    stored: Any = declared(column_type, dialect)
    family = "mysql" if dialect.name in MYSQL else dialect.name
    form = next((form for kind, form in _FORMS if isinstance(stored, kind)), None)
    if form is None or is_decorated(column_type):
        return None
    if family == "sqlite":
        return _of_sqlite(stored, form, column)
    if form == "uuid" and not (family == "postgresql" and stored.native_uuid):
        return None
    if form in ("boolean", "integer") or (form == "text" and not isinstance(stored, sa.Enum)):
        return sa.type_coerce(column, _AS_IT_IS), form
    zoned = form == "moment" and stored.timezone and family == "postgresql"
    utc = sa.func.timezone("UTC", column) if zoned else column
    return sa.cast(utc, sa.CHAR if family == "mysql" else sa.Text), form


def _of_sqlite(stored: Any, form: Form, column: Any) -> tuple[Any, Form] | None:
    unusual = form == "moment" and getattr(stored, "_storage_format", STORAGE) != STORAGE
    if unusual or form == "uuid":
        return None
    return sa.type_coerce(column, _AS_IT_IS), "float" if form == "digits" else form
