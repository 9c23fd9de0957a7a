"""Export runs in order, page by page, with a constant number of statements for each page."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import keeps_instants, latest, loaded, neutral_savepoint, raw, savepoint
from histio.exporting.dump import Page, dump_page, select_runs
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.formatter import RowFormatter, TooManyError
from histio.exporting.fast_path import FastPage, fast_pages
from histio.exporting.full_path import full_pages
from histio.exporting.identities import misspelled, refuse_ambiguous, refuse_misspelled
from histio.exporting.ordered import OrderedRuns
from histio.exporting.page_size import MOST_ENTRIES
from histio.exporting.plan import plan_export
from histio.exporting.selection import ALL_RUNS, Filters, criteria_of, spans_of
from histio.exporting.tally import ExportTally
from histio.exporting.unreadable import altered_values, refuse_unreadable_times
from histio.kinds.table import Kind
from histio.report import Problem
from histio.tuning import tuning
from histio.wire import encode

_log = logging.getLogger("histio")


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
            texts.append(encode(record))
        except (TypeError, ValueError) as error:
            why = "a lone surrogate" if isinstance(error, UnicodeError) else str(error)
            uuid = kind.identity.format_record(record)
            text = f"{kind.name} {uuid}: is not JSON: {why}."
            problems.append(Problem("error", "schema", text, "", kind.name, uuid))
    return texts


def _pages(connection: Connection, kind: Kind, filters: Filters, tally: ExportTally) -> Iterator[Page]:
    """Pages of runs in order; *tally* collects problems and warnings."""
    has_instants = functools.cache(functools.partial(keeps_instants, connection, [kind, *filters.others]))
    with neutral_savepoint(connection, kind, has_instants=has_instants):
        plan = plan_export(kind, connection.dialect)
        found = criteria_of(connection, plan, filters)
        criteria, bounds = found.others, found.bounds
        formatter = _find_formatter(connection, kind)
        # These runs have no place in any part: only the first part reports them.
        refused = tally if filters.part is None or filters.part.before is None else ExportTally()
        criteria += plan.unplaced.refuse(connection, criteria, bounds, refused)
        if not plan.is_unique:
            criteria += refuse_ambiguous(connection, kind, [*criteria, *bounds], refused)
        if found.time is not None and bounds:
            criteria += refuse_misspelled(connection, kind, [*criteria, *bounds], refused)
            criteria += refuse_unreadable_times(connection, kind, criteria, refused, found.time.ranges)
    for number, (conditions, sort_key) in enumerate(spans_of(kind, found.time)):
        selected = [*criteria, *bounds, *conditions]
        every = OrderedRuns(connection, plan, selected, sort_key, has_instants=has_instants)
        if filters.part is not None:
            within = filters.part.within(number)
            if within is None:
                continue
            every = every.within(*every.between(*within))
        for runs in every.in_lists() if filters.others or found.is_listed else [every]:
            if formatter is None:
                _log.debug("all pages of %s take the full path", kind.name)
                yield from full_pages(runs, tally)
            else:
                yield from _fast_or_full_pages(runs, formatter, tally)


def _find_formatter(connection: Connection, kind: Kind) -> RowFormatter | None:
    """The formatter of the fast path for *kind*; None: its rows take the full path."""
    return None if tuning().full_path_only else plan_export(kind, connection.dialect).formatter


def _fast_or_full_pages(runs: OrderedRuns, formatter: RowFormatter, tally: ExportTally) -> Iterator[Page]:
    """Pages of the fast path; a page that it does not export takes the full path."""
    is_spelled = False
    for page in fast_pages(runs, formatter):
        if page.has_failed:
            others = _without_unreadable_times(runs, page, tally)
            if others is not None:
                yield from _fast_or_full_pages(others, formatter, tally)
                return
        if page.formatted is None and not is_spelled:
            # Another spelling of an identity sorts elsewhere, so no bounds of pages hold for such runs.
            if _is_misspelled(runs, page):
                yield from full_pages(runs, tally, *runs.between(page.before, None))
                return
            is_spelled = True
        if page.formatted is None or (page.formatted.altered and tally.exact):
            _log.debug("a page of %s takes the full path", runs.kind.name)
            yield from full_pages(runs, tally, *runs.between(page.before, page.last))
            continue
        if page.formatted.altered:
            within = runs.between(page.before, page.last)
            _warn_of_altered(runs, within, len(page.formatted.altered), tally)
        yield Page([], [], page.last, texts=page.formatted.texts)


def _without_unreadable_times(runs: OrderedRuns, page: FastPage, tally: ExportTally) -> OrderedRuns | None:
    """The runs from *page* on but those whose time the driver cannot read, as that page has; None: all."""
    following = runs.between(page.before, None)
    with runs.neutral_savepoint():
        readable = refuse_unreadable_times(runs.connection, runs.kind, runs.conditions(*following), tally)
    return runs.within(*following, *readable) if readable else None


def _is_misspelled(runs: OrderedRuns, page: FastPage) -> bool:
    """Whether a run of *page*, or one that follows it, has an identity that no look-up finds."""
    conditions = runs.conditions(*runs.between(page.before, None))
    with runs.neutral_savepoint():
        return bool(misspelled(runs.connection, runs.kind, conditions)[0])


def _warn_of_altered(runs: OrderedRuns, within: Iterable[Any], count: int, tally: ExportTally) -> None:
    """Add *count* warnings; look up the values of the runs *within* conditions while the tally keeps them."""
    values = altered_values(runs.connection, runs.kind, runs.conditions(*within))
    with runs.neutral_savepoint(), contextlib.closing(values):
        tally.warn(runs.kind, count, values)


def count_runs(connection: Connection, kind: Kind, filters: Filters) -> int:
    """How many runs `export_runs` yields, unless rows cannot be exported."""
    with neutral_savepoint(connection, kind, *filters.others):
        criteria = criteria_of(connection, plan_export(kind, connection.dialect), filters)
        counted = sa.select(sa.func.count()).select_from(kind.table.mapper.class_)
        counted = counted.where(*criteria.others, *criteria.bounds)
        return connection.execute(counted).scalar_one()


def export_known(
    connection: Connection,
    kind: Kind,
    identities: Collection[Any],
    *,
    within: Mapping[sa.Column[Any], Any],
    now: bool,
) -> Page:
    """The records of *kind* with these identities; one page in any order.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        identities: The identities of the runs.
        within: Only rows with these values.
        now: Whether to read what is committed now, even where the transaction reads an older moment.
    """
    identity = kind.identity.sql(kind.table.mapper.class_)
    scope = [column == value for column, value in within.items()]
    statement = identity.join(select_runs(kind)).where(identity.among(identities), *scope)
    return dump_page(connection, kind, identity, statement, tuning().page, now=now)


def known_texts(
    connection: Connection, kind: Kind, identities: Sequence[Any], *, now: bool = False
) -> tuple[dict[str, str], set[str]]:
    """The JSON of runs with these *identities*, by UUID; runs that the fast path declines are absent.

    The second value has the UUIDs of runs with values that are read differently from how they are stored.

    *now*: whether to read what is committed now, even where the transaction reads an older moment.
    """
    identity = kind.table.attribute(kind.identity.members[0])
    formatter, own = _find_formatter(connection, kind), _identifying(connection.dialect, kind, identity)
    found: dict[str, str] = {}
    altered: set[str] = set()
    if formatter is None:
        return found, altered
    statement = formatter.select().add_columns(own.value.label("identity"))
    for start in range(0, len(identities), tuning().page):
        some = statement.where(identity.in_(identities[start : start + tuning().page]))
        some = latest(connection, some) if now else some
        with savepoint(connection), contextlib.suppress(DeclinedError, TooManyError):
            with connection.execute(some) as result:
                rows = result.cursor.fetchall()
            formatted = formatter.format(connection, rows, MOST_ENTRIES, now=now)
            uuids = list(own.convert([row[-1] for row in rows]))
            found.update(zip(uuids, formatted.texts, strict=True))
            altered.update(uuids[place] for place in formatted.altered)
    return found, altered


class _Identifying(NamedTuple):
    """How identities are read: the expression to select, and what converts its values to UUIDs as text."""

    value: Any
    convert: Callable[[Sequence[Any]], Iterable[str]]


def _identifying(dialect: sa.Dialect, kind: Kind, identity: Any) -> _Identifying:
    arriving = raw(dialect, identity.type, identity)
    if arriving is not None and arriving[1] in ("uuid", "hex", "text"):
        return _Identifying(arriving[0], lambda values: [str(UUID(value)) for value in values])
    field: Any = kind.identity.parts[0].field
    source = loaded(dialect, identity, may_be_json=False)
    return _Identifying(source.value, lambda values: map(field.to_wire, source.convert(values)))


def read_known(
    connection: Connection,
    kind: Kind,
    identities: Sequence[Any],
    *,
    within: Mapping[sa.Column[Any], Any],
    now: bool,
) -> dict[str, str]:
    """The JSON of runs with these *identities*, by identity as text, as an export would write it now.

    Runs that do not exist, or cannot be exported, are absent.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        identities: The identities of the runs.
        within: Only rows with these values.
        now: Whether to read what is committed now, even where the transaction reads an older moment.
    """
    takes_fast_path = kind.identity.is_uuid and not within
    found, _ = known_texts(connection, kind, identities, now=now) if takes_fast_path else ({}, set())
    rest = [identity for identity in identities if kind.format_identity(identity) not in found]
    if rest:
        page = export_known(connection, kind, rest, within=within, now=now)
        for record in page.records:
            for text in texts_of(kind, [record], []):
                found[kind.identity.format_record(record)] = text
    return found
