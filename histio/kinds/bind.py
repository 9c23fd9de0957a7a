"""Derive kinds of run and their tables from marshmallow schemas and their models."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from marshmallow import RAISE
from marshmallow.exceptions import RegistryError
from marshmallow.fields import Field
from sqlalchemy.orm import Mapper

from histio.errors import BindingError
from histio.kinds.auditing import audits_of
from histio.kinds.base import BaseSchema, binding_error, locate_errors
from histio.kinds.charting import charts_of
from histio.kinds.entry_order import order_names
from histio.kinds.fields import Date, Slug, UtcTimestamp
from histio.kinds.identify import identity_of
from histio.kinds.joins import constants_of
from histio.kinds.keys import natural_keys
from histio.kinds.mapping import (
    attribute,
    column_named,
    column_of,
    find_column,
    is_query_expression,
    mapper_of,
    no_such,
)
from histio.kinds.relations import Relation, relation
from histio.kinds.table import Kind, Ledger, Links, Reference, Snapshot, Table
from histio.wire import WireField, is_list, nested_in, wire_name

RESERVED_KINDS = {
    "header",
    "trailer",
    "unreadable",
    "problems",
    "stream_line",
    "receipt_line",
    "manifest",
    "slug",
    "uuid",
    "timestamp",
    "date",
    "json",
}
"""Names that streams and the published schema use for other things than kinds of run."""

_RESERVED_COLLECTIONS = {"version", "exported_at"}


@functools.cache
def kind_of(schema_class: type[BaseSchema]) -> Kind:
    """The kind that *schema_class* describes.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    _check_names(schema_class)
    opts, table = schema_class.opts, table_of(schema_class)
    for each in table.all():
        audits_of(each)  # raises BindingError for a rule or chart that names no member
        charts_of(each)
        if each.changed is None and each.schema.opts.changed not in (None, "updated_at"):
            text = f"{each.schema.opts.changed!r} is not a UtcTimestamp, Epoch or Date of the schema"
            raise binding_error(each.schema, text, field="Meta.changed")
    if table.identity is None:
        text = "must have one RunUUID field; it has 0, and no Meta.identity that names another member"
        keys = natural_keys(table.mapper)
        raise binding_error(schema_class, text, advice=f'write identity = "{keys[0]}"' if keys else None)
    timestamp = _timestamp(table, opts.timestamp)
    if schema_class.is_catalog and timestamp is not None:
        text = "catalog rows are sorted by their identity"
        raise binding_error(schema_class, text, field="Meta.timestamp", advice="leave it out")
    return Kind(opts.kind, opts.collection, table, timestamp, schema_class.is_catalog)


