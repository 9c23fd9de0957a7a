"""Fields whose values are text, UUIDs, choices or any JSON."""

from __future__ import annotations

import enum
import math
import operator
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.types import TypeEngine

from histio.doubles import RoundedNumber
from histio.errors import BindingError
from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.patterns import NO_NUL
from histio.wire import JsonSchema, WireField, can_be_written, quote

_SURROGATE = re.compile("[\ud800-\udfff]")
# JSON other than text: a type that keeps one of these is not only for text.
_OBJECTS: tuple[Any, ...] = ({"a": [1]}, {"a": "b"}, ["a"], 1)
# A pattern that refuses " $" would refuse "a \n", too, where "$" also matches before a final line end.
_UNPADDED = "^$|[^ ]$"


class Text(WireField):
    """A string without NUL, which PostgreSQL cannot store, and without lone surrogates, which no driver can.

    In a column of CHAR(n), which databases pad or strip, it must not end in a space.

    Args:
        max_length: The maximum length in code points. None: that of the column.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {
        "invalid": "Not a string.",
        "form": "Holds a NUL character or a lone surrogate.",
        "padded": "Ends in a space, which the column does not keep.",
        "out-of-range": "Must be at most {maximum} characters, not {length}.",
    }
    min_length = 0

    def __init__(self, *, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length: Any = max_length

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if python_form(column_type, ["text"]) is None or not (
            isinstance(stored, sa.String) or is_decorated(column_type)
        ):
            raise self.unfit(column_type, "declare the field that fits the column's type")
        if is_decorated(column_type) and python_form(column_type, _OBJECTS) is not None:
            raise self.unfit(column_type, "its decorator keeps any JSON, which takes Json")
        length = getattr(stored, "length", None)
        if length is not None:
            self.max_length = min(length, self.max_length or length)
        self.padded: bool = isinstance(stored, sa.CHAR)

    def assertions(self) -> JsonSchema:
        schema: JsonSchema = {"type": "string", **({"pattern": _UNPADDED} if self.padded else {}), **NO_NUL}
        return schema if self.max_length is None else {**schema, "maxLength": self.max_length}

    def to_wire(self, value: Any) -> Any:
        return value.rstrip(" ") if self.padded else value

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
        if self.padded and value.endswith(" "):
            raise self.make_error("padded")


UuidForm: TypeAlias = Literal["hyphenated", "hex"]

_hex = operator.attrgetter("hex")

# A UUID in the forms in which columns store it.
_AN_UUID = uuid.UUID("7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11")
_OF_TEXT: dict[str, Callable[[uuid.UUID], Any]] = {"hyphenated": str, "hex": _hex}
_FORMS: tuple[Callable[[uuid.UUID], Any], ...] = (
    lambda value: value,
    *_OF_TEXT.values(),
    operator.attrgetter("bytes"),
)
_HYPHENATED, _HEX, _BYTES = 36, 32, 16
UUID_LENGTHS = (_HEX, _HYPHENATED)
"""The lengths of text columns that may keep UUIDs, in characters."""


class RunUUID(WireField):
    """A UUID in hyphenated form; upper case is read and lower case written.

    The column may store it as text of 36 characters, as text of 32 characters without hyphens, as
    `sqlalchemy.Uuid`, as 16 bytes, or by a decorator. A row with any other spelling is not dumped, because no
    look-up would find it, and the same UUID could be stored twice.

    Args:
        form: How a text column stores it: ``"hyphenated"``, or ``"hex"``, which is 32 digits without hyphens.
            None: ``"hex"`` in a column of 32 characters, otherwise ``"hyphenated"``.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "uuid"
    default_error_messages: dict[str, Any] = {
        "invalid": "Not a hyphenated UUID.",
        "stored": "The UUID is stored {how}: {advice}.",
    }
    _pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    _as_kept: Callable[[uuid.UUID], Any] = str

    def __init__(self, *, form: UuidForm | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if form not in (None, *_OF_TEXT):
            raise BindingError(f'RunUUID(form={form!r}): the forms are "hyphenated" and "hex"')
        self.form = form

    @property
    def is_hex(self) -> bool:
        """Whether the column takes and returns text without hyphens."""
        return self._as_kept is _hex

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        wanted = _FORMS if self.form is None else (_OF_TEXT[self.form],)
        forms = {form(_AN_UUID): form for form in wanted}
        if is_decorated(column_type) or isinstance(stored, sa.Uuid):
            found = python_form(column_type, list(forms))
        elif isinstance(stored, sa.types._Binary):  # noqa: SLF001 - what BINARY and LargeBinary share
            found = _AN_UUID.bytes if getattr(stored, "length", None) in (None, _BYTES) else None
        else:
            length = getattr(stored, "length", None) or _HYPHENATED
            usual = _AN_UUID.hex if length == _HEX else str(_AN_UUID) if length >= _HYPHENATED else None
            found = usual if self.form is None else next(iter(forms)) if length >= _HEX else None
            found = found if isinstance(stored, sa.String) else None
        if found not in forms:
            kinds = "String(36), String(32), Uuid, BINARY(16), or a decorator of these"
            raise self.unfit(column_type, f"it takes {kinds}; form= is for text")
        self._as_kept = forms[found]

    def assertions(self) -> JsonSchema:
        return {"type": "string", "pattern": self._pattern, "maxLength": _HYPHENATED}

    def to_wire(self, value: Any) -> str:
        if isinstance(value, bytes | bytearray | memoryview):
            return str(uuid.UUID(bytes=bytes(value)))
        if not isinstance(value, str):
            return str(value)
        read = uuid.UUID(value)
        if value != (read.hex if self.is_hex else str(read)):
            raise self._spelling_error(value, read)
        return str(read)

    def _spelling_error(self, value: str, read: uuid.UUID) -> ValidationError:
        """The error for a stored *value* whose spelling is not the column's form; *read* is its UUID."""
        spelled = {make(read): form for form, make in _OF_TEXT.items()}
        if value in spelled:
            how = "with hyphens" if spelled[value] == "hyphenated" else "without hyphens"
            advice = f'if all rows are stored so, write {type(self).__name__}(form="{spelled[value]}")'
        else:
            how = "in upper case" if value.lower() in spelled else "with braces or a prefix"
            advice = "store the lower-case digits only, or give the column a TypeDecorator for UUIDs"
        return self.make_error("stored", how=how, advice=advice)

    def from_wire(self, value: str) -> Any:
        # The usual form is that of JSON; parsing would take longer than everything else.
        return value.lower() if self._as_kept is str else self._as_kept(uuid.UUID(value))

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not re.fullmatch(self._pattern, value) or len(value) != _HYPHENATED:
            raise self.make_error("invalid")


class Choice(WireField):
    """One of a set of texts. For a column of an `enum.Enum`, what the database stores: by default the names.

    Args:
        choices: The texts; empty: those of the column.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {"invalid": "Must be one of: {choices}."}

    def __init__(self, *choices: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices: tuple[str, ...] = choices
        self._members: Mapping[str, enum.Enum] = {}

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        if isinstance(stored, sa.Enum):
            self.choices = self.choices or tuple(stored.enums)
            if stored.enum_class is not None:
                members = list(stored.enum_class)
                if len(members) != len(stored.enums):  # aliases have names of their own
                    members = list(stored.enum_class.__members__.values())
                self._members = dict(zip(stored.enums, members, strict=True))
        elif not isinstance(stored, sa.String):
            raise self.unfit(column_type, "it takes Enum or String")
        elif not self.choices:
            raise self.unfit(column_type, 'name the choices: Choice("small", "large")')
        elif python_form(column_type, self.choices) is None:
            whose = "its decorator takes" if is_decorated(column_type) else "its values are"
            raise self.unfit(column_type, f"{whose} no text")

    @property
    def has_aliases(self) -> bool:
        """Whether a member of the enum has several names."""
        return len({id(member) for member in self._members.values()}) < len(self._members)

    def assertions(self) -> JsonSchema:
        return {"enum": list(self.choices)}

    def to_wire(self, value: Any) -> Any:
        names = [name for name, member in self._members.items() if member is value]
        return names[0] if names else value

    def from_wire(self, value: str) -> Any:
        return self._members.get(value, value)

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or value not in self.choices:
            raise self.make_error("invalid", choices=", ".join(self.choices))


class Json(WireField):
    """Any JSON value, for columns of `sqlalchemy.JSON`.

    Dumps the members of objects in sorted order, and whole numbers of 1e16 or more as integers, because some
    databases do not keep the order or the exponent. ``2.0`` stays ``2.0`` where the database keeps it, and is
    equal to 2, as in JSON Schema. SQL's NULL and JSON's null are the same. Null is allowed unless
    ``allow_none=False``. Strings and names hold no NUL and no lone surrogate. Numbers with a point or an
    exponent are doubles; others in a file are a ``precision`` problem. Integers have any number of digits.

    Args:
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    definition: str | None = "json"
    default_error_messages: dict[str, Any] = {
        "invalid": "Holds a NUL, a lone surrogate, or what JSON cannot say.",
        "precision": "A double cannot hold {number}: it would be stored as {stored}.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_none": True} | kwargs)

    def from_wire(self, value: Any) -> Any:
        return self.to_wire(value)

    def fit(self, column_type: TypeEngine[Any]) -> None:
        if not is_decorated(column_type):
            if not isinstance(underlying(column_type), sa.JSON):
                raise self.unfit(column_type, "it takes JSON")
        elif python_form(column_type, _OBJECTS) is None:
            raise self.unfit(
                column_type,
                "its decorator takes no plain JSON: declare a marshmallow field that converts it to JSON",
            )

    def assertions(self) -> JsonSchema:
        within = {"$ref": f"#/$defs/{self.definition}"}
        return {
            "anyOf": [
                {"type": ["boolean", "null"]},
                {"type": "number"},
                {"type": "string", **NO_NUL},
                {"type": "array", "items": within},
                {"type": "object", "propertyNames": NO_NUL, "additionalProperties": within},
            ]
        }

    def to_wire(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self.to_wire(value[name]) for name in sorted(value)}
        if isinstance(value, float):
            return normalize_float(value)
        return [self.to_wire(each) for each in value] if isinstance(value, list | tuple) else value

    def check(self, value: Any) -> None:
        try:
            fine = _is_json(value)
        except RecursionError:
            fine = False
        if not fine:
            rounded = self._find_rounded(value)
            raise ValidationError(rounded) if rounded else self.make_error("invalid")

    def _find_rounded(self, value: Any) -> Any:
        """The faults of numbers in *value* that a double cannot hold, nested as these are; empty: none."""
        if isinstance(value, RoundedNumber):
            return self.make_error("precision", number=quote(value), stored=value.double).messages
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        )
        return {step: faults for step, inner in pairs if (faults := self._find_rounded(inner))}


_EXPONENT = 1e16
"""From this number on, Python writes floats with an exponent, and databases that parse JSON do not."""


def normalize_float(value: float) -> int | float:
    """*value* in the form in which every database returns it."""
    if abs(value) >= _EXPONENT and math.isfinite(value):
        return int(Decimal(repr(value)))
    return value or 0.0  # never -0.0


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(name) for name in value) and all(
            map(_is_json, value.values())
        )
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, str):
        return "\x00" not in value and not _SURROGATE.search(value)
    return (
        value is None
        or (isinstance(value, int) and can_be_written(value))
        or (isinstance(value, float) and math.isfinite(value) and not isinstance(value, RoundedNumber))
    )
