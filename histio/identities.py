"""Which runs and entries the database has already."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.dialects import latest
from histio.kinds import Kind, Table
from histio.mapping import is_unique, unique_rules
from histio.resolver import CHUNK
from histio.runs import Run


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
        column = kind.table.columns[kind.identity]
        if column.table is not mapper.polymorphic_on.table:
            return []  # the kind has the table for itself
        of_another = mapper.polymorphic_on != mapper.polymorphic_identity
        others = self._found(column, [run.identity for run in runs], [of_another], now=False)
        return [run for run in runs if run.identity in others]

    def known(self, table: Table, identities: Iterable[Any], *, now: bool = False) -> set[Any]:
        """Which of *identities* exist; *now*: also what others committed since this transaction began."""
        within = [other == value for other, value in self.scope(table).items()]
        found = self._found(table.columns[table.identity or ""], identities, within, now=now)
        return {table.normal(identity) for identity in found}

    def owners(self, kind: Kind, table: Table, identities: Iterable[Any]) -> dict[Any, Any]:
        """By identity of a stored ledger entry, that of the run of *kind* to which it belongs."""
        path = next(path for path, below in kind.table.paths() if below is table)
        statement, entity = sa.select(kind.table.attribute(kind.identity)), kind.table.mapper.class_
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.ties(owner, entity)))
        own = getattr(entity, table.attribute(table.identity or "").key)
        found = self._connection.execute(statement.add_columns(own).where(own.in_(list(identities))))
        return {table.normal(entry): kind.table.normal(run) for run, entry in found}

    def _found(
        self, column: sa.Column[Any], identities: Iterable[Any], criteria: list[Any], *, now: bool
    ) -> set[Any]:
        found: set[Any] = set()
        remaining = iter(identities)
        while chunk := list(itertools.islice(remaining, CHUNK)):
            statement = sa.select(column).where(column.in_(chunk), *criteria)
            statement = latest(self._connection, statement) if now else statement
            found.update(self._connection.execute(statement).scalars())
        return found

    def scope(self, table: Table) -> dict[sa.Column[Any], Any]:
        """Where an identity is unique only beside columns that the host fills (a tenant's): their values."""
        column = table.columns[table.identity or ""]
        names = {each: name for name, each in table.mapper.columns.items()}
        for rule in () if is_unique(column) else unique_rules(column.table):
            others = {other: names.get(other) for other in rule.columns if other is not column}
            if len(others) < len(rule.columns) and self._values.keys() >= set(others.values()):
                return {other: self._values[name] for other, name in others.items() if name is not None}
        return {}
