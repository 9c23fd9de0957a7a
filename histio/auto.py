"""Schemas that take their plain fields from the model, as marshmallow-sqlalchemy's auto schemas do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow.fields import Field
from marshmallow_sqlalchemy.schema import SQLAlchemyAutoField
from sqlalchemy.orm import ColumnProperty

from histio.accounting import column_machinery
from histio.fields import RunUUID, Text
from histio.mapping import find_column, mapper_of, underlying
from histio.options import RecordMeta, RecordOpts
from histio.records import RecordSchema, RunSchema


class _ColumnField(SQLAlchemyAutoField):
    """An ``auto_field()`` that nobody has written: it is made anew for each model."""

    def create_field(self, schema_opts: Any, column_name: str, converter: Any) -> Field[Any]:
        """The field of the column; a `RunUUID` where the identity is text of a UUID's length."""
        made: Field[Any] = super().create_field(schema_opts, column_name, converter)
        column = find_column(mapper_of(schema_opts.model), column_name)
        length = None if column is None else getattr(underlying(column.type), "length", None)
        is_uuid = column_name == "uuid" and isinstance(made, Text) and length in _UUID_LENGTHS
        return RunUUID(required=made.required, allow_none=made.allow_none) if is_uuid else made


_UUID_LENGTHS = (32, 36)


class AutoMeta(RecordMeta):
    """Makes schema classes with a field for each plain column of their model."""

    @classmethod
    def get_declared_fields(
        cls, klass: Any, cls_fields: Any, inherited_fields: Any, dict_cls: Any = dict
    ) -> dict[str, Field[Any]]:
        """The declared fields, and those of the columns that they leave."""
        kept = [(name, field) for name, field in inherited_fields if not _is_column_field(field)]
        return super().get_declared_fields(klass, cls_fields, kept, dict_cls)

    @classmethod
    def get_declared_sqla_fields(
        cls, base_fields: dict[str, Any], _converter: Any, opts: RecordOpts, _dict_cls: Any
    ) -> dict[str, Field[Any]]:
        """A field for each plain column that no declared field has."""
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


def _options(prop: ColumnProperty[Any], identity: str | Sequence[str] | None) -> dict[str, Any]:
    """What identifies a record has to be there."""
    identifies = prop.key in ([identity] if isinstance(identity, str) else identity or ["uuid"])
    return {"required": True, "allow_none": False} if identifies else {}


class AutoRecordSchema(RecordSchema, metaclass=AutoMeta):
    """A ledger's entry with a field for each plain column of its model.

    Columns that mean nothing in another database get none: surrogate primary keys, discriminators, version
    counters and what the database computes. Foreign keys get none either: declare a `Slug` for each, and a
    ``Nested`` for each ledger; what is forgotten is a `BindingError`. A declared field takes the place of its
    column, and ``Meta.exclude`` leaves columns out.

        class LineSchema(AutoRecordSchema):
            class Meta:
                model = Line

            product_name = Slug("product", key="name")
    """


class AutoRunSchema(RunSchema, AutoRecordSchema):
    """A kind of run with a field for each plain column of its model; see `AutoRecordSchema`.

        class OrderSchema(AutoRunSchema):
            class Meta:
                model, kind, collection, timestamp = Order, "order", "orders", "placed_at"

            customer_slug = Slug("customer")
            lines = Nested(LineSchema, many=True)

    The identity is the column called ``uuid``, or the one that ``Meta.identity`` names.
    """
