"""Rows → runs: ordered, in pages, with a constant number of statements per page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Nested
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, joinedload, selectinload

from histio.contract import pointer
from histio.dialects import as_sorted, savepoint, sort_key, unreadable
from histio.errors import ExportError
from histio.kinds import Kind, Ledger, Table
from histio.report import Problem
from histio.wire import shown

PAGE = 200
"""Runs per page: within the 100 to 250 that measured best."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, in order.

    Attributes:
        records: Their records.
        problems: What the format cannot hold; the rows concerned are not among the records.
        last: Sort key and UUID of the last row of a full page; None when nothing can follow.
    """

    records: list[dict[str, Any]]
    problems: list[Problem]
    last: tuple[Any, Any] | None


def export_runs(
    connection: Connection,
    kind: Kind,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    where: sa.ColumnElement[bool] | None = None,
) -> Iterator[dict[str, Any]]:
    """The records of *kind*, by (timestamp, uuid).

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        since: The earliest time; a bare date is its beginning, a naive time is UTC.
        until: The latest time; a bare date includes its whole day, a naive time is UTC.
        where: A further criterion.

    Raises:
        ExportError: After the last run, when rows could not be exported.
    """
    uuid = kind.table.attribute(kind.table.uuid)
    with savepoint(connection):
        time = sort_key(connection, kind.table.attribute(kind.timestamp))
        criteria = [] if where is None else [where]
        bounds = []
        if since is not None:
            bounds.append(time >= _bound(connection, kind, since))
        if until is not None:
            bounds.append(time <= _bound(connection, kind, until, end=True))
        problems = list(_unreadable(connection, kind, criteria, bounds))
        if problems:
            criteria.append(sa.not_(sa.or_(*_damages(connection, kind.table))))
    statement = (
        _select(kind)
        .add_columns(time.label("sorted_by"), uuid.label("identity"))
        .where(*criteria, *bounds)
        .order_by(time, uuid)
        .limit(PAGE)
    )
    page = _dump(connection, kind, statement)
    problems += page.problems
    yield from page.records
    while page.last is not None:
        at, last = page.last
        following = statement.where(time >= at, sa.or_(time > at, uuid > last))
        page = _dump(connection, kind, following)
        problems += page.problems
        yield from page.records
    if problems:
        raise ExportError(tuple(problems))


def export_known(connection: Connection, kind: Kind, uuids: Collection[str]) -> Page:
    """The records of *kind* with these UUIDs, as one page in any order."""
    uuid = kind.table.attribute(kind.table.uuid)
    return _dump(connection, kind, _select(kind).add_columns(sa.null(), sa.null()).where(uuid.in_(uuids)))


def _bound(connection: Connection, kind: Kind, value: dt.date, *, end: bool = False) -> Any:
    """The moment of *value*, or the first (or last) of a bare date, as `sort_key` gives it."""
    if not isinstance(value, dt.date):
        raise TypeError(f"since and until are dates or datetimes, not {shown(value)}")
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time.max if end else dt.time.min)
    return as_sorted(connection, kind.timestamp_field.to_column(value))


def _unreadable(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any]
) -> Iterator[Problem]:
    """A problem for each stored value that would be altered, or stop everything, when it is loaded."""
    run = kind.table.attribute(kind.table.uuid)
    # A run whose time cannot be read is in no span of time, and must not be passed over for that.
    timeless = unreadable(connection, kind.table.columns[kind.timestamp])
    within = [*criteria, sa.or_(timeless, sa.and_(*bounds))] if bounds and timeless is not None else criteria
    for path, table in _paths(kind.table):
        bad = _bad_columns(connection, table)
        if not bad:
            continue
        entry = table.attribute(table.uuid)
        statement = sa.select(run, entry, *bad.values()).where(sa.or_(*bad.values()), *within)
        for step in path:
            statement = statement.join(step.relationship.class_attribute)
        for uuid, own, *flags in connection.execute(statement):
            for member, flag in zip(bad, flags, strict=True):
                if flag:
                    text = f"{kind.name} {uuid}: {member} of {own} is stored as what cannot be read exactly."
                    where = pointer(*(step.member for step in path), member)
                    yield Problem("error", "schema", text, where, kind.name, str(uuid))


def _paths(table: Table, path: tuple[Ledger, ...] = ()) -> Iterator[tuple[tuple[Ledger, ...], Table]]:
    yield path, table
    for ledger in table.ledgers:
        yield from _paths(ledger.table, (*path, ledger))


def _bad_columns(connection: Connection, table: Table) -> dict[str, sa.ColumnElement[bool]]:
    found = {member: unreadable(connection, column) for member, column in table.columns.items()}
    return {member: predicate for member, predicate in found.items() if predicate is not None}


def _damages(connection: Connection, table: Table) -> list[sa.ColumnElement[bool]]:
    """What is true of rows that have unreadable values, in themselves or in their ledgers."""
    own = [sa.func.coalesce(predicate, sa.false()) for predicate in _bad_columns(connection, table).values()]
    return own + [
        ledger.relationship.class_attribute.any(sa.or_(*_damages(connection, ledger.table)))
        for ledger in table.ledgers
    ]


def _select(kind: Kind) -> sa.Select[Any]:
    return sa.select(kind.table.mapper.class_).options(*_eager(kind.table))


def _eager(table: Table) -> list[Any]:
    """Load related rows by join and ledgers by one SELECT each, so that no dump asks for more."""
    options: list[Any] = []
    for reference in table.references:
        for path in reference.slugs.values():
            option = joinedload(reference.relationship.class_attribute)
            model = reference.relationship.mapper
            for step in path.split(".")[:-1]:
                option = option.joinedload(model.relationships[step].class_attribute)
                model = model.relationships[step].mapper
            options.append(option)
    for ledger in table.ledgers:
        option = selectinload(ledger.relationship.class_attribute)
        options.append(option.options(*_eager(ledger.table)))
    return options


def _dump(connection: Connection, kind: Kind, statement: sa.Select[Any]) -> Page:
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    # A session of its own leaves the caller's objects alone, and forgets the page with the block.
    with (
        savepoint(connection),
        Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session,
    ):
        rows = session.execute(statement).all()
        for row, _, _ in rows:
            try:
                records.append(kind.table.schema.dump(row))
            except ValidationError:
                problems += _unholdable(kind, row)
    return Page(records, problems, (rows[-1][1], rows[-1][2]) if len(rows) == PAGE else None)


def _unholdable(kind: Kind, row: Any) -> Iterator[Problem]:
    """Every member of *row* and its ledgers that the format cannot hold."""
    uuid = str(getattr(row, kind.table.attribute(kind.table.uuid).key))
    for steps, message in _faults(kind.table.schema, row):
        yield Problem(
            "error", message.code, f"{kind.name} {uuid}: {message}", pointer(*steps), kind.name, uuid
        )


def _faults(schema: Any, row: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for name, field in schema.dump_fields.items():
        if isinstance(field, Nested):
            for index, entry in enumerate(getattr(row, name)):
                for steps, message in _faults(field.schema, entry):
                    yield (name, index, *steps), message
            continue
        try:
            field.serialize(name, row, accessor=schema.get_attribute)
        except ValidationError as error:
            yield from (((name,), message) for message in error.messages)
