"""Select values as the driver returns them, without SQLAlchemy's conversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from histio.database.dialects.names import MYSQL
from histio.kinds.column_types import AnyInterval, declared, is_decorated

Form: TypeAlias = Literal[
    "boolean",
    "truth",
    "integer",
    "float",
    "double",
    "digits",
    "microseconds",
    "moment",
    "day",
    "clock",
    "uuid",
    "hex",
    "bytes",
    "base64",
    "json",
    "text",
    "padded",
]
"""How the driver returns a stored value.

- ``boolean``, ``integer``: 0 or 1, and an integer; as numbers, or as text. ``truth``: 0 or 1, as a number.
- ``float``: a decimal, as a float. ``digits``: a decimal, as text. ``double``: a float, or its text.
- ``moment``, ``day``, ``clock``: ISO 8601 text; a moment is in UTC, with a blank between day and time.
- ``microseconds``: an interval, as the text of their number.
- ``uuid``, ``hex``: the text of a UUID, with or without hyphens.
- ``bytes``, ``base64``: bytes, and bytes as base64.
- ``json``, ``text``: text. ``padded``: text that the database may pad with spaces.
"""

END = "\x01"
"""Ends a row whose values are joined."""

_FORMS: tuple[tuple[type[TypeEngine[Any]], Form | None], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Float, "double"),
    (sa.Numeric, "digits"),
    (sa.DateTime, "moment"),
    (sa.Interval, "moment"),
    (AnyInterval, "microseconds"),
    (sa.Date, "day"),
    (sa.Time, "clock"),
    (sa.Uuid, "uuid"),
    (sa.types._Binary, "base64"),  # noqa: SLF001 - what BINARY and LargeBinary share
    (sa.JSON, "json"),
    (sa.CHAR, "padded"),
    (sa.String, "text"),
)


RAW = sa.types.NullType()
"""The type of values that SQLAlchemy converts neither when reading nor when binding."""


def as_it_is(column: Any) -> Any:
    """An expression for the values of *column* as the driver has them."""
    return sa.type_coerce(column, RAW)


def raw(dialect: sa.Dialect, column_type: TypeEngine[Any], column: Any) -> tuple[Any, Form] | None:  # noqa: PLR0911
    """An expression for *column*, and the form of its values; None: they need the type's conversion."""
    stored: Any = declared(column_type, dialect)
    family = "mysql" if dialect.name in MYSQL else dialect.name
    form = next((form for kind, form in _FORMS if isinstance(stored, kind)), None)
    if form is None or not has_plain_type(column_type, dialect) or getattr(stored, "zerofill", False):
        return None
    if family == "sqlite":
        others: dict[Form, Form] = {"boolean": "truth", "digits": "float", "uuid": "hex", "base64": "bytes"}
        return as_it_is(column), others.get(form, form)
    if form == "uuid" and not (dialect.supports_native_uuid and stored.native_uuid):
        return as_it_is(column), "hex"
    if form == "base64":
        base64 = sa.func.to_base64(column) if family == "mysql" else sa.func.encode(column, "base64")
        return sa.func.replace(base64, "\n", ""), form  # both insert line ends
    if form == "microseconds":
        return _microseconds(column), form
    is_text = form in ("text", "padded") and not isinstance(stored, sa.Enum)
    if is_text or (form in ("boolean", "integer", "double") and family == "postgresql"):
        return as_it_is(column), form
    if form == "json" and family == "postgresql":
        return json_text(dialect, column), form
    zoned = form == "moment" and getattr(stored, "timezone", False) and family == "postgresql"
    utc = sa.func.timezone("UTC", column) if zoned else column
    return sa.cast(utc, sa.CHAR if family == "mysql" else sa.Text), form


def json_text(dialect: sa.Dialect, column: Any) -> Any:
    """An expression for the JSON in *column* as text; of a column of text, a JSON string in PostgreSQL.

    That is what its driver returns: it decodes only what is JSON in the database.
    """
    if dialect.name == "sqlite":
        is_binary = column.type.dialect_impl(dialect)._has_column_expression  # noqa: SLF001 - the compiler reads it too
        return sa.func.json(as_it_is(column)) if is_binary else as_it_is(column)
    kept = sa.func.to_json(as_it_is(column)) if dialect.name == "postgresql" else as_it_is(column)
    return sa.cast(kept, sa.CHAR if dialect.name in MYSQL else sa.Text)


# Far below the range of a 64-bit integer of microseconds.
_DAYS, _HOURS = 10**7, 10**9


