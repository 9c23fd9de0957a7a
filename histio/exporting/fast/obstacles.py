"""Why records take the full path: what a host's schema or models do by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import marshmallow
from marshmallow.fields import Field
from marshmallow_sqlalchemy.fields import Nested as SQLAlchemyNested
from sqlalchemy.orm import Mapper

from histio.kinds.fields import Choice
from histio.kinds.listeners import Listeners, composite_listeners, loading
from histio.kinds.mapping import mapper_of
from histio.kinds.table import Table
from histio.records import RecordSchema
from histio.wire import WireField, nested_in

Way = Literal["dump", "load"]

_METHODS = {
    "dump": ("dump", "get_attribute", "_serialize"),
    "load": ("load", "_deserialize", "_do_load", "make_instance", "validate"),
}
_HOOKS = {
    "dump": ("pre_dump", "post_dump"),
    "load": ("pre_load", "post_load", "validates", "validates_schema"),
}


class FullPathError(Exception):
    """Records of a table take the full path; the message says why."""


def find_obstacles(table: Table, way: Way) -> Iterator[str]:
    """Yield what only marshmallow and SQLAlchemy do for records of *table* and its ledgers, in words."""
    schema = table.schema
    name = type(schema).__name__
    yield from (f"{name} {what}" for what in class_obstacles(schema, way))
    fields = schema.dump_fields if way == "dump" else schema.load_fields
    for member, field in fields.items():
        yield from (f"{name}.{member} {what}" for what in _field_obstacles(field, way))
    if way == "dump":
        yield from (f"{name} has a choice of {' and '.join(group)}" for group in schema.choices())
        yield from _loading_obstacles(table)
    if way == "dump" and (table.mapper.polymorphic_on is not None or len(table.mapper.tables) > 1):
        yield f"{table.mapper.class_.__name__} is part of an inheritance"
    for ledger in table.ledgers:
        yield from find_obstacles(ledger.table, way)


def loading_listeners(table: Table) -> Listeners:
    """The listeners that are obstacles to dumping; other obstacles do not change once a kind is bound."""
    mappers = (mapper for each in table.all() for mapper in (each.mapper, *related_mappers(each)))
    return Listeners(place for mapper in mappers for place in loading(mapper))


def class_obstacles(schema: marshmallow.Schema, way: Way) -> Iterator[str]:
    """Yield what the class of a *schema* does by itself, in words."""
    for cls in type(schema).__mro__:
        if not cls.__module__.startswith(("histio.", "marshmallow")):
            yield from (f"has its own {method}" for method in _METHODS[way] if method in vars(cls))
    for hook in _HOOKS[way]:
        for method, *_ in schema._hooks.get(hook, ()):  # noqa: SLF001 - marshmallow has no public name for it
            if getattr(type(schema), method) is not getattr(RecordSchema, method, None):
                yield f"has the hook {method} ({hook})"


def _field_obstacles(field: Field[Any], way: Way) -> Iterator[str]:
    nested = nested_in(field)
    if nested is None and not (
        isinstance(field, WireField) and type(field).__module__.startswith("histio.kinds.fields")
    ):
        yield f"is a {type(field).__name__} of the host"
    if nested is not None and type(nested) not in (marshmallow.fields.Nested, SQLAlchemyNested):
        yield f"is a {type(nested).__name__} of the host"
    if isinstance(field, Choice) and field.has_aliases:
        yield "has several names for a member"
    if field.dump_only:
        yield "is only dumped"
    if field.load_only:
        yield "is only loaded"
    if field.validators:
        yield "has validators"
    default = field.dump_default if way == "dump" else field.load_default
    if default is not marshmallow.missing:
        yield f"has a {way}_default"
    # Newer versions of marshmallow have these.
    if way == "load" and (getattr(field, "pre_load", None) or getattr(field, "post_load", None)):
        yield "has functions of its own for loading"


def _loading_obstacles(table: Table) -> Iterator[str]:
    """Yield what loading objects does, but reading their rows does not do."""
    for mapper in dict.fromkeys([table.mapper, *related_mappers(table)]):
        for event in ("load", "refresh"):
            listening = list(getattr(mapper.class_manager.dispatch, event))
            if len(listening) > composite_listeners(mapper, event):
                yield f"{mapper.class_.__name__} has a {event} listener"
    for member in table.columns:
        if member in table.mapper.synonyms:
            yield f"{table.mapper.class_.__name__}.{member} is a synonym"


def related_mappers(table: Table) -> Iterator[Mapper[Any]]:
    """The mappers of the rows that the slugs of a record name, and of the rows on the way to them."""
    yield from (links.relation.mapper for links in table.links)
    yield from (mapper_of(snapshot.model) for snapshot in table.snapshots)
    for reference in table.references:
        yield reference.relation.mapper
        for path in (path for chain in reference.slugs.values() for key in chain for path in key):
            mapper = reference.relation.mapper
            for step in path.split(".")[:-1]:
                mapper = mapper.relationships[step].mapper
                yield mapper
