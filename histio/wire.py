"""What all fields of the format have in common: one exact form on the wire.

Every field says its rule three times from one source: when it loads (with a code for what is wrong), when
it dumps (a row the format cannot hold is an error, never a wrong value), and as JSON Schema.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from marshmallow import ValidationError
from marshmallow.fields import Field
from sqlalchemy.types import TypeEngine

from histio.report import Code, Fault

JsonSchema = dict[str, Any]


def shown(value: object) -> str:
    """*value* in at most some sixty characters, safe to print."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"<{type(value).__name__}>"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2


_CODES = {"precision", "out-of-range"}


class WireField(Field[Any]):
    """A field with one exact form on the wire.

    Args:
        description: What the member means; goes into the JSON Schema.
        example: A value as it looks on the wire; goes into the JSON Schema.
        kwargs: As for any marshmallow field.
    """

    definition: ClassVar[str | None] = None
    """The name under which the JSON Schema keeps this rule, for rules without parameters."""

    def __init__(self, *, description: str = "", example: Any = None, **kwargs: Any) -> None:
        metadata = {"description": description, "examples": [example]}
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        """As marshmallow's, but the message carries its problem code, which *key* names."""
        message = str(super().make_error(key, **kwargs).messages[0])
        return ValidationError([Fault(message, cast("Code", key) if key in _CODES else "schema")])

    def fit(self, column_type: TypeEngine[Any]) -> None:
        """Take scale, length and range from the column that stores the value."""

    def assertions(self) -> JsonSchema:
        """The rule as JSON Schema keywords, null aside."""
        raise NotImplementedError

    def to_wire(self, value: Any) -> Any:
        """A column's value in canonical wire form, not yet checked."""
        raise NotImplementedError

    def from_wire(self, value: Any) -> Any:
        """A checked wire value as the column takes it."""
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
            wire = self.to_wire(value)
        except (TypeError, ValueError, ArithmeticError):
            wire = value
        try:
            self.check(wire)
        except ValidationError as error:
            [fault] = cast("list[Fault]", error.messages)
            raise ValidationError([Fault(f"{fault} The row has {shown(value)}.", fault.code)]) from None
        return wire

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        self.check(value)
        return self.from_wire(value)
