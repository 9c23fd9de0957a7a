"""Which runs and entries the database has already."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.database.dialects import latest
from histio.importing.parse import Run
from histio.kinds.identity import Identity
from histio.kinds.mapping import is_unique, unique_rules
from histio.kinds.table import Kind, Table
from histio.resolving.resolve import CHUNK


class Identities:
    """Looks up identities, a set at a time.

    Args:
        connection: In a transaction; only read from.
        values: By attribute, what the host fills columns with: identities may be unique beside those only.
    """

    def __init__(self, connection: Connection, values: Mapping[str, Any]) -> None:
        self._connection = connection
        self._values = values

    def of_others(self, kind: Kind, runs: list[Run]) -> list[Run]:
        """Those of *runs* whose identity exists, but by inheritance on a row of another kind."""
        mapper = kind.table.mapper
        if mapper.inherits is None or not isinstance(mapper.polymorphic_on, sa.Column):
            return []
        if kind.identity.columns[0].table is not mapper.polymorphic_on.table:
            return []  # the kind has the table for itself
        of_another = mapper.polymorphic_on != mapper.polymorphic_identity
        others = self._found(kind.identity, [run.identity for run in runs], [of_another], now=False)
        return [run for run in runs if run.identity in others]

    def known(self, table: Table, identities: Iterable[Any], *, now: bool = False) -> set[Any]:
        """Which of *identities* exist; *now*: also what others committed since this transaction began."""
        if table.identity is None:
            return set()
        within = [other == value for other, value in self.scope(table).items()]
        found = self._found(table.identity, identities, within, now=now)
        return set(map(table.identity.normal, found))

    def owners(self, kind: Kind, table: Table, identities: Collection[Any]) -> dict[Any, Any]:
        """By identity of a stored ledger entry, that of the run of *kind* to which it belongs."""
        if table.identity is None:
            return {}
        path = next(path for path, below in kind.table.paths() if below is table)
        entity = kind.table.mapper.class_
        run = kind.identity.sql(entity)
        statement = run.select()
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.ties(owner, entity)))
        own, width = table.identity.sql(entity), len(run.parts)
        statement = own.join(statement).add_columns(*own.parts).where(own.among(identities))
        return {
            table.identity.normal(table.identity.joined(row[width:])): kind.identity.normal(
                kind.identity.joined(row[:width])
            )
            for row in self._connection.execute(statement)
        }

    def _found(
        self, identity: Identity, identities: Iterable[Any], criteria: list[Any], *, now: bool
    ) -> set[Any]:
        found: set[Any] = set()
        remaining, own = iter(identities), identity.sql()
        while chunk := list(itertools.islice(remaining, CHUNK // len(own.parts))):
            statement = own.select().where(own.among(chunk), *criteria)
            statement = latest(self._connection, statement) if now else statement
            found.update(identity.joined(row) for row in self._connection.execute(statement))
        return found

    def scope(self, table: Table) -> dict[sa.Column[Any], Any]:
        """Where an identity is unique only beside columns that the host fills (a tenant's): their values."""
        own = table.identity_columns
        names = {each: name for name, each in table.mapper.columns.items()}
        for rule in () if not own or is_unique(*own) else unique_rules(own[0].table):
            others = {other: names.get(other) for other in rule.columns if other not in own}
            whole = len(others) + len(own) == len(rule.columns)
            if whole and self._values.keys() >= set(others.values()):
                return {other: self._values[name] for other, name in others.items() if name is not None}
        return {}
