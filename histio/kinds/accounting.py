"""Account for every column and relationship of the bound models.

A mapped attribute is in the format, excluded, filled by the import, or part of the machinery of one database,
such as a surrogate key. Anything else is an error, so that no column is left out silently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy.orm import ColumnProperty, RelationshipDirection, RelationshipProperty

from histio.kinds.account import Account, Item, build_error
from histio.kinds.associations import association_model, data_columns
from histio.kinds.lines import column_lines, filling_lines, relationship_lines
from histio.kinds.machinery import column_machinery, relationship_machinery
from histio.kinds.relations import Relation, relation
from histio.kinds.table import Kind, Ledger, Table


def accounts(
    kinds: Sequence[Kind], *, values: Collection[str] = (), acting: Collection[Table] = ()
) -> list[Account]:
    """The account of each table of *kinds*, owners before their ledgers.

    Args:
        kinds: All kinds of a history. If one kind refers to another, the other need not refer back.
        values: The attributes that the import fills.
        acting: Tables whose models have constructors or listeners that may fill columns.
    """
    used = [way for kind in kinds for table in kind.table.all() for way in _ways(table)]
    bound = {table.rows for kind in kinds for table in kind.table.all()}
    return [
        Account((kind.name, *path), table, tuple(_items(table, owner, used, bound, values, acting)))
        for kind in kinds
        for path, owner, table in _tables(kind.table)
    ]


def check_accounts(
    kinds: Sequence[Kind], *, values: Collection[str] = (), acting: Collection[Table] = ()
) -> None:
    """Raise a BindingError that lists every column and relationship of *kinds* that is not accounted for."""
    error = build_error(accounts(kinds, values=values, acting=acting))
    if error is not None:
        raise error


def _tables(
    table: Table, owner: Ledger | None = None, *path: str
) -> Iterator[tuple[tuple[str, ...], Ledger | None, Table]]:
    yield path, owner, table
    for ledger in table.ledgers:
        yield from _tables(ledger.table, ledger, *path, table.names[ledger.member])


def _ways(table: Table) -> Iterator[Relation]:
    """Each relation that the format follows from *table*."""
    yield from (each.relation for each in table.references)
    yield from (each.relation for each in table.links)
    yield from (each.relation for each in table.ledgers)


def _items(
    table: Table,
    owner: Ledger | None,
    used: Sequence[Relation],
    bound: Collection[Any],
    values: Collection[str],
    acting: Collection[Table],
) -> Iterator[Item]:
    columns = {prop.key: _column_item(table, owner, prop, values) for prop in table.mapper.column_attrs}
    related = {
        rel.key: _relationship_item(table, rel, used, bound)
        for rel in table.mapper.relationships
        if rel.direction is not RelationshipDirection.MANYTOONE or rel.key in _names(table)
    }
    related |= {item.name: item for item in _association_items(table, bound)}
    excluded, missing = _excluded(table), set()
    for name, item in (columns | related).items():
        if item.status in ("missing", "machinery") and name in excluded:
            yield Item(name, "excluded", "Meta.exclude")
        elif item.status == "missing" and table.schema.opts.unbound == "ignore":
            yield Item(name, "ignored", 'Meta.unbound = "ignore"')
        else:
            missing |= {name} if item.status == "missing" else set()
            yield item
    if table not in acting and table.schema.opts.unbound != "ignore":
        yield from _unfilled(table, owner, values, missing)


def _excluded(table: Table) -> set[str]:
    """The attributes that the schema excludes, by their own names or the names of their fields."""
    schema, mapper = table.schema, table.mapper
    names = {*schema.excluded, *(set(schema.declared_fields) - set(schema.fields))}
    found: set[str] = set()
    for name in names:
        field = schema.declared_fields.get(name)
        attribute = name if field is None else field.attribute or name
        way = getattr(field, "relationship", None) or attribute
        found |= {name, attribute, way}
        rel = mapper.relationships.get(way)
        if rel is not None and rel.direction is RelationshipDirection.MANYTOONE:
            columns = rel.local_columns
            found |= {prop.key for prop in mapper.column_attrs if not columns.isdisjoint(prop.columns)}
    return found


def _names(table: Table) -> set[str]:
    return {way.name for way in _ways(table)}


def _column_item(
    table: Table, owner: Ledger | None, prop: ColumnProperty[Any], values: Collection[str]
) -> Item:
    name, column = prop.key, prop.columns[0]
    member = _member(table, prop)
    if member is not None:
        return Item(name, "field", member)
    if name in values:
        return Item(name, "values", "values=")
    why = _find_carrier(table, owner, prop) or column_machinery(table.mapper, prop)
    if why is not None:
        return Item(name, "machinery", why)
    return Item(name, "missing", "a column", column_lines(table.mapper, name, column))


def _member(table: Table, prop: ColumnProperty[Any]) -> str | None:
    """The name of the field that has the column's values; None: no field."""
    for member, column in table.columns.items():
        if column in set(prop.columns):
            return table.names[member]
    dumped = table.schema.dump_fields.items()
    return next((name for name, field in dumped if (field.attribute or name) == prop.key), None)


