"""Rows → runs: ordered, in pages, with a constant number of statements per page."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.compiler.collector import paused
from histio.compiler.columns import DeclinedError
from histio.compiler.texts import Finished, Texts, TooManyError, compiled_texts
from histio.contract import pointer
from histio.damage import altered_values, refuse_ambiguous, refuse_unplaced, refuse_unreadable, sort_keys
from histio.dialects import as_sorted, raw, savepoint, sort_key
from histio.errors import ExportError
from histio.export_tally import ExportTally
from histio.fields import UtcTimestamp
from histio.identity import IdentitySql
from histio.kinds import Kind, Table
from histio.loading import complete, eager
from histio.mapping import select_rows
from histio.records import RecordSchema
from histio.report import Fault, Problem
from histio.sessions import own_session
from histio.spellings import misspelled, refuse_misspelled
from histio.wire import encoded, faults_in, is_list, nested_in, shown, wire_name

PAGE = 200
"""Runs per page: within the 100 to 250 that measured best."""

_ENTRIES = 20_000
"""A page has fewer runs where they have more ledger entries than this: memory is that of the largest run."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs of a kind are exported.

    Attributes:
        since: The earliest time; a bare date is its beginning, a naive time is UTC.
        until: The latest time; a bare date includes its whole day, a naive time is UTC.
        changed_since: The earliest time at which the run or an entry of its ledgers was last written.
        where: A further criterion.
    """

    since: dt.date | None = None
    until: dt.date | None = None
    changed_since: dt.date | None = None
    where: sa.ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, in order.

    Attributes:
        records: Their records.
        problems: What the format cannot hold; the rows concerned are not among the records.
        last: What sorts the last row of a full page; None when nothing can follow.
        identities: Those of the records, as their column has them.
        skipped: How many rows are not among the records.
        texts: The JSON of the records, instead of those; None: they have not been made into JSON.
    """

    records: list[dict[str, Any]]
    problems: list[Problem]
    last: tuple[Any, ...] | None
    identities: Sequence[Any] = ()
    skipped: int = 0
    texts: list[str] | None = None


def export_runs(
    connection: Connection, kind: Kind, filters: Filters = Filters(), tally: ExportTally | None = None
) -> Iterator[dict[str, Any]]:
    """The records of *kind*, by (timestamp, identity); those without a time come first.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        filters: Which of them.
        tally: Gets what there is to say of stored values, which the caller passes on. None: what cannot be
            exported is raised after the last run.

    Raises:
        ExportError: After the last run, when rows could not be exported.
    """
    own = ExportTally() if tally is None else tally
    for page in _pages(connection, kind, filters, own):
        yield from page.records if page.texts is None else map(json.loads, page.texts)
    if tally is None:
        own.check()


def export_texts(
    connection: Connection, kind: Kind, filters: Filters, tally: ExportTally
) -> Iterator[list[str]]:
    """The JSON of the records of *kind*, compact, page by page; *tally* gets what there is to say of them."""
    for page in _pages(connection, kind, filters, tally):
        if page.texts is not None:
            yield page.texts
            continue
        problems: list[Problem] = []
        yield texts_of(kind, page.records, problems)
        tally.refuse(problems)
        tally.skipped += len(problems)


def texts_of(kind: Kind, records: Iterable[Mapping[str, Any]], problems: list[Problem]) -> list[str]:
    """The JSON of *records*; those that are none are added to *problems*."""
    texts = []
    for record in records:
        try:
            texts.append(encoded(record))
        except (TypeError, ValueError) as error:
            why = "a lone surrogate" if isinstance(error, UnicodeError) else str(error)
            uuid = kind.identity.words_of(record)
            text = f"{kind.name} {uuid}: is no JSON: {why}."
            problems.append(Problem("error", "schema", text, "", kind.name, uuid))
    return texts


