"""Rows → runs: ordered, in pages, with a constant number of statements per page."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, undefer

from histio.contract import pointer
from histio.dialects import as_sorted, order_key, savepoint, sort_key, unreadable
from histio.errors import ExportError
from histio.fields import RunUUID, UtcTimestamp
from histio.kinds import Kind, Ledger, Links, Reference, Table
from histio.mapping import Relation, attribute, is_among, is_unique
from histio.records import RecordSchema
from histio.report import Fault, Problem
from histio.resolver import CHUNK
from histio.sessions import own_session
from histio.wire import faults_in, is_list, nested_in, shown, wire_name

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
    """The records of *kind*, by (timestamp, identity); those without a time come first.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        since: The earliest time; a bare date is its beginning, a naive time is UTC.
        until: The latest time; a bare date includes its whole day, a naive time is UTC.
        where: A further criterion.

    Raises:
        ExportError: After the last run, when rows could not be exported.
    """
    of_uuids = isinstance(kind.table.fields[kind.table.identity or ""], RunUUID)
    identity = order_key(connection, kind.table.attribute(kind.table.identity or ""), of_uuids=of_uuids)
    criteria = [] if where is None else [where]
    with savepoint(connection):
        time = None if kind.timestamp is None else sort_key(connection, kind.table.attribute(kind.timestamp))
        bounds = []
        if since is not None:
            bounds.append(_timed(kind, time) >= _bound(connection, kind, since))
        if until is not None:
            bounds.append(_timed(kind, time) <= _bound(connection, kind, until, end=True))
        problems = list(_unreadable(connection, kind, criteria, bounds))
        unreadable_found = bool(problems)
        problems += _ambiguous(connection, kind, [*criteria, *bounds])
        if unreadable_found:
            criteria.append(sa.not_(sa.or_(*_damages(connection, kind.table, kind.table.mapper.class_))))
    for span, at in _spans(kind, time, bounded=bool(bounds)):
        ordered = [identity] if at is None else [at, identity]
        statement = (
            _select(kind)
            .add_columns((sa.null() if at is None else at).label("sorted_by"), identity.label("identity"))
            .where(*criteria, *bounds, *span)
            .order_by(*ordered)
            .limit(PAGE)
        )
        page = _dump(connection, kind, statement)
        problems += page.problems
        yield from page.records
        while page.last is not None:
            moment, last = page.last
            beyond = [identity > last] if at is None else [at >= moment, sa.or_(at > moment, identity > last)]
            page = _dump(connection, kind, statement.where(*beyond))
            problems += page.problems
            yield from page.records
    if problems:
        raise ExportError(tuple(problems))


def _timed(kind: Kind, time: Any) -> Any:
    if time is None:
        raise ValueError(f"since and until: nothing tells the time of a {kind.name}")
    return time


def _spans(kind: Kind, time: Any, *, bounded: bool) -> Iterator[tuple[list[Any], Any]]:
    """Criteria and sort key of each span of runs: those without a time come first, by identity."""
    if time is None:
        yield [], None
        return
    nullable = kind.table.columns[kind.timestamp or ""].nullable
    if nullable and not bounded:
        yield [time.is_(None)], None
    yield [time.is_not(None)] if nullable else [], time


def export_known(
    connection: Connection,
    kind: Kind,
    identities: Collection[Any],
    *,
    within: Mapping[sa.Column[Any], Any],
) -> Page:
    """The records of *kind* with these identities, *within* rows with these values; one page in any order."""
    identity = kind.table.attribute(kind.table.identity or "")
    scope = [column == value for column, value in within.items()]
    statement = _select(kind).add_columns(sa.null(), identity).where(identity.in_(identities), *scope)
    return _dump(connection, kind, statement)


def _bound(connection: Connection, kind: Kind, value: dt.date, *, end: bool = False) -> Any:
    """The moment of *value*, or the first (or last) of a bare date, as `sort_key` gives it."""
    if not isinstance(value, dt.date):
        raise TypeError(f"since and until are dates or datetimes, not {shown(value)}")
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time.max if end else dt.time.min)
    field = kind.table.fields[kind.timestamp or ""]
    if isinstance(field, UtcTimestamp):
        return as_sorted(connection, kind.table.columns[kind.timestamp or ""], field.to_column(value))
    utc = value if value.tzinfo is None else value.astimezone(dt.UTC)
    if not end and utc.time() > dt.time.min:
        utc += dt.timedelta(days=1)  # the first day that begins no earlier
    return as_sorted(connection, kind.table.columns[kind.timestamp or ""], utc.date())


def _unreadable(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any]
) -> Iterator[Problem]:
    """A problem for each stored value that would be altered, or stop everything, when it is loaded."""
    run = kind.table.attribute(kind.table.identity or "")
    # A run whose time cannot be read is in no span of time, and must not be passed over for that.
    timed = kind.timestamp is not None
    timeless = unreadable(connection, kind.table.attribute(kind.timestamp or "")) if timed else None
    within = [*criteria, sa.or_(timeless, sa.and_(*bounds))] if bounds and timeless is not None else criteria
    for path, table in _paths(kind.table):
        statement, entity = sa.select(run), kind.table.mapper.class_
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*_tied(ledger, owner, entity)))
        bad = _bad_values(connection, table, entity)
        if not bad:
            continue
        own = run if table.identity is None else _of(entity, table, table.identity)
        for uuid, entry, *flags in connection.execute(
            statement.add_columns(own, *bad.values()).where(sa.or_(*bad.values()), *within)
        ):
            for member, flag in zip(bad, flags, strict=True):
                if flag:
                    told = kind.table.wire(kind.table.identity or "", uuid)
                    name = table.names[member]
                    of = told if table.identity is None else table.wire(table.identity, entry)
                    text = f"{kind.name} {told}: {name} of {of} is stored as what cannot be read exactly."
                    where = pointer(*names_of(kind.table, path), name)
                    yield Problem("error", "schema", text, where, kind.name, str(told))


def _of(entity: Any, table: Table, member: str) -> Any:
    """The *member* of *entity*, an alias of the model of *table*."""
    return getattr(entity, table.attribute(member).key)


def _tied(ledger: Ledger, owner: Any, entity: Any) -> Iterator[Any]:
    """What is true of the rows of *entity* that belong to those of *owner*."""
    mappers = sa.inspect(owner).mapper, ledger.table.mapper
    for pair in zip(ledger.relation.local, ledger.relation.remote, strict=True):
        own, theirs = (attribute(mapper, column).key for mapper, column in zip(mappers, pair, strict=True))
        yield getattr(owner, own) == getattr(entity, theirs)


def names_of(table: Table, path: tuple[Ledger, ...]) -> Iterator[str]:
    """The names of the *path* from *table* down its ledgers."""
    for ledger in path:
        yield table.names[ledger.member]
        table = ledger.table


def _ambiguous(connection: Connection, kind: Kind, criteria: list[Any]) -> Iterator[Problem]:
    """A problem for each identity that several rows have; pages could pass one of them over."""
    identity = kind.table.attribute(kind.table.identity or "")
    if is_unique(kind.table.columns[kind.table.identity or ""]):
        return
    statement = sa.select(identity, sa.func.count()).where(*criteria).group_by(identity)
    for value, count in connection.execute(statement.having(sa.func.count() > 1)):
        uuid = str(kind.table.wire(kind.table.identity or "", value))
        name = kind.table.names[kind.table.identity or ""]
        text = f"{kind.name} {uuid}: {count} rows have this {name}, which should identify one."
        yield Problem("error", "schema", text, pointer(name), kind.name, uuid)


def _paths(table: Table, path: tuple[Ledger, ...] = ()) -> Iterator[tuple[tuple[Ledger, ...], Table]]:
    yield path, table
    for ledger in table.ledgers:
        yield from _paths(ledger.table, (*path, ledger))


def _bad_values(connection: Connection, table: Table, entity: Any) -> dict[str, sa.ColumnElement[bool]]:
    found = {member: unreadable(connection, _of(entity, table, member)) for member in table.columns}
    return {member: predicate for member, predicate in found.items() if predicate is not None}


def _damages(connection: Connection, table: Table, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
    """What is true of rows that have unreadable values, in themselves or in their ledgers."""
    for predicate in _bad_values(connection, table, entity).values():
        yield sa.func.coalesce(predicate, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        damages = list(_damages(connection, ledger.table, below))
        if damages:
            yield sa.exists().where(*_tied(ledger, entity, below), sa.or_(*damages))


def _select(kind: Kind) -> sa.Select[Any]:
    return sa.select(kind.table.mapper.class_).options(*_eager(kind.table))


def _relations(table: Table) -> Iterator[tuple[Relation, Any, list[Any]]]:
    """Each relation of *table*, how it is loaded along with the rows, and what is loaded below it."""
    yield from ((each.relation, joinedload, _to_keys(each)) for each in table.references)
    yield from ((each.relation, selectinload, _to_keys(each)) for each in table.links)
    yield from ((each.relation, selectinload, _eager(each.table)) for each in table.ledgers)


def _eager(table: Table) -> list[Any]:
    """Load related rows by join and ledgers by one SELECT each, so that no dump asks for more."""
    own = [table.attribute(member) for member in table.columns]
    return [undefer(each) for each in own if each.property.deferred] + [
        load(relation.relationship.class_attribute).options(*below)
        for relation, load, below in _relations(table)
        if relation.relationship is not None and not relation.apart
    ]


def _to_keys(named: Reference | Links) -> list[Any]:
    """Load, by join, what the key of a related row is made of."""
    chains = [named.chain] if isinstance(named, Links) else named.slugs.values()
    options: list[Any] = []
    for path in (path for key, *_ in chains for path in key):
        model, option = named.relation.mapper, None
        for step in path.split(".")[:-1]:
            step_to = model.relationships[step].class_attribute
            option = joinedload(step_to) if option is None else option.joinedload(step_to)
            model = model.relationships[step].mapper
        last = getattr(model.class_, path.rpartition(".")[2])
        if last.property.deferred:
            option = undefer(last) if option is None else option.undefer(last)
        options += [] if option is None else [option]
    return options


def _complete(session: Session, table: Table, rows: list[Any]) -> None:
    """Fetch what the mapper cannot load along with *rows*, in one SELECT for each relation."""
    for relation, _, below in _relations(table):
        if relation.apart:
            _fetch(session, relation, rows, below)
    for ledger in table.ledgers:
        entries = [ledger.relation.follow(row) for row in rows] if _has_parts(ledger.table) else []
        flat = (
            list(itertools.chain.from_iterable(entries))
            if ledger.many
            else [e for e in entries if e is not None]
        )
        if flat:
            _complete(session, ledger.table, flat)


def _has_parts(table: Table) -> bool:
    """Whether something below *table* must be fetched apart."""
    return any(relation.apart for relation, _, _ in _relations(table)) or any(
        _has_parts(ledger.table) for ledger in table.ledgers
    )


def _fetch(session: Session, relation: Relation, rows: list[Any], options: list[Any]) -> None:
    keys = [relation.key(row) for row in rows]
    wanted = list({key for key in keys if None not in key})
    found: dict[tuple[Any, ...], list[Any]] = {}
    for start in range(0, len(wanted), CHUNK):
        statement = _related(relation, wanted[start : start + CHUNK]).options(*options)
        for related, *own in session.execute(statement):
            found.setdefault(tuple(own), []).append(related)
    for row, key in zip(rows, keys, strict=True):
        of_row = found.get(key, [])
        relation.keep(row, of_row if relation.many else next(iter(of_row), None))


def _related(relation: Relation, keys: list[tuple[Any, ...]]) -> sa.Select[Any]:
    """A SELECT of related rows, each with the key of the row that they belong to."""
    if relation.link is None or relation.relationship is None:
        return relation.select(keys).add_columns(*relation.remote)
    owner = relation.relationship.parent
    local = [attribute(owner, column) for column in relation.local]
    statement = sa.select(relation.model, *local).select_from(owner.class_)
    return statement.join(relation.relationship.class_attribute).where(is_among(local, keys))


def _dump(connection: Connection, kind: Kind, statement: sa.Select[Any]) -> Page:
    try:
        return _dump_together(connection, kind, statement)
    except sa.exc.DBAPIError:
        raise
    except Exception as error:  # noqa: BLE001 - the types of a host may refuse a stored value in any way
        return _dump_apart(connection, kind, statement, error)


def _dump_apart(connection: Connection, kind: Kind, statement: sa.Select[Any], error: Exception) -> Page:
    """A page of which some row cannot be read: each of its runs by itself."""
    identity = kind.table.attribute(kind.table.identity or "")
    keys = connection.execute(statement.with_only_columns(*statement.selected_columns[-2:], identity)).all()
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for *_, one in keys:
        alone = _select(kind).add_columns(sa.null(), sa.null()).where(identity == one)
        try:
            page = _dump_together(connection, kind, alone)
        except sa.exc.DBAPIError:
            raise
        except Exception as own:  # noqa: BLE001
            uuid = str(kind.table.wire(kind.table.identity or "", one))
            text = f"{kind.name} {uuid}: cannot be read: {type(own).__name__}: {own}"
            problems.append(Problem("error", "schema", text, "", kind.name, uuid))
        else:
            records += page.records
            problems += page.problems
    if not problems:
        raise error  # no single row is at fault
    return Page(records, problems, (keys[-1][0], keys[-1][1]) if len(keys) == PAGE else None)


def _dump_together(connection: Connection, kind: Kind, statement: sa.Select[Any]) -> Page:
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    # A session of its own leaves the caller's objects alone, and forgets the page with the block.
    with savepoint(connection), own_session(connection) as session:
        rows = session.execute(statement).all()
        _complete(session, kind.table, [row for row, _, _ in rows])
        for row, _, _ in rows:
            if type(row) is not kind.table.mapper.class_:
                problems.append(_of_a_subclass(kind, row))
                continue
            try:
                records.append(kind.table.schema.dump(row))
            except ValidationError:
                problems += _unholdable(kind, row)
    return Page(records, problems, (rows[-1][1], rows[-1][2]) if len(rows) == PAGE else None)


def _identity_of(kind: Kind, row: Any) -> str:
    value = getattr(row, kind.table.attribute(kind.table.identity or "").key)
    try:
        return str(kind.table.wire(kind.table.identity or "", value))
    except (ValidationError, ValueError):
        return str(value)


def _of_a_subclass(kind: Kind, row: Any) -> Problem:
    model, uuid = type(row).__name__, _identity_of(kind, row)
    text = (
        f"{kind.name} {uuid}: is a {model}, of which this kind describes only a part: "
        f"make {model} a kind of its own, and leave its rows out here by where=."
    )
    return Problem("error", "schema", text, "", kind.name, uuid)


def _unholdable(kind: Kind, row: Any) -> Iterator[Problem]:
    """Every member of *row* and its ledgers that the format cannot hold."""
    uuid = _identity_of(kind, row)
    for steps, message in _faults(kind.table.schema, row):
        text = f"{kind.name} {uuid}: {message}"
        yield Problem("error", message.code, text, pointer(*steps), kind.name, uuid)


def _faults(schema: Any, row: Any) -> Iterator[tuple[tuple[str | int, ...], Fault]]:
    for name, field in schema.dump_fields.items():
        nested, wire = nested_in(field), wire_name(name, field)
        if nested is not None and isinstance(nested.schema, RecordSchema):
            try:
                entries = schema.get_attribute(row, field.attribute or name, None)
            except ValidationError as error:
                yield from faults_in(error.messages, wire)
                continue
            if entries is not None:
                for index, entry in enumerate(entries) if is_list(field) else [(None, entries)]:
                    at = (wire,) if index is None else (wire, index)
                    yield from (((*at, *steps), message) for steps, message in _faults(nested.schema, entry))
            continue
        try:
            field.serialize(name, row, accessor=schema.get_attribute)
        except ValidationError as error:
            yield from faults_in(error.messages, wire)
