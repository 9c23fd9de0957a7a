"""The runs of an export, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import RAW, neutral_savepoint
from histio.exporting.plan import ExportPlan
from histio.kinds.identity import IdentitySql
from histio.kinds.mapping import key_attributes
from histio.kinds.selects import is_among
from histio.kinds.table import Kind
from histio.tuning import tuning

SortKeys: TypeAlias = tuple[Any, ...]
"""The driver's values by which a run is sorted: its time, if runs have one, and its identity."""


_PAGES_OF_LIST = 5
_PAGES_OF_LISTS = 100
"""How many pages have their keys in one list, and how many are read together."""


class OrderedRuns:
    """The runs of one kind that meet some conditions, in order.

    Args:
        connection: In a transaction; only read from.
        plan: The plan for their kind.
        conditions: The conditions.
        time: The sort key of their time; None: they are sorted by identity alone.
        has_instants: Returns whether their times depend on the time zone of the session.

    Attributes:
        connection: The argument.
        kind: Their kind.
        identity: The identity of the runs in SELECTs of their model.
        width: How many sort keys there are.
    """

    def __init__(
        self,
        connection: Connection,
        plan: ExportPlan,
        conditions: Sequence[Any],
        time: Any,
        *,
        has_instants: Callable[[], bool],
    ) -> None:
        self.connection = connection
        self._has_instants = has_instants
        self.kind: Kind = plan.kind
        self.identity: IdentitySql = plan.identity
        self._plan = plan
        self._time = time
        self._conditions = conditions
        keys = [*([] if time is None else [time]), *plan.sort_keys]
        # Read and bound as the driver has them: no conversion can change where a page begins.
        self._sorted_by = [sa.type_coerce(key, RAW) for key in keys]
        as_read = (
            self._sorted_by
            if time is None or plan.time_text is None
            else [plan.time_text, *self._sorted_by[1:]]
        )
        self._selected = [key.label(f"sorted_by_{place}") for place, key in enumerate(as_read)]
        self.width: int = len(self._sorted_by)

    def neutral_savepoint(self) -> AbstractContextManager[None]:
        """A savepoint in which no setting of the session changes the values of the runs."""
        return neutral_savepoint(self.connection, self.kind, has_instants=self._has_instants)

    def within(self, *further: Any) -> Self:
        """The runs that meet *further* conditions too."""
        conditions = self.conditions(*further)
        return type(self)(
            self.connection, self._plan, conditions, self._time, has_instants=self._has_instants
        )

    def in_lists(self) -> Iterator[Self]:
        """Split the runs into parts with a few pages each, which are found by their primary keys.

        Conditions that are slow are evaluated once for many pages.
        """
        keys = key_attributes(self.kind.table.mapper)
        before: SortKeys | None = None
        size, most = (tuning().page * pages for pages in (_PAGES_OF_LIST, _PAGES_OF_LISTS))
        while True:
            listing = self.select(sa.select(*keys), *self.between(before, None)).limit(most)
            with self.neutral_savepoint():
                rows = self.connection.execute(listing).all()
            for start in range(0, len(rows), size):
                listed = is_among(keys, [tuple(row[: len(keys)]) for row in rows[start : start + size]])
                yield type(self)(
                    self.connection, self._plan, [listed], self._time, has_instants=self._has_instants
                )
            if len(rows) < most:
                return
            before = tuple(rows[-1][-self.width :])

    def conditions(self, *further: Any) -> list[Any]:
        """The conditions of the runs, and *further* ones."""
        return [*self._conditions, *further]

    def select(self, statement: sa.Select[Any], *further: Any) -> sa.Select[Any]:
        """*statement* with the conditions and *further* ones, sorted; the sort keys are its last columns."""
        ordered = statement.add_columns(*self._selected).order_by(*self._sorted_by)
        return ordered.where(*self.conditions(*further))

    def after_parameters(self, names: Sequence[str]) -> sa.ColumnElement[bool]:
        """The condition of `after` for parameters with these *names*."""
        return _after(self._sorted_by, [sa.bindparam(name, type_=RAW) for name in names])

    def after(self, last: SortKeys) -> sa.ColumnElement[bool]:
        """A condition for the runs that follow the one with the sort keys *last*."""
        return _after(self._sorted_by, [sa.literal(key, RAW) for key in last])

    def between(self, before: SortKeys | None, last: SortKeys | None) -> list[sa.ColumnElement[bool]]:
        """The conditions for the runs after *before*, up to and including *last*; None: no such bound."""
        conditions = [] if before is None else [self.after(before)]
        return (
            conditions
            if last is None
            else [*conditions, _up_to(self._sorted_by, [sa.literal(key, RAW) for key in last])]
        )


def _after(sorted_by: Sequence[Any], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    # Spelled out, because databases are slow at comparing tuples.
    (first, *others), (value, *further) = sorted_by, last
    if not others:
        return first > value  # type: ignore[no-any-return]
    return sa.and_(first >= value, sa.or_(first > value, _after(others, further)))


def _up_to(sorted_by: Sequence[Any], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    # Not the negation of `_after`, which no index serves: the last page would read all that follow.
    (first, *others), (value, *further) = sorted_by, last
    if not others:
        return first <= value  # type: ignore[no-any-return]
    return sa.and_(first <= value, sa.or_(first < value, _up_to(others, further)))