def _microseconds(column: Any) -> Any:
    """The microseconds of a PostgreSQL interval, as text; other text if it has months or is too long."""
    day, hour, minute, micro = (
        sa.cast(sa.extract(part, column), sa.BigInteger) for part in ("day", "hour", "minute", "microseconds")
    )
    plain = (
        *(sa.extract(part, column) == 0 for part in ("year", "month")),
        sa.func.abs(day) < _DAYS,
        sa.func.abs(hour) < _HOURS,
    )
    count = day * 86_400_000_000 + hour * 3_600_000_000 + minute * 60_000_000 + micro
    return sa.case((sa.and_(*plain), sa.cast(count, sa.Text)), else_=sa.cast(column, sa.Text))


def has_plain_type(column_type: TypeEngine[Any], dialect: Any) -> bool:
    """Whether values of *column_type* are converted by SQLAlchemy only, not by SQL functions or the host."""
    stored: Any = declared(column_type, dialect)
    own = type(stored).__module__.startswith("sqlalchemy.")
    if isinstance(stored, sa.JSON) and (dialect._json_serializer or dialect._json_deserializer):  # noqa: SLF001
        return False  # the host's own functions
    used: Any = column_type.dialect_impl(dialect)
    calls = used._has_column_expression or used._has_bind_expression  # noqa: SLF001 - SQLAlchemy reads them too
    return own and not calls and not is_decorated(column_type, dialect) and not _has_own_spelling(stored)


def _has_own_spelling(stored: Any) -> bool:
    """Whether the type has its own spelling of times for SQLite, which keeps them as text."""
    return not {"_storage_format", "_reg"}.isdisjoint(vars(stored))


def compares_exactly(dialect: sa.Dialect, column_type: TypeEngine[Any]) -> bool:
    """Whether a database of *dialect* compares values of *column_type* exactly."""
    return dialect.name not in MYSQL or not isinstance(declared(column_type, dialect), sa.String)


def between(dialect: sa.Dialect) -> str:
    """What separates values that are joined.

    No text of the format contains the character for MariaDB and MySQL; PostgreSQL cannot store it.
    """
    return "\x1f\x1e" if dialect.name == "postgresql" else "\x00"


def as_one(dialect: sa.Dialect, columns: Sequence[tuple[Any, bool]]) -> Any:
    """An expression that joins all *columns*, each with whether it may be null; None: rows are as fast.

    The drivers for MariaDB and MySQL are written in Python and take time for each value. A null is an empty
    text, other values of columns that may be null begin with an equals sign, and `END` shows that nothing was
    cut off.
    """
    return _joined(dialect, columns) if dialect.name in MYSQL else None


def _joined(dialect: sa.Dialect, columns: Sequence[tuple[Any, bool]]) -> Any:
    columns = [(_without_cast(column), nullable) for column, nullable in columns]
    values = (
        sa.case((column.is_(None), ""), else_=sa.func.concat("=", column)) if nullable else column
        for column, nullable in columns
    )
    return sa.func.concat_ws(between(dialect), *values, END)


def _without_cast(column: Any) -> Any:
    """*column* without a cast to text, as joining makes text of all values."""
    return column.clause if isinstance(column, sa.Cast) else column


def as_group(dialect: sa.Dialect, columns: Sequence[tuple[Any, bool]], order: Any, most: Any) -> Any:
    """Join the rows of a group, in their *order*, as `as_one` joins values; None: not supported.

    It is null if there are more rows than *most*. MariaDB truncates it to a million bytes, MySQL to 1,024.
    """
    if dialect.name == "postgresql":
        ordered = postgresql.aggregate_order_by(sa.literal(between(dialect)), order)
        rows = sa.func.string_agg(_joined(dialect, columns), ordered)
    elif getattr(dialect, "is_mariadb", False):
        row = _joined(dialect, columns).op("ORDER BY", precedence=2)(order)
        separator: Any = sa.literal_column("'\\0'")
        rows = sa.func.group_concat(row.op("SEPARATOR", precedence=1)(separator))
    else:
        return None
    return sa.case((sa.func.count() <= most, rows))


class _TextOfArray(sa.types.UserDefinedType[Any]):
    """An array of integers as text, for which psycopg needs a tenth of the time of a list."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's signature
        return lambda values: (
            f"{{{','.join(map(str, values))}}}" if set(map(type, values)) == {int} else values
        )


def is_one_of(dialect: sa.Dialect, column: Any, name: str) -> Any:
    """A condition: *column* is one of the values of the parameter *name*, which are in the driver's form."""
    if dialect.name == "postgresql":  # one parameter: psycopg reuses the prepared statement
        array = _TextOfArray() if dialect.driver == "psycopg" else RAW
        return column == sa.func.any(sa.bindparam(name, type_=array))
    return column.in_(sa.bindparam(name, expanding=True))
