"""Fields whose values are lengths of time."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from sqlalchemy.types import TypeEngine

from histio.kinds.column_types import AnyInterval, is_decorated, python_form, underlying
from histio.kinds.fields.patterns import Pattern
from histio.kinds.fields.times import WORDS, digits_of, fraction_pattern, shorten
from histio.wire import JsonSchema, WireField

_SAMPLE = dt.timedelta(days=1, seconds=1)

_PARTS = re.compile(
    r"(-?)P(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]+))?S)?)?", re.ASCII
)


def duration_form(digits: int) -> Pattern:
    """The pattern of durations whose seconds have at most *digits* decimal places.

    Its limits for other digits keep every duration in the range of `datetime.timedelta`.
    """
    time = rf"T([0-9]{{1,9}}H)?([0-9]{{1,9}}M)?([0-9]{{1,9}}{fraction_pattern(digits)}S)?"
    return Pattern(f"^-?P([0-9]{{1,8}}D)?({time})?$", r"0-9DHMPST.\-", unless="[PT]$")


class Duration(WireField):
    """A duration in ISO 8601 notation, ``P1DT2H3M4.5S``, for columns of `sqlalchemy.Interval`.

    It has days, hours, minutes and seconds; years, months and weeks are errors. A leading minus sign negates
    the duration. Dumps the canonical form: hours below 24, minutes and seconds below 60, no part that is
    zero, ``PT0S`` for zero. Loads larger numbers too (``PT36H``).

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "duration"
    default_error_messages: dict[str, Any] = {
        "invalid": 'Not a duration of days, hours, minutes and seconds such as "P1DT2H3M4.5S".',
        "precision": "Must have at most {digits} digits after the second's point.",
        "out-of-range": "Must have at most 8 digits of days, and 9 of hours, minutes and seconds.",
    }
    digits: int = 6

    _form = duration_form(6)

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        interval = isinstance(stored, AnyInterval)
        if not interval and not is_decorated(column_type):
            raise self.unfit(column_type, "it takes Interval; for times of day there is Time")
        if python_form(column_type, [_SAMPLE]) is None:
            raise self.unfit(column_type, "its decorator takes no timedelta")
        fields = getattr(stored, "fields", None)
        if fields is not None and not fields.upper().endswith("SECOND"):
            raise self.unfit(column_type, "its fields= drops part of each value: leave out fields=")
        self.digits = digits_of(stored)
        self._form = duration_form(self.digits)

    def assertions(self) -> JsonSchema:
        return self._form.assertions()

    def to_wire(self, value: Any) -> str:
        if not isinstance(value, dt.timedelta):
            raise TypeError
        sign, length = ("-", -value) if value < dt.timedelta() else ("", value)
        minutes, seconds = divmod(length.seconds, 60)
        hours, minutes = divmod(minutes, 60)
        point = f".{length.microseconds:06}".rstrip("0").rstrip(".")
        parts = ((hours, "H"), (minutes, "M"), (f"{seconds}{point}" if seconds or point else 0, "S"))
        time = "".join(f"{number}{unit}" for number, unit in parts if number)
        days = f"{length.days}D" if length.days else ""
        return f"{sign}P{days}T{time}" if time else f"{sign}P{days}" if days else "PT0S"

    def from_wire(self, value: str) -> dt.timedelta:
        found = _PARTS.fullmatch(value)
        assert found is not None  # noqa: S101 - it was checked
        sign, *numbers, point = found.groups("0")
        days, hours, minutes, seconds = map(int, numbers)
        micro = int(point[:6].ljust(6, "0"))
        length = dt.timedelta(days, seconds, micro, minutes=minutes, hours=hours)
        return -length if sign == "-" else length

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if self._form.allows(value):
            return
        short = shorten(value, self.digits)
        if self._form.allows(short):
            raise self.make_error("precision", digits=WORDS[self.digits])
        narrow = re.sub("[0-9]{9,}", "9", short)
        raise self.make_error("out-of-range" if self._form.allows(narrow) else "invalid")
