"""Fields whose values are instants, stored as numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.numbers import integer_range
from histio.kinds.fields.times import UtcTimestamp, as_utc, instant_form, utc_text

Unit: TypeAlias = Literal["s", "ms", "us"]

_DIGITS: dict[str, int] = {"s": 0, "ms": 3, "us": 6}
_MICRO = dt.timedelta(microseconds=1)
_1970 = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST = dt.datetime(1000, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
_OFFSET = r"[+\-][0-9]{2}:[0-9]{2}$"
_DAY = dt.timedelta(days=1)


class Epoch(UtcTimestamp):
    """A Unix time: an instant in an integer column, dumped and loaded as a timestamp like a `UtcTimestamp`.

    Loads timestamps with any offset. A timestamp with more digits of a second than *unit* is a ``precision``
    problem, one beyond the column's range is ``out-of-range``: 32 bits of seconds hold December 1901 to
    January 2038. Timestamps with an offset must lie at least a day inside that range.

    Args:
        unit: What the column counts since 1970-01-01T00:00:00Z: ``"s"``, ``"ms"`` or ``"us"``, for seconds,
            milliseconds or microseconds.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.

    Raises:
        BindingError: *unit* is none of these.
    """

    definition: str | None = None
    default_error_messages: dict[str, Any] = {
        "stored": "Is outside the years 1000 to 9998 as a count of {unit}: Epoch(unit=…) sets another unit.",
        "out-of-range": "Must be from {first} to {last}, a day less on either side with an offset.",
    }

    def __init__(self, *, unit: Unit = "s", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if unit not in _DIGITS:
            raise BindingError(f'Epoch(unit={unit!r}): the units are "s", "ms" and "us"')
        self.unit = unit
        self.digits: int = _DIGITS[unit]
        self._micros: int = 10 ** (6 - self.digits)
        self._form = instant_form(self.digits)
        self.minimum: int = self._count(_FIRST)
        self.maximum: int = self._count(_LAST)
        self._bounds = {"first": utc_text(_FIRST), "last": utc_text(_LAST)}

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if is_decorated(column_type):
            fits = python_form(column_type, [1]) is not None
        else:
            fits = isinstance(stored, sa.Integer)
        if not fits:
            raise self.unfit(
                column_type, "it takes Integer or BigInteger; for DateTime there is UtcTimestamp"
            )
        if isinstance(stored, sa.Integer):
            low, high = integer_range(stored)
            self.minimum, self.maximum = max(low, self.minimum), min(high, self.maximum)
        if (self.minimum, self.maximum) != (self._count(_FIRST), self._count(_LAST)):
            self._narrow(self.moment(self.minimum), self.moment(self.maximum))

    def _narrow(self, first: dt.datetime, last: dt.datetime) -> None:
        """Refuse timestamps before *first* or after *last*; with an offset, a day less on either side."""
        self._bounds = {"first": utc_text(first), "last": utc_text(last)}
        with_offset = f"({_before(utc_text(first + _DAY))}|{_after(utc_text(last - _DAY))}).*{_OFFSET}"
        unless = f"^({_before(utc_text(first))}|{_after(utc_text(last))}|{with_offset})"
        self._form = replace(self._form, unless=unless)

    def _count(self, moment: dt.datetime) -> int:
        micros: int = (moment - _1970) // _MICRO
        return micros // self._micros

    def moment(self, count: int) -> dt.datetime:
        """The instant of a column's value, in UTC."""
        return _1970 + dt.timedelta(microseconds=count * self._micros)

    def to_wire(self, value: Any) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        try:
            return utc_text(self.moment(value))
        except OverflowError:
            raise self.make_error("stored", unit=self.unit) from None

    def from_wire(self, value: str) -> Any:
        return self.to_column(dt.datetime.fromisoformat(value))

    def to_column(self, value: dt.datetime) -> Any:
        """*value* in whole units, rounded down; a value without offset is in UTC."""
        return self._count(as_utc(value))

    def bound(self, value: dt.datetime, *, end: bool) -> Any:
        """The first count at or after *value*; with *end*, the last at or before it."""
        count = self._count(as_utc(value))
        return count if end or self.moment(count) == as_utc(value) else count + 1


def _after(last: str) -> str:
    """A pattern of the prefixes of instants after *last*."""
    return _beginnings(last, lambda digit: "123456789"[digit:])


def _before(first: str) -> str:
    """A pattern of the prefixes of instants before *first*."""
    whole, _, fraction = first.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    # In the same second: a fraction that is the beginning of the fraction of *first*.
    shorter = [whole, *(f"{whole}.{fraction[:place]}" for place in range(1, len(fraction)))]
    ends = "|".join(f"{_literal(each)}(Z|[+\\-]|$)" for each in (shorter if fraction else ()))
    earlier = _beginnings(first, lambda digit: "012345678"[:digit])
    return f"{earlier}|{ends}" if ends else earlier


def _beginnings(instant: str, others: Callable[[int], str]) -> str:
    """A pattern of texts that equal *instant* up to a digit, which is one of *others* instead."""
    digits = [(place, others(int(sign))) for place, sign in enumerate(instant) if sign.isdigit()]
    return "|".join(f"{_literal(instant[:place])}[{some}]" for place, some in digits if some)


def _literal(text: str) -> str:
    return text.replace(".", r"\.")
