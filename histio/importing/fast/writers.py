"""Choose what writes the accepted runs of each kind, and know which of them may collide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import sqlalchemy as sa

from histio.database.sessions import Habits
from histio.exporting.fast.obstacles import related_mappers
from histio.importing.destination import Destination
from histio.importing.fast.rows import RowWriter, find_row_writer
from histio.importing.fast.values import ValueWriter, find_value_writer
from histio.importing.model_behavior import Creation, Need
from histio.importing.row_counts import core_tables
from histio.kinds.keys import unique_rules
from histio.kinds.table import Kind, Table
from histio.tuning import tuning

Writer: TypeAlias = RowWriter | ValueWriter
"""Writes accepted records."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """What follows from the kinds of an import alone.

    Attributes:
        refer: Whether records refer to rows that the import writes, so that the order of writing matters.
        may_collide: Whether constraints forbid more than rows of the same identity or key.
        core_tables: By kind, the Core tables that its runs have rows in.
    """

    refer: bool
    may_collide: bool
    core_tables: Mapping[Kind, Sequence[sa.Table]]

    @classmethod
    def from_kinds(cls, kinds: Sequence[Kind]) -> Self:
        """Derive the rules from *kinds*."""
        tables = [table for kind in kinds for table in kind.table.all()]
        by_kind = {kind: core_tables(kind) for kind in kinds}
        return cls(_refer_to_each_other(tables), _may_collide(tables), by_kind)


class Writers:
    """The writers of one transaction of an import.

    Args:
        destination: The database.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.

    Attributes:
        refer: Whether records refer to rows that the import writes, so that the order of writing matters.
        may_collide: Whether constraints forbid more than rows of the same identity or key.
        core_tables: By kind, the Core tables that its runs have rows in.
    """

    def __init__(
        self, destination: Destination, *, habits: Habits, creations: Mapping[str, Creation]
    ) -> None:
        self._destination = destination
        self._habits = habits
        self._creations = creations
        rules = destination.plan.recall("fast path", _Rules.from_kinds, destination.kinds)
        self.refer: bool = rules.refer
        self.may_collide: bool = rules.may_collide
        self.core_tables: Mapping[Kind, Sequence[sa.Table]] = rules.core_tables
        self._writers: dict[str, Writer | str] = {}
        self._value_writers: dict[str, ValueWriter | str] = {}

    def find(self, kind: Kind) -> Writer | str:
        """The writer for accepted runs of *kind*; a text: why they take the full path."""
        if kind.name not in self._writers:
            self._writers[kind.name] = self._find_obstacle(kind) or self._find_writer(kind)
        return self._writers[kind.name]

    def _find_obstacle(self, kind: Kind) -> str | None:
        if tuning().full_path_only:
            return "the full path was requested"
        if self._destination.identities.scope(kind.table):
            return f"{kind.name}: its {kind.identity.title} is unique only together with other columns"
        return None

    def _find_writer(self, kind: Kind) -> Writer | str:
        creation = self._creations[kind.name]
        by_driver: RowWriter | str = "; ".join(creation.reasons)
        if creation.need is Need.ROWS:
            by_driver = find_row_writer(self._destination, kind)
        return self._find_value_writer(kind, by_driver) if isinstance(by_driver, str) else by_driver

    def _find_value_writer(self, kind: Kind, reason: str) -> ValueWriter | str:
        return find_value_writer(
            self._destination, kind, self._creations[kind.name], self._habits, reason=reason
        )

    def find_further(self, kind: Kind, writer: Writer) -> ValueWriter | None:
        """What may write runs of *kind* that *writer* has declined; None: nothing on the fast path."""
        if isinstance(writer, ValueWriter):
            return None
        if kind.name not in self._value_writers:
            reason = "records leave out what only SQLAlchemy fills"
            self._value_writers[kind.name] = self._find_value_writer(kind, reason)
        further = self._value_writers[kind.name]
        return None if isinstance(further, str) else further


def _refer_to_each_other(tables: Sequence[Table]) -> bool:
    """Whether records of *tables* refer to rows of *tables*, so that the order of writing matters."""
    related = [mapper for table in tables for mapper in related_mappers(table)]
    return any(mapper.common_parent(table.mapper) for mapper in related for table in tables)


def _may_collide(tables: Iterable[Table]) -> bool:
    """Whether constraints of *tables* forbid more than rows of the same identity or key."""
    for each, core in ((table, core) for table in tables for core in table.core_tables):
        own = [set(each.identity_columns), set(core.primary_key)]
        if any(set(rule.columns) not in own for rule in unique_rules(core)):
            return True
        if any(type(rule).__name__ == "ExcludeConstraint" for rule in core.constraints):
            return True
    return False
