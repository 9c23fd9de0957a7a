"""The base of every schema: one record and one row, whatever the host's models look like."""

from __future__ import annotations

import copy
import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, cast

from marshmallow import Schema, ValidationError, post_load, validates_schema
from marshmallow.fields import Field, Nested
from marshmallow_sqlalchemy import SQLAlchemySchema
from marshmallow_sqlalchemy.schema import SQLAlchemyAutoField
from sqlalchemy.orm import Mapper

from histio.errors import BindingError
from histio.kinds.associations import data_columns
from histio.kinds.audits import Audit
from histio.kinds.bind import table_of, told_of
from histio.kinds.charts import Compare
from histio.kinds.converter import Converter
from histio.kinds.entry_order import order_of
from histio.kinds.fields import Slug
from histio.kinds.fields.groups import SlugGroups
from histio.kinds.fitting import fit
from histio.kinds.mapping import Relation, find_column, mapper_of, no_such, relation
from histio.kinds.options import RecordMeta, RecordOpts
from histio.report import Fault
from histio.resolving import instances
from histio.wire import is_list, nested_in, wire_name

# What a Meta may say, of marshmallow's options those that matter here.
_OPTIONS = (
    *("model", "identity", "order", "changed", "optional", "from_owner", "audits", "charts", "unit"),
    *("kind", "collection", "timestamp"),
    *("exclude", "unbound", "fields", "include", "unknown", "register", "load_instance", "model_converter"),
    *("additional", "ordered", "many", "load_only", "dump_only", "table", "transient", "sqla_session"),
    *("dateformat", "datetimeformat", "timeformat", "render_module", "include_fk", "include_relationships"),
)


