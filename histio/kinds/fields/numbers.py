"""Fields whose values are exact numbers, measured numbers, or truth values."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.patterns import Pattern
from histio.wire import JsonSchema, WireField

# Bits without the sign, by the type's name; a plain INTEGER has 32 bits on PostgreSQL and MariaDB.
_BITS = {"TINYINT": 7, "SMALLINT": 15, "SMALL_INTEGER": 15, "MEDIUMINT": 23, "BIGINT": 63, "BIG_INTEGER": 63}
_PLAIN = 31

FLOAT_DIGITS = 15
"""Significant decimal digits that every double keeps (`sys.float_info.dig`)."""


def _form(column_type: TypeEngine[Any], *candidates: Any) -> Any:
    """The first of *candidates*, decimals or floats, that the column takes; None: it takes none of them."""
    if is_decorated(column_type):
        return python_form(column_type, candidates)
    stored = underlying(column_type)
    wanted = (Decimal if stored.asdecimal else float) if isinstance(stored, sa.Numeric | sa.Float) else None
    return next((candidate for candidate in candidates if type(candidate) is wanted), None)


def integer_range(column_type: sa.Integer) -> tuple[int, int]:
    """The least and the greatest value that a column of this type holds."""
    bits = _BITS.get(column_type.__visit_name__.upper(), _PLAIN)
    if getattr(column_type, "unsigned", False):
        return 0, 2 ** (bits + 1) - 1
    return -(2**bits), 2**bits - 1


class Integer(WireField):
    """A number without a fraction. ``2.0`` is 2, as in JSON Schema; ``true`` and ``"2"`` are not numbers.

    Args:
        minimum: The least value; None: what the column holds.
        maximum: The greatest value; None: what the column holds.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {
        "invalid": "Not an integer.",
        "out-of-range": "Must be from {minimum} to {maximum}.",
    }

    def __init__(self, *, minimum: int | None = None, maximum: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum
        self.maximum = maximum

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        low, high = self.minimum, self.maximum
        if isinstance(stored, sa.Integer):
            low, high = integer_range(stored)
        elif isinstance(stored, sa.Numeric) and stored.precision is not None and not stored.scale:
            low, high = 1 - 10**stored.precision, 10**stored.precision - 1
        if not isinstance(stored, sa.Integer | sa.Numeric) and not is_decorated(column_type):
            raise self.unfit(column_type, "it takes Integer")
        if is_decorated(column_type) and python_form(column_type, [1]) is None:
            raise self.unfit(column_type, "the decorator takes no integers")
        self.minimum = low if self.minimum is None else self.minimum
        self.maximum = high if self.maximum is None else self.maximum

    def assertions(self) -> JsonSchema:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer"} | {name: bound for name, bound in bounds.items() if bound is not None}

    def to_wire(self, value: Any) -> int:
        if value != int(value):
            raise ValueError
        return int(value)

    def from_wire(self, value: float) -> int:
        return int(value)

    def check(self, value: Any) -> None:
        whole = (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
        if not whole:
            raise self.make_error("invalid")
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise self.make_error("out-of-range", minimum=low, maximum=high)


class FixedDecimal(WireField):
    """A decimal as a string of ASCII digits: no exponent, no space, no leading zero, no bare point.

    Dumps exactly the column's scale (``"5.2500"``). Loads fewer digits; a value that the column would round
    is an error. Columns of `sqlalchemy.Float` or `sqlalchemy.Double` need *scale*, and a *precision* of at
    most 15 digits.

    Args:
        precision: Significant digits; None: the column's.
        scale: Digits after the point; None: the column's.
        minor_units: The column is an integer that counts parts of this many digits: 2 for cents. None: it has
            the decimal itself.
        positive: Whether zero is out of range.
        signed: Whether a minus sign is allowed.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {
        "invalid": 'Not a decimal string such as "5.25".',
        "precision": "Must have at most {scale} digits after the point.",
        "out-of-range": "Must be {bounds}.",
    }

    def __init__(
        self,
        *,
        precision: int | None = None,
        scale: int | None = None,
        positive: bool = False,
        signed: bool = False,
        minor_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.precision = precision
        self.scale = scale if minor_units is None else minor_units
        self.minor_units = minor_units
        self._as_kept: Callable[[Decimal], Any] = Decimal
        self._is_float = False
        self._shortest = False  # without a scale, databases differ in whether they keep trailing zeros
        self.positive = positive
        self.signed = signed

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if self.minor_units is not None:
            self._fit_integer(stored, self.minor_units)
            return
        form = _form(column_type, Decimal("0.5"), 0.5)
        if form is None:
            raise self.unfit(
                column_type, "it takes Numeric; minor_units=2 if the column is an integer that counts cents"
            )
        if isinstance(stored, sa.Numeric) and not isinstance(stored, sa.Float):
            self.precision = stored.precision if self.precision is None else self.precision
            scale = stored.scale if stored.precision is None else stored.scale or 0
            self.scale = scale if self.scale is None else self.scale
            self._shortest = self.scale is None
        self._is_float = isinstance(stored, sa.Float)
        if isinstance(form, float):
            self._as_kept = float
        if self._is_float or isinstance(form, float):
            self._fit_float(column_type, stored)

    def _fit_float(self, column_type: TypeEngine[Any], stored: Any) -> None:
        own = getattr(stored, "scale", None)  # MySQL's FLOAT(7, 2) rounds to a scale
        if own is not None:
            self.precision = stored.precision if self.precision is None else self.precision
            self.scale = own if self.scale is None else self.scale
        self.precision = FLOAT_DIGITS if self.precision is None else self.precision
        if self.scale is None or self.precision > FLOAT_DIGITS:
            raise self.unfit(
                column_type, f"floats carry {FLOAT_DIGITS} digits: write FixedDecimal(precision=…, scale=…)"
            )
        read = stored._effective_decimal_return_scale if self._is_float and stored.asdecimal else self.scale  # noqa: SLF001 - SQLAlchemy reads it too
        if self.scale > read:
            advice = f"give the type decimal_return_scale={self.scale}"
            raise self.unfit(column_type, f"SQLAlchemy reads {read} digits after its point: {advice}")

    def _fit_integer(self, stored: TypeEngine[Any], minor_units: int) -> None:
        if not isinstance(stored, sa.Integer):
            raise self.unfit(stored, "minor_units is for columns of integers")
        _, most = integer_range(stored)
        self.precision = len(str(most)) - 1 if self.precision is None else self.precision
        self._as_kept = lambda value: int(value.scaleb(minor_units))

    @property
    def whole_digits(self) -> int | None:
        """How many digits fit before the point; None: any number."""
        return None if self.precision is None else self.precision - (self.scale or 0)

    def assertions(self) -> JsonSchema:
        sign = "-?" if self.signed else ""
        whole = "[0-9]*" if self.whole_digits is None else f"[0-9]{{0,{self.whole_digits - 1}}}"
        whole = "0" if self.whole_digits == 0 else f"(0|[1-9]{whole})"
        fraction = "[0-9]+" if self.scale is None else f"[0-9]{{1,{self.scale}}}0*" if self.scale else "0+"
        form = Pattern(
            rf"^{sign}{whole}(\.{fraction})?$",
            r"0-9.\-" if self.signed else "0-9.",
            unless=f"^{sign}[0.]*$" if self.positive else "",
        )
        return form.assertions()

    def to_wire(self, value: Any) -> str:
        # SQLAlchemy converts a float to a Decimal with all digits of the binary form.
        number = Decimal(str(float(value) if self._is_float else value)) or Decimal(0)
        if self.minor_units is not None:
            number = number.scaleb(-self.minor_units)
        if self._shortest and number.is_finite():
            number = number.normalize()
        text = f"{number:f}" if self.scale is None else f"{number:.{self.scale}f}"
        # If formatting would round, the check reports the unrounded value.
        return text if Decimal(text) == number else f"{number:f}"

    def from_wire(self, value: str) -> Any:
        return self._as_kept(Decimal(value) or Decimal(0))

    def check(self, value: Any) -> None:
        match = re.fullmatch(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", value) if isinstance(value, str) else None
        if match is None:
            raise self.make_error("invalid")
        sign, whole, fraction = match[1], match[2], (match[3] or "").rstrip("0")
        if self.scale is not None and len(fraction) > self.scale:
            raise self.make_error("precision", scale=self.scale)
        digits = 0 if whole == "0" else len(whole)
        too_wide = self.whole_digits is not None and digits > self.whole_digits
        if too_wide or (sign and not self.signed) or (self.positive and not digits and not fraction):
            raise self.make_error("out-of-range", bounds=self._bounds())

    def _bounds(self) -> str:
        lower = "" if self.signed else "more than 0" if self.positive else "at least 0"
        upper = "" if self.whole_digits is None else f"below {10**self.whole_digits}"
        return " and ".join(filter(None, (lower, upper)))


class Number(WireField):
    """A measured value as a JSON number: any double except infinities and NaN.

    As in most languages, an integer beyond 2**53 is read as the nearest double.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {"invalid": "Not a finite number."}

    def fit(self, column_type: TypeEngine[Any]) -> None:
        if _form(column_type, 0.5) is None:
            raise self.unfit(column_type, "it takes Float or Double; for decimals there is FixedDecimal")

    def assertions(self) -> JsonSchema:
        return {"type": "number", "minimum": -sys.float_info.max, "maximum": sys.float_info.max}

    def to_wire(self, value: Any) -> float:
        return float(value)

    def from_wire(self, value: float) -> float:
        return float(value)

    def check(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        if not -sys.float_info.max <= value <= sys.float_info.max:
            raise self.make_error("invalid")


class Boolean(WireField):
    """True or false.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {"invalid": "Not true or false."}

    def fit(self, column_type: TypeEngine[Any]) -> None:
        kept = [python_form(column_type, [each]) for each in (True, False)]
        plain = isinstance(underlying(column_type), sa.Boolean) or is_decorated(column_type)
        if not plain or kept != [True, False]:
            raise self.unfit(column_type, "it takes Boolean")

    def assertions(self) -> JsonSchema:
        return {"type": "boolean"}

    def to_wire(self, value: Any) -> Any:
        return value

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
