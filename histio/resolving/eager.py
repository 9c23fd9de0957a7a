"""Rows with all that their records need, in a constant number of SELECTs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, undefer

from histio.kinds.mapping import Relation, attribute, is_among, select_rows
from histio.kinds.table import Links, Reference, Table
from histio.resolving.resolve import CHUNK


def _relations(table: Table) -> Iterator[tuple[Relation, Any, list[Any]]]:
    """Each relation of *table*, how it is loaded along with the rows, and what is loaded below it."""
    yield from ((each.relation, joinedload, _to_keys(each)) for each in table.references)
    yield from ((each.relation, selectinload, _to_keys(each)) for each in table.links)
    yield from ((each.relation, selectinload, eager(each.table)) for each in table.ledgers)


def eager(table: Table) -> list[Any]:
    """Load related rows by join and ledgers by one SELECT each, so that no dump asks for more."""
    own = [table.attribute(member) for member in table.columns]
    return [undefer(each) for each in own if each.property.deferred] + [
        load(relation.relationship.class_attribute).options(*below)
        for relation, load, below in _relations(table)
        if relation.relationship is not None and not relation.apart
    ]


def _to_keys(named: Reference | Links) -> list[Any]:
    """Load, by join, what the key of a related row is made of."""
    chains = [named.chain] if isinstance(named, Links) else named.slugs.values()
    options: list[Any] = []
    for path in (path for key, *_ in chains for path in key):
        model, option = named.relation.mapper, None
        for step in path.split(".")[:-1]:
            step_to = model.relationships[step].class_attribute
            option = joinedload(step_to) if option is None else option.joinedload(step_to)
            model = model.relationships[step].mapper
        last = getattr(model.class_, path.rpartition(".")[2])
        if last.property.deferred:
            option = undefer(last) if option is None else option.undefer(last)
        options += [] if option is None else [option]
    return options


def complete(session: Session, table: Table, rows: list[Any]) -> None:
    """Fetch what the mapper cannot load along with *rows*, in one SELECT for each relation."""
    for relation, _, below in _relations(table):
        if relation.apart:
            _fetch(session, relation, rows, below)
        for row in rows if relation.never_loaded else ():
            relation.note_loaded(row)
    for ledger in table.ledgers:
        entries = [ledger.relation.follow(row) for row in rows] if _has_parts(ledger.table) else []
        flat = (
            list(itertools.chain.from_iterable(entries))
            if ledger.many
            else [e for e in entries if e is not None]
        )
        if flat:
            complete(session, ledger.table, flat)


def _has_parts(table: Table) -> bool:
    """Whether `complete` has something to do below *table*."""
    return any(relation.apart or relation.never_loaded for relation, _, _ in _relations(table)) or any(
        _has_parts(ledger.table) for ledger in table.ledgers
    )


def _fetch(session: Session, relation: Relation, rows: list[Any], options: list[Any]) -> None:
    keys = [relation.key(row) for row in rows]
    wanted = list({key for key in keys if None not in key})
    found: dict[tuple[Any, ...], list[Any]] = {}
    for start in range(0, len(wanted), CHUNK):
        statement = _related(relation, wanted[start : start + CHUNK]).options(*options)
        for related, *own in session.execute(statement):
            found.setdefault(tuple(own), []).append(related)
    for row, key in zip(rows, keys, strict=True):
        of_row = found.get(key, [])
        relation.keep(row, of_row if relation.many else next(iter(of_row), None))


def _related(relation: Relation, keys: list[tuple[Any, ...]]) -> sa.Select[Any]:
    """A SELECT of related rows, each with the key of the row that they belong to."""
    if relation.relationship is None:
        return relation.select(keys).add_columns(*relation.remote)
    mapper = relation.relationship.parent
    owner = aliased(mapper.class_)
    local = [getattr(owner, attribute(mapper, column).key) for column in relation.local]
    statement = select_rows(relation.model, *local).select_from(owner)
    return statement.join(getattr(owner, relation.name)).where(is_among(local, keys))
