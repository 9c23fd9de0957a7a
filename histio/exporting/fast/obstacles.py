"""Why records take the full path: what a host's schema or models do by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Generic, Literal

import marshmallow
import sqlalchemy as sa
from marshmallow.fields import Field
from marshmallow_sqlalchemy.fields import Nested as SQLAlchemyNested
from sqlalchemy.orm import Mapper

from histio.kinds.fields import Choice, Slug
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


def find_obstacles(table: Table, way: Way, *, hooks: Collection[str] | None = None) -> Iterator[str]:
    """Yield what only marshmallow and SQLAlchemy do for records of *table* and its ledgers, in words.

    Args:
        table: The table.
        way: The direction.
        hooks: The tags of hooks that are obstacles; None: all.
    """
    schema = table.schema
    name = type(schema).__name__
    yield from (f"{name} {what}" for what in class_obstacles(schema, way, hooks=hooks))
    fields = schema.dump_fields if way == "dump" else schema.load_fields
    for own, field in fields.items():
        found = _member_obstacles(table, field.attribute or own, field, way)
        yield from (f"{name}.{own} {what}" for what in found)
    if way == "dump":
        yield from (f"{name} has a choice of {' and '.join(group)}" for group in schema.choices())
        yield from _loading_obstacles(table)
    if way == "dump" and not _knows_classes(table.mapper):
        yield f"{table.mapper.class_.__name__} is part of an inheritance without a plain discriminator"
    for ledger in table.ledgers:
        yield from find_obstacles(ledger.table, way, hooks=hooks)


def _knows_classes(mapper: Mapper[Any]) -> bool:
    """Whether the class of a row can be told from its columns, and all of these are in its own tables."""
    is_plain = isinstance(mapper.local_table, sa.Table) and mapper.with_polymorphic is None
    is_known = mapper.polymorphic_on is None or (
        isinstance(mapper.polymorphic_on, sa.Column) and mapper.polymorphic_identity is not None
    )
    return is_plain and is_known and not mapper.concrete


def other_classes(mapper: Mapper[Any]) -> Any:
    """A condition for rows that are loaded as another class than that of *mapper*; None: there are none."""
    is_filtered = mapper.single and len(list(mapper.self_and_descendants)) == 1  # by SQLAlchemy itself
    if mapper.polymorphic_on is None or is_filtered:
        return None
    return mapper.polymorphic_on.is_distinct_from(mapper.polymorphic_identity)


def loading_listeners(table: Table) -> Listeners:
    """The listeners that are obstacles to dumping; other obstacles do not change once a kind is bound."""
    mappers = (mapper for each in table.all() for mapper in (each.mapper, *related_mappers(each)))
    return Listeners(place for mapper in mappers for place in loading(mapper))


def class_obstacles(
    schema: marshmallow.Schema, way: Way, *, hooks: Collection[str] | None = None
) -> Iterator[str]:
    """Yield what the class of a *schema* does by itself, in words; *hooks*: the tags of those that count."""
    yield from (f"has its own {method}" for method in own_methods(schema, way))
    for tag, (method, *_), _ in own_hooks(schema, _HOOKS[way] if hooks is None else hooks):
        yield f"has the hook {method} ({tag})"


def own_methods(schema: marshmallow.Schema, way: Way) -> Iterator[str]:
    """Yield the methods of marshmallow that the host's classes of *schema* override."""
    for cls in type(schema).__mro__:
        if not cls.__module__.startswith(("histio.", "marshmallow")):
            yield from (method for method in _METHODS[way] if method in vars(cls))


def own_hooks(
    schema: marshmallow.Schema, tags: Collection[str]
) -> Iterator[tuple[str, tuple[Any, ...], Mapping[str, Any]]]:
    """Yield the hooks of the host with one of *tags*: the tag, what marshmallow keeps, and the options."""
    for tag in tags:
        for hook in schema._hooks.get(tag, ()):  # noqa: SLF001 - marshmallow has no public name for it
            method, *_, options = hook
            if getattr(type(schema), method) is not getattr(RecordSchema, method, None):
                yield tag, hook, options


def is_plain(field: Field[Any]) -> bool:
    """Whether only rules of histio convert the values of *field*."""
    return not any(own_rules(field))


