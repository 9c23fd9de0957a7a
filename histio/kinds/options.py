"""The options of a schema's ``Meta``, and the metaclass that makes its automatic fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow.fields import Field
from marshmallow_sqlalchemy.schema import (
    SQLAlchemyAutoField,
    SQLAlchemySchemaMeta,
    SQLAlchemySchemaOpts,
)

from histio.errors import BindingError
from histio.wire import nested_in


class RecordOpts(SQLAlchemySchemaOpts):
    """The options of ``Meta``.

    Attributes:
        identity: The value of ``Meta.identity``; None: not set.
        exclude: The fields to leave out.
        left_out: The whole of ``Meta.exclude``: fields, and mapped attributes without a field, which
            marshmallow would refuse.
        unbound: ``error``: a mapped attribute that is not accounted for is a `BindingError`. ``ignore``: it
            is left out, and a listener or a trigger fills it if it must not be null.
    """

    def __init__(self, meta: type, *args: Any, **kwargs: Any) -> None:
        super().__init__(meta, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.identity: Any = getattr(meta, "identity", None)
        self.left_out: tuple[str, ...] = tuple(self.exclude)
        self.unbound: str = getattr(meta, "unbound", "error")
        if self.unbound not in ("error", "ignore"):
            raise BindingError(f'Meta.unbound is "error" or "ignore", not {self.unbound!r}')


def _leads_to_field(name: str, declared: Mapping[str, Field[Any]]) -> bool:
    """Whether *name* is a field, or with a point, may be one of a nested schema."""
    first, point, _ = name.partition(".")
    field = declared.get(first)
    return field is not None and (not point or nested_in(field) is not None)


class RecordMeta(SQLAlchemySchemaMeta):
    """Makes each ``auto_field()`` anew where a subclass changes the model."""

    @classmethod
    def get_declared_fields(cls, klass: Any, *args: Any, **kwargs: Any) -> dict[str, Field[Any]]:
        """The fields of *klass*; ``opts.exclude`` keeps only names of fields."""
        declared: dict[str, Field[Any]] = super().get_declared_fields(klass, *args, **kwargs)
        opts: RecordOpts = klass.opts
        opts.exclude = tuple(name for name in opts.left_out if _leads_to_field(name, declared))
        return declared

    @classmethod
    def get_auto_fields(
        cls, fields: dict[str, Any], converter: Any, opts: RecordOpts, _dict_cls: Any
    ) -> dict[str, Field[Any]]:
        """The fields that replace each ``auto_field()``; it stays where the model has no such column."""
        made: dict[str, Field[Any]] = {}
        for name, field in fields.items():
            wanted = field if isinstance(field, SQLAlchemyAutoField) else getattr(field, "auto_field", None)
            if wanted is None or name in opts.left_out:
                continue
            made[name] = wanted
            model = wanted.model or opts.model
            if model is not None and hasattr(model, wanted.column_name or name):
                found: Any = wanted.create_field(opts, wanted.column_name or name, converter)
                found.auto_field = wanted
                made[name] = found
        return made