def _check_names(schema_class: type[BaseSchema]) -> None:
    """Raise BindingError if ``Meta`` lacks the model or a name, or has a name that the format uses."""
    opts = schema_class.opts
    needed = {
        "model": opts.model is not None,
        "kind": opts.kind != "",
        "collection": opts.collection != "",
        "timestamp": opts.timestamps,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise binding_error(schema_class, f"lacks {', '.join(missing)}", field="Meta")
    for name, reserved in (("kind", RESERVED_KINDS), ("collection", _RESERVED_COLLECTIONS)):
        value = getattr(opts, name)
        if not isinstance(value, str) or not value.isidentifier() or value in reserved:
            text = f"must be a name that the format does not use, not {value!r}"
            raise binding_error(schema_class, text, field=f"Meta.{name}")


def _timestamp(table: Table, name: str | None) -> str | None:
    """The member that orders the runs; None: they are ordered by their identity."""
    if name is None:
        return None
    member = table.schema.member(name)
    if not isinstance(table.fields.get(member), UtcTimestamp | Date):
        text = f"{name!r} is not a UtcTimestamp, Epoch or Date of the schema"
        advice = "name one, or write timestamp = None to order the runs by their identity"
        raise binding_error(table.schema, text, field="Meta.timestamp", advice=advice)
    return member


@functools.cache
def table_of(schema_class: type[BaseSchema]) -> Table:
    """The table that *schema_class* describes, with its ledgers.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    return _table(plain_schema(schema_class))


def plain_schema(schema_class: type[BaseSchema]) -> BaseSchema:
    """A schema that loads plain values, not rows.

    Raises:
        BindingError: The schema does not fit its model, is nested in itself, or names an unknown field.
    """
    try:
        return schema_class(load_instance=False)
    except RecursionError:
        raise binding_error(schema_class, "is nested in itself") from None
    except (ValueError, RegistryError) as error:  # raised by marshmallow for names that do not exist
        raise binding_error(schema_class, str(error)) from error


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
        with locate_errors(schema, name):
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
    fields = [*schema.dump_fields.items(), *schema.load_fields.items()]  # loaded fields take precedence
    return Table(
        schema,
        mapper,
        identity_of(schema, mapper, columns),
        {field.attribute or name: field for name, field in fields},
        {field.attribute or name: wire_name(name, field) for name, field in fields},
        columns,
        frozenset(member for member, column in columns.items() if column.computed is not None),
        tuple(_reference(mapper, name, fields) for name, fields in slugs.items()),
        tuple(links),
        tuple(snapshots),
        tuple(ledgers),
    )


def _check_unknown(unknown: str | None) -> None:
    """Raise BindingError if unknown members would be ignored or included."""
    if unknown not in (None, RAISE):
        text = f"unknown={unknown.upper()}: an unknown member is always an error"
        raise BindingError(text, advice="leave the option out")


def _check_apart(schema: BaseSchema, ledgers: list[Ledger]) -> None:
    """Raise BindingError if two ledgers have the same rows."""
    seen: dict[Any, str] = {}
    for ledger in ledgers:
        rows = ledger.table.mapper, ledger.local, tuple(ledger.constants.items())
        if rows in seen:
            raise binding_error(schema, f"{seen[rows]} and {ledger.member} hold the same rows")
        seen[rows] = ledger.member


def _check_keys(schema: BaseSchema, columns: Mapping[str, sa.Column[Any]]) -> None:
    """Raise BindingError if several columns have one name, because rows are written by name."""
    keys = Counter(column.key for column in columns.values())
    for member, column in columns.items():
        if keys[column.key] > 1:
            text = f"several members are kept in columns called {column.key!r}"
            advice = "leave out all but one, by Meta.exclude"
            raise binding_error(schema, text, field=member, advice=advice)


def _check_dumped(schema: BaseSchema, mapper: Mapper[Any]) -> None:
    """Raise BindingError if the model lacks the attribute of a member that is only dumped."""
    for name, field in schema.dump_fields.items():
        source = (field.attribute or name).partition(".")[0]
        if not field.dump_only or not isinstance(field, WireField):
            continue
        with locate_errors(schema, name):
            if not hasattr(mapper.class_, source):
                raise no_such(mapper, "attribute", source, dir(mapper.class_))
            if is_query_expression(mapper, source):
                text = "a query_expression has a value only in queries that say so"
                raise BindingError(text, advice="exclude it")


def _check_null(field: Field[Any], column: sa.Column[Any]) -> None:
    """Raise BindingError if a member that is left out would be stored as null, which is not allowed."""
    stands_in = column.default, column.server_default, column.computed
    may_be_null = column.nullable and stands_in == (None, None, None) and not isinstance(field, UtcTimestamp)
    if may_be_null and not (field.required or field.allow_none):
        text = "its column takes null and the member may be left out"
        raise BindingError(text, advice="write allow_none=True")


def _column(mapper: Mapper[Any], name: str) -> sa.Column[Any]:
    column = column_named(mapper, name)
    if column.identity is not None and column.identity.always:
        raise BindingError(f"{mapper.class_.__name__}.{name} is GENERATED ALWAYS, and could not be imported")
    return column


def _ledger(mapper: Mapper[Any], name: str, schema: BaseSchema, *, many: bool) -> Ledger:
    table = _table(schema)
    found = relation(mapper, name, target=table.mapper)
    if found.many is not many:
        leads, advice = (
            ("several rows", "write Nested(…, many=True)") if found.many else ("one row", "write many=False")
        )
        raise BindingError(f"{mapper.class_.__name__}.{name} leads to {leads}", advice=advice)
    owner = tuple(_column(mapper, theirs) for theirs in schema.opts.from_owner.values())
    local = tuple(_column(table.mapper, own) for own in schema.opts.from_owner)
    further = {column: value for column, value in constants_of(found) if column not in table.columns.values()}
    order, beyond = _order(schema, table, found) if many else ((), "content")
    return Ledger(
        name, found, table, many, (*found.local, *owner), (*found.remote, *local), further, order, beyond
    )


def _order(
    schema: BaseSchema, table: Table, owner: Relation
) -> tuple[tuple[str, ...], Literal["recording", "content", "hidden"]]:
    """`Ledger.order` and `Ledger.further_order`."""
    named = [schema.member(name) for name in order_names(schema, owner)]
    order = tuple(itertools.takewhile(table.fields.__contains__, named))
    growing = table.growing_key
    key = None if growing is None else attribute(table.mapper, growing).key
    hidden = named[len(order) :]
    if hidden and hidden != [key]:
        return order, "hidden"
    return order, "content" if key is None else "recording"


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
