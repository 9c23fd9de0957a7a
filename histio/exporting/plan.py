"""What is computed once for all exports of a kind from a database."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from histio.database.dialects import time_text
from histio.exporting.fast.formatter import RowFormatter, find_formatter
from histio.exporting.fast.obstacles import loading_listeners
from histio.exporting.identities import Unplaced, sort_keys
from histio.kinds.fields import UtcTimestamp
from histio.kinds.identity import IdentitySql
from histio.kinds.remembered import Remembered
from histio.kinds.table import Kind


class ExportPlan:
    """What all exports of a kind from databases of one dialect have in common.

    Args:
        kind: The kind of run.
        dialect: The database's.

    Attributes:
        kind: The kind of run.
        identity: The identity of the runs in SELECTs of their model.
        is_unique: Whether the database makes sure that no two runs have the same identity.
        time: The model's attribute of their time; None: their identity alone sorts them.
        time_text: Their time as text, where the driver is slow at reading times.
        sort_keys: What sorts them by their identity.
        unplaced: Those that have no place in the order.
    """

    def __init__(self, kind: Kind, dialect: sa.Dialect) -> None:
        self.kind = kind
        self.identity: IdentitySql = kind.identity.sql(kind.table.mapper.class_, apart=True)
        self.is_unique: bool = kind.identity.is_unique
        self.time: sa.orm.InstrumentedAttribute[Any] | None = (
            None if kind.timestamp is None else kind.table.attribute(kind.timestamp)
        )
        self.time_text: Any = None if self.time is None else time_text(dialect, self.time)
        self.sort_keys: list[sa.ColumnElement[Any]] = sort_keys(dialect, self.identity)
        self.unplaced: Unplaced = Unplaced(kind, self.identity)
        self._listeners = loading_listeners(kind.table)
        self._formatter = Remembered(lambda _: find_formatter(kind, dialect))
        # Only SQLAlchemy reads times in every spelling.
        self._has_times = any(isinstance(part.field, UtcTimestamp) for part in kind.identity.parts)

    @property
    def path(self) -> RowFormatter | str:
        """The formatter of the fast path; a text: why the runs take the full path."""
        if self._has_times:
            return f"{self.kind.name}: a time is part of the identity"
        return self._formatter.get(self._listeners.current())

    @property
    def formatter(self) -> RowFormatter | None:
        """The formatter of the fast path; None: the runs take the full path."""
        path = self.path
        return None if isinstance(path, str) else path


@functools.lru_cache(maxsize=64)
def plan_export(kind: Kind, dialect: sa.Dialect) -> ExportPlan:
    """The plan for exports of *kind* from databases of *dialect*, computed by the first of them."""
    return ExportPlan(kind, dialect)
