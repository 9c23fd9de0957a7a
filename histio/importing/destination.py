"""The database that runs are imported into, and what finds and builds their rows there."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.bound import Bound, Constants
from histio.database.dialects import CharacterSets, Stored, latest, stored_columns
from histio.importing.cut_times import Truncation
from histio.importing.dependencies import Dependencies
from histio.importing.identities import Identities
from histio.importing.parse import Reader
from histio.importing.plan import ImportPlan, plan_imports
from histio.importing.receipt import Receipt
from histio.importing.row_builder import RowBuilder
from histio.importing.run import Run
from histio.importing.spool import Spool
from histio.kinds.compare import Sides
from histio.kinds.mapping import attribute
from histio.kinds.table import Kind
from histio.resolving.lookup import KeyValue
from histio.resolving.resolve import Resolver


class MissingRows(Protocol):
    """Knows what to do about catalog rows that the database lacks."""

    def describe(self, connection: Connection, model: type[Any], sought: KeyValue) -> str | None:
        """What to do about the row of *model* with the key *sought*; None: nothing is known."""


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
        plan: What does not change from one import to the next.
        sides: What messages call the side that the runs come from, and the database.
        receipt: Notes what is written; None: nothing does.
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
    plan: ImportPlan
    sides: Sides
    receipt: Receipt | None = None

    @property
    def tables(self) -> list[sa.Table]:
        """All Core tables of the kinds."""
        return self.plan.core_tables

    def note_keys(self, run: Run) -> None:
        """Remember the keys by which other runs may refer to *run*, for hints if it is rejected."""
        note_keys(self.spool, self.dependencies, run)


def open_destination(
    connection: Connection,
    bound: Bound,
    *,
    reader: Reader,
    spool: Spool,
    values: Constants,
    truncate_times: bool = False,
    sides: Sides = ("file", "database"),
    receipt: Receipt | None = None,
    missing: MissingRows | None = None,
) -> Destination:
    """The `Destination` at *connection*.

    Args:
        connection: A connection in a transaction.
        bound: The history.
        reader: Reads raw runs.
        spool: Remembers what the transactions of one import need to know about each other.
        values: By attribute, what fills columns that the format leaves out.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
        sides: What messages call the side that the runs come from, and the database.
        receipt: Notes what is written; None: nothing does.
        missing: Knows what to do about catalog rows that the database lacks; None: there is nothing to say.
    """
    plan = plan_imports(bound, connection.dialect)
    scopes = {
        table: {column: values[name] for column, name in scope.items()}
        for table, scope in plan.scopes.items()
    }
    character_sets = CharacterSets(lambda: connection)
    identities = Identities(connection, character_sets, scopes)
    resolver = Resolver(
        connection.execute,
        character_sets,
        plan.tables,
        scope=values,
        scopes=_scopes_of_runs(plan.kinds, identities),
        describe_in_document=functools.partial(
            _describe_missing, connection, spool, plan.dependencies, missing
        ),
        latest=functools.partial(latest, connection),
    )
    stored = stored_columns(connection, plan.columns)
    rules = plan.column_rules(stored)
    builder = RowBuilder(
        plan.kinds,
        resolver,
        values=values,
        limits=rules.limits,
        defaults=rules.defaults,
        blanks=plan.dependencies.blanks,
    )
    if truncate_times:
        reader = reader.truncating(Truncation(rules.limits))
    return Destination(
        connection,
        plan.kinds,
        reader,
        spool,
        plan.dependencies,
        identities,
        resolver,
        builder,
        stored,
        plan,
        sides,
        receipt,
    )


def _scopes_of_runs(kinds: Sequence[Kind], identities: Identities) -> dict[type[Any], dict[str, Any]]:
    """By model, where the resolver looks for runs: also among those of earlier imports with other values."""
    return {
        kind.table.mapper.class_: {
            attribute(kind.table.mapper, column).key: value
            for column, value in identities.scope(kind.table).items()
        }
        for kind in kinds
    }


def note_keys(spool: Spool, dependencies: Dependencies, run: Run) -> None:
    """Remember in *spool* the keys by which other runs may refer to *run*."""
    noted = [(repr(sought), run.place) for sought in dependencies.keys_of(run)]
    for mapper in run.kind.table.mapper.iterate_to_root() if noted else ():
        spool.note(_scope_of_keys(mapper.class_), noted)


def find_noted(spool: Spool, model: type[Any], sought: KeyValue) -> str | None:
    """The place of the run with the key *sought* that `note_keys` has remembered; None: there is none."""
    return spool.place(_scope_of_keys(model), repr(sought))


def _scope_of_keys(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _describe_missing(
    connection: Connection,
    spool: Spool,
    dependencies: Dependencies,
    missing: MissingRows | None,
    model: type[Any],
    sought: KeyValue,
) -> str | None:
    """Why the row with the key *sought* is not stored although the document has it; None: it has not."""
    place = find_noted(spool, model, sought)
    if place is not None:
        circle = " or refers back in a circle" if model in dependencies.stuck else ""
        return f"{place} has it, but is rejected{circle}"
    return None if missing is None else missing.describe(connection, model, sought)
