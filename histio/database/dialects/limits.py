"""Find values that the format allows, but that the database would round, truncate, drop or reject."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Field
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from histio.database.dialects.charsets import encode_as
from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import MICRO, SINGLE, Stored, decimals
from histio.errors import BindingError
from histio.kinds.column_types import AnyInterval, converts, declared
from histio.kinds.fields import Boolean, Choice, Date, FixedDecimal, Integer, RunUUID, Text
from histio.kinds.fields.numbers import FLOAT_DIGITS
from histio.kinds.table import Kind, Table
from histio.report import Code, Fault
from histio.wire import WireField, quote

# FLOAT(p) with more bits than this is a double.
_SINGLE_BITS = 24

Check: TypeAlias = Callable[[Any], Fault | None]
"""Returns the fault of a value that the database would change; None: it keeps the value."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a column that keeps less than its field allows.

    Attributes:
        check: Checks a loaded value.
        check_parameter: Checks a value in the driver's form. Decimals may be text, and times may be ISO 8601
            text in UTC, with a space and six digits.
        hint: What the user can do about it; None: nothing.
        null: The fault of a null; None: the column keeps it.
        is_rare: Whether so few values exceed it that checks of files do not look for them.
    """

    check: Check
    check_parameter: Check
    hint: str | None = None
    null: Fault | None = None
    is_rare: bool = False


def limits(dialect: sa.Dialect, table: Table, stored: Mapping[sa.Column[Any], Stored]) -> dict[str, Limit]:
    """By member of *table*, the limit of its column; members whose columns keep all values are absent.

    Args:
        dialect: The dialect of the database.
        table: The table.
        stored: What the columns of the database keep. For other columns, the limit is that of the model's
            type.
    """
    found = {}
    for member, column in table.columns.items():
        field, kept = table.fields[member], stored.get(column)
        limit = None if member in table.computed else _limit(dialect, field, column, kept)
        if kept is not None and kept.null_is_now and field.allow_none:
            limit = replace(limit or Limit(_no_fault, _no_fault), null=_null_fault(column, kept))
        if limit is not None:
            found[member] = replace(limit, hint=_hint(field, limit, kept))
    return found


def _null_fault(column: sa.Column[Any], stored: Stored) -> Fault:
    where = f"{column.table}.{column.name}"
    text = f"{where} is {stored.type} in the database and stores the present time instead of null."
    return Fault(text, "constraint")


def _hint(field: Field[Any], limit: Limit, stored: Stored | None) -> str | None:
    """What the user can do about a value that the column does not keep; None: nothing."""
    if is_time(field) and second_digits(field, limit) is not None:
        return "truncate_times=True, or --truncate-times, cuts it"
    is_single = stored is not None and stored.significant == SINGLE["significant"]
    return "a column of DOUBLE keeps all digits" if is_single else None


def _limit(
    dialect: sa.Dialect, field: Field[Any], column: sa.Column[Any], stored: Stored | None
) -> Limit | None:
    own = column.type._variant_mapping.get(dialect.name, column.type)  # noqa: SLF001 - as SQLAlchemy chooses
    undecorated = declared(own, dialect)
    if dialect.name == "sqlite":
        stored = stored and _under_in_sqlite(undecorated, stored)
    kept = _assume_stored(undecorated, dialect) if stored is None else _under(undecorated, stored, dialect)
    implemented: Any = own.dialect_impl(dialect)
    if dialect.name == "sqlite" and isinstance(undecorated, sa.JSON) and not implemented._has_bind_expression:  # noqa: SLF001 - SQLAlchemy reads it too
        return Limit(_check_single_number, _check_single_text, is_rare=True)
    below: Check = _no_fault
    # An SQL function of the type may change the value, so it cannot be checked.
    if kept is not None and kept.is_limited and not implemented._has_bind_expression:  # noqa: SLF001 - SQLAlchemy reads it too
        below = functools.partial(_excess, f"{column.table}.{column.name}", kept)
    # Databases without an interval type store times since 1970, which have a last year.
    since_1970 = isinstance(undecorated, sa.Interval) and dialect.name != "postgresql"
    # Assumed limits apply to loaded values, those of the database to values in the driver's form.
    is_bound = since_1970 or (stored is not None and below is not _no_fault)
    bind = undecorated.dialect_impl(dialect).bind_processor(dialect) if is_bound else None
    check = below if bind is None else functools.partial(_check_bound, bind, below)
    decorated = _decorate(own, dialect, check)
    if decorated is not check:
        return Limit(decorated, below)
    extremes = _extremes(field)
    fits = check is _no_fault or (extremes is not None and not any(map(check, extremes)))
    return None if fits and not (kept is not None and (kept.padded or kept.numeric)) else Limit(check, below)


_DECODED = (sa.JSON, sa.Numeric, sa.DateTime, sa.Date, sa.Time, AnyInterval)
"""The types whose values psycopg decodes."""


def _under(model_type: TypeEngine[Any], stored: Stored, dialect: sa.Dialect) -> Stored:
    """What a column that is *stored* keeps of values of the model's type."""
    # Python takes the text '0' for true, and psycopg decodes a value by its type in the database.
    decoded = (sa.Boolean, *(_DECODED if dialect.name == "postgresql" else ()))
    misread = stored.misread or (stored.collation is not None and isinstance(model_type, decoded))
    return replace(stored, padded=stored.padded and not isinstance(model_type, sa.CHAR), misread=misread)


