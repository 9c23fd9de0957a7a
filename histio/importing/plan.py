"""What is computed once for all imports of some kinds into a database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

from histio.bound import Bound
from histio.database.dialects import Limit, Stored, limits
from histio.database.sessions import Habits
from histio.importing.dependencies import Dependencies
from histio.importing.model_behavior import Creation, find_creation
from histio.importing.row_builder import plan_defaults
from histio.kinds.keys import is_unique, unique_rules
from histio.kinds.listeners import Listeners, construction
from histio.kinds.mapping import find_column
from histio.kinds.remembered import Remembered
from histio.kinds.table import Kind, Table

T = TypeVar("T")

StoredColumns: TypeAlias = Mapping[sa.Column[Any], Stored]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRules:
    """What follows from the columns that the database has; they may be altered between two imports.

    Attributes:
        limits: By table and member, what the database cannot keep of what the format allows.
        defaults: By table and column key, what fills the column where a record leaves it out, as a function
            of the time of the import.
    """

    limits: Mapping[Table, Mapping[str, Limit]]
    defaults: Mapping[Table, Mapping[str, Callable[[dt.datetime], Any]]]


class ImportPlan:
    """What all imports of some kinds into databases of one dialect have in common.

    Args:
        kinds: The kinds of run.
        dialect: The database's.
        filled: The attributes that the host fills with `values=`.
        referring: Further kinds whose records name rows of *kinds*.

    Attributes:
        kinds: The kinds of run.
        tables: Their tables, owners first.
        core_tables: All Core tables that they have rows in.
        columns: The columns of all plain members.
        dependencies: The references between runs.
        scopes: By table, the columns that identify a row together with its identity, and their attributes.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        dialect: sa.Dialect,
        filled: Collection[str],
        referring: Sequence[Kind] = (),
    ) -> None:
        self.kinds = kinds
        self.tables: list[Table] = [table for kind in kinds for table in kind.table.all()]
        self.core_tables: list[sa.Table] = [core for table in self.tables for core in table.core_tables]
        self.columns: list[sa.Column[Any]] = [
            column for table in self.tables for column in table.columns.values()
        ]
        self.dependencies: Dependencies = Dependencies(kinds, dialect, referring)
        self.scopes: dict[Table, Mapping[sa.Column[Any], str]] = {
            table: _scope(table, filled) for table in self.tables
        }
        self.scopes |= {kind.table: _filled_columns(kind.table, filled) for kind in kinds if kind.is_catalog}
        self._dialect = dialect
        self._listeners = Listeners(place for table in self.tables for place in construction(table.mapper))
        self._remembered: dict[Hashable, Remembered[Any]] = {}

    def recall(self, name: Hashable, compute: Callable[..., T], *arguments: Any) -> T:
        """What *compute* returns for *arguments*, remembered under *name* while they stay the same."""
        remembered = self._remembered.get(name) or self._remembered.setdefault(name, Remembered(compute))
        found: T = remembered.get(*arguments)
        return found

    def column_rules(self, stored: StoredColumns) -> ColumnRules:
        """What follows from the columns of the database; for absent ones, the model's types count."""
        return self.recall("column rules", self._compute_rules, stored)

    def _compute_rules(self, stored: StoredColumns) -> ColumnRules:
        found = {table: limits(self._dialect, table, stored) for table in self.tables}
        return ColumnRules(found, {table: plan_defaults(table, found[table]) for table in self.tables})

    def creations(self, habits: Habits) -> Mapping[str, Creation]:
        """By name of a kind, how its rows are created in a session with these *habits*."""
        if habits.listeners:  # the plan must not keep the listeners of a session alive
            return {kind.name: find_creation(kind, habits) for kind in self.kinds}
        # A host may replace a constructor, as well as register a listener.
        constructors = [(table.mapper.class_.__init__, table.mapper.class_.__new__) for table in self.tables]
        return self.recall("creations", self._find_creations, self._listeners.current(), constructors)

    def _find_creations(self, *_: Any) -> Mapping[str, Creation]:
        return {kind.name: find_creation(kind, Habits()) for kind in self.kinds}


def plan_imports(bound: Bound, dialect: sa.Dialect) -> ImportPlan:
    """The plan for imports of a history into databases of *dialect*, computed by the first of them."""
    plan: ImportPlan = bound.import_plans.get(
        dialect, lambda: ImportPlan(bound.kinds, dialect, bound.values, bound.referring)
    )
    return plan


def _filled_columns(table: Table, filled: Collection[str]) -> Mapping[sa.Column[Any], str]:
    """The columns of *table* that the host fills, and their attributes: runs refer only to such rows."""
    columns = ((find_column(table.mapper, name), name) for name in filled if name not in table.columns)
    return {column: name for column, name in columns if column is not None}


def _scope(table: Table, filled: Collection[str]) -> Mapping[sa.Column[Any], str]:
    """The columns that identify a row of *table* together with its identity, and their attributes.

    The host fills these columns, such as a tenant's. Empty: the identity is unique by itself, or not at all.
    """
    own = table.identity_columns
    names = {each: name for name, each in table.mapper.columns.items()}
    for rule in () if not own or is_unique(*own) else unique_rules(own[0].table):
        others = {other: names.get(other) for other in rule.columns if other not in own}
        whole = len(others) + len(own) == len(rule.columns)
        if whole and set(filled) >= set(others.values()):
            return {other: name for other, name in others.items() if name is not None}
    return {}
