"""Find the tables that an export reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.util import find_tables as find_in_clause

from histio.exporting.selection import Selection
from histio.kinds.relations import relation
from histio.kinds.table import Kind, Table


def find_tables(selection: Selection, catalog: Sequence[Kind]) -> set[sa.Table]:
    """All tables that an export of the selected runs and of the *catalog* kinds reads."""
    tables: set[Any] = set()
    for kind in (*catalog, *selection):
        for table in kind.table.all():
            tables.update(table.core_tables)
            for mapper in _mappers(table):
                tables.update(_tables_of(mapper))
    for filters in selection.values():
        if filters.where is not None:
            tables.update(_tables_in(filters.where))
    return {table for table in tables if isinstance(table, sa.Table)}


def _mappers(table: Table) -> Iterator[Mapper[Any]]:
    """The mappers of all rows from which a record takes values."""
    yield from table.mappers()
    yield from (sa.inspect(snapshot.model) for snapshot in table.snapshots)
    for reference in table.all_references:
        for chain in reference.slugs.values():
            for path in (path for key in chain for path in key):
                mapper = reference.relation.mapper
                for name in path.split(".")[:-1]:
                    mapper = relation(mapper, name).mapper
                    yield mapper


def _tables_of(mapper: Mapper[Any]) -> Iterator[Any]:
    """The tables of a model, and those that its computed attributes read."""
    yield from mapper.tables
    for attribute in mapper.column_attrs:
        for expression in attribute.columns:
            yield from _tables_in(expression)


def _tables_in(clause: Any) -> list[Any]:
    return find_in_clause(clause, check_columns=True, include_aliases=True, include_selects=True)
