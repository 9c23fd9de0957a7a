"""The order in which the entries of a ledger are exported."""

from __future__ import annotations

import enum
import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.orm import Mapper

from histio.kinds.base import BaseSchema, binding_error
from histio.kinds.fields import Slug
from histio.kinds.identify import identity_fields
from histio.kinds.mapping import find_column, mapper_of
from histio.kinds.relations import Relation


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
        text = f"the primary key of {mapper.class_.__name__} does not grow"
        advice = f"name what orders its rows, such as Meta.order = {next(iter(schema.fields))!r}"
        raise binding_error(schema, text, advice=advice)
    return names


def order_of(schema: BaseSchema, owner: Relation) -> Callable[[Iterable[Any]], list[Any]]:
    """A function that sorts the rows of a ledger; *schema* is that of its entries.

    Raises:
        BindingError: Nothing orders them.
    """
    mapper, names = mapper_of(schema.opts.model), order_names(schema, owner)
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    if len(keys) == 1 and keys == [*names]:
        return functools.partial(sorted, key=operator.attrgetter(*keys))
    getters = [_place_getter(schema, mapper, name) for name in names]

    def place(row: Any) -> list[Any]:
        return [_after_none(get(row)) for get in getters]

    if getattr(mapper.local_table, "autoincrement_column", None) is not None:
        # Entries in the same place are sorted by their key, which grows as they are recorded.
        return lambda rows: sorted(rows, key=lambda row: (place(row), _values(row, keys)))
    return lambda rows: list(_sort_with_ties(schema, rows, place))


def _place_getter(schema: BaseSchema, mapper: Mapper[Any], name: str) -> Callable[[Any], Any]:
    """A function that returns a sortable value for the field or attribute *name* of a row."""
    field = schema.fields.get(name)
    if isinstance(field, Slug) and field.relationship is not None:
        return functools.partial(_read_key, field, name)
    attribute = name if field is None else field.attribute or name
    if find_column(mapper, attribute) is None:
        text = f"{mapper.class_.__name__} has no column {attribute!r}"
        raise binding_error(schema, text, field="Meta.order")
    return operator.attrgetter(attribute)


def _read_key(slug: Slug, name: str, row: Any) -> Any:
    key = slug.get_value(row, name)
    return None if key is None else slug.sortable(slug.to_wire(key))


def _sort_with_ties(
    schema: BaseSchema, rows: Iterable[Any], place: Callable[[Any], list[Any]]
) -> Iterator[Any]:
    """*rows* sorted by *place*; rows in the same place are sorted by their records."""
    placed = sorted(((place(row), row) for row in rows), key=operator.itemgetter(0))
    for _, group in itertools.groupby(placed, key=operator.itemgetter(0)):
        tied = [row for _, row in group]
        yield from tied if len(tied) == 1 else sorted(tied, key=functools.partial(_dump_text, schema))


def _dump_text(schema: BaseSchema, row: Any) -> str:
    try:
        return repr(schema.dump(row, many=False))
    except ValidationError:  # reported when the row is dumped
        return ""


def _values(row: Any, keys: list[str]) -> list[Any]:
    return [_after_none(getattr(row, key)) for key in keys]


def _after_none(value: Any) -> tuple[bool, Any]:
    """A sort key for *value*: None comes first, and an enum is sorted by its name."""
    return value is not None, value.name if isinstance(value, enum.Enum) else value
