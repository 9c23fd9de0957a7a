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
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload

from histio.contract import pointer
from histio.errors import ExportError
from histio.kinds import Kind, Table
from histio.report import Problem

PAGE = 200
"""Runs per page: within the 100 to 250 that measured best."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, in order.

    Attributes:
        records: By UUID.
        problems: What the format cannot hold; the rows concerned are not among the records.
        last: Timestamp and UUID, as stored, of the last row of a full page; None when nothing can follow.
    """

    records: dict[str, dict[str, Any]]
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
    timestamp, uuid = _attribute(kind.table, kind.timestamp), _attribute(kind.table, kind.table.uuid)
    criteria = [] if where is None else [where]
    if since is not None:
        criteria.append(timestamp >= kind.timestamp_field.to_column(_instant(since)))
    if until is not None:
        last = _instant(until)
        if not isinstance(until, dt.datetime):
            last += dt.timedelta(days=1, microseconds=-1)
        criteria.append(timestamp <= kind.timestamp_field.to_column(last))

    statement = _select(kind).where(*criteria).order_by(timestamp, uuid).limit(PAGE)
    page = _dump(connection, kind, statement)
    problems = page.problems
    yield from page.records.values()
    while page.last is not None:
        at, last = page.last
        following = statement.where(timestamp >= at, sa.or_(timestamp > at, uuid > last))
        page = _dump(connection, kind, following)
        problems += page.problems
        yield from page.records.values()
    if problems:
        raise ExportError(tuple(problems))


def export_known(connection: Connection, kind: Kind, uuids: Collection[str]) -> Page:
    """The records of *kind* with these UUIDs, as one page."""
    return _dump(connection, kind, _select(kind).where(_attribute(kind.table, kind.table.uuid).in_(uuids)))


def _instant(value: dt.date) -> dt.datetime:
    """*value* itself, or the first moment of a bare date."""
    return (
        value
        if isinstance(value, dt.datetime)
        else dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    )


def _attribute(table: Table, member: str) -> InstrumentedAttribute[Any]:
    key = table.mapper.get_property_by_column(table.columns[member]).key
    return getattr(table.mapper.class_, key)  # type: ignore[no-any-return]


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
    records: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    # A session of its own leaves the caller's objects alone, and forgets the page with the block.
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        rows = session.scalars(statement).all()
        for row in rows:
            try:
                record = kind.table.schema.dump(row)
            except ValidationError:
                problems += _unholdable(kind, row)
            else:
                records[record[kind.table.uuid]] = record
        last = (
            (_value(kind, rows[-1], kind.timestamp), _value(kind, rows[-1], kind.table.uuid))
            if rows
            else None
        )
    return Page(records, problems, last if len(rows) == PAGE else None)


def _value(kind: Kind, row: Any, member: str) -> Any:
    return getattr(row, _attribute(kind.table, member).key)


def _unholdable(kind: Kind, row: Any) -> Iterator[Problem]:
    """Every member of *row* and its ledgers that the format cannot hold."""
    uuid = str(_value(kind, row, kind.table.uuid))
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