def _pages(connection: Connection, kind: Kind, filters: Filters, tally: ExportTally) -> Iterator[Page]:
    """Pages of runs in their order; *tally* gets what cannot be exported."""
    with savepoint(connection):
        time, criteria, bounds = _criteria(connection, kind, filters)
        texts = _texts(connection, kind)
        criteria += refuse_unplaced(connection, kind, criteria, bounds, tally)
        criteria += refuse_ambiguous(connection, kind, [*criteria, *bounds], tally)
        if bounds:
            criteria += refuse_misspelled(connection, kind, [*criteria, *bounds], tally)
            criteria += refuse_unreadable(connection, kind, criteria, bounds, tally)
    for span, at in _spans(kind, time, bounded=bool(bounds)):
        runs = _Runs(connection, kind, [*criteria, *bounds, *span], at)
        yield from runs.carefully(tally) if texts is None else runs.swiftly(texts, tally)


def _texts(connection: Connection, kind: Kind) -> Texts | None:
    """What makes JSON of rows of *kind*; None: marshmallow has to."""
    if any(isinstance(part.field, UtcTimestamp) for part in kind.identity.parts):
        return None  # it reads times in any spelling
    made = compiled_texts(kind, connection.dialect)
    return made if isinstance(made, Texts) else None


class _Runs:
    """Runs of one kind in their order, of which *conditions* are true.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        conditions: What is true of them.
        at: What sorts them by their time; None: nothing but their identity does.
    """

    def __init__(self, connection: Connection, kind: Kind, conditions: list[Any], at: Any) -> None:
        self._connection = connection
        self._kind = kind
        self._conditions = conditions
        self._identity = kind.identity.sql(kind.table.mapper.class_, apart=True)
        self._sorted_by = [*([] if at is None else [at]), *sort_keys(connection, self._identity)]

    def _in_order(self, statement: sa.Select[Any], *further: Any) -> sa.Select[Any]:
        """*statement* of the runs of which *further* conditions are true, with what sorts them as well."""
        labelled = [each.label(f"sorted_by_{place}") for place, each in enumerate(self._sorted_by)]
        return statement.add_columns(*labelled).where(*self._conditions, *further).order_by(*self._sorted_by)

    def carefully(self, tally: ExportTally, *further: Any) -> Iterator[Page]:
        """Pages of the records that marshmallow dumps."""
        connection, kind = self._connection, self._kind
        with savepoint(connection):
            found = refuse_misspelled(connection, kind, [*self._conditions, *further], tally)
            further = (*further, *found)
            readable = refuse_unreadable(connection, kind, [*self._conditions, *further], [], tally)
        statement = self._in_order(_select(kind), *further, *readable)
        following, more = statement, True
        while more:
            size, more = _size(connection, kind, following)
            if not size:
                break
            page = _dump(connection, kind, self._identity, following.limit(size), size)
            tally.refuse(page.problems)
            tally.skipped += page.skipped
            if page.identities and not tally.exact:
                with savepoint(connection):
                    exported = kind.identity.sql(kind.table.mapper.class_, apart=True).among(page.identities)
                    altered = list(altered_values(connection, kind, [exported]))
                tally.warn(kind, len(altered), altered)
            yield page
            if page.last is None:
                break
            following = statement.where(_beyond(self._sorted_by, page.last))

    def swiftly(self, texts: Texts, tally: ExportTally) -> Iterator[Page]:
        """Pages of texts; where they are not sure of a row, of marshmallow's records.

        A page with too many ledger entries is tried again with fewer runs.
        """
        first = self._in_order(texts.select()).limit(sa.bindparam("at_most", type_=sa.Integer))
        names = [f"last_{place}" for place in range(len(self._sorted_by))]
        next_ones = first.where(_beyond(self._sorted_by, list(map(sa.bindparam, names))))
        size, spelled = PAGE, False
        last: tuple[Any, ...] | None = None
        while True:
            beyond = [] if last is None else [_beyond(self._sorted_by, last)]
            last_ones = {} if last is None else dict(zip(names, last, strict=True))
            try:
                with savepoint(self._connection), paused():
                    sought = first if last is None else next_ones
                    rows = self._connection.execute(sought, {"at_most": size} | last_ones).all()
                    ended = tuple(rows[-1][-len(names) :]) if rows else None
                    page = self._finished(texts, rows)
            except TooManyError:
                size = max(1, size // 4)
                continue
            except Exception:  # noqa: BLE001 - of what the database cannot say, the careful way knows why
                yield from self.carefully(tally, *beyond)
                return
            if ended is not None:
                # Odd spellings sort elsewhere than they are read: no page has bounds that hold them.
                if page is None and not spelled and self._is_misspelled(*beyond):
                    yield from self.carefully(tally, *beyond)
                    return
                spelled = spelled or page is None
                within = (*beyond, sa.not_(_beyond(self._sorted_by, ended)))
                if page is None or (page.altered and tally.exact):
                    yield from self.carefully(tally, *within)
                else:
                    if page.altered:
                        self._warn_of_altered(tally, len(page.altered), within)
                    yield Page([], [], ended, texts=page.texts)
            if len(rows) < size:
                return
            size, last = min(PAGE, 2 * size), ended

    def _is_misspelled(self, *further: Any) -> bool:
        """Whether one of the runs of which *further* conditions are true has an identity no look-up finds."""
        return bool(misspelled(self._connection, self._kind, [*self._conditions, *further])[0])

    def _finished(self, texts: Texts, rows: Sequence[Any]) -> Finished | None:
        """The JSON of *rows*; None: of one of them, only marshmallow can say what it is."""
        try:
            return texts.finished(self._connection, rows, _ENTRIES)
        except DeclinedError:
            return None

    def _warn_of_altered(self, tally: ExportTally, count: int, within: Iterable[Any]) -> None:
        """Count values that are read as others; while they are kept, look them up *within* a span of runs."""
        values = altered_values(self._connection, self._kind, [*self._conditions, *within])
        with savepoint(self._connection), contextlib.closing(values):
            tally.warn(self._kind, count, values)


def _size(connection: Connection, kind: Kind, runs: sa.Select[Any]) -> tuple[int, bool]:
    """How many of *runs* make a page, and whether some may follow."""
    counts = list(_entry_counts(kind))
    if not counts:
        return PAGE, True
    counting = runs.with_only_columns(*counts, maintain_column_froms=True).limit(PAGE)
    with savepoint(connection):
        sizes = connection.execute(counting).all()
    total = itertools.accumulate(sum(each) for each in sizes)
    fitting = sum(1 for entries in total if entries <= _ENTRIES)
    size = min(max(fitting, 1), len(sizes))
    return size, size < len(sizes) or size == PAGE


def _entry_counts(kind: Kind) -> Iterator[sa.ScalarSelect[Any]]:
    """How many entries a run has, in each of its ledgers."""
    model = kind.table.mapper.class_
    for (first, *further), _ in itertools.islice(kind.table.paths(), 1, None):
        entity = aliased(first.relation.model)
        entries = sa.select(sa.func.count()).select_from(entity).where(*first.ties(model, entity))
        for ledger in further:
            owner, entity = entity, aliased(ledger.relation.model)
            entries = entries.join(entity, sa.and_(*ledger.ties(owner, entity)))
        yield entries.correlate(model).scalar_subquery()


def count_runs(connection: Connection, kind: Kind, filters: Filters) -> int:
    """How many runs `export_runs` gives, unless rows cannot be exported."""
    with savepoint(connection):
        _, criteria, bounds = _criteria(connection, kind, filters)
        counted = sa.select(sa.func.count()).select_from(kind.table.mapper.class_).where(*criteria, *bounds)
        return connection.execute(counted).scalar_one()


def _criteria(connection: Connection, kind: Kind, filters: Filters) -> tuple[Any, list[Any], list[Any]]:
    """What sorts the runs by time, what is true of those asked for, and which bounds their time has."""
    time = None if kind.timestamp is None else sort_key(connection, kind.table.attribute(kind.timestamp))
    bounds = []
    if filters.since is not None:
        bounds.append(_timed(kind, time) >= _bound(connection, kind.table, kind.timestamp, filters.since))
    if filters.until is not None:
        bounds.append(
            _timed(kind, time) <= _bound(connection, kind.table, kind.timestamp, filters.until, end=True)
        )
    criteria = [] if filters.where is None else [filters.where]
    if filters.changed_since is not None:
        changed = list(_changed(connection, kind.table, kind.table.mapper.class_, filters.changed_since))
        if not changed:
            raise ValueError(f"changed_since: nothing tells when a {kind.name} was last written")
        criteria.append(sa.or_(*changed))
    return time, criteria, bounds


def _changed(connection: Connection, table: Table, entity: Any, moment: dt.date) -> Iterator[Any]:
    """What is true of rows of *entity* that were written since *moment*, themselves or in their ledgers."""
    member = table.changed
    if member is not None:
        own = getattr(entity, table.attribute(member).key)
        yield sort_key(connection, own) >= _bound(connection, table, member, moment, cut=True)
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_changed(connection, ledger.table, below, moment))
        if found:
            yield sa.exists().where(*ledger.ties(entity, below), sa.or_(*found))


