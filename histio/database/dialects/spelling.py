"""Find stored values that no look-up finds, because they are spelled differently.

SQLite keeps any value in any column, and every database keeps any spelling of a UUID in a text column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import Field
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from histio.database.dialects.readable import altered
from histio.database.dialects.time_bounds import STORAGE, TEMPLATE
from histio.kinds.column_types import AnyInterval, declared
from histio.kinds.fields import RunUUID

_DAY = len("0000-00-00")

_EXAMPLE = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"
"""A UUID with letters."""


def other_spelling(
    dialect: sa.Dialect, column: InstrumentedAttribute[Any], field: Field[Any]
) -> sa.ColumnElement[bool] | None:
    """A condition for values in *column* that can be read, but that no look-up finds.

    Args:
        dialect: The database's.
        column: The column of an identity.
        field: Its field.

    Returns:
        The condition; None: there can be no such values.
    """
    example = field.from_wire(_EXAMPLE) if isinstance(field, RunUUID) else None
    stored = declared(column.type, dialect)
    text: sa.ColumnElement[Any] = sa.type_coerce(column, sa.String)
    rules = list(_of_sqlite(stored, column, text)) if dialect.name == "sqlite" else []
    if isinstance(stored, sa.Boolean | sa.Time | AnyInterval):
        misread = altered(dialect, column)
        rules += [] if misread is None else [misread]
    native = isinstance(stored, sa.Uuid) and dialect.supports_native_uuid and stored.native_uuid
    if isinstance(stored, sa.String | sa.Uuid) and not native:
        process = column.type.dialect_impl(dialect).bind_processor(dialect)
        written = example if process is None else process(example)
        # Without a conversion, every spelling is found as it is read.
        if isinstance(written, str) and written != example:
            rules += _of_uuids(text, written)
    return sa.or_(*rules) if rules else None


def _of_sqlite(stored: TypeEngine[Any], column: Any, text: Any) -> Iterator[Any]:
    """Conditions for values that SQLite keeps in the column, although its type never writes them."""
    if isinstance(stored, sa.types._Binary):  # noqa: SLF001 - what BINARY and LargeBinary share
        yield sa.func.typeof(column) != "blob"
    if isinstance(stored, sa.String | sa.Uuid | sa.DateTime | sa.Date | sa.Time):
        yield sa.func.typeof(column) != "text"
    if isinstance(stored, sa.Integer | sa.Numeric | sa.Float):
        yield sa.func.typeof(column).in_(["text", "blob"])
    if isinstance(stored, sa.DateTime) and getattr(stored, "_storage_format", STORAGE) == STORAGE:
        yield sa.func.length(text) != len(TEMPLATE)
        yield sa.func.substr(text, _DAY + 1, 1) != TEMPLATE[_DAY]
    elif isinstance(stored, sa.Date):
        yield sa.func.length(text) != _DAY
    elif isinstance(stored, sa.CHAR):
        yield text != sa.func.rtrim(text, " ")
    elif isinstance(stored, sa.Enum):
        yield text.not_in(stored.enums)


def _of_uuids(text: Any, written: str) -> Iterator[Any]:
    """Conditions for UUIDs that are spelled differently from *written*."""
    spell = sa.func.upper if written == written.upper() else sa.func.lower
    yield sa.func.length(text) != len(written)
    yield text != spell(text if "-" in written else sa.func.replace(text, "-", ""))