def _under_in_sqlite(model_type: TypeEngine[Any], stored: Stored) -> Stored | None:
    """What a column that is *stored* changes of values of the model's type; None: nothing.

    The column converts them if they are texts and it keeps numbers, or the other way round.
    """
    if isinstance(model_type, sa.JSON):
        return None
    if isinstance(model_type, sa.String | sa.Uuid):
        return replace(stored, significant=None) if stored.numeric else None
    if isinstance(model_type, sa.Integer):
        return replace(stored, numeric=False) if stored.significant is not None else None
    is_decimal = isinstance(model_type, sa.Numeric) and model_type.asdecimal
    return stored if stored.misread and (is_decimal or isinstance(model_type, sa.Boolean)) else None


def _no_fault(_value: Any) -> None:
    return None


def _check_single_number(value: Any) -> Fault | None:
    """The fault of a JSON value that is an integer beyond 64 bits: SQLite turns its text into a float."""
    if type(value) is not int or -(2**63) <= value < 2**63:
        return None
    try:
        kept = int(Decimal(repr(float(value))))
    except OverflowError:
        kept = None
    text = "SQLite keeps a single number in a JSON column as a float: it would be another one."
    return None if kept == value else Fault(text, "precision")


def _check_single_text(text: Any) -> Fault | None:
    """The fault of JSON *text* that is such an integer."""
    is_integer = isinstance(text, str) and text.removeprefix("-").isdecimal()
    return _check_single_number(int(text)) if is_integer else None


def _check_bound(bind: Callable[[Any], Any], below: Check, value: Any) -> Fault | None:
    """Convert *value* to the driver's form by *bind*, and check it with *below*."""
    try:
        parameter = bind(value)
    except OverflowError:
        return Fault("Is beyond the range of the column's type.", "out-of-range")
    except Exception:  # noqa: BLE001 - writing the row raises it
        return None
    return below(parameter)


def _decorate(column_type: Any, dialect: sa.Dialect, check: Check) -> Check:
    """A check that first converts the value by each decorator of the type, then calls *check*."""
    own = column_type._variant_mapping.get(dialect.name, column_type)  # noqa: SLF001 - as SQLAlchemy chooses
    if not isinstance(own, sa.types.TypeDecorator) or isinstance(own, sa.Interval):
        return check
    below = _decorate(own.load_dialect_impl(dialect), dialect, check)
    return functools.partial(_check_decorated, own, dialect, below) if converts(own) else below


def _check_decorated(column_type: Any, dialect: sa.Dialect, below: Check, value: Any) -> Fault | None:
    """The fault of *value* if a host's decorator changes it, or the type *below* changes the result."""
    try:
        kept = _call(column_type.process_bind_param, value, dialect)
        returned = _call(column_type.process_result_value, kept, dialect)
    except Exception:  # noqa: BLE001 - writing the row raises it
        return None
    if _comparable(returned) == _comparable(value):
        return below(kept)
    return Fault(f"The column's type changes it to {quote(returned)}.", "precision")


def _comparable(value: Any) -> Any:
    """*value*; an aware time in UTC, because equal times can compare unequal across zones (PEP 495)."""
    aware = isinstance(value, dt.datetime) and value.tzinfo is not None
    return value.astimezone(dt.UTC) if aware else value


def _call(process: Any, value: Any, dialect: sa.Dialect) -> Any:
    try:
        return process(value, dialect)
    except NotImplementedError:  # only the other direction is decorated
        return value