def own_rules(field: Field[Any]) -> Iterator[str]:
    """Yield what converts or checks values of *field* beside the rules of histio, in words."""
    if not isinstance(field, WireField) or _is_customized(type(field)):
        yield f"is a {type(field).__name__} of the host"
    elif field.dump_only:
        yield "is only dumped"
    if field.validators:
        yield "has validators"
    # Newer versions of marshmallow have these.
    if getattr(field, "pre_load", None) or getattr(field, "post_load", None):
        yield "has functions of its own for loading"
    if isinstance(field, Choice) and field.has_aliases:
        yield "has several names for a member"


def describe_calls(table: Table, member: str, column_type: Any) -> str:
    """A line that says that the field of *member* is called for each value, and why."""
    field = table.fields[member]
    why = next(own_rules(field), f"is kept in {column_type!r}")
    if field.load_default is not marshmallow.missing:
        why = f"{why} and has a load_default" if any(own_rules(field)) else "has a load_default"
    return f"{type(table.schema).__name__}.{member} {why}: its field is called for each value"


_OURS = ("histio.", "marshmallow.")

# What a class may define without a say in how values are converted.
_HARMLESS = {
    *("__module__", "__qualname__", "__doc__", "__init__", "__parameters__", "__orig_bases__"),
    *("__annotations__", "__static_attributes__", "__firstlineno__", "default_error_messages"),
}


def _is_customized(field_class: type[Any]) -> bool:
    """Whether a class of the host, among the bases of a field's, defines more than options and messages."""
    bases = (base for base in field_class.__mro__ if base not in (object, Generic))
    return any(vars(base).keys() - _HARMLESS for base in bases if not base.__module__.startswith(_OURS))


def is_gated(table: Table) -> bool:
    """Whether the gate alone decides on the form of records of *table* and its ledgers."""
    if any(find_obstacles(table, "load")):
        return False
    ledgers = {ledger.member for ledger in table.ledgers}
    fields = table.schema.load_fields.items()
    values = [field for name, field in fields if (field.attribute or name) not in ledgers]
    plain = all(is_plain(field) and field.load_default is marshmallow.missing for field in values)
    return plain and all(is_gated(ledger.table) for ledger in table.ledgers)


def _member_obstacles(table: Table, member: str, field: Field[Any], way: Way) -> Iterator[str]:
    """Yield why only marshmallow can convert *member*, in words."""
    is_ledger = any(ledger.member == member for ledger in table.ledgers)
    is_reference = isinstance(field, Slug) and field.relationship is not None
    if is_ledger:
        yield from _ledger_obstacles(field)
    elif is_reference or member in table.identity_members:
        yield from own_rules(field)
    elif way == "dump":
        yield from _value_obstacles(field)
    default = field.dump_default if way == "dump" else field.load_default
    if (is_ledger or is_reference) and default is not marshmallow.missing:
        yield f"has a {way}_default"


def _ledger_obstacles(field: Field[Any]) -> Iterator[str]:
    nested = nested_in(field)
    if type(nested) not in (marshmallow.fields.Nested, SQLAlchemyNested):
        yield f"is a {type(nested).__name__} of the host"
    if field.validators or getattr(field, "pre_load", None) or getattr(field, "post_load", None):
        yield "has validators or functions of its own"
    if field.dump_only or field.load_only:
        yield f"is only {'dumped' if field.dump_only else 'loaded'}"


def _value_obstacles(field: Field[Any]) -> Iterator[str]:
    """Yield why the values of a column cannot be dumped by calls of their *field*, in words."""
    if not field._CHECK_ATTRIBUTE:  # noqa: SLF001 - marshmallow has no public name for it
        yield f"is a {type(field).__name__}, which takes the whole row"
    for method in ("serialize", "get_value"):
        if not getattr(getattr(type(field), method), "__module__", "").startswith(_OURS):
            yield f"has its own {method}, which takes the whole row"


def _loading_obstacles(table: Table) -> Iterator[str]:
    """Yield what loading objects does, but reading their rows does not do."""
    for mapper in dict.fromkeys([table.mapper, *related_mappers(table)]):
        for event in ("load", "refresh"):
            listening = list(getattr(mapper.class_manager.dispatch, event))
            if len(listening) > composite_listeners(mapper, event):
                yield f"{mapper.class_.__name__} has a {event} listener"
    for name, field in table.schema.dump_fields.items():
        synonym = table.mapper.synonyms.get(field.attribute or name)
        if synonym is not None and synonym.descriptor is not None:
            yield f"{table.mapper.class_.__name__}.{synonym.key} is a synonym with a descriptor"


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
