"""Suggest lines of source, to paste into a schema, that account for a column or relationship."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapper, RelationshipProperty

from histio.errors import BindingError
from histio.kinds.converter import has_field
from histio.kinds.keys import natural_keys
from histio.kinds.relations import Relation, relation


def filling_lines(mapper: Mapper[Any], name: str, column: Any) -> tuple[str, ...]:
    """The lines for a NOT NULL column that nothing fills."""
    return (*column_lines(mapper, name, column)[:-1], f"History(…, values={{{name!r}: …}})")


def column_lines(mapper: Mapper[Any], name: str, column: Any) -> tuple[str, ...]:
    """The lines for the *column* of the attribute *name*: a field, or an entry of ``Meta.exclude``."""
    exclude = f"exclude = ({name!r},)".replace("'", '"')
    if not column.foreign_keys:
        return (f"{name} = auto_field()", exclude) if has_field(column.type) else (exclude,)
    way = next((rel for rel in mapper.relationships if column in rel.local_columns), None)
    source = name if way is None else way.key
    try:
        key = next(iter(natural_keys(relation(mapper, source).mapper)), "slug")
    except BindingError:  # no model is mapped to the table
        return f"{name} = auto_field()", exclude
    null = ", allow_none=True" if column.nullable else ""
    called = name.removesuffix("_id") if way is None else way.key
    return f'{called}_{key} = Slug("{source}", key="{key}"{null})', exclude


def relationship_lines(rel: RelationshipProperty[Any], way: Relation) -> tuple[str, ...]:
    """The lines for a relationship: a ledger or a list of slugs, or an entry of ``Meta.exclude``."""
    exclude, model = f'exclude = ("{rel.key}",)', way.model.__name__
    if way.link is not None:
        key = next(iter(natural_keys(way.mapper)), "slug")
        return f'{rel.key} = SlugList("{rel.key}", key="{key}")', exclude
    many = "many=True" if way.many else "allow_none=True"
    return f"{rel.key} = Nested({model}Schema, {many})", exclude
