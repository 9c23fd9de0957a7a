r"""marshmallow fields with the wire rules of the format.

Patterns are portable across ECMA 262, Rust and Python. Python's ``$`` also matches before a final newline,
so a ``not`` pattern excludes line ends where nothing else does.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.wire import JsonSchema, WireField

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
# Unicode White_Space beyond the control characters (PropList.txt, Unicode 15).
_SPACE = " \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


class Text(WireField):
    """A string without NUL, which PostgreSQL cannot store, and without lone surrogates, which no driver can.

    Args:
        max_length: In code points; None: what the column holds.
        kwargs: As for `WireField`.
    """

    default_error_messages = {
        "invalid": "Not a string.",
        "form": "Holds a NUL character or a lone surrogate.",
        "out-of-range": "Must be at most {maximum} characters, not {length}.",
    }
    min_length = 0

    def __init__(self, *, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def fit(self, column_type: TypeEngine[Any]) -> None:
        length = getattr(column_type, "length", None)
        if length is not None:
            self.max_length = min(length, self.max_length or length)

    def assertions(self) -> JsonSchema:
        schema: JsonSchema = {"type": "string", "pattern": r"^[^\x00]*$"}
        return schema if self.max_length is None else {**schema, "maxLength": self.max_length}

    def to_wire(self, value: Any) -> Any:
        return value

    def well_formed(self, text: str) -> bool:
        return "\x00" not in text

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        maximum = len(value) if self.max_length is None else self.max_length
        if not self.min_length <= len(value) <= maximum:
            raise self.make_error("out-of-range", maximum=maximum, length=len(value))
        if not self.well_formed(value) or _SURROGATE.search(value):
            raise self.make_error("form")


class Slug(Text):
    """The natural key of a related row, or a snapshot of one.

    Several slugs of one relationship are alternatives, tried in the order of declaration; at least one
    must be present.

    Args:
        relationship: The model's relationship that the slug resolves to; None for a slug kept as text.
        key: The related model's attribute that holds the key; a dotted path follows relationships.
        agrees: A relationship of the run and of the related row that should lead to the same row;
            where it does not, the import warns of a ``mismatched-reference``.
        snapshot_of: For a slug kept as text: the name of the model that it was copied from. The import
            warns where no such row exists (any more); None: nobody looks.
        kwargs: As for `WireField`.
    """

    definition = "slug"
    default_error_messages = {
        "form": "Has control characters, white space around it, or a lone surrogate.",
        "out-of-range": "Must be 1 to {maximum} characters, not {length}.",
    }
    min_length = 1

    def __init__(
        self,
        relationship: str | None = None,
        *,
        key: str = "slug",
        agrees: str | None = None,
        snapshot_of: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_length=200, **kwargs)
        self.relationship = relationship
        self.key = key
        self.agrees = agrees
        self.snapshot_of = snapshot_of

    _malformed = f"^[{_SPACE}]|[{_SPACE}]$|[{_CONTROL}]"

    def assertions(self) -> JsonSchema:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": self.max_length,
            "not": {"pattern": self._malformed},
        }

    def well_formed(self, text: str) -> bool:
        return re.search(self._malformed, text) is None

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """The key of the related row; None where a step of the path leads nowhere."""
        if self.relationship is None:
            return super().get_value(obj, attr, accessor, default)
        for name in (self.relationship, *self.key.split(".")):
            obj = getattr(obj, name, None)
        return obj


class RunUUID(WireField):
    """A UUID in hyphenated form; upper case is read and lower case written.

    A row whose text is in any other spelling does not dump: no look-up would find it, and the same UUID
    could be stored twice.
    """

    definition = "uuid"
    default_error_messages = {
        "invalid": "Not a hyphenated UUID.",
        "stored": "Not stored as a hyphenated UUID in lower case.",
    }
    _pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

    def assertions(self) -> JsonSchema:
        return {"type": "string", "pattern": self._pattern, "maxLength": 36}

    def to_wire(self, value: Any) -> str:
        if isinstance(value, str) and value != str(uuid.UUID(value)):
            raise self.make_error("stored")
        return str(value)

    def from_wire(self, value: str) -> str:
        return value.lower()

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not re.fullmatch(self._pattern, value) or len(value) != 36:  # noqa: PLR2004
            raise self.make_error("invalid")


# Bits beside the sign; a plain INTEGER has 32 on PostgreSQL and MariaDB.
_BITS: tuple[tuple[type[TypeEngine[Any]], int], ...] = (
    (sa.SmallInteger, 15),
    (sa.BigInteger, 63),
    (TypeEngine, 31),
)


class Integer(WireField):
    """A number without a fraction. ``2.0`` is 2, as in JSON Schema; ``true`` and ``"2"`` are not numbers.

    Args:
        minimum: The least value; None: what the column holds.
        maximum: The greatest value; None: what the column holds.
        kwargs: As for `WireField`.
    """

    default_error_messages = {
        "invalid": "Not an integer.",
        "out-of-range": "Must be from {minimum} to {maximum}.",
    }

    def __init__(self, *, minimum: int | None = None, maximum: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum
        self.maximum = maximum

    def fit(self, column_type: TypeEngine[Any]) -> None:
        bits = next(bits for kind, bits in _BITS if isinstance(column_type, kind))
        self.minimum = -(2**bits) if self.minimum is None else max(-(2**bits), self.minimum)
        self.maximum = 2**bits - 1 if self.maximum is None else min(2**bits - 1, self.maximum)

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

    Dumps exactly the column's scale (``"5.2500"``). Loads fewer digits; what the column could only round
    is an error.

    Args:
        precision: Significant digits; None: the column's.
        scale: Digits after the point; None: the column's.
        positive: Zero is out of range.
        signed: A minus sign is allowed.
        kwargs: As for `WireField`.
    """

    default_error_messages = {
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.precision = precision
        self.scale = scale
        self.positive = positive
        self.signed = signed

    def fit(self, column_type: TypeEngine[Any]) -> None:
        self.precision = getattr(column_type, "precision", None) if self.precision is None else self.precision
        self.scale = getattr(column_type, "scale", None) if self.scale is None else self.scale

    @property
    def whole_digits(self) -> int | None:
        """How many digits fit before the point; None: any number."""
        return None if self.precision is None else self.precision - (self.scale or 0)

    def assertions(self) -> JsonSchema:
        sign = "-?" if self.signed else ""
        whole = "[0-9]*" if self.whole_digits is None else f"[0-9]{{0,{self.whole_digits - 1}}}"
        whole = "0" if self.whole_digits == 0 else f"(0|[1-9]{whole})"
        fraction = "[0-9]+" if self.scale is None else f"[0-9]{{1,{self.scale}}}0*" if self.scale else "0+"
        refused = r"\n|^[0.]*$" if self.positive else r"\n"
        return {"type": "string", "pattern": rf"^{sign}{whole}(\.{fraction})?$", "not": {"pattern": refused}}

    def to_wire(self, value: Any) -> str:
        number = Decimal(str(value)) or Decimal(0)
        text = f"{number:f}" if self.scale is None else f"{number:.{self.scale}f}"
        # Where formatting would round, the value as it is makes the check say what is wrong.
        return text if Decimal(text) == number else f"{number:f}"

    def from_wire(self, value: str) -> Decimal:
        return Decimal(value) or Decimal(0)

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


_DAY = (
    "([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)"
)
_TIME = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"


class UtcTimestamp(WireField):
    """An instant as RFC 3339 with capital T and Z, dumped in UTC.

    Loads any offset and converts; a timestamp without one is read as UTC. Columns without time zone get
    naive UTC, columns with one get aware UTC.
    """

    definition = "timestamp"
    default_error_messages = {
        "invalid": 'Not an RFC 3339 timestamp such as "2025-12-08T10:00:00Z".',
        "precision": "Must have at most six digits after the second's point.",
        "out-of-range": "Must be in the years 1000 to 9998, 1001 to 9997 with an offset.",
    }
    naive = False

    _pattern = rf"^{_DAY}{_TIME}(\.[0-9]{{1,6}})?{_ZONE}$"
    # Years at the edge would leave the range when an offset is applied.
    _refused = r"\n|^9999|^(1000|9998).*T.*[+-]"

    def fit(self, column_type: TypeEngine[Any]) -> None:
        self.naive = not getattr(column_type, "timezone", False)

    def assertions(self) -> JsonSchema:
        return {"type": "string", "pattern": self._pattern, "not": {"pattern": self._refused}}

    def to_wire(self, value: dt.datetime) -> str:
        if not isinstance(value, dt.datetime):
            raise TypeError
        try:
            return self.to_column(value).replace(tzinfo=None).isoformat() + "Z"
        except OverflowError:  # the offset leads out of the calendar
            return value.isoformat()

    def from_wire(self, value: str) -> dt.datetime:
        return self.to_column(dt.datetime.fromisoformat(value))

    def to_column(self, value: dt.datetime) -> dt.datetime:
        """*value* as the column takes it; without offset it is UTC already."""
        utc = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if self.naive else utc

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if re.fullmatch(self._pattern, value) and not re.search(self._refused, value):
            return
        # Shorten the fraction and move the year into range: what then passes had just that fault.
        shortened = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value)
        if re.fullmatch(self._pattern, shortened) and not re.search(self._refused, shortened):
            raise self.make_error("precision")
        # The calendar repeats every 400 years.
        moved = re.sub("^[0-9]{4}", lambda year: str(int(year[0]) % 400 + 2000), shortened)
        raise self.make_error("out-of-range" if re.fullmatch(self._pattern, moved) else "invalid")
