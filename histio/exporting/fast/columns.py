"""Converts columns of stored values into columns of JSON, a whole column at a time.

The trick: functions in C, such as `str.translate`, `min` or `set`, check all values of a column at once, and
Python code runs only for values that have not been seen before. For a page of 200 runs, that takes 0.2 µs for
a UUID and 0.4 µs for a time, where the field and the JSON encoder take 13 µs for each value. What marshmallow
would dump in another form raises `DeclinedError`: the page then takes the full path.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from marshmallow.fields import Field

from histio.database.dialects import LAST_DIGIT, Form
from histio.doubles import find_rounded_in
from histio.exporting.fast.template import PLACE
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
    Text,
    Time,
    UtcTimestamp,
)
from histio.kinds.fields.numbers import FLOAT_DIGITS
from histio.kinds.json_text import json_text
from histio.wire import WireField, encode

Column: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]
"""Formats stored values for one place of a template."""

Altered: TypeAlias = Callable[[Sequence[Any]], Sequence[int]]
"""Returns the indices of the stored values that SQLAlchemy reads as other values."""

_Value = TypeVar("_Value")

_QUOTED = f'"{PLACE}"'
_REMEMBERED = 10_000
_DIGITS = b"0123456789"


class DeclinedError(Exception):
    """A value that the fast path does not know how to convert: its run takes the full path."""


class Member(NamedTuple):
    """How the values of a field are written into the JSON of records.

    Attributes:
        place: The JSON of a value, with `PLACE` for what *fill* returns.
        fill: Formats stored values for that place.
        altered: Finds values that SQLAlchemy reads as others; None: there are none.
    """

    place: str
    fill: Column
    altered: Altered | None = None


def column(field: Field[Any], form: Form, digits: int | None) -> Member | None:
    """How the values of *field* are written into JSON; None: only marshmallow can dump them.

    Args:
        field: The field.
        form: How the driver returns the values of its column.
        digits: The digits after the point to which SQLAlchemy rounds floats; None: it does not round.
    """
    found = _column(field, form, digits)
    if found is None:
        return None
    altered: Altered | None = _rounded if isinstance(field, Json) else None
    if isinstance(field, FixedDecimal) and form == "float" and digits is not None:
        altered = functools.partial(_altered, digits)
    if not field.allow_none or isinstance(found[1], _Known):
        return Member(*found, altered)
    some_altered = altered and functools.partial(_some_altered, altered)
    return Member(PLACE, functools.partial(_some_null, *found), some_altered)


def _column(field: Field[Any], form: Form, read: int | None) -> tuple[str, Column] | None:
    """The place and the function of a `Member`; None: only marshmallow can dump the field."""
    return _number_column(field, form, read) or _time_column(field, form) or _text_column(field, form)


def _number_column(field: Field[Any], form: Form, read: int | None) -> tuple[str, Column] | None:
    match field, form:
        case Boolean(), "boolean" | "truth":
            return PLACE, functools.partial(map, _TRUTHS[form].__getitem__)
        case Integer(minimum=int(low), maximum=int(high)), "integer":
            return PLACE, functools.partial(_numbers, low, high)
        case FixedDecimal(minor_units=None, scale=int(digits), whole_digits=int(whole)), "float":
            as_read = digits == read and digits + whole <= FLOAT_DIGITS
            return (_QUOTED, functools.partial(_floats, field, 10.0**whole)) if as_read else None
        case FixedDecimal(minor_units=None, scale=int(digits), whole_digits=int(whole)), "double":
            return _QUOTED, functools.partial(_doubles, field, 10.0**whole)
        case FixedDecimal(minor_units=None, scale=int(), whole_digits=int()), "digits":
            return _QUOTED, functools.partial(_digits, field)
    return None


def _time_column(field: Field[Any], form: Form) -> tuple[str, Column] | None:
    match field, form:
        case Epoch(), "integer":
            return _QUOTED, functools.partial(_counts, field)
        case UtcTimestamp(digits=6), "moment":
            return f'"{PLACE}Z"', _Moments()
        case Duration(), "moment" | "microseconds":
            length = _since_1970 if form == "moment" else _microseconds
            return PLACE, _Known(field, lambda value: field.to_wire(length(value)))
        case Date(), "day":
            return PLACE, _Known(field)
        case Time(), "clock":
            return PLACE, _Known(field, _clock)
    return None


def _text_column(field: Field[Any], form: Form) -> tuple[str, Column] | None:
    match field, form:
        case RunUUID(), _:
            fill = _UUIDS.get(_hex_form(form) if field.is_hex else form)
            return None if fill is None else (_QUOTED, fill)
        case Bytes(), "bytes" | "base64":
            return _QUOTED, functools.partial(_bytes if form == "bytes" else _base64, field)
        case Json(), "json":
            return PLACE, functools.partial(_jsons, field)
        case (Choice() as known, "text" | "padded") | (Text(padded=False) as known, "text"):
            return PLACE, _Known(known)
    return None


_TRUTHS: dict[Form, dict[Any, str]] = {
    "boolean": {False: "false", True: "true", "0": "false", "1": "true", "f": "false", "t": "true"},
    "truth": {False: "false", True: "true"},  # the application reads the text "0" as true
}


def _some_null(place: str, fill: Column, values: Sequence[Any]) -> Iterable[str]:
    """JSON of *values* of which some are null."""
    present = [value for value in values if value is not None]
    texts = iter(fill(present) if present else ())
    before, after = place.split(PLACE)
    return ["null" if value is None else f"{before}{next(texts)}{after}" for value in values]


class _Known:
    """JSON of values that recur: the *field* itself checks each distinct value once.

    Args:
        field: The field.
        spell: Converts a stored value to its form in JSON; None: it has that form already.
    """

    def __init__(self, field: WireField, spell: Callable[[Any], Any] | None = None) -> None:
        self._field = field
        self._spell = spell
        self._texts: dict[Any, str] = {}

    def __call__(self, values: Sequence[Any]) -> Iterable[str]:
        texts = self._texts
        new = set(values).difference(texts)
        if len(texts) + len(new) > _REMEMBERED:
            texts = self._texts = {}
            new = set(values)
        for value in new:
            wire = value if self._spell is None or value is None else self._spell(value)
            if wire is not None or not self._field.allow_none:
                self._field.check(wire)
            texts[value] = encode(wire)
        return map(texts.__getitem__, values)


def _integers(low: int, high: int, values: Sequence[Any]) -> Sequence[int]:
    if set(map(type, values)) == {str}:
        values = list(map(int, values))
    if set(map(type, values)) != {int} or not low <= min(values) <= max(values) <= high:
        raise DeclinedError
    return values


def _numbers(low: int, high: int, values: Sequence[Any]) -> Iterable[str]:
    return map(str, _integers(low, high, values))


def _counts(field: Epoch, values: Sequence[Any]) -> Iterable[str]:
    return map(field.to_wire, _integers(field.minimum, field.maximum, values))


def _few(values: Sequence[_Value]) -> list[_Value] | None:
    """The distinct ones of *values*, if most values are repeated."""
    distinct = set(values)
    return list(distinct) if 2 * len(distinct) <= len(values) else None


def _once(spell: Callable[[Sequence[_Value]], Iterable[str]], values: Sequence[_Value]) -> Iterable[str]:
    """Spell each of *values*, if most of them are repeated, once."""
    few = _few(values)
    return spell(values) if few is None else map(dict(zip(few, spell(few), strict=True)).__getitem__, values)


def _floats(field: FixedDecimal, bound: float, values: Sequence[Any]) -> Iterable[str]:
    """Decimals that are stored as floats, rounded as SQLAlchemy does."""
    if not set(map(type, values)) <= {float, int}:
        raise DeclinedError
    return _once(lambda some: map(f"%.{field.scale}f".__mod__, _within(field, bound, some)), values)


def _within(field: FixedDecimal, bound: float, values: Sequence[float]) -> Sequence[float]:
    """*values*, if *field* holds all of them, without negative zeros."""
    read = f"%.{field.scale}f".__mod__
    lowest, highest = float(read(min(values))), float(read(max(values)))
    if not -bound < lowest <= highest < bound or (lowest < 0 and not field.signed):
        raise DeclinedError
    if field.positive and lowest <= 0:
        raise DeclinedError
    if lowest > 0:
        return values
    if min(values) >= 0:
        return [value or 0.0 for value in values]  # never -0.0
    return [value if float(read(value)) else 0.0 for value in values]


def _altered(digits: int, values: Sequence[float]) -> Sequence[int]:
    """The indices of decimals that are stored with more *digits* than they are read with."""
    few = _few(values)
    return () if few is not None and not _altered_ones(digits, few) else _altered_ones(digits, values)


def _altered_ones(digits: int, values: Sequence[float]) -> Sequence[int]:
    unit = 10.0**digits
    # The count of units is below 10**15, so dividing it by a power of ten rounds only once.
    read = [round(value * unit) / unit for value in values]
    if read == list(values):
        return ()
    return [
        place
        for place, (one, other) in enumerate(zip(read, values, strict=True))
        if abs(one - other) > abs(other) * LAST_DIGIT
    ]


def _some_altered(altered: Altered, values: Sequence[Any]) -> Sequence[int]:
    """The indices that *altered* finds in *values*, some of which are null."""
    places = [place for place, value in enumerate(values) if value is not None]
    return [places[found] for found in altered([values[place] for place in places])]


def _doubles(field: FixedDecimal, bound: float, values: Sequence[Any]) -> Iterable[str]:
    """Floats of a column that keeps floats; each has to be the float of a decimal with the field's digits."""
    floats = _within(field, bound, list(map(float, values)))
    unit = 10.0 ** (field.scale or 0)
    # The count of units is below 10**15, so dividing it by a power of ten rounds only once.
    if [round(value * unit) / unit for value in floats] != list(floats):
        raise DeclinedError
    return map(f"%.{field.scale}f".__mod__, floats)


