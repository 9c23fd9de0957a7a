"""The columns of flat tables: the type and the canonical form of the values of a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from marshmallow.fields import Field, String

from histio.kinds.fields import (
    Boolean,
    Bytes,
    Choice,
    Date,
    Duration,
    FixedDecimal,
    Integer,
    Number,
    RunUUID,
    Slug,
    Text,
    Time,
    UtcTimestamp,
)
from histio.wire import WireField, encode

TypeName: TypeAlias = Literal[
    "boolean", "bytes", "date", "decimal", "double", "integer", "json", "text", "time", "timestamp"
]

_NAMES: tuple[tuple[type[Field[Any]], TypeName], ...] = (
    (Boolean, "boolean"),
    (Bytes, "bytes"),
    (Number, "double"),
    (UtcTimestamp, "timestamp"),
    (Date, "date"),
    (Time, "time"),
    (Choice, "text"),
    (Duration, "text"),
    (RunUUID, "text"),
    (Text, "text"),
    (String, "text"),
)
_ALWAYS_CANONICAL = Boolean, Choice, Text

Convert: TypeAlias = Callable[[Any], Any]
"""Converts a value of a column, which is not None, to the form that it has in a format."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column.

    Attributes:
        name: What its values are. ``decimal``: decimal text, or an integer that 64 bits may not hold.
            ``integer``: one that they hold, unless its field has no bounds. ``json``: JSON text of any value.
        digits: How many digits a decimal has at most.
        scale: How many of them are after the point.
    """

    name: TypeName
    digits: int = 0
    scale: int = 0


TEXT = ColumnType("text")
INTEGER = ColumnType("integer")

_INT64 = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column of a flat table.

    Attributes:
        name: Its name.
        type: The type of its values.
        member: The member of a record that it has the value of; None: it has the positions of entries.
        normalize: Converts a valid value, which is not null, to the form in which an export writes it; None:
            it has that form already.
    """

    name: str
    type: ColumnType
    member: str | None = None
    normalize: Convert | None = None

    @classmethod
    def of_field(cls, name: str, field: Field[Any]) -> Column:
        """The column for the member called *name*."""
        return cls(name, type_of(field), name, _normalizer(field))

    def read(self, record: Mapping[str, Any]) -> Any:
        """The value in a valid *record*, as an export writes it; as JSON text if it has no other type.

        None: it is null, or the record has no such member.
        """
        value = None if self.member is None else record.get(self.member)
        if value is None:
            return None
        if self.normalize is not None:
            value = self.normalize(value)
        if self.type.name == "json" or (self.type.name == "text" and not isinstance(value, str)):
            return encode(value)
        return value

    def renamed(self, name: str) -> Column:
        """The same column with another *name*."""
        return replace(self, name=name)


def type_of(field: Field[Any]) -> ColumnType:
    """The type of the column for the values of a *field*."""
    if isinstance(field, Slug):
        if _is_composed(field):
            return ColumnType("json")
        return TEXT if field.rule is field else type_of(field.rule)
    if isinstance(field, FixedDecimal):
        is_bounded = field.precision is not None and field.scale is not None
        return ColumnType("decimal", field.precision or 0, field.scale or 0) if is_bounded else TEXT
    if isinstance(field, Integer):
        low, high = field.minimum or 0, field.maximum or 0
        if _INT64[0] <= low and high <= _INT64[1]:
            return INTEGER
        return ColumnType("decimal", max(len(str(abs(low))), len(str(abs(high)))))
    return ColumnType(next((name for cls, name in _NAMES if isinstance(field, cls)), "json"))


def _normalizer(field: Field[Any]) -> Convert | None:
    if not isinstance(field, WireField):
        return None
    if not _is_composed(field) and isinstance(field.rule, _ALWAYS_CANONICAL):
        return None
    wire = field
    return lambda value: wire.to_wire(wire.from_wire(value))


def _is_composed(field: Field[Any]) -> bool:
    """Whether a *field* has several keys, or a key of several columns."""
    return isinstance(field, Slug) and (field.many or len(field.key) > 1)
