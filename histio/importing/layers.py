"""Split the rows of a model with joined inheritance into rows of its tables."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from histio.importing.owner_keys import owner_columns
from histio.kinds.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One of the tables of a model.

    Attributes:
        table: The table.
        inherited: By key of its columns, the columns of the tables before it that these are equal to.
    """

    table: sa.Table
    inherited: Mapping[str, sa.Column[Any]]

    def parameters(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The values of *row*, by column key, that this table has."""
        own = {key: value for key, value in row.items() if key in self.table.columns}
        return own | {key: row[column.key] for key, column in self.inherited.items()}


@functools.cache
def layers(mapper: Mapper[Any]) -> Sequence[Layer] | None:
    """The tables of *mapper*, base classes first; None: rows cannot be split by the keys of their values."""
    found = list(_layers(mapper))
    if len(found) != len(mapper.tables) or not all(isinstance(each.table, sa.Table) for each in found):
        return None
    keys = [key for each in found for key in each.table.columns if key not in each.inherited]
    inherited = {key for each in found for key, column in each.inherited.items() if column.key != key}
    return found if len(set(keys)) == len(keys) and inherited.isdisjoint(keys) else None


def can_be_split(table: Table) -> bool:
    """Whether rows of *table* can be inserted into one of its tables after the other."""
    found = layers(table.mapper)
    if found is None:
        return False
    base, *others = found
    equal = {column for layer in others for column in layer.inherited.values()}
    equal |= {layer.table.columns[key] for layer in others for key in layer.inherited}
    members = set(table.columns.values())
    own = table.identity_columns
    is_found = bool(own) and all(column.table is base.table for column in own)
    is_known = all(column in members for column in equal if column.table is base.table)
    return (is_found or is_known) and all(
        column in equal or column in members for column in owner_columns(table)
    )


def _layers(mapper: Mapper[Any]) -> Iterator[Layer]:
    base = mapper.inherits
    if base is None:
        yield Layer(mapper.local_table, {})  # type: ignore[arg-type]
        return
    yield from _layers(base)
    if mapper.local_table is not base.local_table:
        pairs = _equal_columns(mapper.inherit_condition, mapper.local_table)
        yield Layer(mapper.local_table, pairs)  # type: ignore[arg-type]


def _equal_columns(condition: Any, table: Any) -> dict[str, sa.Column[Any]]:
    """By key of columns of *table*, the other columns that they are equal to by *condition*."""
    pairs = {}
    for clause in condition.clauses if isinstance(condition, sa.BooleanClauseList) else (condition,):
        for own, other in ((clause.left, clause.right), (clause.right, clause.left)):
            if own.table is table:
                pairs[own.key] = other
    return pairs
