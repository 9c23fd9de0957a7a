"""The base class of fields: each has one exact form in JSON.

A field applies its rule when it loads (a fault has a problem code), when it dumps (a value that the format
cannot hold is an error, never a wrong value), and in the JSON Schema.
"""

from __future__ import annotations

import copy
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from marshmallow import ValidationError
from marshmallow.fields import Field, List, Nested
from sqlalchemy.types import TypeEngine

from histio.doubles import RoundedNumber
from histio.errors import BindingError
from histio.report import Code, Fault

JsonSchema = dict[str, Any]


def quote(value: object) -> str:
    """The ``repr()`` of *value*, shortened to about sixty characters."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"<{type(value).__name__}>"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(value: Any) -> str:
    """Encode *value* as compact JSON, from which digests are calculated.

    Raises:
        ValueError: It contains NaN, an infinity or a lone surrogate.
        TypeError: It contains a value that JSON does not have.
    """
    text = _encoder.encode(value)
    text.encode("utf-8")
    return text


_PLAIN = frozenset((str, bool, type(None)))
_SCALARS = (str, int, float, type(None))


def is_plain(value: Any) -> bool:
    """Whether *value* has only what JSON text is decoded to: no subclasses, and numbers that have a text."""
    if type(value) is dict:
        return all(type(name) is str for name in value) and all(map(is_plain, value.values()))
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is int:
        return can_be_written(value)
    return type(value) in _PLAIN or (type(value) is float and math.isfinite(value))


def to_plain(value: Any) -> Any:
    """A copy of *value* with the JSON types in place of their subclasses, such as OrderedDict and StrEnum.

    What JSON does not have, such as a set, is kept.
    """
    if isinstance(value, dict):
        return {to_plain(name): to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [to_plain(inner) for inner in value]
    if isinstance(value, str):
        return str.__str__(value)  # str() would be the name of an enum's member
    if isinstance(value, float):
        return value if isinstance(value, RoundedNumber) else float.__float__(value)
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else value


def find_foreign(value: Any, *steps: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield what JSON does not have in *value*, such as sets and NaN, each with the steps to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(name, str):
                yield from find_foreign(inner, *steps, name)
            else:
                yield (*steps, name), name
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from find_foreign(inner, *steps, index)
    elif not isinstance(value, _SCALARS) or (isinstance(value, float) and not math.isfinite(value)):
        yield steps, value


def can_be_written(number: int) -> bool:
    """Whether *number* has no more digits than Python writes, and reads."""
    return number.bit_length() < _WRITTEN_BITS


_WRITTEN_BITS = 14_284
"""The bits of a number of 4,300 digits, which is Python's limit unless it is raised."""


def is_sha256(value: object) -> bool:
    """Whether *value* is a SHA-256 as the format writes it: 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON or loaded values are equal; as in JSON Schema, 1 equals 1.0, but not true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if {type(a), type(b)} == {int, float}:
        with suppress(OverflowError):  # an integer beyond all floats
            return float(a) == float(b)
    return bool(a == b)


def wire_name(name: str, field: Field[Any]) -> str:
    """The name that the field *name* of a schema has in a record."""
    return name if field.data_key is None else field.data_key


def nested_in(field: Field[Any]) -> Nested | None:
    """The `Nested` in *field*: the field itself, or the items of a list; None: it is neither."""
    inner = field.inner if isinstance(field, List) else field
    return inner if isinstance(inner, Nested) else None


def is_list(field: Field[Any]) -> bool:
    """Whether a nested *field* has a list of records."""
    return isinstance(field, List) or (isinstance(field, Nested) and bool(field.many or field.schema.many))


def faults_in(messages: Any, *steps: str | int) -> Iterator[tuple[tuple[str | int, ...], Fault]]:
    """The faults in the nested messages of a `ValidationError`, each with the steps to it."""
    if isinstance(messages, Mapping):
        for step, inner in messages.items():
            yield from faults_in(inner, *steps, step)
    else:
        for message in messages:
            yield steps, message if isinstance(message, Fault) else Fault(str(message))


_CODES = {"precision", "out-of-range"}


class WireField(Field[Any]):
    """A field with one exact form in JSON.

    Args:
        description: The meaning of the member, for the JSON Schema.
        example: A value in its JSON form, for the JSON Schema.
        kwargs: The options of any marshmallow field, such as ``required``, ``allow_none`` and ``data_key``.
    """

    definition: str | None = None
    """The name of this rule's definition in the JSON Schema; None: rules with parameters have none."""

    def __init__(self, *, description: str = "", example: Any = None, **kwargs: Any) -> None:
        documented: dict[str, Any] = {"description": description} if description else {}
        if example is not None:
            documented["examples"] = [example]
        super().__init__(metadata=documented | kwargs.pop("metadata", {}), **kwargs)

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        """The error for *key*, as in marshmallow, with a message that has a problem code."""
        message = str(super().make_error(key, **kwargs).messages[0])
        return ValidationError([Fault(message, cast("Code", key) if key in _CODES else "schema")])

    def fit(self, column_type: TypeEngine[Any]) -> None:
        """Take scale, length and range from the column that stores the value.

        Raises:
            BindingError: The column cannot hold the values of the field.
        """

    def fits(self, column_type: TypeEngine[Any]) -> bool:
        """Whether the column can hold the field's values; unlike `fit`, it changes nothing."""
        try:
            copy.copy(self).fit(column_type)
        except BindingError:
            return False
        return True

    def unfit(self, column_type: TypeEngine[Any], advice: str) -> BindingError:
        """An error that the column cannot hold the field's values, with what to write instead."""
        return BindingError(f"a {type(self).__name__} cannot be kept in {column_type!r}", advice=advice)

    padded = False
    """Whether the database pads the text with spaces."""

    @property
    def rule(self) -> WireField:
        """The field whose rule applies: this one, unless it uses the rule of another."""
        return self

    def assertions(self) -> JsonSchema:
        """The rule as JSON Schema keywords, without null."""
        raise NotImplementedError

    def to_wire(self, value: Any) -> Any:
        """Convert a column's value to canonical wire form, without checking it."""
        raise NotImplementedError

    def from_wire(self, value: Any) -> Any:
        """Convert a checked wire value to the value that the column takes."""
        return value

    def check(self, value: Any) -> None:
        """Raise ValidationError unless *value* has the wire form."""
        raise NotImplementedError

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            if self.allow_none:
                return None
            raise self.make_error("null")
        try:
            try:
                wire = self.to_wire(value)
            except (TypeError, ValueError, ArithmeticError):
                wire = value
            self.check(wire)
            if self.validators:
                self._validate(self.from_wire(wire))
        except ValidationError as error:
            [(_, fault), *_] = faults_in(error.messages)
            raise ValidationError([Fault(f"{fault} The row has {quote(value)}.", fault.code)]) from None
        return wire

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        self.check(value)
        return self.from_wire(value)
