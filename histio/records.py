"""The base classes of schemas, which describe records and their rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, cast

from marshmallow import Schema, ValidationError, post_load, validates_schema
from marshmallow.fields import Field, Nested
from sqlalchemy.orm import Mapper

from histio.errors import BindingError
from histio.kinds.base import BaseSchema, locate_errors
from histio.kinds.bind import table_of
from histio.kinds.entry_order import order_of
from histio.kinds.fields import Slug
from histio.kinds.fitting import fit
from histio.kinds.mapping import find_column, mapper_of
from histio.kinds.relations import Relation, relation
from histio.report import Fault
from histio.resolving import instances
from histio.wire import is_list, nested_in, wire_name


class RecordSchema(BaseSchema):
    """The base class of schemas of records: one record describes one row, of a run or a ledger entry.

    ``dump(row)`` returns the record; a row that the format cannot hold raises ValidationError.
    ``load(record, session=session)`` returns a row, with references resolved in one SELECT per related model.
    It is the existing row with the same identity, with changes, or a new row that is in no session until you
    add it. ``load(record, transient=True)`` uses no database; related rows only have their keys.

    ``Meta`` is inherited, even if a subclass's ``Meta`` has no base class. It has marshmallow's options, and:

    - ``model``: the mapped class. `bind` sets it, too.
    - ``identity``: the member that identifies a record, or a tuple of members that identify it together,
      which may be slugs. None: the `RunUUID` that is called ``uuid``, or the only one. A run needs an
      identity, a ledger entry does not.
    - ``order``: the member or attribute that orders the entries of a ledger, or a tuple. None: their key.
    - ``changed``: the member with the time at which a row was last written. None: there is none.
    - ``optional``: members that are left out if the model lacks their columns.
    - ``exclude``: fields to leave out, and mapped attributes without a field.
    - ``unbound``: ``"error"``, the default: every mapped column and relationship must be a field, excluded,
      filled by ``values=``, or machinery such as a surrogate key; otherwise creating the `History` raises a
      `BindingError`. ``"ignore"``: the others are left out.
    - ``from_owner``: attributes of a ledger's entries that are filled from the owner's row:
      ``{"finished_unit_id": "finished_unit_id"}``.
    - ``audits``: rules for the numbers of a record (`histio.audits`); breaking one is a warning. None: no
      rules, not even inherited ones.
    - ``charts``: further charts of its numbers for reports (`histio.charts`).
    - ``unit``: the member with the unit of a record's amounts; a report adds amounts with the same unit.
      None: there is none.

    Args:
        options: The options of any marshmallow schema, such as ``many`` and ``session``.
    """

    @classmethod
    def bind(cls, model: type[Any]) -> type[Self]:
        """This schema for another *model*, with ledgers and references found through its mapper.

        Args:
            model: The mapped class of your application.

        Raises:
            BindingError: The schema does not fit *model*.
        """
        return cast("type[Self]", _bind(cls, model))  # type: ignore[arg-type]

    def __init__(self, **options: Any) -> None:
        self._ledgers: dict[str, tuple[Relation, Callable[[Iterable[Any]], list[Any]]]] = {}
        super().__init__(**options)
        self._only_dumped = {
            wire_name(name, field) for name, field in self.dump_fields.items() if field.dump_only
        }

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:
        """Fit the field to its column or relation, and bind a ledger's schema to the related model."""
        name, nested = field_obj.attribute or field_name, nested_in(field_obj)
        mapper = None if self.opts.model is None else mapper_of(self.opts.model)
        with locate_errors(self, field_name):
            if mapper is not None and nested is not None and find_column(mapper, name) is None:
                self._bind_ledger(mapper, name, field_obj, nested)
            elif mapper is not None and isinstance(field_obj, Slug) and field_obj.relationship is not None:
                field_obj.fit_key(mapper)
            elif mapper is not None and not field_obj.dump_only:
                column = find_column(mapper, name)
                if column is not None:
                    fit(field_obj, column.type)
        if nested is not None and isinstance(nested.schema, RecordSchema):
            nested.schema._load_instance = False  # noqa: SLF001 - nested records load as plain values

    def _bind_ledger(self, mapper: Mapper[Any], name: str, field: Field[Any], nested: Nested) -> None:
        _bind_class(mapper, name, nested)
        many, schema = is_list(field), cast("Any", nested.schema)
        if not isinstance(schema, RecordSchema):
            raise BindingError(f"a ledger needs a RecordSchema, not {type(schema).__name__}")
        own = schema.opts.model
        related = relation(mapper, name, target=None if own is None else mapper_of(own))
        if own is not related.model:
            names = ("only", "exclude", "many", "unknown", "partial", "load_only", "dump_only")
            options = {name: getattr(schema, name) for name in names}
            nested._schema = type(schema).bind(related.model)(**options)  # noqa: SLF001 - in place of the other
        ordered = related.many and many
        order = order_of(cast("RecordSchema", nested.schema), related) if ordered else list
        self._ledgers[name] = related, order

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """The value of *attr*; the entries of a ledger are in order."""
        if attr not in self._ledgers or not isinstance(obj, self.opts.model or ()):
            return super().get_attribute(obj, attr, default)
        related, order = self._ledgers[attr]
        found = related.follow(obj)
        for entry in found if related.many else filter(None, [found]):
            if type(entry) is not related.model:
                kind, described = type(entry).__name__, related.model.__name__
                text = f"The row is a {kind}, of which the schema of {described} describes only a part."
                raise ValidationError([Fault(text)])
        return order(found) if related.many else found

    def load(self, data: Any, **options: Any) -> Any:
        """Load *data* as marshmallow-sqlalchemy does, ignoring members that are only dumped.

        Args:
            data: A record, or with ``many=True`` a list of records; not changed.
            options: The options of marshmallow-sqlalchemy's `load`: ``session``, where related rows are
                looked up; ``transient=True``, to use no database; ``many``; ``unknown``.

        Returns:
            The row, or a list of rows. It is in no session until you add it.

        Raises:
            ValidationError: The record does not have the form of this schema, or a reference leads nowhere.
        """
        data = self._without_dump_only(data)
        if self._load_instance:
            transient = self._transient
            try:
                return super().load(data, **options)
            finally:
                self._transient = transient  # for this load only
        # Plain values need no session, so skip what marshmallow-sqlalchemy does for it.
        return Schema.load(self, data, **options)

    def _without_dump_only(self, data: Any) -> Any:
        if not self._only_dumped:
            return data
        if isinstance(data, list | tuple):
            return [self._without_dump_only(each) for each in data]
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if name not in self._only_dumped}

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _need_one_alternative(self, _data: Any, original: Any, *, partial: Any = None, **_: Any) -> None:
        if not isinstance(original, Mapping) or partial:
            return
        errors = self.slug_groups.faults(original)
        if errors:
            raise ValidationError(errors)

    @post_load(pass_collection=True)
    def make_instance(self, data: Any, *, many: bool, **_: Any) -> Any:
        """Convert loaded values to rows, with one SELECT per model."""
        if not self._load_instance:
            return data
        session = None if self.transient else self.session
        rows = instances.make(self, data, many=many, session=session, instance=self.instance)
        return rows if many else rows[0]


