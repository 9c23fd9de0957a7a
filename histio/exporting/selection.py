"""Which runs an export selects, and by which time they are sorted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.dialects import TimeBounds, bound_times
from histio.exporting.changed import find_changed, stored_bound
from histio.exporting.plan import ExportPlan
from histio.kinds.table import Kind

Where: TypeAlias = sa.ColumnElement[bool] | Mapping[str, sa.ColumnElement[bool]]
"""A criterion for the runs of one kind, or a mapping from the names of kinds to criteria."""


Place: TypeAlias = tuple[int, tuple[Any, ...]]
"""A place in the order of the runs of a kind: the number of one of `spans_of`, and the sort keys there."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the runs of a kind, in their order. All parts of a kind together have all runs once.

    Attributes:
        before: The place after which the part begins; None: it has the first runs.
        last: The place up to which it goes, included; None: it has the last runs.
    """

    before: Place | None = None
    last: Place | None = None

    def within(self, span: int) -> tuple[tuple[Any, ...] | None, tuple[Any, ...] | None] | None:
        """The sort keys between which the part has runs of the *span* with this number; None: it has none.

        None in their place: the part has all runs of that span, on this side.
        """
        if (self.before is not None and self.before[0] > span) or (
            self.last is not None and self.last[0] < span
        ):
            return None
        before, last = (
            keys[1] if keys is not None and keys[0] == span else None for keys in (self.before, self.last)
        )
        return before, last


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs of a kind are exported.

    Attributes:
        since: The earliest time; a bare date is its beginning, a naive time is UTC.
        until: The latest time; a bare date includes its whole day, a naive time is UTC.
        changed_since: The earliest time at which the run or an entry of its ledgers was last written.
        where: A further criterion.
        others: Kinds whose rows *where* reads too, so that it is too slow to be evaluated for each page.
        part: The part of the runs that is exported; None: all of them.
    """

    since: dt.date | None = None
    until: dt.date | None = None
    changed_since: dt.date | None = None
    where: sa.ColumnElement[bool] | None = None
    others: tuple[Kind, ...] = ()
    part: Part | None = None


ALL_RUNS = Filters()

Selection: TypeAlias = Mapping[Kind, Filters]
"""The kinds to export, and which of their runs."""


def select_kinds(
    bound: Bound,
    names: str | Sequence[str] | None,
    where: Where | None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    changed_since: dt.date | None = None,
    *,
    may_be_empty: bool = False,
) -> Selection:
    """The kinds with these *names*, each with its filters.

    Args:
        bound: The history.
        names: Names of kinds; None: all.
        where: A criterion for the only kind, or criteria by kind.
        since: The earliest time of a run.
        until: The latest time of a run.
        changed_since: The earliest time at which a run was last written.
        may_be_empty: Whether *names* may be empty.

    Raises:
        ValueError: There is no such kind, or *where* does not say for which kind it is.
    """
    kinds = bound.choose(names)
    if not kinds and not may_be_empty:
        existing = ", ".join(kind.name for kind in bound.kinds)
        raise ValueError(f"kinds is empty: this history has {existing}")
    criteria = _criteria_by_kind(where, [kind.name for kind in kinds])
    return {kind: Filters(since, until, changed_since, criteria.get(kind.name)) for kind in kinds}


def _criteria_by_kind(where: Where | None, names: Sequence[str]) -> Mapping[str, sa.ColumnElement[bool]]:
    if where is None:
        return {}
    if not isinstance(where, Mapping):
        if len(names) != 1:
            raise ValueError(f"where must be a mapping from kind to criterion, for {', '.join(names)}")
        return {names[0]: where}
    unknown = [name for name in where if name not in names]
    if unknown:
        raise ValueError(f"where names kinds that are not among the kinds exported: {', '.join(unknown)}")
    return where


class Criteria(NamedTuple):
    """The conditions for the runs of an export.

    Attributes:
        others: Those that are not about their time.
        bounds: Those about their time; empty: there are none.
        time: Where to look for such times, and what sorts by them; None: the runs have no time.
        is_listed: Whether *others* have a list of primary keys, which is too long for the SELECTs of pages.
    """

    others: list[Any]
    bounds: Sequence[Any] = ()
    time: TimeBounds | None = None
    is_listed: bool = False


def criteria_of(connection: Connection, plan: ExportPlan, filters: Filters) -> Criteria:
    """The conditions of *filters*.

    Raises:
        TypeError: A time is not a date or datetime.
        ValueError: The runs have no time to compare, or the time is beyond what UTC has.
    """
    kind = plan.kind
    others = [] if filters.where is None else [filters.where]
    is_listed = False
    if filters.changed_since is not None:
        changed, is_listed = find_changed(connection, kind, filters.changed_since)
        others.append(changed)
    if plan.time is None:
        if filters.since is not filters.until:
            raise ValueError(f"since and until: {kind.name} has no timestamp")
        return Criteria(others, is_listed=is_listed)
    since, until = (
        None if value is None else stored_bound(connection, kind.table, kind.timestamp, value, end=end)
        for value, end in ((filters.since, False), (filters.until, True))
    )
    slow = bool(filters.others)  # then all rows are looked at, instead of those that meet the criteria
    time = bound_times(connection, plan.time, since, until, () if slow else others)
    return Criteria(others, time.conditions, time, is_listed)


def spans_of(kind: Kind, time: TimeBounds | None) -> Iterator[tuple[list[Any], Any]]:
    """The conditions and the sort key of each span of runs, in order.

    Runs without a time come first, sorted by identity alone: their sort key is None.
    """
    if time is None:
        yield [], None
        return
    nullable = kind.table.columns[kind.timestamp or ""].nullable
    if nullable and not time.conditions:
        yield [time.key.is_(None)], None
    yield [time.key.is_not(None)] if nullable else [], time.key
