"""Check that catalog kinds fit the references of a history, so that created rows are found by them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Mapper

from histio.kinds.base import binding_error
from histio.kinds.lines import column_lines
from histio.kinds.mapping import find_column, mapper_of
from histio.kinds.relations import relation
from histio.kinds.table import Kind, Table


def check_catalog(
    catalog: Sequence[Kind],
    runs: Sequence[Kind],
    *,
    values: Collection[str] = (),
    acting: Collection[Table] = (),
) -> None:
    """Check what the kinds of a *catalog* describe, and that their records have the keys of references.

    Args:
        catalog: The catalog kinds.
        runs: The kinds of run.
        values: The attributes that the import fills.
        acting: Tables whose models have constructors or listeners that may fill columns.

    Raises:
        BindingError: A catalog kind refers to runs, its rows are in another record too, or a reference names
            them by a key that their records do not have.
    """
    for row, run in itertools.product(catalog, runs):
        for table, named in row.refers_to(run):
            text = f"refers to {run.name}, but catalog rows are written before runs"
            field = table.names[next(iter(named.slugs))]
            raise binding_error(table.schema, text, field=field, advice="exclude it")
    for kind in catalog:
        _check_rows_apart(kind, (*catalog, *runs))
    for kind in (*catalog, *runs) if catalog else ():
        for table in kind.table.all():
            _check_keys(table, catalog, values, acting)


def _check_rows_apart(kind: Kind, kinds: Sequence[Kind]) -> None:
    """Raise BindingError if another record than those of the catalog *kind* has its rows."""
    for other in kinds:
        for table in other.table.all():
            if table is not kind.table and _share_rows(kind.table.mapper, table.mapper):
                text = f"{type(table.schema).__name__} has the rows of {table.mapper.class_.__name__}, too"
                advice = "leave out one of the two"
                raise binding_error(kind.table.schema, text, field="Meta.model", advice=advice)


def _share_rows(one: Mapper[Any], other: Mapper[Any]) -> bool:
    """Whether a row may be of both models; models that inherit from the same one have different rows."""
    return _has_rows_of(one, other) or other.isa(one)


def _has_rows_of(one: Mapper[Any], other: Mapper[Any]) -> bool:
    """Whether every row of *one* is a row of *other*."""
    return one.isa(other) or (not one.common_parent(other) and one.local_table is other.local_table)


def _check_keys(
    table: Table, catalog: Sequence[Kind], values: Collection[str], acting: Collection[Table]
) -> None:
    """Raise BindingError if a reference of *table* names rows by a key that their records do not have."""
    for named in table.all_references:
        mapper = named.relation.mapper
        keys = [(member, path) for member, chain in named.slugs.items() for path in chain[0]]
        for kind, (member, path) in itertools.product(_kinds_with(mapper, catalog), keys):
            for lacking, name in _lacking(kind.table, path, catalog, values, acting):
                place = f"{type(table.schema).__name__}.{table.names[member]}"
                text = (
                    f"{place} names rows of {mapper.class_.__name__} by {path!r}, but these records have no "
                    f"{name!r}, so that rows that they create could not be found"
                )
                raise binding_error(lacking.schema, text, advice=_advice(lacking.mapper, name))


def _kinds_with(mapper: Mapper[Any], catalog: Sequence[Kind]) -> list[Kind]:
    """The kinds of the *catalog* that may have rows of *mapper*."""
    return [kind for kind in catalog if _share_rows(kind.table.mapper, mapper)]


def _lacking(
    table: Table, path: str, catalog: Sequence[Kind], values: Collection[str], acting: Collection[Table]
) -> Iterator[tuple[Table, str]]:
    """Yield the table and the attribute that a *path* from *table* needs, if records do not have it."""
    step, dot, rest = path.partition(".")
    if table in acting or step in values:
        return
    if not dot:
        if not _has_value(table, step):
            yield table, step
        return
    way = relation(table.mapper, step)
    if any(each.relation.local == way.local for each in table.references):
        further = [kind.table for kind in _kinds_with(way.mapper, catalog)]
    else:
        further = [each.table for each in table.ledgers if each.relation.remote == way.remote]
        if not further:
            yield table, step
    for each in further:
        yield from _lacking(each, rest, catalog, values, acting)


def _has_value(table: Table, name: str) -> bool:
    """Whether a record, or the database itself, fills the column *name*."""
    column = find_column(table.mapper, name)
    if column is None:
        return False
    columns = set(table.mapper.get_property_by_column(column).columns)
    filled = {*table.columns.values(), *(each for ref in table.references for each in ref.relation.local)}
    return column.computed is not None or not columns.isdisjoint(filled)


def _advice(mapper: Mapper[Any], name: str) -> str | None:
    """The line that adds the attribute *name* to the schema; None: no field can hold it."""
    rel = mapper.relationships.get(name)
    column = find_column(mapper, name) if rel is None else next(iter(rel.local_columns), None)
    lines = () if column is None else column_lines(mapper, name, column)[:-1]
    return f"write {lines[0]}" if lines else None


def unmoved_models(kinds: Sequence[Kind]) -> list[type[Any]]:
    """The models whose rows *kinds* refer to, although no kind has them."""
    tables = [table for kind in kinds for table in kind.table.all()]
    ways = [way.relation.mapper for table in tables for way in table.all_references]
    ways += [mapper_of(snapshot.model) for table in tables for snapshot in table.snapshots]
    models = dict.fromkeys(each for mapper in ways for each in concrete_mappers(mapper))
    return [
        mapper.class_ for mapper in models if not any(_has_rows_of(mapper, table.mapper) for table in tables)
    ]


def concrete_mappers(mapper: Mapper[Any]) -> list[Mapper[Any]]:
    """The mapper of each class that rows of *mapper* may have, without those that only subclasses have."""
    return [
        each
        for each in mapper.self_and_descendants
        if each.polymorphic_on is None or each.polymorphic_identity is not None
    ]


def unreferenced(catalog: Sequence[Kind], runs: Sequence[Kind]) -> list[Kind]:
    """The catalog kinds whose rows nothing refers to, apart from rows of the same kind."""
    return [
        kind
        for kind in catalog
        if not any(any(other.refers_to(kind)) for other in (*catalog, *runs) if other is not kind)
    ]
