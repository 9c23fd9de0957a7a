"""Fit fields to their columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from marshmallow import fields, validate
from marshmallow.fields import Field
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.kinds.column_types import keeps_objects, underlying
from histio.kinds.converter import OBJECTS
from histio.kinds.fields import Text
from histio.wire import WireField

_BETTER = (
    (fields.DateTime, "histio.UtcTimestamp"),
    (fields.Integer, "histio.Integer"),
    (fields.Float, "histio.Number or histio.FixedDecimal"),
    (fields.Decimal, "histio.FixedDecimal"),
)


def fit(field: Field[Any], column_type: TypeEngine[Any]) -> None:
    """Fit *field* to the type of its column: take its length, range and digits.

    Raises:
        BindingError: The field would lose or alter values of the column.
    """
    stored = underlying(column_type)
    if isinstance(field, fields.List) and isinstance(stored, sa.ARRAY):
        _fit_items(field, stored)
    elif isinstance(field, WireField):
        if keeps_objects(column_type):
            raise field.unfit(column_type, OBJECTS)
        field.fit(column_type)
    elif type(field).__module__.startswith("marshmallow."):
        better = next((name for kind, name in _BETTER if isinstance(field, kind)), None)
        if better is not None:
            raise BindingError(
                f"{type(field).__name__} would lose or alter values of the column", advice=f"use {better}"
            )
        if isinstance(field, fields.UUID) and not isinstance(stored, sa.Uuid):
            raise BindingError("UUID needs a column of Uuid", advice="use histio.RunUUID")
        if isinstance(field, fields.String) and not isinstance(field, fields.UUID):
            rule = Text()
            rule.fit(column_type)
            if rule.max_length is not None:
                field.validators = [*field.validators, validate.Length(max=rule.max_length)]


def _fit_items(field: fields.List[Any], array: sa.ARRAY[Any]) -> None:
    """Fit the innermost field of a list to the items of *array*."""
    inner: Field[Any] = field
    while isinstance(inner, fields.List):
        inner = inner.inner
    fit(inner, array.item_type)
