"""Converts columns of accepted values in wire form into columns of parameters for the driver.

The gate has checked the form of the values. The field itself reads those that are not in canonical form.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from marshmallow.fields import Field

from histio.database.dialects import Driver, binds, has_plain_type
from histio.exporting.fast.columns import START_OF_1970, DeclinedError
from histio.kinds.column_types import AnyInterval, declared
from histio.kinds.fields import (
    Boolean,
    Bytes,
    Choice,
    Date,
    Duration,
    Epoch,
    FixedDecimal,
    Integer,
    Json,
    RunUUID,
    Slug,
    Text,
    Time,
    UtcTimestamp,
)
from histio.kinds.fields.times import utc_text
from histio.kinds.json_text import stored_text

Parameters: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]
"""Converts values in wire form to parameters, one for each."""


def parameters(
    field: Field[Any], column: sa.Column[Any], dialect: sa.Dialect, driver: Driver
) -> Parameters | None:
    """A function that converts values of *field* to parameters of *column*; None: there is none."""
    if not has_plain_type(column.type, dialect):
        return None
    if isinstance(field, Json):
        bind = binds(column, dialect)
        if bind is None or not isinstance(declared(column.type, dialect), sa.JSON):
            return None
        is_text = bind(_PROBE) == stored_text(_PROBE)
        null = None if column.nullable else bind(None)
        return functools.partial(_json_texts if is_text else _jsons, field, bind, null)
    stored = declared(column.type, dialect)
    convert = (
        _number_parameters(field, stored, driver)
        or _time_parameters(field, stored, driver)
        or _text_parameters(field, stored, native_uuids=dialect.supports_native_uuid)
    )
    if convert is None or not field.allow_none or convert is _same:
        return convert
    return functools.partial(_some_null, convert)


def _number_parameters(field: Field[Any], stored: Any, driver: Driver) -> Parameters | None:
    match field, stored:
        case Boolean(), sa.Boolean():
            return _same
        case Integer(), sa.Integer():
            return functools.partial(map, int)
        case Epoch(), sa.Integer():
            return functools.partial(map, field.from_wire)
        case FixedDecimal(minor_units=None, scale=int()), sa.Numeric() if not driver.floats:
            return _same
        case FixedDecimal(minor_units=None, scale=int()), sa.Numeric() | sa.Float():
            return _signed_floats if field.signed else functools.partial(map, float)
    return None


def _time_parameters(field: Field[Any], stored: Any, driver: Driver) -> Parameters | None:
    match field, stored:
        case UtcTimestamp(digits=6), sa.DateTime():
            return functools.partial(_moments, field, driver)
        case Date(), sa.Date():
            return _same
        case Duration(), sa.Interval():
            return functools.partial(_since_1970, field)
        case Duration(), AnyInterval():
            return functools.partial(map, field.from_wire)
        case Time(), sa.Time():
            return functools.partial(map, _clock)
    return None


def _text_parameters(field: Field[Any], stored: Any, *, native_uuids: bool) -> Parameters | None:
    match field, stored:
        case RunUUID(), sa.Uuid():
            return functools.partial(map, str.lower if native_uuids and stored.native_uuid else _hex)
        case RunUUID(), sa.String():
            return functools.partial(map, _hex if field.is_hex else str.lower)
        case Bytes(), sa.types._Binary():  # noqa: SLF001 - what BINARY and LargeBinary share
            return functools.partial(map, base64.b64decode)
        case (Choice(), sa.Enum()) | (Choice() | Text() | Slug(), sa.String()):
            return _same
    return None


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values


_PROBE = {"a": ["é", 1.5, None, True], "b": {}}
"""JSON in the form in which `Json` loads it."""


def _json_texts(field: Json, bind: Callable[[Any], Any], null: Any, values: Sequence[Any]) -> list[Any]:
    """Like `_jsons`, where the driver takes JSON as text."""
    return [null if value is None else stored_text(value) or bind(field.from_wire(value)) for value in values]


def _jsons(field: Json, bind: Callable[[Any], Any], null: Any, values: Sequence[Any]) -> list[Any]:
    return [null if value is None else bind(field.from_wire(value)) for value in values]


def _some_null(convert: Parameters, values: Sequence[Any]) -> Iterable[Any]:
    converted = iter(convert([value for value in values if value is not None]))
    return [None if value is None else next(converted) for value in values]


def _signed_floats(values: Sequence[str]) -> list[float]:
    return [value or 0.0 for value in map(float, values)]  # no zero has a sign


def _hex(value: str) -> str:
    return value.lower().replace("-", "")


_SECOND = len("0000-00-00 00:00:00")
_MICROSECOND = len("0000-00-00 00:00:00.000000")


def _moments(field: UtcTimestamp, driver: Driver, values: Sequence[str]) -> Sequence[str]:
    """Times in UTC, in wire form if the driver takes it; otherwise with a space and six digits."""
    if not values:
        return []
    joined = "".join(values)
    if joined.count("Z") < len(values):  # each has one, at its end
        values = [value if value.endswith("Z") else utc_text(field.from_wire(value)) for value in values]
        joined = "".join(values)
    if driver.takes_wire_times:
        return values
    spaced = joined.replace("T", " ").split("Z")
    del spaced[-1]
    if set(map(len, spaced)) != {_MICROSECOND}:
        spaced = [
            value
            if len(value) == _MICROSECOND
            else value + ".000000"
            if len(value) == _SECOND
            else value[:_MICROSECOND].ljust(_MICROSECOND, "0")  # only zeros can follow the sixth digit
            for value in spaced
        ]
    return [value + driver.zone for value in spaced] if driver.zone else spaced


def _since_1970(field: Duration, values: Sequence[str]) -> list[str]:
    try:
        return [(START_OF_1970 + field.from_wire(value)).isoformat(" ", "microseconds") for value in values]
    except OverflowError:
        raise DeclinedError from None


def _clock(value: str) -> str:
    """A time of day with six digits after the point, as SQLAlchemy writes it to SQLite."""
    whole, _, fraction = value.partition(".")
    return f"{whole}.{fraction.ljust(6, '0')}"
