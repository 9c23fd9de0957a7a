"""The database that runs are imported into, and what finds and builds their rows there."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.bound import Constants
from histio.database.dialects import Stored, limits, stored_columns
from histio.importing.identities import Identities
from histio.importing.parse import Reader
from histio.importing.row_builder import RowBuilder
from histio.importing.run import Run
from histio.importing.run_order import Dependencies
from histio.importing.spool import Spool
from histio.importing.truncation import Truncation
from histio.kinds.mapping import attribute
from histio.kinds.table import Kind
from histio.resolving.lookup import KeyValue
from histio.resolving.resolve import Resolver


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """A database that runs are imported into, or looked up in.

    Attributes:
        connection: A connection in a transaction.
        kinds: The kinds of run.
        reader: Reads raw runs.
        spool: Remembers what the transactions of one import need to know about each other.
        dependencies: The references between runs.
        identities: Finds which runs and ledger entries exist.
        resolver: Finds related rows.
        builder: Builds rows; it uses the resolver.
        stored: By column, what the database keeps of its values.
    """

    connection: Connection
    kinds: Sequence[Kind]
    reader: Reader
    spool: Spool
    dependencies: Dependencies
    identities: Identities
    resolver: Resolver
    builder: RowBuilder
    stored: Mapping[sa.Column[Any], Stored]

    @property
    def tables(self) -> list[sa.Table]:
        """All Core tables of the kinds."""
        tables = (table for kind in self.kinds for table in kind.table.all())
        return [core for table in tables for core in table.core_tables]

    def note_keys(self, run: Run) -> None:
        """Remember the keys by which other runs may refer to *run*, for hints if it is rejected."""
        scope = _scope_of_keys(run.kind.table.mapper.class_)
        self.spool.note(scope, [(repr(sought), run.place) for sought in self.dependencies.keys_of(run)])


def open_destination(
    connection: Connection,
    kinds: Sequence[Kind],
    *,
    reader: Reader,
    spool: Spool,
    values: Constants,
    truncate_times: bool = False,
) -> Destination:
    """The `Destination` at *connection*.

    Args:
        connection: A connection in a transaction.
        kinds: The kinds of run.
        reader: Reads raw runs.
        spool: Remembers what the transactions of one import need to know about each other.
        values: By attribute, what fills columns that the format leaves out.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
    """
    tables = [table for kind in kinds for table in kind.table.all()]
    dependencies = Dependencies(kinds, connection.dialect)
    identities = Identities(connection, values)
    resolver = Resolver(
        connection.execute,
        tables,
        scope=values,
        scopes=_scopes_of_runs(kinds, identities),
        describe_in_document=functools.partial(_describe_rejected, spool, dependencies),
    )
    stored = stored_columns(connection, [column for table in tables for column in table.columns.values()])
    kept = {table: limits(connection.dialect, table, stored) for table in tables}
    builder = RowBuilder(kinds, resolver, values=values, limits=kept, blanks=dependencies.blanks)
    if truncate_times:
        reader = reader.truncating(Truncation(kept))
    return Destination(connection, kinds, reader, spool, dependencies, identities, resolver, builder, stored)


def _scopes_of_runs(kinds: Sequence[Kind], identities: Identities) -> dict[type[Any], dict[str, Any]]:
    """By model, where the resolver looks for runs: also among those of earlier imports with other values."""
    return {
        kind.table.mapper.class_: {
            attribute(kind.table.mapper, column).key: value
            for column, value in identities.scope(kind.table).items()
        }
        for kind in kinds
    }


def _describe_rejected(
    spool: Spool, dependencies: Dependencies, model: type[Any], sought: KeyValue
) -> str | None:
    """Why the run with the key *sought* is not stored although the document has it; None: it has not."""
    place = spool.place(_scope_of_keys(model), repr(sought))
    circle = " or refers back in a circle" if model in dependencies.stuck else ""
    return None if place is None else f"{place} has it, but is rejected{circle}"


def _scope_of_keys(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"