def _assume_stored(declared_type: TypeEngine[Any], dialect: sa.Dialect) -> Stored | None:
    """What a column of the model's type keeps, if the database is not asked; None: all values."""
    stored: Any = declared_type
    if isinstance(stored, sa.Float | sa.REAL) and is_single(stored, dialect):
        return Stored("a single float", **SINGLE)
    if isinstance(stored, sa.DateTime | sa.Time | AnyInterval):
        return Stored(stored.compile(dialect=dialect), seconds=_second_digits(stored, dialect))
    if isinstance(stored, sa.BINARY) and dialect.name in MYSQL:
        return Stored(stored.compile(dialect=dialect), filled=stored.length or 1)
    if not isinstance(stored, sa.Numeric) or isinstance(stored, sa.Float):
        return None
    if dialect.name == "sqlite" and (stored.precision or FLOAT_DIGITS + 1) > FLOAT_DIGITS:
        return Stored("REAL", significant=FLOAT_DIGITS)
    # MariaDB and MySQL read NUMERIC as NUMERIC(10, 0).
    bare = dialect.name in MYSQL and stored.precision is None
    return Stored("decimal(10,0)", **decimals(10, 0)) if bare else None


def is_single(stored: Any, dialect: sa.Dialect) -> bool:
    """Whether a float column is of single precision."""
    if dialect.name == "sqlite" or isinstance(stored, sa.Double | sa.DOUBLE_PRECISION | mysql.DOUBLE):
        return False
    # Without a precision, FLOAT is double on PostgreSQL and single on MariaDB; REAL the other way round.
    single_when_bare = (dialect.name == "postgresql") is isinstance(stored, sa.REAL)
    return single_when_bare if stored.precision is None else stored.precision <= _SINGLE_BITS


def _second_digits(stored: Any, dialect: sa.Dialect) -> int:
    """The number of digits of a second's fraction that a column keeps."""
    if dialect.name in MYSQL:
        return getattr(stored, "fsp", None) or 0
    if dialect.name == "postgresql":
        kept = getattr(stored, "precision", None)
        return MICRO if kept is None else kept
    storage = getattr(stored, "_storage_format", "%(microsecond)")
    return MICRO if "%(microsecond)" in storage else 0


def _extremes(field: Field[Any]) -> list[Any] | None:  # noqa: PLR0911 - one for each field
    """The largest and longest loaded values that a *field* allows; None: they are not known."""
    match field:
        case WireField() if is_time(field):
            probe = _probe(field, field.digits)  # type: ignore[attr-defined]
            return None if probe is None else [probe]
        case FixedDecimal(scale=int(scale), whole_digits=int(whole)):
            most = f"{'9' * whole or '0'}{'.' * bool(scale)}{'9' * scale}"
            return [field.from_wire(each) for each in ([most, f"-{most}"] if field.signed else [most])]
        case Integer(minimum=int(least), maximum=int(most)):
            return [least, most]
        case Text(max_length=int(length)) if length:
            wide = "\U0001f36a" * length
            return [wide if field.padded else wide[1:] + " ", wide]
        case RunUUID():
            return [field.from_wire(_UUID)]
        case Boolean():
            return [True, False]
        case Date():
            return [field.from_wire(_DATE)]
        case Choice():
            return [field.from_wire(each) for each in field.choices]
    return None


_UUID = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"
_DATE = "2025-12-08"
_TIMES = ("2025-12-08T10:00:00{}Z", "10:00:00{}")
_DIGITS = "123456"


def is_time(field: Field[Any]) -> bool:
    """Whether values of *field* have digits of a second."""
    return isinstance(field, WireField) and isinstance(getattr(field, "digits", None), int)


def _probe(field: Any, digits: int) -> Any:
    """A loaded time with *digits* digits of a second's fraction, none of them zero; None: not known."""
    for form in _TIMES:
        wire = form.format(f".{_DIGITS[:digits]}" if digits else "")
        try:
            field.check(wire)
        except ValidationError:
            continue
        return field.from_wire(wire)
    return None


def second_digits(field: Any, limit: Limit | None) -> int | None:
    """The number of digits of a second's fraction that a column keeps; None: it has other limits too."""
    for digits in range(field.digits, -1, -1):
        probe = _probe(field, digits)
        if probe is not None and (limit is None or limit.check(probe) is None):
            return digits
    return None


