"""Find the runs that were written since a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.database.dialects import Ranges, as_sorted, comparable, time_ranges, unreadable, with_null
from histio.kinds.fields import UtcTimestamp
from histio.kinds.mapping import attribute, key_attributes
from histio.kinds.selects import is_among
from histio.kinds.table import Kind, Ledger, Table
from histio.wire import quote

_MOST_PARAMETERS = 20_000
"""How many parameters a list of keys has; every database accepts that many in a statement."""


def find_changed(connection: Connection, kind: Kind, moment: dt.date) -> tuple[sa.ColumnElement[bool], bool]:
    """A condition for the runs of *kind* that were written since *moment*, or one of whose entries was.

    So may have been those whose time cannot be read, or is missing although the model says NOT NULL.

    Returns:
        The condition, and whether it is a list of primary keys. If there are too many for a list, the
        condition has to be evaluated for each run instead.

    Raises:
        ValueError: No member has the time when a run or an entry was written.
    """
    model, mapper = kind.table.mapper.class_, kind.table.mapper
    keys = key_attributes(mapper)
    selects = [
        select
        for path, table in kind.table.paths()
        for select in _select_owners(connection, keys, path, table, moment)
    ]
    if not selects:
        raise ValueError(f"changed_since: no member of {kind.name} has the time when it was last written")
    most = _MOST_PARAMETERS // len(keys)
    found = connection.execute(sa.union(*selects).limit(most + 1)).all()
    if len(found) <= most:
        return is_among(keys, map(tuple, found)), True
    return sa.or_(*_changed_rows(connection, kind.table, model, moment)), False


def _select_owners(
    connection: Connection, keys: Sequence[Any], path: tuple[Ledger, ...], table: Table, moment: dt.date
) -> Iterator[sa.Select[Any]]:
    """SELECTs of the primary *keys* of the runs of which a row of *table*, at *path*, was written."""
    if table.changed is None:
        return
    run = entity = aliased(keys[0].parent.entity, flat=True)
    selected = [getattr(run, key.key) for key in keys]
    statement = sa.select(*selected).select_from(run)
    for ledger in path:
        owner, entity = entity, aliased(ledger.relation.model, flat=True)
        statement = statement.join(entity, sa.and_(*ledger.join_conditions(owner, entity)))
    if len(path) == 1 and (referring := _foreign_key(keys, path[0], entity)):
        statement = sa.select(*referring).select_from(entity)
    ranges, fits = _written_since(connection, table, table.changed, entity, moment)
    yield from (statement.where(each, fits) for each in ranges)


def _foreign_key(keys: Sequence[Any], ledger: Ledger, entity: Any) -> list[Any]:
    """The columns of *entity*, in a ledger of runs, that have the primary *keys*; empty: there are none."""
    ways = zip(ledger.relation.local, ledger.relation.remote, strict=True)
    remote = {
        attribute(keys[0].parent, local).key: attribute(ledger.table.mapper, far) for local, far in ways
    }
    if any(key.key not in remote for key in keys):
        return []
    return [sa.type_coerce(getattr(entity, remote[key.key].key), key.type) for key in keys]


def _changed_rows(connection: Connection, table: Table, entity: Any, moment: dt.date) -> Iterator[Any]:
    """Conditions for rows of *entity* that were written since *moment*, or one of whose entries was."""
    if table.changed is not None:
        yield _written_since(connection, table, table.changed, entity, moment)[1]
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_changed_rows(connection, ledger.table, below, moment))
        if found:
            yield sa.exists().where(*ledger.join_conditions(entity, below), sa.or_(*found))


def _written_since(
    connection: Connection, table: Table, member: str, entity: Any, moment: dt.date
) -> tuple[Ranges, sa.ColumnElement[bool]]:
    """Where to look for rows of *entity* that were written since *moment*, and the condition for them."""
    own = getattr(entity, table.attribute(member).key)
    since = stored_bound(connection, table, member, moment, cut=True)
    odd = unreadable(connection.dialect, own)
    fits = comparable(connection, own) >= since
    ranges: Ranges = [fits] if odd is None else time_ranges(connection, own, since)
    fits = fits if odd is None else sa.or_(fits, odd)
    if table.columns[member].nullable:
        return ranges, fits
    return with_null(ranges, own), sa.or_(fits, own.is_(None))


def stored_bound(
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
