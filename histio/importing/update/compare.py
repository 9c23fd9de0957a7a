"""Compare the runs of a document with the stored ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection

from histio.exporting.pages import export_known
from histio.exporting.unreadable import altered_values
from histio.importing.destination import Destination
from histio.importing.run import Run, Values
from histio.kinds.compare import Comparison, Mismatch, Sides, contrast
from histio.kinds.table import Kind, Table
from histio.pointer import pointer
from histio.report import Fault
from histio.tuning import with_pauses

BY_CONTENT = Comparison()
"""Members that a document leaves out are not compared, and slugs of the same row are equal."""


def lock_runs(
    connection: Connection, kind: Kind, identities: Collection[Any], within: Mapping[sa.Column[Any], Any]
) -> None:
    """Lock the rows of the runs with these *identities* until the transaction ends.

    *within*: columns that identify a run together with its identity, and their values.
    """
    own = kind.identity.sql()
    scope = [other == value for other, value in within.items()]
    known = own.select().where(own.among(identities), *scope)
    # Related rows that hold a part of the identity are not locked, if the database can leave them out.
    locked = kind.identity.columns[0].table if own.is_joined else None
    connection.execute(known.order_by(*own.parts).with_for_update(of=locked))


def read_stored(
    connection: Connection,
    kind: Kind,
    runs: Sequence[Run],
    *,
    within: Mapping[sa.Column[Any], Any],
    now: bool = False,
) -> list[Values | str]:
    """The stored values of *runs*, as their schema loads them; a text: why they cannot be read.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of the runs.
        runs: Runs that exist.
        within: Columns that identify a run together with its identity, and their values.
        now: Whether to read what is committed now, instead of what the transaction sees.
    """
    records: dict[str, Any] = {}
    unreadable: dict[str | None, str] = {}
    # A REPEATABLE READ transaction may not see a run that another client has just written.
    for latest in [True] if now else [False, True]:
        wanted = [run.identity for run in runs if run.uuid not in records.keys() | unreadable.keys()]
        if wanted:
            page = export_known(connection, kind, wanted, within=within, now=latest)
            records |= {kind.identity.format_record(record): record for record in page.records}
            unreadable |= {problem.uuid: str(problem) for problem in page.problems}
    unseen = "it cannot be seen: hidden from this kind, or another client has just written it"
    return [
        unreadable.get(run.uuid, unseen) if record is None else _load(kind.table, record)
        for run, record in ((run, records.get(run.uuid or "")) for run in with_pauses(runs))
    ]


def _load(table: Table, record: Any) -> Values | str:
    try:
        values: Values = table.schema.load(record)
    except ValidationError as error:
        return f"what is stored cannot be loaded: {error}"
    return values


def warn_of_altered(
    connection: Connection, kind: Kind, runs: Collection[Run], *, within: Mapping[sa.Column[Any], Any]
) -> None:
    """Warn in *runs* about stored values that are read differently from how they are stored."""
    by_uuid = {run.uuid: run for run in runs}
    table = kind.table
    own = kind.identity.sql(table.mapper.class_, apart=True)
    identity = own.among([run.identity for run in runs])
    scope = [column == value for column, value in within.items()]
    for value in altered_values(connection, kind, [identity, *scope]) if runs else ():
        run, at = by_uuid.get(value.run), value.members[0]
        if run is not None and any(table.names[member] == at for member in run.values):
            fault = Fault(f"{value.text} An update compares the value as read.", "precision")
            run.note(fault, at, warning=True)


def warn_of_changed(destination: Destination, kind: Kind, runs: Collection[Run]) -> None:
    """Warn in *runs* that have just been written about values that the database has changed.

    Of several runs with the same identity, the last one counts.
    """
    written = list({run.identity: run for run in runs}.values())
    if not written:
        return
    connection, within = destination.connection, destination.identities.scope(kind.table)
    now = bool(destination.resolver.seen_late)  # the runs may refer to rows that others have just written
    stored = read_stored(connection, kind, written, within=within, now=now)
    given = resolve_given(kind.table, written, stored, destination.builder.as_stored)
    for run, values in zip(written, stored, strict=True):
        if isinstance(values, str):
            run.note(Fault(f"The database has changed the run: {values}", "conflict"), warning=True)
            continue
        for mismatch in BY_CONTENT.find_mismatches(kind.table, given[run], values):
            difference = _describe(mismatch, destination.sides)
            fault = Fault(f"The database has changed the run: {difference}", "conflict")
            run.note(fault, *mismatch.path.given, warning=True)


def resolve_given(
    table: Table,
    runs: Sequence[Run],
    stored: Sequence[Values | str],
    as_stored: Callable[[Table, Sequence[Values]], Sequence[Values]],
) -> dict[Run, Values]:
    """The values of *runs*, with the slugs that an export would write, so that rows are compared, not slugs.

    Args:
        table: The table of the runs.
        runs: Well-formed runs.
        stored: The stored values of each run, as `read_stored` returns them.
        as_stored: Replaces the slugs of records by those that an export would write. It is called for runs
            that differ from the stored ones only.
    """
    pairs = zip(runs, stored, strict=True)
    differing = [
        run
        for run, values in with_pauses(pairs)
        if not isinstance(values, str) and not BY_CONTENT.is_alike(table, run.values, values)
    ]
    resolved = as_stored(table, [run.values for run in differing])
    return {run: run.values for run in runs} | dict(zip(differing, resolved, strict=True))


def describe_differences(table: Table, given: Values, stored: Values, sides: Sides) -> Iterator[str]:
    """A phrase for each member, entry or order that differs; *sides* are their names."""
    return (_describe(each, sides) for each in BY_CONTENT.find_mismatches(table, given, stored))


def _describe(mismatch: Mismatch, sides: Sides) -> str:
    at, table, member = pointer(*mismatch.path.given), mismatch.table, mismatch.member
    if mismatch.what == "only given":
        return f"{at}: only in the {sides[0]}"
    if mismatch.what == "only stored":
        if table.identity is None:
            return f"{pointer(*mismatch.path.stored)}: only in the {sides[1]}"
        return f"{at}: only in the {sides[1]}: {table.identity.format(table.identity.read(mismatch.stored))}"
    if mismatch.what == "order":
        return f"{at}: in another order in the {sides[1]}"
    ours, theirs = (table.wire(member, each) for each in (mismatch.given, mismatch.stored))
    return f"{at}: {contrast(ours, theirs, sides)}"