def _beyond(sorted_by: Sequence[Any], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """What is true of the rows that come after the one whose sort keys are *last*.

    Spelled out, as databases are slow at comparing tuples.
    """
    (first, *others), (value, *further) = sorted_by, last
    if not others:
        return first > value  # type: ignore[no-any-return]
    return sa.and_(first >= value, sa.or_(first > value, _beyond(others, further)))


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
    now: bool = False,
) -> Page:
    """The records of *kind* with these identities, *within* rows with these values; one page in any order.

    *now*: as they are committed now, also where the transaction reads an older moment.
    """
    identity = kind.identity.sql(kind.table.mapper.class_)
    scope = [column == value for column, value in within.items()]
    statement = identity.join(_select(kind)).where(identity.among(identities), *scope)
    return _dump(connection, kind, identity, statement, PAGE, now=now)


def known_texts(
    connection: Connection, kind: Kind, identities: Sequence[Any]
) -> tuple[dict[str, str], set[str]]:
    """By UUID, the JSON of runs with these *identities*, but for those that marshmallow has to dump.

    With them, the UUIDs of those that have values which are stored otherwise than they are read.
    """
    identity = kind.table.attribute(kind.identity.members[0])
    texts, arriving = _texts(connection, kind), raw(connection.dialect, identity.type, identity)
    found: dict[str, str] = {}
    altered: set[str] = set()
    if texts is None or arriving is None:
        return found, altered
    statement = texts.select().add_columns(arriving[0].label("identity"))
    for start in range(0, len(identities), PAGE):
        some = statement.where(identity.in_(identities[start : start + PAGE]))
        with savepoint(connection), contextlib.suppress(DeclinedError, TooManyError):
            with connection.execute(some) as result:
                rows = result.cursor.fetchall()
            made = texts.finished(connection, rows, _ENTRIES)
            uuids = [str(UUID(row[-1])) for row in rows]
            found.update(zip(uuids, made.texts, strict=True))
            altered.update(uuids[place] for place in made.altered)
    return found, altered


