"""Export runs in order, page by page, with a constant number of statements for each page."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.database.dialects import raw, savepoint
from histio.exporting.counts import ExportTally
from histio.exporting.dump import Page, dump_page, select_runs
from histio.exporting.fast.collector import paused
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.text import Finished, Texts, TooManyError, compiled_texts
from histio.exporting.selection import ALL_RUNS, Filters, criteria_of, spans_of
from histio.exporting.spellings import misspelled, refuse_misspelled
from histio.exporting.unreadable import (
    altered_values,
    refuse_ambiguous,
    refuse_unplaced,
    refuse_unreadable,
    sort_keys,
)
from histio.kinds.fields import UtcTimestamp
from histio.kinds.table import Kind
from histio.report import Problem
from histio.wire import encoded

PAGE = 200
"""Runs per page: within the 100 to 250 that measured best."""

_ENTRIES = 20_000
"""A page has fewer runs where they have more ledger entries than this: memory is that of the largest run."""


def export_runs(
    connection: Connection, kind: Kind, filters: Filters = ALL_RUNS, tally: ExportTally | None = None
) -> Iterator[dict[str, Any]]:
    """The records of *kind*, by (timestamp, identity); those without a time come first.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        filters: Which runs.
        tally: Collects problems and warnings for the caller to report. None: problems are raised after the
            last run.

    Raises:
        ExportError: After the last run: rows could not be exported, and *tally* is None.
    """
    own = ExportTally() if tally is None else tally
    for page in _pages(connection, kind, filters, own):
        yield from page.records if page.texts is None else map(json.loads, page.texts)
    if tally is None:
        own.check()


def export_texts(
    connection: Connection, kind: Kind, filters: Filters, tally: ExportTally
) -> Iterator[list[str]]:
    """The compact JSON of the records of *kind*, page by page; *tally* collects problems and warnings."""
    for page in _pages(connection, kind, filters, tally):
        if page.texts is not None:
            yield page.texts
            continue
        problems: list[Problem] = []
        yield texts_of(kind, page.records, problems)
        tally.refuse(problems)
        tally.skipped += len(problems)


def texts_of(kind: Kind, records: Iterable[Mapping[str, Any]], problems: list[Problem]) -> list[str]:
    """The JSON of *records*; a record that has no JSON is added to *problems* instead."""
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
    """Pages of runs in order; *tally* collects problems and warnings."""
    with savepoint(connection):
        time, criteria, bounds = criteria_of(connection, kind, filters)
        texts = _texts(connection, kind)
        criteria += refuse_unplaced(connection, kind, criteria, bounds, tally)
        criteria += refuse_ambiguous(connection, kind, [*criteria, *bounds], tally)
        if bounds:
            criteria += refuse_misspelled(connection, kind, [*criteria, *bounds], tally)
            criteria += refuse_unreadable(connection, kind, criteria, bounds, tally)
    for span, at in spans_of(kind, time, bounded=bool(bounds)):
        runs = _Runs(connection, kind, [*criteria, *bounds, *span], at)
        yield from runs.carefully(tally) if texts is None else runs.swiftly(texts, tally)


def _texts(connection: Connection, kind: Kind) -> Texts | None:
    """The fast path for *kind*; None: marshmallow has to dump its rows."""
    if any(isinstance(part.field, UtcTimestamp) for part in kind.identity.parts):
        return None  # only SQLAlchemy reads times in every spelling
    made = compiled_texts(kind, connection.dialect)
    return made if isinstance(made, Texts) else None


class _Runs:
    """The runs of one kind that meet some *conditions*, in order.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        conditions: The conditions.
        at: The sort key of their time; None: they are sorted by identity alone.
    """

    def __init__(self, connection: Connection, kind: Kind, conditions: list[Any], at: Any) -> None:
        self._connection = connection
        self._kind = kind
        self._conditions = conditions
        self._identity = kind.identity.sql(kind.table.mapper.class_, apart=True)
        self._sorted_by = [*([] if at is None else [at]), *sort_keys(connection, self._identity)]

    def _in_order(self, statement: sa.Select[Any], *further: Any) -> sa.Select[Any]:
        """*statement* with the conditions and *further* ones, sorted; the sort keys are its last columns."""
        labelled = [each.label(f"sorted_by_{place}") for place, each in enumerate(self._sorted_by)]
        return statement.add_columns(*labelled).where(*self._conditions, *further).order_by(*self._sorted_by)

    def carefully(self, tally: ExportTally, *further: Any) -> Iterator[Page]:
        """The full path: pages of records that marshmallow dumps."""
        connection, kind = self._connection, self._kind
        with savepoint(connection):
            found = refuse_misspelled(connection, kind, [*self._conditions, *further], tally)
            further = (*further, *found)
            readable = refuse_unreadable(connection, kind, [*self._conditions, *further], [], tally)
        statement = self._in_order(select_runs(kind), *further, *readable)
        following, more = statement, True
        while more:
            size, more = _size(connection, kind, following)
            if not size:
                break
            page = dump_page(connection, kind, self._identity, following.limit(size), size)
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
        """The fast path: pages of texts; a page with a row that it declines takes the full path.

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
            except Exception:  # noqa: BLE001 - whatever failed, the full path finds the row and the reason
                yield from self.carefully(tally, *beyond)
                return
            if ended is not None:
                # Other spellings of an identity sort elsewhere, so the bounds of a page do not hold for them.
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
        """Whether a run that meets *further* conditions has an identity that no look-up finds."""
        return bool(misspelled(self._connection, self._kind, [*self._conditions, *further])[0])

    def _finished(self, texts: Texts, rows: Sequence[Any]) -> Finished | None:
        """The JSON of *rows*; None: the fast path declines one of them."""
        try:
            return texts.finished(self._connection, rows, _ENTRIES)
        except DeclinedError:
            return None

    def _warn_of_altered(self, tally: ExportTally, count: int, within: Iterable[Any]) -> None:
        """Add *count* warnings; look up the values *within* a span of runs while the tally keeps them."""
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
        _, criteria, bounds = criteria_of(connection, kind, filters)
        counted = sa.select(sa.func.count()).select_from(kind.table.mapper.class_).where(*criteria, *bounds)
        return connection.execute(counted).scalar_one()


def _beyond(sorted_by: Sequence[Any], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """What is true of the rows that come after the one whose sort keys are *last*.

    Spelled out, as databases are slow at comparing tuples.
    """
    (first, *others), (value, *further) = sorted_by, last
    if not others:
        return first > value  # type: ignore[no-any-return]
    return sa.and_(first >= value, sa.or_(first > value, _beyond(others, further)))


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
    statement = identity.join(select_runs(kind)).where(identity.among(identities), *scope)
    return dump_page(connection, kind, identity, statement, PAGE, now=now)


def known_texts(
    connection: Connection, kind: Kind, identities: Sequence[Any]
) -> tuple[dict[str, str], set[str]]:
    """By UUID, the JSON of runs with these *identities*, as far as the fast path takes them.

    The second value has the UUIDs of runs with values that are read differently from how they are stored.
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