class RunSchema(RecordSchema):
    """A kind of run. ``Meta`` names its ``model``, ``kind``, ``collection`` and ``timestamp``.

    ``kind`` is the singular name (the key of a stream's line), ``collection`` the name of the list in a
    document, ``timestamp`` the `UtcTimestamp`, `Epoch` or `Date` that orders the runs. None: they are ordered
    by their identity. If ``timestamp`` is a column of the model and not a member, the inherited timestamp is
    stored in that column.
    """

    class Meta(BaseSchema.Meta):
        kind: ClassVar[str]
        collection: ClassVar[str]
        timestamp: ClassVar[str | None]

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:
        """Set the column of the inherited timestamp, then bind the field as in `RecordSchema`."""
        named = self.opts.timestamps
        inherited = next((name for name in named if name in self.declared_fields), None)
        if field_name == inherited != named[0] and field_obj.attribute is None:
            field_obj.attribute = named[0]
        super().on_bind_field(field_name, field_obj)


class CatalogSchema(RecordSchema):
    """The rows of a table that runs refer to, such as recipes, which can travel with the runs.

    ``Meta`` names the ``model``, the ``kind`` (the singular name, such as ``recipe``), the ``collection``
    (the name of the list in a document) and the ``identity``: the key by which every database knows a row,
    such as ``"slug"``. By a `Slug`, rows may refer to rows of other catalog kinds or of their own kind, but
    not to runs. Exports sort rows by their identity.

    A `RunUUID` that is not the identity is used only where the row is created.
    """

    is_catalog: ClassVar[bool] = True

    class Meta(BaseSchema.Meta):
        kind: ClassVar[str]
        collection: ClassVar[str]
        timestamp: ClassVar[None] = None


@functools.cache
def _bind(cls: Any, model: Any) -> Any:
    mapper_of(model)
    meta = type("Meta", (cls.Meta,), {"model": model, "register": False})
    names = {"Meta": meta, "__module__": cls.__module__, "__doc__": cls.__doc__, "bound_from": cls}
    bound = type(cls)(cls.__name__, (cls,), names)
    table_of(bound)  # raises BindingError if the model does not fit
    return bound


def _bind_class(mapper: Mapper[Any], name: str, nested: Nested) -> None:
    """Bind a ledger's schema class to the related model, before it is instantiated for an inherited one."""
    written: Any = nested.nested
    if not (isinstance(written, type) and issubclass(written, RecordSchema)):
        return
    own = written.opts.model
    related = relation(mapper, name, target=None if own is None else mapper_of(own))
    if own is not related.model:
        nested.nested = written.bind(related.model)