def _digits(field: FixedDecimal, values: Sequence[str]) -> Sequence[str]:
    """Decimals as text, from a database that keeps them exactly."""
    _check_digits(field, _few(values) or values)
    return values


def _check_digits(field: FixedDecimal, values: Sequence[str]) -> None:
    scale = field.scale or 0
    signs = "".join(values).encode("ascii").translate(None, _DIGITS + b"-" * field.signed)
    points = len(values) if scale else 0
    longest = max(map(len, values)) - bool(points) - field.signed
    if signs != b"." * points or longest > scale + (field.whole_digits or 0):
        raise DeclinedError
    if scale and {value[-scale - 1] for value in values} != {"."}:
        raise DeclinedError
    if field.signed or (field.positive and f"{0:.{scale}f}" in values):
        for value in values:
            field.check(value)


_UUID = 36
_HYPHENS = (8, 13, 18, 23)


def _uuids(values: Sequence[str]) -> Sequence[str]:
    letters = "".join(values).encode("ascii")
    hyphens = b"-" * len(values)
    if set(map(len, values)) != {_UUID} or letters.translate(None, _DIGITS + b"abcdef") != hyphens * len(
        _HYPHENS
    ):
        raise DeclinedError
    if any(letters[place::_UUID] != hyphens for place in _HYPHENS):
        raise DeclinedError
    return values


