"""The base class of schemas and its options, which binding and the JSON Schema read."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from marshmallow.fields import Field
from marshmallow_sqlalchemy import SQLAlchemySchema
from marshmallow_sqlalchemy.schema import (
    SQLAlchemyAutoField,
    SQLAlchemySchemaMeta,
    SQLAlchemySchemaOpts,
)
from sqlalchemy.orm import Mapper

from histio.errors import BindingError
from histio.kinds.associations import data_columns
from histio.kinds.audits import Audit
from histio.kinds.charts import Compare
from histio.kinds.converter import Converter
from histio.kinds.fields import Slug
from histio.kinds.fields.groups import SlugGroups
from histio.kinds.mapping import find_column, mapper_of, no_such
from histio.similar import find_similar
from histio.wire import nested_in, wire_name

# The options of histio, then those of marshmallow that matter here.
_OPTIONS = (
    *("model", "identity", "order", "changed", "optional", "from_owner", "audits", "charts", "unit"),
    *("kind", "collection", "timestamp"),
    *("exclude", "unbound", "fields", "include", "unknown", "register", "load_instance", "model_converter"),
    *("additional", "ordered", "many", "load_only", "dump_only", "table", "transient", "sqla_session"),
    *("dateformat", "datetimeformat", "timeformat", "render_module", "include_fk", "include_relationships"),
)


class RecordOpts(SQLAlchemySchemaOpts):
    """The options of a schema's ``Meta``, with their defaults.

    Attributes:
        identity: The fields that identify a record; empty: the `RunUUID`.
        order: The fields or attributes that order the entries of a ledger; empty: their key.
        changed: The field that says when a row was last written.
        optional: The fields that are left out where the model has no such column.
        exclude: The fields to leave out.
        left_out: All names in ``Meta.exclude``, including mapped attributes without a field, which
            marshmallow would reject.
        unbound: What to do with mapped attributes that are not accounted for. ``error``: raise a
            `BindingError`. ``ignore``: leave them out; a listener or trigger fills those that must not be
            null.
        from_owner: By attribute of a ledger's entries, the attribute of the owner's row that fills it.
        audits: Rules for the numbers of a record; None: none, not even inherited ones.
        charts: What a report shows of the numbers of a record.
        unit: The member that says what the amounts of a record are counted in.
        kind: The name of a kind of run; empty: not set.
        collection: The name of its list in a document; empty: not set.
        timestamps: Every ``timestamp`` that this ``Meta`` and its base classes set, its own first; empty:
            not set.
    """

    def __init__(self, meta: type, *args: Any, **kwargs: Any) -> None:
        super().__init__(meta, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.load_instance: bool = getattr(meta, "load_instance", True)
        self.model_converter: Any = getattr(meta, "model_converter", Converter)
        self.identity: tuple[str, ...] = _names(meta, "identity")
        self.order: tuple[str, ...] = _names(meta, "order")
        self.changed: str | None = getattr(meta, "changed", "updated_at")
        self.optional: tuple[str, ...] = tuple(getattr(meta, "optional", ()))
        self.left_out: tuple[str, ...] = tuple(self.exclude)
        self.unbound: str = getattr(meta, "unbound", "error")
        self.from_owner: Mapping[str, str] = getattr(meta, "from_owner", {})
        self.audits: tuple[Audit, ...] | None = getattr(meta, "audits", ())
        self.charts: tuple[Compare, ...] = getattr(meta, "charts", ())
        self.unit: str | None = getattr(meta, "unit", "unit")
        self.kind: str = getattr(meta, "kind", "")
        self.collection: str = getattr(meta, "collection", "")
        own_first = (vars(each) for each in meta.__mro__)
        self.timestamps: tuple[str | None, ...] = tuple(
            options["timestamp"] for options in own_first if "timestamp" in options
        )
        if self.unbound not in ("error", "ignore"):
            raise BindingError(f'must be "error" or "ignore", not {self.unbound!r}', field="Meta.unbound")

    @property
    def timestamp(self) -> str | None:
        """The field or column that orders the runs; None: their identity does, or it is not set."""
        return next(iter(self.timestamps), None)


def _names(meta: type, option: str) -> tuple[str, ...]:
    """The names in an *option* of Meta: one, or several as a tuple or list; empty: it is None or not set.

    Raises:
        BindingError: The option is something else, or repeats a name.
    """
    value = getattr(meta, option, None)
    names = (value,) if isinstance(value, str) else () if value is None else value
    if not isinstance(names, tuple | list) or (value is not None and not names):
        raise BindingError(f"must be a name or several names, not {value!r}", field=f"Meta.{option}")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise BindingError(f"must be different names, not {value!r}", field=f"Meta.{option}")
    return tuple(names)


class Options:
    """What ``Meta`` of a schema may set, with the types of the values."""

    identity: ClassVar[str | tuple[str, ...] | None]
    order: ClassVar[str | tuple[str, ...] | None]
    changed: ClassVar[str | None]
    optional: ClassVar[tuple[str, ...]]
    unbound: ClassVar[str]
    from_owner: ClassVar[Mapping[str, str]]
    audits: ClassVar[tuple[Audit, ...] | None]
    charts: ClassVar[tuple[Compare, ...]]
    unit: ClassVar[str | None]


class RecordMeta(SQLAlchemySchemaMeta):
    """Inherits options of ``Meta``, and creates ``auto_field()`` again for a subclass with another model."""

    Meta: type[Options]
    """Marshmallow says `type`, from which type checkers can derive no class."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        """A schema class whose ``Meta`` inherits from those of its bases, even if it does not name them.

        Raises:
            BindingError: An option is misspelled or has an invalid value.
        """
        own, inherited = attrs.get("Meta"), [base.Meta for base in bases if hasattr(base, "Meta")]
        # A new mapping: the caller of type(…) may use the old one again.
        attrs = {**attrs, "Meta": _merged_meta([*([] if own is None else [own]), *inherited])}
        try:
            _check_options(own, inherited)
            return super().__new__(cls, name, bases, attrs)
        except BindingError as error:
            error.locate(name)
            raise

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
        """The field for each ``auto_field()``, or the ``auto_field()`` if the model lacks the column."""
        replaced: dict[str, Field[Any]] = {}
        for name, field in fields.items():
            wanted = field if isinstance(field, SQLAlchemyAutoField) else getattr(field, "auto_field", None)
            if wanted is None or name in opts.left_out:
                continue
            replaced[name] = wanted
            model = wanted.model or opts.model
            if model is not None and hasattr(model, wanted.column_name or name):
                found: Any = wanted.create_field(opts, wanted.column_name or name, converter)
                found.auto_field = wanted
                replaced[name] = found
        return replaced


def _check_options(own: type | None, inherited: Iterable[type]) -> None:
    """Raise BindingError where ``Meta`` has an option that looks like a misspelled one."""
    for option in () if own is None else vars(own):
        is_known = option in _OPTIONS or option.startswith("__")
        if is_known or any(hasattr(meta, option) for meta in inherited):
            continue
        meant = find_similar(option, _OPTIONS, most=1)
        if meant:
            advice = f"did you mean {meant[0]!r}?"
            raise BindingError(f"there is no option {option!r}", field="Meta", advice=advice)


def _merged_meta(metas: list[type]) -> type:
    """One ``Meta`` with the options of all of *metas*; the first that sets an option decides."""
    several = [
        meta
        for meta in dict.fromkeys(metas)
        if not any(other is not meta and issubclass(other, meta) for other in metas)
    ]
    return several[0] if len(several) == 1 else type("Meta", tuple(several), {})


def _leads_to_field(name: str, declared: Mapping[str, Field[Any]]) -> bool:
    """Whether *name* is a field, or a dotted path into a nested schema."""
    first, point, _ = name.partition(".")
    field = declared.get(first)
    return field is not None and (not point or nested_in(field) is not None)


class BaseSchema(SQLAlchemySchema[Any], metaclass=RecordMeta):
    """The fields of one record and the options of its ``Meta``.

    Attributes:
        excluded: The names of fields and attributes that ``Meta`` or the caller excludes.
    """

    OPTIONS_CLASS = RecordOpts
    opts: RecordOpts

    bound_from: ClassVar[type[BaseSchema] | None] = None
    """The schema on which `bind` was called; None: the class was not made by `bind`."""

    is_catalog: ClassVar[bool] = False
    """Whether the schema describes rows that runs refer to."""

    class Meta(Options):
        pass

    def __init__(self, *, exclude: Any = (), **options: Any) -> None:
        self._check_names()
        self.excluded: frozenset[Any] = frozenset((*exclude, *self.opts.left_out))
        super().__init__(exclude={*exclude, *self._absent()}, **options)  # type: ignore[no-untyped-call]
        for fields in (self.fields, self.load_fields, self.dump_fields):
            for name in [name for name, field in fields.items() if nested_in(field)]:
                fields[name] = fields.pop(name)  # ledgers come last
        self.slug_groups: SlugGroups = SlugGroups(self.load_fields, self.dump_fields)
        self._check_nulls()

    def _check_nulls(self) -> None:
        """Raise BindingError if a foreign key is nullable and its slug does not say if null is allowed."""
        for name, field in self.load_fields.items():
            relation = field.relation if field in self.slug_groups.silent else None
            nullable = [] if relation is None else [each.name for each in relation.local if each.nullable]
            if nullable:
                raise binding_error(
                    self,
                    f"the column {nullable[0]} takes null",
                    field=name,
                    advice="write allow_none=True, or required=True if no row has null there",
                )

    def _check_names(self) -> None:
        """Raise BindingError if the model lacks a name in ``Meta.exclude`` or the column of an auto field."""
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
                with locate_errors(self, "Meta.exclude"):
                    raise no_such(mapper, "attribute or field", name, named)
        for name, field in self._declared_fields.items():
            if isinstance(field, SQLAlchemyAutoField) and name not in self.opts.left_out:
                wanted = field.column_name or name
                with locate_errors(self, name):
                    raise no_such(mapper, "column", wanted, mapper.column_attrs.keys())

    def _absent(self) -> set[str]:
        """The optional fields whose columns the model lacks."""
        if self.opts.model is None:
            return set()
        mapper = mapper_of(self.opts.model)
        return {
            name
            for name in self.opts.optional
            if (field := self._declared_fields.get(name)) is not None and not _has(mapper, name, field)
        }

    @property
    def is_hooked(self) -> bool:
        """Whether hooks of the host change records before they are loaded."""
        return bool(self._hooks["pre_load"])

    def member(self, name: str) -> str:
        """The name of the member that holds the values of the field *name*."""
        field = self.fields.get(name)
        return name if field is None else field.attribute or name

    def alternatives(self) -> list[list[str]]:
        """Groups of slugs of one relationship; a record needs at least one of each group that is not null."""
        return list(map(list, self.slug_groups.alternatives))

    def choices(self) -> list[list[str]]:
        """Groups of references; a record has exactly one of each group that is not null."""
        return list(map(list, self.slug_groups.choices))


def _association_columns(mapper: Mapper[Any], name: str) -> set[str]:
    """The names in ``Meta.exclude`` for the data columns of a relationship's association table."""
    between = mapper.relationships[name].secondary if name in mapper.relationships else None
    columns = [] if between is None else data_columns(mapper.relationships[name])
    return {f"{name}.{column.key}" for column in columns}


