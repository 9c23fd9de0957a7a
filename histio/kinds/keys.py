"""Find the unique, surrogate and natural keys of a host's tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper

from histio.kinds.column_types import underlying


def unique_rules(table: Any) -> list[Any]:
    """The unique constraints and indexes of *table*."""
    rules = (*table.constraints, *table.indexes)
    return [rule for rule in rules if isinstance(rule, sa.UniqueConstraint) or getattr(rule, "unique", False)]


def unique_on(*columns: sa.Column[Any]) -> set[str]:
    """The names of the constraints and indexes over exactly these *columns* of one table.

    An unnamed one has the names that PostgreSQL and MariaDB give it.
    """
    table, names = columns[0].table, set[str]()
    if set(table.primary_key.columns) == set(columns):
        names.add(str(table.primary_key.name or f"{table.name}_pkey"))
    for rule in unique_rules(table):
        if set(rule.columns) == set(columns):
            parts = [column.name for column in rule.columns]
            own = {"_".join([table.name, *parts, "key"]), parts[0]}
            names |= own if rule.name is None else {str(rule.name)}
    return names


def is_unique(*columns: sa.Column[Any]) -> bool:
    """Whether no two rows may have the same values in *columns* of one table."""
    table = columns[0].table
    return any(
        rule.columns and set(rule.columns) <= set(columns)
        for rule in (table.primary_key, *unique_rules(table))
    )


def is_indexed(*columns: sa.Column[Any]) -> bool:
    """Whether an index of their table begins with these *columns*."""
    table: Any = columns[0].table
    rules = (table.primary_key, *unique_rules(table), *table.indexes)
    return any(set(list(rule.columns)[: len(columns)]) == set(columns) for rule in rules)


def is_surrogate_key(column: sa.Column[Any]) -> bool:
    """Whether *column* is an integer primary key that the database or the application counts up.

    In a key of several columns, a number is data, such as the step of a measurement, unless the database
    counts it.
    """
    if not column.primary_key or column.foreign_keys or not isinstance(underlying(column.type), sa.Integer):
        return False
    if column.identity is not None or getattr(column.table, "autoincrement_column", None) is column:
        return True
    others = [each for each in column.table.primary_key if each is not column and not each.foreign_keys]
    return not others and _default_counts(column)


def _default_counts(column: sa.Column[Any]) -> bool:
    """Whether the default of *column* is not a constant, and gives each row another number."""
    default: Any = column.default
    if default is not None:
        return not default.is_scalar
    if column.server_default is None:
        return False
    constant = str(getattr(column.server_default, "arg", "")).strip("'\"()")
    return not constant.lstrip("-").isdigit()


_KEY_NAMES = ("slug", "uuid", "code", "key", "name", "number", "email", "username", "title")


def natural_keys(mapper: Mapper[Any]) -> list[str]:
    """The attributes that may identify a row to people and other databases, the most likely first.

    Unique columns come before others; of these, columns with a usual name come first.
    """

    def rank(prop: ColumnProperty[Any]) -> tuple[bool, int]:
        place = next((at for at, name in enumerate(_KEY_NAMES) if prop.key.endswith(name)), len(_KEY_NAMES))
        return not is_unique(prop.columns[0]), place  # type: ignore[arg-type]

    candidates = [
        prop
        for prop in mapper.column_attrs
        if isinstance(column := prop.columns[0], sa.Column)
        and not (is_surrogate_key(column) or column.foreign_keys)
        and (is_unique(column) or prop.key in _KEY_NAMES)
    ]
    return [prop.key for prop in sorted(candidates, key=rank)]
