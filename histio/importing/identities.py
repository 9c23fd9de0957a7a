"""Find which runs and ledger entries exist in the database."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.database.dialects import CharacterSets, is_among_values, latest
from histio.importing.row import Row
from histio.kinds.identity import Identity
from histio.kinds.selects import KEYS_PER_STATEMENT
from histio.kinds.table import Kind, Table


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Looks up identities, a set at a time.

    Attributes:
        connection: A connection in a transaction; it is only read from.
        character_sets: The character sets of the database.
        scopes: By table, the columns that identify a row together with its identity, and their values.
    """

    connection: Connection
    character_sets: CharacterSets
    scopes: Mapping[Table, Mapping[sa.Column[Any], Any]]

    def find_known(self, table: Table, identities: Iterable[Any], *, now: bool = False) -> set[Any]:
        """Those of *identities* that exist.

        Args:
            table: The table that they identify rows of.
            identities: As columns take them.
            now: Whether to see what others have committed since the transaction began.
        """
        if table.identity is None:
            return set()
        within = [other == value for other, value in self.scope(table).items()]
        found = self._find(table.identity, identities, within, now=now)
        return set(map(table.identity.normalize, found))

    def find_foreign(self, kind: Kind, identities: Iterable[Any]) -> set[Any]:
        """Those of *identities* that exist on rows of other kinds, in a table shared by inheritance."""
        mapper = kind.table.mapper
        if mapper.inherits is None or not isinstance(mapper.polymorphic_on, sa.Column):
            return set()
        if kind.identity.columns[0].table is not mapper.polymorphic_on.table:
            return set()  # the kind has a table of its own
        of_another = mapper.polymorphic_on != mapper.polymorphic_identity
        found = self._find(kind.identity, identities, [of_another], now=False)
        return set(map(kind.identity.normalize, found))

    def find_owners(self, kind: Kind, table: Table, identities: Collection[Any]) -> dict[Any, Any]:
        """By identity of a stored ledger entry, the identity of the run of *kind* that it belongs to."""
        if table.identity is None:
            return {}
        path = next(path for path, below in kind.table.paths() if below is table)
        entity = kind.table.mapper.class_
        run = kind.identity.sql(entity)
        statement = run.select()
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.join_conditions(owner, entity)))
        own, width = table.identity.sql(entity), len(run.parts)
        statement = own.join(statement).add_columns(*own.parts).where(own.among(identities))
        return {
            table.identity.normalize(table.identity.join_parts(row[width:])): kind.identity.normalize(
                kind.identity.join_parts(row[:width])
            )
            for row in self.connection.execute(statement)
        }

    def scope(self, table: Table) -> Mapping[sa.Column[Any], Any]:
        """The columns that identify a row of *table* together with its identity, and their values.

        The host fills these columns, such as a tenant's. Empty: the identity is unique by itself.
        """
        return self.scopes[table]

    def _find(
        self, identity: Identity, identities: Iterable[Any], criteria: list[Any], *, now: bool
    ) -> set[Any]:
        found: set[Any] = set()
        possible = self.character_sets.select_possible(identities, lambda: identity.part_columns)
        remaining, own = iter(possible), identity.sql()
        among = own.among
        if len(own.parts) == 1:
            among = functools.partial(is_among_values, self.connection.dialect, own.parts[0])
        while chunk := list(itertools.islice(remaining, KEYS_PER_STATEMENT // len(own.parts))):
            statement = own.select().where(among(chunk), *criteria)
            statement = latest(self.connection, statement) if now else statement
            found.update(identity.join_parts(row) for row in self.connection.execute(statement))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Rivals:
    """Finds rows that another client has written since they were looked up.

    Attributes:
        identities: Looks them up.
        table: The table of the runs.
        by_row: The identity of each row.
    """

    identities: Identities
    table: Table
    by_row: Mapping[Row, Any]

    def find(self, rows: Sequence[Row]) -> set[Row]:
        """Those of *rows* whose identity exists now."""
        known = self.identities.find_known(self.table, [self.by_row[row] for row in rows], now=True)
        return {row for row in rows if self.by_row[row] in known}
