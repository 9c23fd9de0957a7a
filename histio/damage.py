"""Stored values that an export could only alter or lose: found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.contract import pointer
from histio.dialects import unreadable
from histio.kinds import Kind, Ledger, Table
from histio.mapping import is_unique
from histio.report import Problem


def unreadable_values(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any]
) -> Iterator[Problem]:
    """A problem for each stored value that would be altered, or stop everything, when it is loaded."""
    run = kind.table.attribute(kind.identity)
    # A run whose time cannot be read is in no span of time, and must not be passed over for that.
    timed = kind.timestamp is not None
    timeless = unreadable(connection, kind.table.attribute(kind.timestamp or "")) if timed else None
    within = [*criteria, sa.or_(timeless, sa.and_(*bounds))] if bounds and timeless is not None else criteria
    for path, table in kind.table.paths():
        statement, entity = sa.select(run), kind.table.mapper.class_
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.ties(owner, entity)))
        bad = _bad_values(connection, table, entity)
        if not bad:
            continue
        own = run if table.identity is None else _of(entity, table, table.identity)
        for uuid, entry, *flags in connection.execute(
            statement.add_columns(own, *bad.values()).where(sa.or_(*bad.values()), *within)
        ):
            for member, flag in zip(bad, flags, strict=True):
                if flag:
                    told = kind.named(uuid)
                    name = table.names[member]
                    of = told if table.identity is None else table.named(entry)
                    text = f"{kind.name} {told}: {name} of {of} is stored as what cannot be read exactly."
                    where = pointer(*names_of(kind.table, path), name)
                    yield Problem("error", "schema", text, where, kind.name, str(told))


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
    identity = kind.table.attribute(kind.identity)
    if is_unique(kind.table.columns[kind.identity]):
        return
    statement = sa.select(identity, sa.func.count()).where(*criteria).group_by(identity)
    for value, count in connection.execute(statement.having(sa.func.count() > 1)):
        uuid = kind.named(value)
        name = kind.table.names[kind.identity]
        text = f"{kind.name} {uuid}: {count} rows have this {name}, which should identify one."
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
