"""Check that a database has the runs of a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.bound import Bound
from histio.comparing.changes import RunComparison
from histio.comparing.diff import Difference
from histio.comparing.ordered import open_ordered
from histio.comparing.positions import Locator, Position
from histio.exporting.pages import export_runs
from histio.exporting.selection import Filters
from histio.exporting.tally import ExportTally
from histio.files import FilePath, GiB, Limits, MiB
from histio.history import History
from histio.importing.execute import open_look_ups
from histio.kinds.mapping import key_attributes
from histio.kinds.table import Kind
from histio.tuning import tuning

_PAGES = 5
"""How many pages of stored runs are looked up together."""


def verify(
    path: FilePath,
    history: History,
    /,
    *,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Iterator[Difference]:
    """Check that a database has all runs of a file; yield a `Difference` for each that is missing or differs.

    The differences are those of `diff` between the file, ``a``, and the database, ``b``, but runs that only
    the database has are not read. So the time depends on the size of the file, not of the database, if an
    index of the database has the identity of the runs. The differences are in the order of exports. Memory is
    constant.

    Args:
        path: A file, as `History.import_file` takes it. If it has a run several times, the last one counts.
        history: The history whose database is compared.
        max_bytes: The maximum size of the uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes.
        max_depth: The maximum depth of nested objects and lists in a run.

    Raises:
        DocumentError: The file is not a history, is damaged, or has an invalid line or record; raised before
            the first difference.
        ExportError: The format cannot hold the rows of some of the runs; raised after the last run.
        NotConfiguredError: The history has no database.
        ValueError: A limit is not a positive integer.
    """
    return _verify(path, history.bound, Limits(max_bytes, max_line_bytes, max_depth))


def _verify(path: FilePath, bound: Bound, limits: Limits) -> Iterator[Difference]:
    tally = ExportTally()
    with (
        open_ordered([path], bound, bound.kinds, limits) as files,
        bound.database.reading(None) as connection,
        open_look_ups(bound, connection) as look_ups,
    ):
        comparison = RunComparison("a", look_ups.as_stored)
        for place, runs in itertools.groupby(files.runs(), key=lambda run: run[0].kind):
            kind = bound.kinds[place]
            locator = Locator(kind, place)
            while some := list(itertools.islice(runs, tuning().page * _PAGES)):
                identities = look_ups.find_known(kind, [locator.identify(record) for _, record in some])
                stored = _read(connection, kind, identities, look_ups.scope(kind), tally)
                refused = {problem.uuid for problem in tally.problems}
                for position, record in some:
                    if position.identity not in refused:
                        yield from _compare(comparison, kind, position, record, stored)
        tally.check()


def _read(
    connection: Connection,
    kind: Kind,
    identities: Sequence[Any],
    within: Mapping[sa.Column[Any], Any],
    tally: ExportTally,
) -> dict[str, Any]:
    """The stored records of runs of *kind* with these *identities*, by identity as text."""
    scope = (column == value for column, value in within.items())
    filters = Filters(where=sa.and_(_is_among(kind, identities), *scope))
    records = export_runs(connection, kind, filters, tally) if identities else ()
    return {kind.identity.format_record(record): record for record in records}


def _is_among(kind: Kind, identities: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a run has one of *identities*, as an index finds it."""
    model = kind.table.mapper.class_
    own = kind.identity.sql(model, apart=True)
    if not kind.identity.sql(model).is_joined:
        return own.among(identities)
    keys = key_attributes(kind.table.mapper)
    other = aliased(model)
    joined = kind.identity.sql(other)
    found = joined.join(sa.select(*(getattr(other, key.key) for key in keys)).select_from(other))
    return sa.tuple_(*keys).in_(found.where(joined.among(identities)))


def _compare(
    comparison: RunComparison, kind: Kind, position: Position, record: Any, stored: Mapping[str, Any]
) -> Iterator[Difference]:
    """The difference between a *record* of a file and the one of the same run that is *stored*."""
    if position.identity not in stored:
        yield Difference(kind.name, position.identity, only_in="a")
        return
    changes, more = comparison.find_changes(kind, record, stored[position.identity])
    if changes:
        yield Difference(kind.name, position.identity, changes=tuple(changes), more=more)