def _bound(
    connection: Connection,
    table: Table,
    member: str | None,
    value: dt.date,
    *,
    end: bool = False,
    cut: bool = False,
) -> Any:
    """The moment of *value*, or the first (or last) of a bare date, as `sort_key` gives it.

    *cut*: or what a column that counts whole units keeps of a moment right after it.
    """
    if not isinstance(value, dt.date):
        raise TypeError(f"since, until and changed_since are dates or datetimes, not {shown(value)}")
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


def _select(kind: Kind) -> sa.Select[Any]:
    return select_rows(kind.table.mapper.class_).options(*eager(kind.table))


def _dump(
    connection: Connection,
    kind: Kind,
    identity: IdentitySql,
    statement: sa.Select[Any],
    size: int,
    *,
    now: bool = False,
) -> Page:
    try:
        return _dump_together(connection, kind, statement, size, now=now)
    except sa.exc.DBAPIError:
        raise
    except Exception as error:  # noqa: BLE001 - the types of a host may refuse a stored value in any way
        return _dump_apart(connection, kind, identity, statement, size, error)


def _dump_apart(
    connection: Connection,
    kind: Kind,
    identity: IdentitySql,
    statement: sa.Select[Any],
    size: int,
    error: Exception,
) -> Page:
    """A page of which some row cannot be read: each of its runs by itself."""
    sorted_by = statement.selected_columns[len(_select(kind).selected_columns) :]
    try:
        keys = connection.execute(statement.with_only_columns(*sorted_by, *identity.parts)).all()
    except ValueError as own:
        text = f"{kind.name}: a stored {kind.identity.title} cannot be read: {own}"
        problem = Problem("error", "schema", text, pointer(*kind.identity.steps), kind.name)
        raise ExportError((problem,)) from own
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    identities: list[Any] = []
    for key in keys:
        one = kind.identity.joined(key[len(sorted_by) :])
        alone = statement.where(identity.equals(one))
        try:
            page = _dump_together(connection, kind, alone, size)
        except sa.exc.DBAPIError:
            raise
        except Exception as own:  # noqa: BLE001
            uuid = kind.named(one)
            text = f"{kind.name} {uuid}: cannot be read: {type(own).__name__}: {own}"
            problems.append(Problem("error", "schema", text, "", kind.name, uuid))
        else:
            records += page.records
            problems += page.problems
            identities += page.identities
    if not problems:
        raise error  # no single row is at fault
    last = tuple(keys[-1][: len(sorted_by)]) if len(keys) == size else None
    return Page(records, problems, last, identities, len(keys) - len(records))


