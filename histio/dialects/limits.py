"""What a database would round, cut or drop in silence, though the column's type allows it."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from histio.column_types import AnyInterval, converts, declared
from histio.dialects.names import MYSQL
from histio.errors import BindingError
from histio.fields.numbers import FLOAT_DIGITS
from histio.kinds import Kind
from histio.report import Fault
from histio.wire import shown

# Bits of a float beyond which databases take a double.
_SINGLE_BITS = 24

_MICRO = 6

Limit: TypeAlias = Callable[[Any], Fault | None]
"""What is wrong with a value that a column's type allows and a database does not keep as it is."""


def limits(dialect: sa.Dialect, columns: Mapping[str, sa.Column[Any]]) -> dict[str, Limit]:
    """By member, what a database of *dialect* would round or drop in silence."""
    found = {name: _limit(dialect, column.type) for name, column in columns.items()}
    return {name: limit for name, limit in found.items() if limit is not None}


def _limit(dialect: sa.Dialect, column_type: TypeEngine[Any]) -> Limit | None:
    own = column_type._variant_mapping.get(dialect.name, column_type)  # noqa: SLF001 - as SQLAlchemy chooses
    if not isinstance(own, sa.types.TypeDecorator) or isinstance(own, sa.Interval):
        return _stored_limit(declared(own, dialect), dialect)
    below = _limit(dialect, own.load_dialect_impl(dialect))
    return functools.partial(_translated, own, dialect, below) if converts(own) else below


def _stored_limit(stored: TypeEngine[Any], dialect: sa.Dialect) -> Limit | None:  # noqa: PLR0911
    if isinstance(stored, sa.Float | sa.REAL) and _is_single(stored, dialect):
        return _six_digits
    if isinstance(stored, sa.BINARY) and dialect.name in MYSQL:
        return functools.partial(_whole_length, stored.length or 1)
    if isinstance(stored, sa.Interval):
        return _whole_since_1970 if dialect.name in MYSQL else None
    if isinstance(stored, sa.DateTime | sa.Time | AnyInterval):
        digits = _second_digits(stored, dialect)
        return None if digits >= _MICRO else functools.partial(_fraction, digits)
    if not isinstance(stored, sa.Numeric) or isinstance(stored, sa.Float):
        return None
    if dialect.name == "sqlite" and (stored.precision or FLOAT_DIGITS + 1) > FLOAT_DIGITS:
        return _within_floats
    # MariaDB and MySQL read NUMERIC as NUMERIC(10, 0).
    return _whole_number if dialect.name in MYSQL and stored.precision is None else None


def _is_single(stored: Any, dialect: sa.Dialect) -> bool:
    """Whether a float column is of single precision."""
    if dialect.name == "sqlite" or isinstance(stored, sa.Double | sa.DOUBLE_PRECISION | mysql.DOUBLE):
        return False
    # Without a precision, FLOAT is double on PostgreSQL and single on MariaDB; REAL the other way round.
    single_when_bare = (dialect.name == "postgresql") is isinstance(stored, sa.REAL)
    return single_when_bare if stored.precision is None else stored.precision <= _SINGLE_BITS


def _translated(column_type: Any, dialect: sa.Dialect, below: Limit | None, value: Any) -> Fault | None:
    """Whether a decorator of the host's keeps *value* as it is, and the type *below* what it makes of it."""
    try:
        kept = _call(column_type.process_bind_param, value, dialect)
        returned = _call(column_type.process_result_value, kept, dialect)
    except Exception:  # noqa: BLE001 - writing the row will say so
        return None
    if _comparable(returned) == _comparable(value):
        return None if below is None else below(kept)
    return Fault(f"The column's type makes {shown(returned)} of it.", "precision")


def _comparable(value: Any) -> Any:
    """*value*; of aware times their instant: in different zones, some compare unequal (PEP 495)."""
    aware = isinstance(value, dt.datetime) and value.tzinfo is not None
    return value.astimezone(dt.UTC) if aware else value


def _call(process: Any, value: Any, dialect: sa.Dialect) -> Any:
    try:
        return process(value, dialect)
    except NotImplementedError:  # only the other direction is decorated
        return value


def _six_digits(value: Any) -> Fault | None:
    if float(f"{value:.6g}") == float(value):
        return None
    return Fault(
        "The database keeps six digits of a number in this column: Double keeps fifteen.", "precision"
    )


def _second_digits(stored: Any, dialect: sa.Dialect) -> int:
    """How many digits of a second's fraction a column keeps."""
    if dialect.name in MYSQL:
        return getattr(stored, "fsp", None) or 0
    if dialect.name == "postgresql":
        kept = getattr(stored, "precision", None)
        return _MICRO if kept is None else kept
    storage = getattr(stored, "_storage_format", "%(microsecond)")
    return _MICRO if "%(microsecond)" in storage else 0


def _fraction(digits: int, value: Any) -> Fault | None:
    microseconds = getattr(value, "microsecond", getattr(value, "microseconds", 0))
    if not microseconds % 10 ** (_MICRO - digits):
        return None
    kept = "whole seconds only" if digits == 0 else f"{digits} digits of a second's fraction"
    return Fault(f"The database keeps {kept} in this column.", "precision")


def _whole_length(length: int, value: Any) -> Fault | None:
    if not isinstance(value, bytes) or len(value) >= length:
        return None
    text = f"Must be {length} bytes, not {len(value)}: the database puts zeros behind."
    return Fault(text, "out-of-range")


def _whole_since_1970(value: Any) -> Fault | None:
    """SQLAlchemy keeps an interval as a time since 1970, without digits of a second."""
    try:
        dt.datetime(1970, 1, 1) + value  # noqa: DTZ001 - as SQLAlchemy does
    except OverflowError:
        return Fault("The database keeps intervals from -719162 to 2932896 days.", "out-of-range")
    return _fraction(0, value)


def _within_floats(value: Any) -> Fault | None:
    if len(Decimal(str(value)).normalize().as_tuple().digits) <= FLOAT_DIGITS:
        return None
    return Fault(f"SQLite keeps {FLOAT_DIGITS} digits of a decimal.", "precision")


def _whole_number(value: Any) -> Fault | None:
    if value == int(value) and abs(value) < 10**10:
        return None
    return Fault("The database keeps ten digits and no fraction in this column.", "precision")


@functools.lru_cache(maxsize=256)
def check_kind(kind: Kind, dialect: sa.Dialect) -> None:
    """Raise BindingError where a database of this dialect cannot hold the decimals of *kind*."""
    if dialect.name != "sqlite":
        return
    for table in kind.table.all():
        for member, column in table.columns.items():
            width = getattr(table.fields[member], "precision", None) or 0
            stored = declared(column.type, dialect)
            if isinstance(stored, sa.Numeric) and width > FLOAT_DIGITS:
                raise BindingError(
                    f"{table.mapper.class_.__name__}.{member}: SQLite keeps decimals as floats, which carry "
                    f"{FLOAT_DIGITS} digits, and this one has {width}: write FixedDecimal(precision="
                    f"{FLOAT_DIGITS}, scale=…), or keep it as text by a TypeDecorator"
                )
