"""Which runs an export selects, and by which time they are sorted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.bound import Bound
from histio.database.dialects import TimeBounds, as_sorted, bound_times, unreadable
from histio.exporting.plan import ExportPlan
from histio.kinds.fields import UtcTimestamp
from histio.kinds.table import Kind, Table
from histio.wire import quote

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
    *,
    may_be_empty: bool = False,
    **times: Any,
) -> Selection:
    """The kinds with these *names*, each with its filters.

    Args:
        bound: The history.
        names: Names of kinds; None: all.
        where: A criterion for the only kind, or criteria by kind.
        may_be_empty: Whether *names* may be empty.
        times: The bounds that `Filters` has.

    Raises:
        ValueError: There is no such kind, or *where* does not say for which kind it is.
    """
    kinds = bound.choose(names)
    if not kinds and not may_be_empty:
        existing = ", ".join(kind.name for kind in bound.kinds)
        raise ValueError(f"kinds is empty: this history has {existing}")
    criteria = _criteria_by_kind(where, [kind.name for kind in kinds])
    return {kind: Filters(where=criteria.get(kind.name), **times) for kind in kinds}


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
    """

    others: list[Any]
    bounds: Sequence[Any] = ()
    time: TimeBounds | None = None


def criteria_of(connection: Connection, plan: ExportPlan, filters: Filters) -> Criteria:
    """The conditions of *filters*.

    Raises:
        TypeError: A time is not a date or datetime.
        ValueError: The runs have no time to compare, or the time is beyond what UTC has.
    """
    kind = plan.kind
    others = [] if filters.where is None else [filters.where]
    if filters.changed_since is not None:
        changed = list(_changed(connection, kind.table, kind.table.mapper.class_, filters.changed_since))
        if not changed:
            raise ValueError(f"changed_since: no member of {kind.name} has the time when it was last written")
        others.append(sa.or_(*changed))
    if plan.time is None:
        if filters.since is not filters.until:
            raise ValueError(f"since and until: {kind.name} has no timestamp")
        return Criteria(others)
    since, until = (
        None if value is None else _bound(connection, kind.table, kind.timestamp, value, end=end)
        for value, end in ((filters.since, False), (filters.until, True))
    )
    slow = bool(filters.others)  # then all rows are looked at, instead of those that meet the criteria
    time = bound_times(connection, plan.time, since, until, () if slow else others)
    return Criteria(others, time.conditions, time)


def _changed(connection: Connection, table: Table, entity: Any, moment: dt.date) -> Iterator[Any]:
    """Conditions for rows of *entity* that were written since *moment*, or one of whose entries was.

    So may have been those whose time cannot be read, or is missing although the model says NOT NULL.
    """
    member = table.changed
    if member is not None:
        own = getattr(entity, table.attribute(member).key)
        since = _bound(connection, table, member, moment, cut=True)
        yield sa.and_(*bound_times(connection, own, since, None).conditions)
        odd = unreadable(connection.dialect, own)
        if odd is not None:
            yield odd
        if not table.columns[member].nullable:
            yield own.is_(None)
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_changed(connection, ledger.table, below, moment))
        if found:
            yield sa.exists().where(*ledger.join_conditions(entity, below), sa.or_(*found))


def _bound(
    connection: Connection,
    table: Table,
    member: str | None,
    value: dt.date,
    *,
    end: bool = False,
    cut: bool = False,
) -> Any:
    """Convert *value* to the form in which the database compares it.

    Args:
        connection: To the database.
        table: The table of the rows.
        member: The member whose values are compared.
        value: A date, or a time.
        end: Whether a bare date means its last moment. False: its first.
        cut: Whether to round the time down to the units that the column counts, as was done when it was
            written.
    """
    if not isinstance(value, dt.date):
        raise TypeError(f"since, until and changed_since are dates or datetimes, not {quote(value)}")
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time.max if end else dt.time.min)
    field, column = table.fields[member or ""], table.columns[member or ""]
    try:
        if isinstance(field, UtcTimestamp):
            return as_sorted(connection, column, field.bound(value, end=end or cut))
        utc = value if value.tzinfo is None else value.astimezone(dt.UTC)
        if not end and utc.time() > dt.time.min:
            utc += dt.timedelta(days=1)  # the first day that begins no earlier
    except OverflowError:
        raise ValueError(f"{value} is beyond the times that UTC has") from None
    return as_sorted(connection, column, utc.date())


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
