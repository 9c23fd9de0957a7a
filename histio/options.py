"""The options of a schema's ``Meta``, and the fields that it takes from its model."""

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
    """The options of ``Meta``, read once.

    Attributes:
        identity: What identifies a record, as ``Meta`` says it; None: it does not say.
        exclude: Names of the fields to leave out.
        left_out: All of ``Meta.exclude``: names of fields, and of mapped attributes that are no fields, which
            marshmallow would refuse.
        unbound: ``error``: a mapped attribute that nothing accounts for is a `BindingError`. ``ignore``: it
            is left out; what takes no null is filled by a listener or a trigger.
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
    """Makes schema classes whose ``auto_field()`` follow the model, also where a subclass changes it."""

    @classmethod
    def get_declared_fields(cls, klass: Any, *args: Any, **kwargs: Any) -> dict[str, Field[Any]]:
        """The fields of *klass*, with ``opts.exclude`` reduced to those."""
        declared: dict[str, Field[Any]] = super().get_declared_fields(klass, *args, **kwargs)
        opts: RecordOpts = klass.opts
        opts.exclude = tuple(name for name in opts.left_out if _leads_to_field(name, declared))
        return declared

    @classmethod
    def get_auto_fields(
        cls, fields: dict[str, Any], converter: Any, opts: RecordOpts, _dict_cls: Any
    ) -> dict[str, Field[Any]]:
        """The fields of the columns of the model; without a model, or such a column, none yet."""
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
