"""Load rows with everything that their records need, in a constant number of SELECTs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, undefer

from histio.kinds.mapping import attribute
from histio.kinds.relations import Relation
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among, select_rows
from histio.kinds.table import Links, Reference, Table


def _relations(table: Table) -> Iterator[tuple[Relation, Any, list[Any]]]:
    """Each relation of *table*, the loader to use for it, and the options for the related rows."""
    yield from ((each.relation, joinedload, _load_keys(each)) for each in table.references)
    yield from ((each.relation, selectinload, _load_keys(each)) for each in table.links)
    yield from ((each.relation, selectinload, eager_options(each.table)) for each in table.ledgers)


def eager_options(table: Table) -> list[Any]:
    """Options that load referenced rows by joins, and each ledger by one SELECT."""
    own = [table.attribute(member) for member in table.columns]
    return [undefer(each) for each in own if each.property.deferred] + [
        load(relation.relationship.class_attribute).options(*below)
        for relation, load, below in _relations(table)
        if relation.relationship is not None and not relation.apart
    ]


def _load_keys(reference: Reference | Links) -> list[Any]:
    """Options that load the parts of a related row's key by joins."""
    chains = [reference.chain] if isinstance(reference, Links) else reference.slugs.values()
    options: list[Any] = []
    for path in (path for key, *_ in chains for path in key):
        model, option = reference.relation.mapper, None
        for step in path.split(".")[:-1]:
            step_to = model.relationships[step].class_attribute
            option = joinedload(step_to) if option is None else option.joinedload(step_to)
            model = model.relationships[step].mapper
        last = getattr(model.class_, path.rpartition(".")[2])
        if last.property.deferred:
            option = undefer(last) if option is None else option.undefer(last)
        options += [] if option is None else [option]
    return options


def fetch_apart(session: Session, table: Table, rows: list[Any]) -> None:
    """Fetch related rows of *rows* that no loader option loads, in one SELECT per relation and chunk."""
    for relation, _, below in _relations(table):
        if relation.apart:
            _fetch(session, relation, rows, below)
        for row in rows if relation.never_loaded else ():
            relation.note_loaded(row)
    for ledger in table.ledgers:
        entries = [ledger.relation.follow(row) for row in rows] if _has_relations_apart(ledger.table) else []
        flat = (
            list(itertools.chain.from_iterable(entries))
            if ledger.many
            else [e for e in entries if e is not None]
        )
        if flat:
            fetch_apart(session, ledger.table, flat)


def _has_relations_apart(table: Table) -> bool:
    """Whether `fetch_apart` has relations to fetch for *table* or its ledgers."""
    return any(relation.apart or relation.never_loaded for relation, _, _ in _relations(table)) or any(
        _has_relations_apart(ledger.table) for ledger in table.ledgers
    )


def _fetch(session: Session, relation: Relation, rows: list[Any], options: list[Any]) -> None:
    keys = [relation.key(row) for row in rows]
    wanted = list({key for key in keys if None not in key})
    found: dict[tuple[Any, ...], list[Any]] = {}
    for start in range(0, len(wanted), KEYS_PER_STATEMENT):
        statement = _related(relation, wanted[start : start + KEYS_PER_STATEMENT]).options(*options)
        for related, *own in session.execute(statement):
            found.setdefault(tuple(own), []).append(related)
    for row, key in zip(rows, keys, strict=True):
        of_row = found.get(key, [])
        relation.keep(row, of_row if relation.many else next(iter(of_row), None))


def _related(relation: Relation, keys: list[tuple[Any, ...]]) -> sa.Select[Any]:
    """A SELECT of related rows, each with the key of the row that it belongs to."""
    if relation.relationship is None:
        return relation.select(keys).add_columns(*relation.remote)
    mapper = relation.relationship.parent
    owner = aliased(mapper.class_)
    local = [getattr(owner, attribute(mapper, column).key) for column in relation.local]
    statement = select_rows(relation.model, *local).select_from(owner)
    return statement.join(getattr(owner, relation.name)).where(is_among(local, keys))
