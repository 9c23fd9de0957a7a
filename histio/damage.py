"""Stored values that an export could only alter or lose: found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.contract import pointer
from histio.dialects import unreadable
from histio.identity import IdentitySql
from histio.kinds import Kind, Ledger, Table
from histio.mapping import is_unique
from histio.report import Problem


def unreadable_values(
    connection: Connection,
    kind: Kind,
    criteria: list[Any],
    bounds: list[Any],
    run: IdentitySql | None = None,
) -> Iterator[Problem]:
    """A problem for each stored value that would be altered, or stop everything, when it is loaded.

    *run*: the identity of runs of which *criteria* speak; None: they do not speak of related rows.
    """
    run = run or kind.identity.sql(kind.table.mapper.class_)
    width = len(run.parts)
    # A run whose time cannot be read is in no span of time, and must not be passed over for that.
    timed = kind.timestamp is not None
    timeless = unreadable(connection, kind.table.attribute(kind.timestamp or "")) if timed else None
    within = [*criteria, sa.or_(timeless, sa.and_(*bounds))] if bounds and timeless is not None else criteria
    for path, table in kind.table.paths():
        entity = kind.table.mapper.class_
        statement = run.join(sa.select(*run.parts).select_from(entity), outer=True)
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.ties(owner, entity)))
        bad = _bad_values(connection, table, entity)
        if not bad:
            continue
        identity = table.identity or kind.identity
        own = identity.sql(entity) if path and table.identity is not None else run
        statement = own.join(statement, outer=True) if own is not run else statement
        for row in connection.execute(
            statement.add_columns(*own.parts, *bad.values()).where(sa.or_(*bad.values()), *within)
        ):
            told = kind.named(kind.identity.joined(row[:width]))
            of = identity.words(identity.joined(row[width : -len(bad)]))
            for member, flag in zip(bad, row[-len(bad) :], strict=True):
                if flag:
                    name = table.names[member]
                    text = f"{kind.name} {told}: {name} of {of} is stored as what cannot be read exactly."
                    where = pointer(*names_of(kind.table, path), name)
                    yield Problem("error", "schema", text, where, kind.name, told)


def _of(entity: Any, table: Table, member: str) -> Any:
    """The *member* of *entity*, an alias of the model of *table*."""
    return getattr(entity, table.attribute(member).key)


def names_of(table: Table, path: tuple[Ledger, ...]) -> Iterator[str]:
    """The names of the *path* from *table* down its ledgers."""
    for ledger in path:
        yield table.names[ledger.member]
        table = ledger.table


def ambiguous_identities(connection: Connection, kind: Kind, criteria: list[Any]) -> Iterator[Problem]:
    """A problem for each identity that several rows have; pages could pass one of them over."""
    identity = kind.identity
    if all(part.relation is None for part in identity.parts) and is_unique(identity.columns):
        return
    own = identity.sql(kind.table.mapper.class_)
    there = (part.is_not(None) for part in own.parts)
    statement = own.select(sa.func.count()).where(*there, *criteria).group_by(*own.parts)
    for count, *values in connection.execute(statement.having(sa.func.count() > 1)):
        uuid = kind.named(identity.joined(values))
        named = " and ".join(identity.names)
        text = f"{kind.name} {uuid}: {count} rows have this {named}, which should identify one."
        yield Problem("error", "schema", text, pointer(*identity.steps), kind.name, uuid)


def unplaced(connection: Connection, kind: Kind, criteria: list[Any]) -> Iterator[Problem]:
    """A problem for each run whose identity or time is NULL: it has no place in the order of an export."""
    model, identity = kind.table.mapper.class_, kind.identity.sql(kind.table.mapper.class_)
    keys = [(part.name, own) for part, own in zip(kind.identity.parts, identity.parts, strict=True)]
    if kind.timestamp is not None and not kind.table.columns[kind.timestamp].nullable:
        keys.append((kind.table.names[kind.timestamp], kind.table.attribute(kind.timestamp)))
    lacking = [own.is_(None) for _, own in keys]
    mapper = kind.table.mapper
    row_key: list[Any] = [
        getattr(model, mapper.get_property_by_column(each).key) for each in mapper.primary_key
    ]
    statement = identity.join(sa.select(*identity.parts, *row_key, *lacking).select_from(model), outer=True)
    width = len(identity.parts)
    for row in connection.execute(statement.where(sa.or_(*lacking), *criteria)):
        uuid = kind.named(kind.identity.joined(row[:width]))
        at = ", ".join(
            f"{own.key} {value}" for own, value in zip(row_key, row[width : -len(keys)], strict=True)
        )
        for name in dict.fromkeys(
            name for (name, _), flag in zip(keys, row[-len(keys) :], strict=True) if flag
        ):
            text = (
                f"{kind.name} {uuid}: {name} is NULL in the row with {at}, so it has no place in the order."
            )
            yield Problem("error", "schema", text, pointer(name), kind.name, uuid)


def _bad_values(connection: Connection, table: Table, entity: Any) -> dict[str, sa.ColumnElement[bool]]:
    found = {member: unreadable(connection, _of(entity, table, member)) for member in table.columns}
    return {member: predicate for member, predicate in found.items() if predicate is not None}


def damages(connection: Connection, table: Table, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
    """What is true of rows that have unreadable values, in themselves or in their ledgers."""
    for predicate in _bad_values(connection, table, entity).values():
        yield sa.func.coalesce(predicate, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(damages(connection, ledger.table, below))
        if found:
            yield sa.exists().where(*ledger.ties(entity, below), sa.or_(*found))
