"""Find attributes that identify rows in any database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipDirection
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.texts import UUID_LENGTHS
from histio.kinds.keys import is_surrogate_key, is_unique, natural_keys, unique_rules
from histio.kinds.mapping import column_of
from histio.kinds.relations import relation

COUNTER = "a counter: other databases give its numbers to other rows"
UUID_NAMES = ("uuid", "guid", "uid")
_SLUG_NAMES = ("slug", "uuid", "guid", "uid", "code")


def identity_of(mapper: Mapper[Any]) -> tuple[str, ...]:
    """Choose the identity of a run: attributes, or natural keys of rows that it refers to.

    In this order: a UUID, a unique column, several columns that are unique together, a unique nullable
    column, a column with generated values, the primary key.
    """
    alone = [key for key in natural_keys(mapper) if is_unique(key_column(mapper, key))]
    uuids = [key for key in alone if is_uuid(mapper.column_attrs[key])]
    random = [key for key in alone if key not in uuids and _is_random(key_column(mapper, key))]
    plain = [key for key in (*uuids, *alone) if key not in random]
    not_null = [key for key in plain if not key_column(mapper, key).nullable]
    key = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    ranked: tuple[list[Any], ...] = (not_null, list(_unique_groups(mapper)), plain, random, [key])
    return next((found,) if isinstance(found, str) else found for keys in ranked for found in keys)


def _unique_groups(mapper: Mapper[Any]) -> Iterator[tuple[str, ...]]:
    """Groups of columns that are unique together; those without foreign keys come first."""
    return iter(sorted(unique_paths(mapper), key=lambda paths: any("." in path for path in paths)))


def unique_paths(mapper: Mapper[Any]) -> Iterator[tuple[str, ...]]:
    """Groups that are unique together: attributes, and natural keys of rows that foreign keys lead to."""
    table: Any = mapper.local_table
    for rule in (*unique_rules(table), table.primary_key):
        paths = [_path(mapper, column) for column in rule.columns]
        if len(paths) > 1 and None not in paths:
            yield tuple(path for path in paths if path is not None)


def _path(mapper: Mapper[Any], column: Any) -> str | None:
    """The attribute of *column* or, if it is a foreign key, the natural key of the other row; None: none."""
    if column.nullable or column not in mapper.columns.values():
        return None
    prop: Any = mapper.get_property_by_column(column)
    if not column.foreign_keys:
        return None if is_surrogate_key(column) else str(prop.key)
    way = way_of(mapper, prop)
    rel = None if way is None else mapper.relationships.get(way)
    keys = (
        []
        if rel is None
        else [
            key
            for key in natural_keys(rel.mapper)
            if is_unique(key_column(rel.mapper, key)) and not is_generated_uuid(rel.mapper, key)
        ]
    )
    return f"{way}.{keys[0]}" if keys else None


def is_unique_key(mapper: Mapper[Any], key: tuple[str, ...]) -> bool:
    if any("." in name for name in key):
        return key in set(unique_paths(mapper))
    columns = {key_column(mapper, name) for name in key}
    tables = {column.table for column in columns}
    rules = (rule for table in tables for rule in (table.primary_key, *unique_rules(table)))
    return any(set(rule.columns) == columns for rule in rules)


def _is_text(column_type: TypeEngine[Any]) -> bool:
    """Whether the values are text; with a decorator, a column of CHAR(36) may return UUIDs."""
    stored = underlying(column_type)
    kept = isinstance(stored, sa.String) and not isinstance(stored, sa.Enum)
    return kept and python_form(column_type, ["text"]) is not None


def is_free_text(mapper: Mapper[Any], key: tuple[str, ...]) -> bool:
    """Whether the key is free text, such as a name, which may have spaces at its ends."""
    texts = [path for path in key if _is_text(column_of(mapper, path).type)]
    return any(not path.endswith(_SLUG_NAMES) for path in texts)


def is_uuid(prop: ColumnProperty[Any]) -> bool:
    stored = underlying(prop.columns[0].type)
    is_text = isinstance(stored, sa.String) and stored.length in UUID_LENGTHS
    return isinstance(stored, sa.Uuid) or (is_text and prop.key in UUID_NAMES)


def plain_uuid(column: sa.Column[Any]) -> str | None:
    """The class of a field for UUIDs that do not identify anything; None: there is none."""
    if is_decorated(column.type):
        return None
    if isinstance(column.type, sa.Uuid):
        return "UUID" if column.type.as_uuid else None
    return "Text"


def is_generated_uuid(mapper: Mapper[Any], name: str) -> bool:
    """Whether the attribute is a primary key of generated UUIDs."""
    return bool(key_column(mapper, name).primary_key) and is_uuid(mapper.column_attrs[name])


def _is_random(column: sa.Column[Any]) -> bool:
    """Whether the application generates a value for each row, such as a token."""
    return column.default is not None and column.default.is_callable


def way_of(mapper: Mapper[Any], prop: ColumnProperty[Any]) -> str | None:
    """The relationship or attribute by which the column refers to another row; None: it does not."""
    column = prop.columns[0]
    if not isinstance(column, sa.Column) or not column.foreign_keys:
        return None
    for rel in mapper.relationships:
        if rel.direction is RelationshipDirection.MANYTOONE and column in set(rel.local_columns):
            return rel.key
    try:
        relation(mapper, prop.key)
    except (BindingError, sa.exc.NoReferencedTableError):  # no model is mapped to the other table
        return None
    return prop.key


def key_column(mapper: Mapper[Any], name: str) -> Any:
    return mapper.column_attrs[name].columns[0]
