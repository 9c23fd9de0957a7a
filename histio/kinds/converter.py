"""Choose the field that ``auto_field()`` makes for a column."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from marshmallow import fields
from marshmallow.fields import Field
from marshmallow_sqlalchemy import ModelConverter
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.kinds.column_types import AnyInterval, is_decorated, keeps_objects, underlying
from histio.kinds.fields import (
    Boolean,
    Bytes,
    Choice,
    Date,
    Duration,
    FixedDecimal,
    Integer,
    Json,
    Number,
    RunUUID,
    Text,
    Time,
    UtcTimestamp,
)
from histio.kinds.mapping import column_named, mapper_of


class Converter(ModelConverter):
    """Chooses the histio field for ``auto_field()`` by the column's type."""

    SQLA_TYPE_MAPPING: dict[Any, Any] = {  # noqa: RUF012 - as in marshmallow-sqlalchemy
        sa.Uuid: RunUUID,
        sa.Enum: Choice,
        sa.JSON: Json,
        sa.Boolean: Boolean,
        sa.Float: Number,
        sa.Numeric: FixedDecimal,
        sa.Integer: Integer,
        sa.DateTime: UtcTimestamp,
        sa.Date: Date,
        AnyInterval: Duration,
        sa.Time: Time,
        sa.String: Text,
        sa.types._Binary: Bytes,  # noqa: SLF001 - what BINARY and LargeBinary share
    }

    def field_for(self, model: Any, property_name: str, **options: Any) -> Any:
        """The field for the column *property_name* of *model*.

        Raises:
            BindingError: The attribute is not a column, or no field keeps its values.
        """
        try:
            column_named(mapper_of(model), property_name)
            return super().field_for(model, property_name, **options)
        except BindingError as error:
            if self.schema_cls is not None:
                error.locate(self.schema_cls.__name__, field=property_name, model=model.__name__)
            raise

    def _get_field_class_for_data_type(self, data_type: Any) -> Any:
        candidates = () if keeps_objects(data_type) else self._candidates(data_type)
        found = next((field for field in candidates if field().fits(data_type)), None)
        if found is not None:
            return found
        stored = underlying(data_type)
        if isinstance(stored, sa.ARRAY) and not is_decorated(data_type):
            return functools.partial(fields.List, self._item(stored))
        raise BindingError(f"auto_field() has no field for {data_type!r}", advice=advice(data_type))

    def _candidates(self, data_type: TypeEngine[Any]) -> Iterator[Any]:
        """Field classes to try: those of the stored type first; for a decorator, then all others."""
        stored = underlying(data_type)
        yield from (field for kind, field in self.SQLA_TYPE_MAPPING.items() if isinstance(stored, kind))
        if is_decorated(data_type):
            yield from (Text, Json, *self.SQLA_TYPE_MAPPING.values())

    def _item(self, array: sa.ARRAY[Any]) -> Field[Any]:
        """The field for the items of an *array*."""
        field_class = self._get_field_class_for_data_type(array.item_type)
        item: Field[Any] = field_class(
            allow_none=True, **({"signed": True} if field_class is FixedDecimal else {})
        )
        for _ in range((array.dimensions or 1) - 1):
            item = fields.List(item)
        return item

    def _add_column_kwargs(self, kwargs: dict[str, Any], column: sa.Column[Any]) -> None:
        """Make the field required unless the database fills the column; `WireField.fit` adds limits."""
        kwargs["allow_none"] = bool(column.nullable)
        filled = column.default is not None or column.server_default is not None
        kwargs["required"] = not column.nullable and not filled and column.computed is None
        if self._get_field_class_for_data_type(column.type) is FixedDecimal:
            kwargs["signed"] = True


def has_field(data_type: TypeEngine[Any]) -> bool:
    """Whether ``auto_field()`` finds a field for columns of this type."""
    try:
        Converter()._get_field_class_for_data_type(data_type)  # noqa: SLF001 - marshmallow-sqlalchemy's name
    except BindingError:
        return False
    return True


_OWN = "declare a marshmallow field that converts them to JSON and back, or name it in Meta.exclude"

OBJECTS = f"it keeps any Python object: {_OWN}"


def advice(data_type: TypeEngine[Any]) -> str:
    """What to write for a column whose type has no field."""
    stored = underlying(data_type)
    if keeps_objects(data_type):
        return OBJECTS
    if is_decorated(data_type):
        return f"its decorator returns values of its own: {_OWN}"
    if isinstance(stored, sa.Float | sa.Numeric):
        return "it stores decimals as floats: write FixedDecimal(precision=15, scale=…)"
    if isinstance(stored, sa.types.NullType):
        return "the model gives the column no type"
    return f"its values are not JSON: {_OWN}"