def _has(mapper: Mapper[Any], name: str, field: Field[Any]) -> bool:
    """Whether the model has the attribute that the *field* called *name* reads."""
    if isinstance(field, Slug) and field.relationship is not None:
        try:
            copy.copy(field).fit_key(mapper)
        except BindingError:
            return False
        return True
    return find_column(mapper, field.attribute or name) is not None


def declares(schema: type[Any], path: str) -> bool:
    """Whether *schema* or one of its base classes declares the member at the dotted *path*."""
    name, _, rest = path.partition(".")
    declared = (item for base in schema.__mro__ for item in getattr(base, "_declared_fields", {}).items())
    fields = [field for own, field in declared if wire_name(own, field) == name]
    nested = [copy.copy(each) for field in fields if (each := nested_in(field)) is not None]
    return any(declares(type(each.schema), rest) for each in nested) if rest else bool(fields)


def binding_error(
    schema: object, message: str, *, field: str | None = None, advice: str | None = None
) -> BindingError:
    """An error about *schema*, a schema or its class, or about one of its fields or options."""
    error = BindingError(message, advice=advice)
    error.locate(_name_of(schema), field=field, model=_model_of(schema))
    return error


@contextmanager
def locate_errors(schema: object, field: str) -> Iterator[None]:
    """Add *schema* and *field* to a BindingError in the block, unless it names a place already."""
    try:
        yield
    except BindingError as error:
        error.locate(_name_of(schema), field=field, model=_model_of(schema))
        raise


def _name_of(schema: object) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _model_of(schema: object) -> str | None:
    model = getattr(getattr(schema, "opts", None), "model", None)
    return getattr(model, "__name__", None)
