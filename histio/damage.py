"""Stored values that an export could only alter or lose: found before anything is read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.contract import pointer
from histio.dialects import order_key, unreadable
from histio.fields import RunUUID
from histio.identity import IdentitySql
from histio.kinds import Kind, Ledger, Table
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
    if identity.is_unique:
        return
    own = identity.sql(kind.table.mapper.class_)
    there = (part.is_not(None) for part in own.parts)
    exactly = sort_keys(connection, own)  # a collation may take several for the same
    statement = own.select(sa.func.count()).where(*there, *criteria).group_by(*own.parts, *exactly)
    for count, *values in connection.execute(statement.having(sa.func.count() > 1)):
        uuid = kind.named(identity.joined(values))
        named = " and ".join(identity.names)
        text = f"{kind.name} {uuid}: {count} rows have this {named}, which should identify one."
        yield Problem("error", "schema", text, pointer(*identity.steps), kind.name, uuid)


def sort_keys(connection: Connection, identity: IdentitySql) -> list[sa.ColumnElement[Any]]:
    """What sorts rows by their identity, part by part, alike in all databases."""
    return [
        order_key(connection, own, of_uuids=isinstance(part.field, RunUUID))
        for part, own in zip(identity.identity.parts, identity.parts, strict=True)
    ]


def unplaced(connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any]) -> Iterator[Problem]:
    """A problem for each NULL in the identity or the time of a run: no order has a place for the run."""
    model, mapper = kind.table.mapper.class_, kind.table.mapper
    identity = kind.identity.sql(model)
    lacking = [own.is_(None) for own in identity.parts]
    names = [part.name for part in kind.identity.parts]
    here = sa.and_(sa.or_(*lacking), *bounds)
    if kind.timestamp is not None and not kind.table.columns[kind.timestamp].nullable:
        lacking.append(kind.table.attribute(kind.timestamp).is_(None))
        names.append(kind.table.names[kind.timestamp])
        here = sa.or_(here, lacking[-1])  # no bounds are true of it
    keys: list[Any] = [getattr(model, mapper.get_property_by_column(each).key) for each in mapper.primary_key]
    statement = identity.join(sa.select(*keys, *identity.parts, *lacking).select_from(model), outer=True)
    for row in connection.execute(statement.where(here, *criteria)):
        uuid = kind.named(kind.identity.joined(row[len(keys) : -len(lacking)]))
        at = ", ".join(f"{key.key} {value}" for key, value in zip(keys, row, strict=False))
        for name in dict.fromkeys(itertools.compress(names, row[-len(lacking) :])):
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
