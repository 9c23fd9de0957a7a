"""Schemas with a field for each plain column, like marshmallow-sqlalchemy's auto schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow.fields import Field
from marshmallow_sqlalchemy.schema import SQLAlchemyAutoField
from sqlalchemy.orm import ColumnProperty

from histio.kinds.base import RecordMeta, RecordOpts
from histio.kinds.column_types import underlying
from histio.kinds.fields import RunUUID, Text
from histio.kinds.fields.texts import UUID_LENGTHS
from histio.kinds.machinery import column_machinery
from histio.kinds.mapping import find_column, mapper_of
from histio.records import CatalogSchema, RecordSchema, RunSchema


class _ColumnField(SQLAlchemyAutoField):
    """An ``auto_field()`` that was added by `AutoMeta`; a subclass for another model gets its own."""

    def create_field(self, schema_opts: Any, column_name: str, converter: Any) -> Field[Any]:
        """The field for the column; a `RunUUID` if it is called ``uuid`` and is text of a UUID's length."""
        field: Field[Any] = super().create_field(schema_opts, column_name, converter)
        column = find_column(mapper_of(schema_opts.model), column_name)
        length = None if column is None else getattr(underlying(column.type), "length", None)
        is_uuid = column_name == "uuid" and isinstance(field, Text) and length in UUID_LENGTHS
        return RunUUID(required=field.required, allow_none=field.allow_none) if is_uuid else field


class AutoMeta(RecordMeta):
    """Makes schema classes with a field for each plain column of their model."""

    @classmethod
    def get_declared_fields(
        cls, klass: Any, cls_fields: Any, inherited_fields: Any, dict_cls: Any = dict
    ) -> dict[str, Field[Any]]:
        """The declared fields, and one for each plain column without a declared field."""
        kept = [(name, field) for name, field in inherited_fields if not _is_column_field(field)]
        return super().get_declared_fields(klass, cls_fields, kept, dict_cls)

    @classmethod
    def get_declared_sqla_fields(
        cls, base_fields: dict[str, Any], _converter: Any, opts: RecordOpts, _dict_cls: Any
    ) -> dict[str, Field[Any]]:
        """One field for each plain column without a declared field."""
        if opts.model is None:
            return {}
        taken = {getattr(field, "attribute", None) or name for name, field in base_fields.items()}
        mapper = mapper_of(opts.model)
        identity = opts.identity
        return {
            prop.key: _ColumnField(column_name=prop.key, field_kwargs=_options(prop, identity))
            for prop in mapper.column_attrs
            if prop.key not in {*taken, *opts.left_out}
            and column_machinery(mapper, prop) is None
            and not any(column.foreign_keys for column in prop.columns)
        }


def _is_column_field(field: Any) -> bool:
    return isinstance(getattr(field, "auto_field", field), _ColumnField)


def _options(prop: ColumnProperty[Any], identity: Sequence[str]) -> dict[str, Any]:
    """The options of the field: an identity is required and not null."""
    identifies = prop.key in (identity or ["uuid"])
    return {"required": True, "allow_none": False} if identifies else {}


class AutoRecordSchema(RecordSchema, metaclass=AutoMeta):
    """The base of a ledger entry's schema that has a field for each plain column of its model.

    Surrogate primary keys, discriminators, version counters and computed columns get no field, because they
    mean nothing in another database. Declare a `Slug` for each foreign key, and a ``Nested`` for each ledger;
    if one is missing, creating the `History` raises a `BindingError`. A declared field replaces the automatic
    one, and ``Meta.exclude`` leaves columns out.

        class LineSchema(AutoRecordSchema):
            class Meta:
                model = Line

            product_name = Slug("product", key="name")
    """


class AutoRunSchema(RunSchema, AutoRecordSchema):
    """The base of a run's schema that has a field for each plain column of its model.

    Surrogate primary keys, discriminators, version counters, computed columns and foreign keys get no field:
    declare a `Slug` for each foreign key, and a ``Nested`` for each ledger. A declared field replaces the
    automatic one, and ``Meta.exclude`` leaves columns out.

        class OrderSchema(AutoRunSchema):
            class Meta:
                model, kind, collection, timestamp = Order, "order", "orders", "placed_at"

            customer_slug = Slug("customer")
            lines = Nested(LineSchema, many=True)

    The run's identity is the column ``uuid``, or the one that ``Meta.identity`` names.
    """


class AutoCatalogSchema(CatalogSchema, AutoRecordSchema):
    """The base of a catalog kind's schema that has a field for each plain column of its model.

    Surrogate primary keys, discriminators, version counters, computed columns and foreign keys get no field:
    declare a `Slug` for each foreign key. A declared field replaces the automatic one, and ``Meta.exclude``
    leaves columns out.

        class CustomerSchema(AutoCatalogSchema):
            class Meta:
                model, kind, collection, identity = Customer, "customer", "customers", "code"

    The row's identity is what ``Meta.identity`` names, or the column ``uuid``.
    """