class RecordSchema(SQLAlchemySchema[Any], metaclass=RecordMeta):
    """One record and one row: the base of runs and of ledger entries.

    ``dump(row)`` gives the record; a row that the format cannot hold raises ValidationError.
    ``load(record, session=session)`` gives a row with its references resolved in one SELECT per related
    model: the existing row of the same UUID, changed, or a new one that is in no session until it is added.
    ``load(record, transient=True)`` asks no database; its related rows hold nothing but their keys.

    ``Meta`` is inherited, also where a subclass does not say so. Beside marshmallow's options it knows:

    - ``model``: the mapped class; see `bind`.
    - ``identity``: the member that identifies a record, or a tuple of the members that do so together, slugs
      among them; None: the `RunUUID` that is called ``uuid``, or the only one. A run needs an identity, a
      ledger entry does not.
    - ``order``: of a ledger's entries, the member or attribute that orders them, or several; None: their key.
    - ``changed``: the member that tells when a row was last written, where there is one.
    - ``optional``: members that are left out where the model has no such column.
    - ``exclude``: fields to leave out, and mapped attributes that are no fields.
    - ``unbound``: ``"error"``, the default: every mapped column and relationship must be a field, excluded,
      filled by ``values=``, or machinery; otherwise making the `History` is a `BindingError`. ``"ignore"``:
      the others are left out.
    - ``from_owner``: of a ledger's entries, attributes that are filled from the owner's row:
      ``{"finished_unit_id": "finished_unit_id"}``.
    - ``audits``: rules that its numbers should keep to (`histio.audits`); breaking one is a warning. None: no
      rules, not even inherited ones.
    - ``charts``: what a report shows of its numbers (`histio.charts`), beside each of them.
    - ``unit``: the member that says what the amounts of a record are counted in, where there is one; a report
      adds up what has the same unit. None: nothing does.
    """

    OPTIONS_CLASS = RecordOpts
    opts: RecordOpts

    bound_from: ClassVar[type[RecordSchema] | None] = None
    """The schema that `bind` was called on; None: this class was not made by `bind`."""

    class Meta:
        load_instance = True
        model_converter = Converter
        identity: ClassVar[str | tuple[str, ...] | None] = None
        order: ClassVar[str | tuple[str, ...] | None] = None
        changed: ClassVar[str | None] = "updated_at"
        optional: ClassVar[tuple[str, ...]] = ()
        unbound: ClassVar[str] = "error"
        from_owner: ClassVar[Mapping[str, str]] = {}
        audits: ClassVar[tuple[Audit, ...] | None] = ()
        charts: ClassVar[tuple[Compare, ...]] = ()
        unit: ClassVar[str | None] = "unit"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own, inherited = cls.__dict__.get("Meta"), super(cls, cls).Meta
        for name in vars(own) if own is not None else ():
            meant = difflib.get_close_matches(name, _OPTIONS, n=1)
            if meant and name not in _OPTIONS and not hasattr(inherited, name):
                raise BindingError(f"{cls.__name__}.Meta has no option {name!r}; did you mean {meant[0]!r}?")
        metas = [own, *(base.Meta for base in cls.__bases__ if hasattr(base, "Meta"))]
        apart = [each for each in dict.fromkeys(metas) if each is not None]
        # What another one derives from is in it already.
        apart = [
            each
            for each in apart
            if not any(other is not each and issubclass(other, each) for other in apart)
        ]
        if apart != [own]:
            cls.Meta = apart[0] if len(apart) == 1 else type("Meta", tuple(apart), {})  # type: ignore[misc, assignment]

    @classmethod
    def bind(cls, model: type[Any]) -> type[Self]:
        """This schema for another *model*, with ledgers and references found through its mapper.

        Raises:
            BindingError: The model lacks what the schema needs.
        """
        return cast("type[Self]", _bound(cls, model))  # type: ignore[arg-type]

    def __init__(self, *, exclude: Any = (), **options: Any) -> None:
        self._ledgers: dict[str, tuple[Relation, Callable[[Iterable[Any]], list[Any]]]] = {}
        self._check_names()
        self.excluded = frozenset((*exclude, *self.opts.left_out))
        super().__init__(exclude={*exclude, *self._absent()}, **options)  # type: ignore[no-untyped-call]
        for those in (self.fields, self.load_fields, self.dump_fields):
            for name in [name for name, field in those.items() if nested_in(field)]:
                those[name] = those.pop(name)  # ledgers come last
        self._only_dumped = {
            wire_name(name, field) for name, field in self.dump_fields.items() if field.dump_only
        }
        self._slugs = SlugGroups(self.load_fields, self.dump_fields)
        self._check_nulls()

    def _check_nulls(self) -> None:
        """Raise BindingError where a foreign key is nullable, and its slug says nothing about null."""
        for name, field in self.load_fields.items():
            relation = field.relation if field in self._slugs.silent else None
            nullable = [] if relation is None else [each.name for each in relation.local if each.nullable]
            if nullable:
                with told_of(self, name):
                    raise BindingError(
                        f"the column {nullable[0]} takes null: say allow_none=True, or required=True where "
                        "no row lacks it"
                    )

    def _check_names(self) -> None:
        """Raise BindingError for names in ``Meta.exclude`` and auto fields that the model does not have."""
        if self.opts.model is None:
            return
        mapper = mapper_of(self.opts.model)
        known = {*self._declared_fields, *mapper.all_orm_descriptors.keys(), *mapper.attrs.keys()}
        for name in self.opts.left_out:
            first, point, _ = name.partition(".")
            field = self._declared_fields.get(first)
            of_nested = point and field is not None and nested_in(field) is not None
            named = known if of_nested or not point else _association_columns(mapper, first)
            if (first if of_nested else name) not in named:
                text = no_such(mapper, "attribute or field", name, named)
                raise BindingError(f"{type(self).__name__}.Meta.exclude: {text}")
        for name, field in self._declared_fields.items():
            if isinstance(field, SQLAlchemyAutoField) and name not in self.opts.left_out:
                wanted = field.column_name or name
                text = no_such(mapper, "column", wanted, mapper.column_attrs.keys())
                raise BindingError(f"{type(self).__name__}.{name}: {text}")

    def _absent(self) -> set[str]:
        """The optional members whose columns the model lacks."""
        if self.opts.model is None:
            return set()
        mapper = mapper_of(self.opts.model)
        return {
            name
            for name in self.Meta.optional
            if (field := self._declared_fields.get(name)) is not None and not _has(mapper, name, field)
        }

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:
        """Fit the field to its column or relation, and bind a ledger's schema to the related model."""
        name, nested = field_obj.attribute or field_name, nested_in(field_obj)
        mapper = None if self.opts.model is None else mapper_of(self.opts.model)
        with told_of(self, field_name):
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
        """As marshmallow's, with ledgers in the order of their recording."""
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
        """As marshmallow-sqlalchemy's; members that are only dumped are read over."""
        data = self._without_dump_only(data)
        if self._load_instance:
            transient = self._transient
            try:
                return super().load(data, **options)
            finally:
                self._transient = transient  # for this load only
        # Plain values need no session, and not what marshmallow-sqlalchemy does to every record for one.
        return Schema.load(self, data, **options)

    def _without_dump_only(self, data: Any) -> Any:
        if not self._only_dumped:
            return data
        if isinstance(data, list | tuple):
            return [self._without_dump_only(each) for each in data]
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if name not in self._only_dumped}

    def alternatives(self) -> list[list[str]]:
        """Groups of slugs of the same relationship: of each, a record needs at least one that is not null."""
        return list(map(list, self._slugs.alternatives))

    def choices(self) -> list[list[str]]:
        """Groups of references: of each, a record has exactly one that is not null."""
        return list(map(list, self._slugs.choices))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _need_one_alternative(self, _data: Any, original: Any, *, partial: Any = None, **_: Any) -> None:
        if not isinstance(original, Mapping) or partial:
            return
        errors = self._slugs.faults(original)
        if errors:
            raise ValidationError(errors)

    @post_load(pass_collection=True)
    def make_instance(self, data: Any, *, many: bool, **_: Any) -> Any:
        """Turn what was loaded into rows, all of them with one SELECT per model."""
        if not self._load_instance:
            return data
        session = None if self.transient else self.session
        rows = instances.make(self, data, many=many, session=session, instance=self.instance)
        return rows if many else rows[0]