def cut_time(value: dt.datetime, digits: int | None) -> dt.datetime:
    """Cut *value* to *digits* digits of a second's fraction; None: keep all digits."""
    unit = 10 ** (MICRO - (MICRO if digits is None else digits))
    return value.replace(microsecond=value.microsecond // unit * unit)


def _excess(where: str, stored: Stored, value: Any) -> Fault | None:
    """The fault of *value*, in the driver's form, in the column called *where*; None: it is kept."""
    found: _Excess
    if stored.misread:
        found = None if value is None else ("returns it as text", "precision")
    elif stored.numeric:
        is_number = isinstance(value, str) and _NUMERIC.fullmatch(value) is not None
        found = ("turns it into a number", "precision") if is_number else None
    elif stored.seconds is not None:
        found = _time_excess(stored, value)
    elif isinstance(value, str | bytes) and stored.most is None and stored.significant is None:
        found = _text_excess(stored, value)
    else:
        found = _number_excess(stored, value)
    return found and Fault(f"{where} is {stored.type} in the database and {found[0]}.", found[1])


_NUMERIC = re.compile(r"[ \t-\r]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t-\r]*")
"""What SQLite takes for a number."""

_Excess: TypeAlias = tuple[str, Code] | None


def _time_excess(stored: Stored, value: Any) -> _Excess:
    text = value if isinstance(value, str) else None
    if stored.day:
        time = text[_DAY:] if text else str(value.time()) if isinstance(value, dt.datetime) else ""
        return ("keeps days only", "precision") if time.strip(" 0:.+") else None
    digits = stored.seconds or 0
    if text is None:
        microseconds = getattr(value, "microsecond", getattr(value, "microseconds", 0))
    else:
        microseconds = int(text.partition(".")[2][:MICRO] or 0)
    if not microseconds % 10 ** (MICRO - digits):
        return None
    return f"keeps {kept_seconds(digits)}", "precision"


def kept_seconds(digits: int) -> str:
    """Describe what a column that keeps *digits* digits of a second's fraction keeps."""
    return f"{digits} digits of a second's fraction" if digits else "whole seconds only"


_DAY = len("0000-00-00")


def _number_excess(stored: Stored, value: Any) -> _Excess:
    try:
        number = Decimal(str(value)).normalize()
    except InvalidOperation:  # not a number: the database decides
        return None
    if not number.is_finite():
        return None
    _, digits, exponent = number.as_tuple()
    if stored.significant is not None and len(digits) > stored.significant:
        return f"keeps {stored.significant} significant digits", "precision"
    if stored.scale is not None and number and -int(exponent) > stored.scale:
        return f"keeps {_kept_digits(stored.scale)}", "precision"
    if stored.least is not None and stored.most is not None and not stored.least <= number <= stored.most:
        return f"holds numbers from {stored.least} to {stored.most}", "out-of-range"
    return None


def _kept_digits(scale: int) -> str:
    if scale < 0:
        return f"multiples of {10**-scale} only"
    return f"{scale} digits after the point" if scale else "no fraction"


def _text_excess(stored: Stored, value: str | bytes) -> _Excess:
    if stored.characters is not None and len(value) > stored.characters:
        return f"holds {stored.characters} characters, not {len(value)}", "out-of-range"
    data = value
    if isinstance(value, str):
        try:
            data = encode_as(value, stored.charset)
        except UnicodeEncodeError as error:
            lacking = value[error.start : error.start + 1]
            return f"its character set {stored.charset} lacks {lacking!r}", "out-of-range"
        if stored.stripped and value.endswith(" "):
            return "keeps no spaces at the end", "precision"
        if stored.padded and len(value) < (stored.characters or 0):
            return f"fills it with spaces to {stored.characters} characters", "precision"
    return _bytes_excess(stored, data)


def _bytes_excess(stored: Stored, data: str | bytes) -> _Excess:
    if stored.filled is not None and len(data) < stored.filled:
        return f"puts zeros behind {len(data)} bytes: it holds {stored.filled}", "out-of-range"
    if stored.octets is not None and len(data) > stored.octets:
        return f"holds {stored.octets} bytes, not {len(data)}", "out-of-range"
    return None


@functools.lru_cache(maxsize=256)
def check_kind(kind: Kind, dialect: sa.Dialect) -> None:
    """Raise BindingError if a database of this dialect cannot hold the decimals of *kind*."""
    if dialect.name != "sqlite":
        return
    for table in kind.table.all():
        for member, column in table.columns.items():
            width = getattr(table.fields[member], "precision", None) or 0
            stored = declared(column.type, dialect)
            if isinstance(stored, sa.Numeric) and width > FLOAT_DIGITS:
                raise BindingError(
                    f"SQLite keeps decimals as floats, which carry {FLOAT_DIGITS} digits, and this one has "
                    f"{width}",
                    schema=type(table.schema).__name__,
                    field=member,
                    model=table.mapper.class_.__name__,
                    advice=f"write FixedDecimal(precision={FLOAT_DIGITS}, scale=…), or keep it as text by a "
                    "TypeDecorator",
                )