def _dump_together(
    connection: Connection, kind: Kind, statement: sa.Select[Any], size: int, *, now: bool = False
) -> Page:
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    identities: list[Any] = []
    # A session of its own leaves the caller's objects alone, and forgets the page with the block.
    with savepoint(connection), own_session(connection, now=now) as session:
        rows = session.execute(statement).all()
        complete(session, kind.table, [row for row, *_ in rows])
        for row, *_ in rows:
            if type(row) is not kind.table.mapper.class_:
                problems.append(_of_a_subclass(kind, row))
                continue
            try:
                record = kind.table.schema.dump(row)
                unclear = _told(kind, row, _choice_faults(kind.table.schema, record))
                problems += unclear
                if not unclear:
                    records.append(record)
                    identities.append(kind.identity.of_row(row))
            except ValidationError as error:
                problems += list(_unholdable(kind, row)) or _told(kind, row, faults_in(error.messages))
        last = tuple(rows[-1][1:]) if len(rows) == size else None
    return Page(records, problems, last, identities, len(rows) - len(records))


def _identity_of(kind: Kind, row: Any) -> str:
    return kind.named(kind.identity.of_row(row))


def _of_a_subclass(kind: Kind, row: Any) -> Problem:
    model, uuid = type(row).__name__, _identity_of(kind, row)
    text = (
        f"{kind.name} {uuid}: is a {model}, of which this kind describes only a part: "
        f"make {model} a kind of its own, and leave its rows out here by where=."
    )
    return Problem("error", "schema", text, "", kind.name, uuid)


def _unholdable(kind: Kind, row: Any) -> list[Problem]:
    """Every member of *row* and its ledgers that the format cannot hold."""
    return _told(kind, row, _faults(kind.table.schema, row))


def _told(kind: Kind, row: Any, faults: Iterable[tuple[tuple[str | int, ...], Fault]]) -> list[Problem]:
    uuid = _identity_of(kind, row)
    return [
        Problem("error", fault.code, f"{kind.name} {uuid}: {fault}", pointer(*steps), kind.name, uuid)
        for steps, fault in faults
    ]


def _choice_faults(
    schema: Any, record: Mapping[str, Any], *steps: str | int
) -> Iterator[tuple[tuple[str | int, ...], Fault]]:
    """What is wrong with the choices of a dumped *record* and its ledgers."""
    for group in schema.choices():
        given = [name for name in group if record.get(name) is not None]
        if len(given) != 1:
            text = f"Exactly one of {', '.join(group)} must not be null, not {len(given)}."
            yield (*steps, group[-1]), Fault(text)
    for name, field in schema.dump_fields.items():
        nested, wire = nested_in(field), wire_name(name, field)
        if nested is not None and isinstance(nested.schema, RecordSchema) and record.get(wire) is not None:
            for index, entry in enumerate(record[wire]) if is_list(field) else [(None, record[wire])]:
                at = (wire,) if index is None else (wire, index)
                yield from _choice_faults(nested.schema, entry, *steps, *at)


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