class RunSchema(RecordSchema):
    """A kind of run. ``Meta`` names its ``model``, ``kind``, ``collection`` and ``timestamp``.

    ``kind`` is the singular name (the key of a stream's line), ``collection`` the name of the list in a
    document, ``timestamp`` the `UtcTimestamp`, `Epoch` or `Date` that orders the runs; None: their
    identity does.
    Where it names a column of the model and no member, the inherited timestamp is kept in that column.
    """

    class Meta(RecordSchema.Meta):
        kind: ClassVar[str]
        collection: ClassVar[str]
        timestamp: ClassVar[str | None]

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:
        """As `RecordSchema`'s, after the inherited timestamp was given its column."""
        named = [vars(meta)["timestamp"] for meta in self.Meta.__mro__ if "timestamp" in vars(meta)]
        inherited = next((name for name in named if name in self.declared_fields), None)
        if field_name == inherited != named[0] and field_obj.attribute is None:
            field_obj.attribute = named[0]
        super().on_bind_field(field_name, field_obj)


def _association_columns(mapper: Mapper[Any], name: str) -> set[str]:
    """How ``Meta.exclude`` names the further columns of the association table of a relationship."""
    between = mapper.relationships[name].secondary if name in mapper.relationships else None
    columns = [] if between is None else data_columns(mapper.relationships[name])
    return {f"{name}.{column.key}" for column in columns}


@functools.cache
def _bound(cls: Any, model: Any) -> Any:
    mapper_of(model)
    meta = type("Meta", (cls.Meta,), {"model": model, "register": False})
    names = {"Meta": meta, "__module__": cls.__module__, "__doc__": cls.__doc__, "bound_from": cls}
    bound = type(cls)(cls.__name__, (cls,), names)
    table_of(bound)  # what does not fit is told now
    return bound


def _bind_class(mapper: Mapper[Any], name: str, nested: Nested) -> None:
    """Bind a ledger's schema class to the related model, before it is instantiated with an inherited one."""
    written: Any = nested.nested
    if not (isinstance(written, type) and issubclass(written, RecordSchema)):
        return
    own = written.opts.model
    related = relation(mapper, name, target=None if own is None else mapper_of(own))
    if own is not related.model:
        nested.nested = written.bind(related.model)


def _has(mapper: Mapper[Any], name: str, field: Field[Any]) -> bool:
    if isinstance(field, Slug) and field.relationship is not None:
        try:
            copy.copy(field).fit_key(mapper)
        except BindingError:
            return False
        return True
    return find_column(mapper, field.attribute or name) is not None