def _find_carrier(table: Table, owner: Ledger | None, prop: ColumnProperty[Any]) -> str | None:
    """What in the format fills the column although no field has its value; None: nothing does."""
    for reference in table.references:
        if not set(prop.columns).isdisjoint(reference.relation.local):
            return f"carried by {' and '.join(table.names[member] for member in reference.slugs)}"
    for ledger in table.ledgers:
        way = ledger.relation.relationship
        leads = way is not None and way.direction is RelationshipDirection.MANYTOONE
        if leads and not set(prop.columns).isdisjoint(ledger.relation.local):
            return f"carried by {table.names[ledger.member]}"
    if owner is not None:
        if not set(prop.columns).isdisjoint(owner.local):
            return "filled from the owner's row"
        if not set(prop.columns).isdisjoint(owner.constants):
            return "a constant of the ledger's join"
    return None


def _relationship_item(
    table: Table, rel: RelationshipProperty[Any], used: Sequence[Relation], bound: Collection[Any]
) -> Item:
    way = relation(table.mapper, rel.key)
    member = _related_member(table, rel.key)
    if member is not None:
        return Item(rel.key, "field", member)
    why = relationship_machinery(table, way, used, bound)
    if why is not None:
        return Item(rel.key, "machinery", why)
    what = "rows over an association table" if way.link else "a ledger" if way.many else "a row of its own"
    lines = relationship_lines(rel, way)
    if table.schema.is_catalog and way.link is None:
        *fields, exclude = lines
        lines = (*fields, f"History(…, catalog=(…, {way.model.__name__}Schema))", exclude)
    return Item(rel.key, "missing", what, lines)


def _association_items(table: Table, bound: Collection[Any]) -> Iterator[Item]:
    """An item for each column of an association table that a list of slugs would lose."""
    for rel in (links.relation.relationship for links in table.links):
        if rel is None or rel.secondary in bound:
            continue
        model = association_model(rel)
        for column in data_columns(rel):
            name = f"{rel.key}.{column.name}"
            lines: tuple[str, ...] = (f'exclude = ("{name}",)',)
            if model is not None:
                table_name = str(model.local_table)
                nested = f"{table_name} = Nested({model.class_.__name__}Schema, many=True)"
                lines = (f"{nested} instead of {rel.key}", *lines)
            yield Item(name, "missing", "a column of the association table", lines)


def _related_member(table: Table, name: str) -> str | None:
    """The names of the fields that use the relationship *name*; None: no field."""
    members = {ledger.relation.name: ledger.member for ledger in table.ledgers}
    members |= {links.relation.name: links.member for links in table.links}
    if name in members:
        return table.names[members[name]]
    slugs = next((each.slugs for each in table.references if each.relation.name == name), {})
    return ", ".join(table.names[member] for member in slugs) or None


def _unfilled(
    table: Table, owner: Ledger | None, values: Collection[str], missing: Collection[str]
) -> Iterator[Item]:
    """NOT NULL columns without a default that nothing fills."""
    mapper = table.mapper
    by_column = {column: prop for prop in mapper.column_attrs for column in prop.columns}
    filled = set(table.columns.values())
    for core in mapper.tables:
        for column in core.columns:
            prop = by_column.get(column)
            name = column.name if prop is None else prop.key
            is_key = column.primary_key and (core is not mapper.base_mapper.local_table)
            if not _needs_value(column) or column in filled or is_key or name in missing or name in values:
                continue
            if prop is not None and (_find_carrier(table, owner, prop) or column_machinery(mapper, prop)):
                continue
            lines = (f"values={{{name!r}: …}}",) if prop is None else filling_lines(mapper, name, column)
            yield Item(name, "missing", "NOT NULL without a default, and nothing fills it", lines)


def _needs_value(column: Any) -> bool:
    stands_in = (column.default, column.server_default, column.computed, column.identity)
    grows = column.table._autoincrement_column is column  # noqa: SLF001 - the property raises for views
    return not column.nullable and stands_in == (None, None, None, None) and not grows
