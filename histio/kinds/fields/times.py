"""Fields whose values are instants, days and times of day."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.patterns import Pattern
from histio.wire import JsonSchema, WireField

_DAY = (
    "([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)"
)
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = r"(Z|[+\-]([01][0-9]|2[0-3]):[0-5][0-9])?"
_MICRO = 6
WORDS = ("no", "one", "two", "three", "four", "five", "six")

_AWARE = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)


def fraction_pattern(digits: int) -> str:
    """The pattern of a second's fraction: at most *digits* digits after the point, then zeros up to six."""
    some = f"[0-9]{{1,{digits}}}" if digits else "0"
    zeros = f"0{{0,{_MICRO - max(digits, 1)}}}" if digits < _MICRO else ""
    return rf"(\.{some}{zeros})?"


def shorten(text: str, digits: int) -> str:
    """Cut the fraction of a second in *text* to *digits* digits."""
    return re.sub(rf"(\.[0-9]{{{digits}}})[0-9]+" if digits else r"()\.[0-9]+", r"\1", text)


def digits_of(stored: TypeEngine[Any]) -> int:
    """The number of digits of a second's fraction that a column of this type keeps; at most six."""
    kept: list[int | None] = [
        getattr(stored, name, None) for name in ("fsp", "precision", "second_precision")
    ]
    return min([_MICRO, *(digits for digits in kept if digits is not None)])


def as_utc(value: dt.datetime) -> dt.datetime:
    """*value* as an aware time in UTC; without an offset, it is already in UTC."""
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def utc_text(value: dt.datetime) -> str:
    """The RFC 3339 text of *value*, which is in UTC."""
    return value.replace(tzinfo=None).isoformat() + "Z"


def instant_form(digits: int) -> Pattern:
    """The pattern of timestamps whose seconds have at most *digits* decimal places."""
    # With an offset, an instant in the first or last year may be out of range.
    return Pattern(
        f"^{_DAY}T{_TIME}{fraction_pattern(digits)}{_ZONE}$",
        r"0-9TZ:.+\-",
        unless=r"^9999|^(1000|9998).*T.*[+\-]",
    )


def time_form(digits: int) -> Pattern:
    """The pattern of times of day whose seconds have at most *digits* decimal places."""
    return Pattern(f"^{_TIME}{fraction_pattern(digits)}$", "0-9:.")


class UtcTimestamp(WireField):
    """An instant as RFC 3339 with capital T and Z, dumped in UTC.

    Loads any offset and converts it to UTC; a timestamp without an offset is read as UTC. Columns without a
    time zone get naive times in UTC, columns with a time zone get aware ones. A timestamp with more digits of
    a second than the column keeps is a ``precision`` problem.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "timestamp"
    default_error_messages: dict[str, Any] = {
        "invalid": 'Not an RFC 3339 timestamp such as "2025-12-08T10:00:00Z".',
        "precision": "Must have at most {digits} digits after the second's point.",
        "out-of-range": "Must be in the years 1000 to 9998, 1001 to 9997 with an offset.",
    }
    naive: bool = False
    digits: int = 6
    _bounds: Mapping[str, str] = {}

    _form = instant_form(_MICRO)

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if is_decorated(column_type):
            form = python_form(column_type, [_AWARE, _AWARE.replace(tzinfo=None)])
        elif isinstance(stored, sa.DateTime):
            form = _AWARE if stored.timezone else _AWARE.replace(tzinfo=None)
        else:
            form = None
        if form is None:
            raise self.unfit(
                column_type, "it takes DateTime; for days there is Date, for a count of seconds Epoch"
            )
        self.naive = form.tzinfo is None
        self.digits = digits_of(stored)
        self._form = instant_form(self.digits)

    def assertions(self) -> JsonSchema:
        return self._form.assertions()

    def to_wire(self, value: dt.datetime) -> str:
        if not isinstance(value, dt.datetime):
            raise TypeError
        try:
            return utc_text(self.to_column(value))
        except OverflowError:  # beyond the years of Python
            return value.isoformat()

    def from_wire(self, value: str) -> dt.datetime:
        return self.to_column(dt.datetime.fromisoformat(value))

    def to_column(self, value: dt.datetime) -> dt.datetime:
        """*value* as the column takes it; without an offset, it is already in UTC."""
        utc = as_utc(value)
        return utc.replace(tzinfo=None) if self.naive else utc

    def bound(self, value: dt.datetime, *, end: bool) -> Any:
        """The first value of the column at or after *value*; with *end*, the last at or before it."""
        del end  # the same for both, because the column compares all digits
        return self.to_column(value)

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if self._form.allows(value):
            return
        # Find the fault: it is gone if the fraction is cut, or if the year is moved into the range.
        short = shorten(value, self.digits)
        if self._form.allows(short):
            raise self.make_error("precision", digits=WORDS[self.digits])
        # The calendar repeats every 400 years.
        moved = re.sub("^[0-9]{4}", lambda year: str(int(year[0]) % 400 + 2000), short)
        has_form = re.fullmatch(self._form.whole, moved)
        raise self.make_error("out-of-range" if has_form else "invalid", **self._bounds)


class Date(WireField):
    """A day as RFC 3339 writes it, in the years 1000 to 9998.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "date"
    default_error_messages: dict[str, Any] = {
        "invalid": 'Not a day such as "2025-12-08", in the years 1000 to 9998.'
    }

    _form = Pattern(f"^{_DAY}$", r"0-9\-", unless="^9999")

    def fit(self, column_type: TypeEngine[Any]) -> None:
        day = _AWARE.date()
        dates = isinstance(underlying(column_type), sa.Date) or is_decorated(column_type)
        if not dates or python_form(column_type, [day]) is None:
            raise self.unfit(column_type, "it takes Date; for instants there is UtcTimestamp")

    def assertions(self) -> JsonSchema:
        return self._form.assertions()

    def to_wire(self, value: Any) -> str:
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise TypeError
        return value.isoformat()

    def from_wire(self, value: str) -> dt.date:
        return dt.date.fromisoformat(value)

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not self._form.allows(value):
            raise self.make_error("invalid")


class Time(WireField):
    """A time of day without an offset, ``10:30:00`` or ``10:30:00.250000``, for columns of `sqlalchemy.Time`.

    Dumps six digits of a second's fraction, or none where all are zero. Loads fewer digits. More digits than
    the column keeps are a ``precision`` problem.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "time"
    default_error_messages: dict[str, Any] = {
        "invalid": 'Not a time of day such as "10:30:00".',
        "precision": "Must have at most {digits} digits after the second's point.",
    }
    digits: int = _MICRO

    _form = time_form(_MICRO)

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if is_decorated(column_type):
            fits = python_form(column_type, [_AWARE.time()]) is not None
        else:
            fits = isinstance(stored, sa.Time) and not stored.timezone
        if not fits:
            raise self.unfit(
                column_type, "it takes Time without a time zone; for lengths of time there is Duration"
            )
        self.digits = digits_of(stored)
        self._form = time_form(self.digits)

    def assertions(self) -> JsonSchema:
        return self._form.assertions()

    def to_wire(self, value: Any) -> str:
        if not isinstance(value, dt.time) or value.tzinfo is not None:
            raise TypeError
        return value.isoformat()

    def from_wire(self, value: str) -> dt.time:
        return dt.time.fromisoformat(value)

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if not self._form.allows(value):
            fits = self._form.allows(shorten(value, self.digits))
            raise self.make_error("precision" if fits else "invalid", digits=WORDS[self.digits])