def _hyphenated(values: Sequence[str]) -> Sequence[str]:
    return _uuids([f"{each[:8]}-{each[8:12]}-{each[12:16]}-{each[16:20]}-{each[20:]}" for each in values])


def _uuids_of_bytes(values: Sequence[Any]) -> Sequence[str]:
    if set(map(type, values)) != {bytes}:
        raise DeclinedError
    return _hyphenated([value.hex() for value in values])


def _uuids_of_base64(values: Sequence[str]) -> Sequence[str]:
    return _uuids_of_bytes(list(map(base64.b64decode, values)))


_UUIDS: dict[Form, Column] = {
    **dict.fromkeys(("uuid", "text", "padded"), _uuids),
    "hex": _hyphenated,
    "bytes": _uuids_of_bytes,
    "base64": _uuids_of_base64,
}


def _hex_form(form: Form) -> Form:
    """The form of UUIDs that are text without hyphens."""
    return "hex" if form in ("text", "padded") else form


def _bytes(field: Bytes, values: Sequence[Any]) -> Sequence[str]:
    if set(map(type, values)) != {bytes}:
        raise DeclinedError
    return _base64(field, [base64.b64encode(value).decode("ascii") for value in values])


def _base64(field: Bytes, values: Sequence[str]) -> Sequence[str]:
    """Base64 text as databases write it."""
    if field.max_length is not None and any(
        len(value) // 4 * 3 - value.count("=") > field.max_length for value in values
    ):
        raise DeclinedError
    return values


