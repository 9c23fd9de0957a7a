"""Schemas → kinds: a marshmallow schema and its model, read as the description of a kind of run."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import sqlalchemy as sa
from marshmallow import RAISE
from marshmallow.exceptions import RegistryError
from marshmallow.fields import Field
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators

from histio.errors import BindingError
from histio.kinds.auditing import audits_of
from histio.kinds.base import BaseSchema, told_of
from histio.kinds.charting import charts_of
from histio.kinds.fields import Date, RunUUID, Slug, UtcTimestamp
from histio.kinds.identity import Identity, Part
from histio.kinds.mapping import (
    Relation,
    attribute,
    column_named,
    column_of,
    find_column,
    is_query_expression,
    mapper_of,
    no_such,
    relation,
)
from histio.kinds.table import Kind, Ledger, Links, Reference, Snapshot, Table
from histio.wire import WireField, is_list, nested_in, wire_name

# What documents and streams have beside their runs.
TAKEN_KINDS = {
    "header",
    "trailer",
    "unreadable",
    "problems",
    "stream_line",
    "slug",
    "uuid",
    "timestamp",
    "date",
    "json",
}
_TAKEN_COLLECTIONS = {"version", "exported_at"}


@functools.cache
def kind_of(schema_class: type[BaseSchema]) -> Kind:
    """The kind that *schema_class* describes.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    opts = schema_class.opts
    needed = {
        "model": opts.model is not None,
        "kind": opts.kind,
        "collection": opts.collection,
        "timestamp": opts.timestamps,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise BindingError(f"{schema_class.__name__}.Meta lacks {', '.join(missing)}")
    for name, taken in (("kind", TAKEN_KINDS), ("collection", _TAKEN_COLLECTIONS)):
        value = getattr(opts, name)
        if not isinstance(value, str) or not value.isidentifier() or value in taken:
            raise BindingError(
                f"{schema_class.__name__}.Meta.{name} must be a name of its own, not {value!r}"
            )
    table = table_of(schema_class)
    for each in table.all():
        audits_of(each)  # what they cannot look at is told now
        charts_of(each)
        if each.changed is None and each.schema.opts.changed not in (None, "updated_at"):
            name, changed = type(each.schema).__name__, each.schema.opts.changed
            raise BindingError(
                f"{name}.Meta.changed: {changed!r} is no UtcTimestamp, Epoch or Date of the schema"
            )
    if table.identity is None:
        raise BindingError(
            f"{schema_class.__name__} must have one RunUUID field; it has 0, and no Meta.identity that names "
            "another member"
        )
    timestamp = None
    if opts.timestamp is not None:
        timestamp = _member(table.schema, opts.timestamp)
        if not isinstance(table.fields.get(timestamp), UtcTimestamp | Date):
            raise BindingError(
                f"{schema_class.__name__}.Meta.timestamp: {opts.timestamp!r} is no UtcTimestamp, Epoch or "
                "Date of the schema; None: nothing but their identity orders the runs"
            )
    return Kind(opts.kind, opts.collection, table, timestamp)


@functools.cache
def table_of(schema_class: type[BaseSchema]) -> Table:
    """The table that *schema_class* describes, with its ledgers.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    return _table(made(schema_class))


def made(schema_class: type[BaseSchema]) -> BaseSchema:
    """A schema that loads plain values.

    Raises:
        BindingError: What it says does not fit its model, or itself.
    """
    try:
        return schema_class(load_instance=False)
    except RecursionError:
        raise BindingError(f"{schema_class.__name__} is nested in itself") from None
    except (ValueError, RegistryError) as error:  # marshmallow's words for names that do not exist
        raise BindingError(f"{schema_class.__name__}: {error}") from error


def _member(schema: BaseSchema, name: str) -> str:
    """The member that the field *name* is."""
    field = schema.fields.get(name)
    return name if field is None else field.attribute or name


def _check_unknown(unknown: str | None) -> None:
    """Raise BindingError if unknown members would be ignored or kept: the format has none."""
    if unknown not in (None, RAISE):
        raise BindingError(
            f"unknown={unknown.upper()}: an unknown member is always an error; leave the option out"
        )


def _table(schema: BaseSchema) -> Table:
    _check_unknown(schema.unknown)
    mapper = mapper_of(schema.opts.model)
    columns: dict[str, sa.Column[Any]] = {}
    slugs: dict[str, dict[str, Slug]] = {}
    links: list[Links] = []
    snapshots: list[Snapshot] = []
    ledgers: list[Ledger] = []
    for name, field in schema.load_fields.items():
        member, nested = field.attribute or name, nested_in(field)
        with told_of(schema, name):
            if nested is not None:
                _check_unknown(nested.unknown)
                _check_unknown(nested.schema.unknown)
            if nested is not None and find_column(mapper, member) is None:
                ledgers.append(_ledger(mapper, member, nested.schema, many=is_list(field)))  # type: ignore[arg-type]
            elif isinstance(field, Slug) and field.relationship is not None:
                if field.many:
                    links.append(Links(member, relation(mapper, field.relationship), field.chain))
                else:
                    slugs.setdefault(field.relationship, {})[member] = field
            else:
                columns[member] = _column(mapper, member)
                _check_null(field, columns[member])
                if isinstance(field, Slug) and field.snapshot_of is not None:
                    snapshots += _snapshots(mapper, member, field)
    _check_apart(schema, ledgers)
    _check_keys(schema, columns)
    _check_dumped(schema, mapper)
    fields = [*schema.dump_fields.items(), *schema.load_fields.items()]  # those only dumped give way
    return Table(
        schema,
        mapper,
        _identity(schema, mapper, columns),
        {field.attribute or name: field for name, field in fields},
        {field.attribute or name: wire_name(name, field) for name, field in fields},
        columns,
        frozenset(member for member, column in columns.items() if column.computed is not None),
        tuple(_reference(mapper, name, fields) for name, fields in slugs.items()),
        tuple(links),
        tuple(snapshots),
        tuple(ledgers),
    )


def _check_keys(schema: BaseSchema, columns: Mapping[str, sa.Column[Any]]) -> None:
    """Raise BindingError where columns of several tables are called alike: rows are written by name."""
    keys = Counter(column.key for column in columns.values())
    for member, column in columns.items():
        if keys[column.key] > 1:
            raise BindingError(
                f"{type(schema).__name__}.{member}: several members are kept in columns called "
                f"{column.key!r}: leave out all but one, by Meta.exclude"
            )


def _check_dumped(schema: BaseSchema, mapper: Mapper[Any]) -> None:
    """Raise BindingError where a member that is only dumped has nothing to be dumped from."""
    for name, field in schema.dump_fields.items():
        source = (field.attribute or name).partition(".")[0]
        if not field.dump_only or not isinstance(field, WireField):
            continue
        with told_of(schema, name):
            if not hasattr(mapper.class_, source):
                raise BindingError(no_such(mapper, "attribute", source, dir(mapper.class_)))
            if is_query_expression(mapper, source):
                raise BindingError("a query_expression has a value only in queries that say so: exclude it")


def _check_null(field: Field[Any], column: sa.Column[Any]) -> None:
    """Raise BindingError where what is left out would be stored as a null that could not be exported."""
    stands_in = column.default, column.server_default, column.computed
    may_be_null = column.nullable and stands_in == (None, None, None) and not isinstance(field, UtcTimestamp)
    if may_be_null and not (field.required or field.allow_none):
        raise BindingError("its column takes null and the member may be left out: say allow_none=True")


def _check_apart(schema: BaseSchema, ledgers: list[Ledger]) -> None:
    """Raise BindingError where two ledgers would hold the same rows."""
    seen: dict[Any, str] = {}
    for ledger in ledgers:
        rows = ledger.table.mapper, ledger.local, tuple(ledger.constants.items())
        if rows in seen:
            names = f"{seen[rows]} and {ledger.member}"
            raise BindingError(f"{type(schema).__name__}: {names} hold the same rows")
        seen[rows] = ledger.member


def _column(mapper: Mapper[Any], name: str) -> sa.Column[Any]:
    column = column_named(mapper, name)
    if column.identity is not None and column.identity.always:
        raise BindingError(f"{mapper.class_.__name__}.{name} is GENERATED ALWAYS, and could not be imported")
    return column


def _identity(
    schema: BaseSchema, mapper: Mapper[Any], columns: Mapping[str, sa.Column[Any]]
) -> Identity | None:
    names = identity_fields(schema)
    if not names:
        return None
    parts: list[Part] = []
    own: list[sa.Column[Any]] = []
    for name in names:
        field, member = schema.load_fields[name], _member(schema, name)
        if member in columns:
            parts.append(Part(member, wire_name(name, field), field, None, columns[member], None, ""))
            own.append(columns[member])
        elif isinstance(field, Slug) and field.relationship is not None and not field.many:
            parts += _parts_of(mapper, member, wire_name(name, field), field)
            own += relation(mapper, field.relationship).local
        else:
            raise BindingError(f"{type(schema).__name__}.Meta.identity: {name!r} is no member with a column")
    if len({column.table for column in own}) > 1:
        raise BindingError(
            f"{type(schema).__name__}.Meta.identity: {' and '.join(names)} are kept in several tables"
        )
    return Identity(mapper, tuple(_member(schema, name) for name in names), tuple(parts), tuple(own))


def _parts_of(mapper: Mapper[Any], member: str, name: str, field: Slug) -> Iterator[Part]:
    """The values of a slug that is part of an identity."""
    way = relation(mapper, field.relationship or "")
    if field.fallback:
        raise BindingError(
            f"{name!r} is part of Meta.identity, so it needs one key alone: leave out fallback="
        )
    for place, path in enumerate(field.key):
        at = place if len(field.key) > 1 else None
        yield Part(member, name, field.rules[path], at, column_of(way.mapper, path), way, path)


def identity_fields(schema: BaseSchema) -> tuple[str, ...]:
    """The names of the fields that identify a record; none for ledger entries that nothing identifies.

    Raises:
        BindingError: Several could, or one that is named cannot.
    """
    named = schema.opts.identity
    for name in named:
        field = schema.load_fields.get(name)
        if field is None or not field.required:
            raise BindingError(f"{type(schema).__name__}.Meta.identity: {name!r} is no required member")
        _check_identity(schema, name)
    return named or _uuid_field(schema)


def _uuid_field(schema: BaseSchema) -> tuple[str, ...]:
    """The `RunUUID` that identifies a record where `Meta.identity` names nothing."""
    uuids = [name for name, field in schema.load_fields.items() if isinstance(field, RunUUID)]
    called = [name for name in uuids if wire_name(name, schema.load_fields[name]) == "uuid"]
    if len(uuids) > 1 and not called:
        raise BindingError(
            f"{type(schema).__name__} must have one RunUUID field; it has {len(uuids)}: "
            "let Meta.identity say which one identifies a record"
        )
    names = (called or uuids)[:1]
    for name in names:
        if not schema.load_fields[name].required:
            raise BindingError(
                f"{type(schema).__name__}.{name} identifies a record, so it must be required: "
                "say required=True"
            )
        _check_identity(schema, name)
    return tuple(names)


def _check_identity(schema: BaseSchema, name: str) -> None:
    """Raise BindingError if the field that identifies a record may be null."""
    if schema.load_fields[name].allow_none:
        why = "identifies a record, so it must not be null: say allow_none=False"
        raise BindingError(f"{type(schema).__name__}.{name} {why}")


def order_names(schema: BaseSchema, owner: Relation) -> tuple[str, ...]:
    """The fields or attributes that order the entries of a ledger.

    Raises:
        BindingError: There are none.
    """
    if schema.opts.order:
        return schema.opts.order
    mapper = mapper_of(schema.opts.model)
    beside = [column for column in mapper.primary_key if column not in owner.remote]
    [key, *others] = beside or mapper.primary_key
    if not others and not key.foreign_keys and isinstance(key.type, sa.Integer):
        return (str(mapper.get_property_by_column(key).key),)
    names = identity_fields(schema)
    if not names:
        raise BindingError(
            f"the primary key of {mapper.class_.__name__} does not grow: name what orders its rows, "
            f"such as Meta.order = {next(iter(schema.fields))!r}"
        )
    return names


def _ledger(mapper: Mapper[Any], name: str, schema: BaseSchema, *, many: bool) -> Ledger:
    table = _table(schema)
    found = relation(mapper, name, target=table.mapper)
    if found.many is not many:
        wrong = (
            "leads to several rows: Nested(…, many=True)" if found.many else "leads to one row: many=False"
        )
        raise BindingError(f"{mapper.class_.__name__}.{name} {wrong}")
    owned = schema.opts.from_owner
    owner = tuple(_column(mapper, theirs) for theirs in owned.values())
    local = tuple(_column(table.mapper, own) for own in owned)
    further = {column: value for column, value in constants_of(found) if column not in table.columns.values()}
    order, beyond = _order(schema, table, found) if many else ((), "content")
    return Ledger(
        name, found, table, many, (*found.local, *owner), (*found.remote, *local), further, order, beyond
    )


def _order(
    schema: BaseSchema, table: Table, owner: Relation
) -> tuple[tuple[str, ...], Literal["recording", "content", "hidden"]]:
    """What orders the entries of a ledger: `Ledger.order` and `Ledger.further_order`."""
    named = [_member(schema, name) for name in order_names(schema, owner)]
    order = tuple(itertools.takewhile(table.fields.__contains__, named))
    growing = table.growing_key
    key = None if growing is None else attribute(table.mapper, growing).key
    hidden = named[len(order) :]
    if hidden and hidden != [key]:
        return order, "hidden"
    return order, "content" if key is None else "recording"


def constants_of(way: Relation) -> Iterator[tuple[sa.Column[Any], Any]]:
    """What the join of a ledger says beyond the equality of keys.

    Raises:
        BindingError: It says more than that columns of the entry have some value.
    """
    if way.relationship is None:
        return
    joined = way.relationship.primaryjoin
    pairs = {frozenset(pair) for pair in zip(way.local, way.remote, strict=True)}
    several = isinstance(joined, sa.BooleanClauseList) and joined.operator is operators.and_
    for clause in joined.clauses if several else [joined]:
        sides = (getattr(clause, "left", None), getattr(clause, "right", None))
        plain = frozenset(_plain(side) for side in sides if isinstance(side, sa.Column))
        if plain in pairs and getattr(clause, "operator", None) is operators.eq:
            continue
        column, value = sides
        equal = getattr(clause, "operator", None) is operators.eq and isinstance(value, sa.BindParameter)
        if not equal or not isinstance(column, sa.Column) or value.value is None:  # type: ignore[union-attr]
            raise BindingError(f"the join of {way.name} says more than that keys are equal: {clause}")
        yield _plain(column), value.value  # type: ignore[union-attr]


def _plain(column: Any) -> Any:
    """*column* without what relationships annotate it with."""
    return column._deannotate() if hasattr(column, "_deannotate") else column  # noqa: SLF001


def _reference(mapper: Mapper[Any], name: str, fields: Mapping[str, Slug]) -> Reference:
    found = relation(mapper, name)
    other = next((field.agrees for field in fields.values() if field.agrees is not None), None)
    agrees = None
    if other is not None:
        own = relation(mapper, other).remote
        agrees = (other, relation(found.mapper, other).local, own)
    return Reference(found, {member: field.chain for member, field in fields.items()}, agrees)


def _snapshots(mapper: Mapper[Any], name: str, field: Slug) -> list[Snapshot]:
    models = [m.class_ for m in mapper.registry.mappers if m.class_.__name__ == field.snapshot_of]
    for model in models:
        for path in field.key:
            column_of(mapper_of(model), path)
    return [Snapshot(name, model, field.key) for model in models]