def _jsons(field: Json, values: Sequence[Any]) -> Sequence[str]:
    """JSON in the form of the format. SQLite returns a single number as a number, all else as text."""
    texts = [json_text(value) or _checked_json(field, value) for value in values]
    "".join(texts).encode("utf-8")  # raises UnicodeError, a ValueError, for a lone surrogate
    return texts


def _checked_json(field: Json, value: Any) -> str:
    wire = field.to_wire(json.loads(value) if isinstance(value, str) else value)
    if wire is None and not field.allow_none:
        raise DeclinedError
    field.check(wire)
    return encode(wire)


def _rounded(values: Sequence[Any]) -> Sequence[int]:
    """The indices of JSON texts with numbers that a double cannot hold."""
    return [place for place, value in enumerate(values) if find_rounded_in(value) is not None]


rounded_in_some: Altered = functools.partial(_some_altered, _rounded)
"""The indices of JSON texts with numbers that a double cannot hold; some of the values are null."""

_MOMENT = "0000-00-00 00:00:00.000000"
_WIDTH = len(_MOMENT)
_SECOND = len("0000-00-00 00:00:00")
_HOUR = len("0000-00-00 00")
_SIGNS = re.sub("0", "", _MOMENT).encode()
_PLACES = [(place, sign.encode()) for place, sign in enumerate(_MOMENT) if sign != "0"]


class _Moments:
    """Converts times from ISO 8601 text to the form of the format, without the Z."""

    def __init__(self) -> None:
        self._hours: set[str] = set()

    def __call__(self, values: Sequence[str]) -> Sequence[str]:
        widths = set(map(len, values))
        if widths != {_WIDTH}:
            if not widths <= {_SECOND, *range(_SECOND + 2, _WIDTH + 1)}:
                raise DeclinedError
            if _SECOND in widths:
                values = [f"{value}." if len(value) == _SECOND else value for value in values]
            values = [value.ljust(_WIDTH, "0") for value in values]
        letters, count = "".join(values).encode("ascii"), len(values)
        if letters.translate(None, _DIGITS) != _SIGNS * count:
            raise DeclinedError
        if any(letters[place::_WIDTH] != sign * count for place, sign in _PLACES):
            raise DeclinedError
        if max(letters[_HOUR + 1 :: _WIDTH]) > ord("5") or max(letters[_HOUR + 4 :: _WIDTH]) > ord("5"):
            raise DeclinedError
        self._check_hours({value[:_HOUR] for value in values})
        # Only the fraction of a second can look like ".000000".
        return "\n".join(values).replace(" ", "T").replace(_MOMENT[_SECOND:], "").split("\n")

    def _check_hours(self, hours: set[str]) -> None:
        """Check days and hours; most of them recur."""
        for hour in hours - self._hours:
            moment = dt.datetime.fromisoformat(hour)
            if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
                raise DeclinedError
        if len(self._hours) < _REMEMBERED:
            self._hours |= hours


START_OF_1970 = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - SQLAlchemy's intervals count from it, without zone


def _since_1970(value: str) -> dt.timedelta:
    if not _SECOND <= len(value) <= _WIDTH:  # Python drops a seventh digit
        raise DeclinedError
    return dt.datetime.fromisoformat(value) - START_OF_1970


def _microseconds(value: str) -> dt.timedelta:
    return dt.timedelta(microseconds=int(value))


def _clock(value: str) -> str:
    """A time of day as a database spells it, with six digits after the point, or none if all are zero."""
    whole, _, fraction = value.partition(".")
    return f"{whole}.{fraction.ljust(6, '0')}" if fraction.strip("0") else whole


_FIRST_YEAR, _LAST_YEAR = 1000, 9998
"""The limits of `UtcTimestamp`."""
