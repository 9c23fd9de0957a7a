"""What a document says against what is stored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection

from histio.exporting.pages import export_known
from histio.exporting.unreadable import altered_values
from histio.importing.parse import Run, Steps, Values
from histio.kinds.table import Kind, Ledger, Table
from histio.pointer import pointer
from histio.report import Fault
from histio.wire import equal, shown


def stored_values(
    connection: Connection,
    kind: Kind,
    runs: Sequence[Run],
    *,
    within: Mapping[sa.Column[Any], Any],
    now: bool = False,
) -> list[Values | str]:
    """What the database holds of each of *runs*, as its record loads; a text: why that is not known.

    *now*: what is committed now. Otherwise the transaction's own moment, where it saw the run.
    """
    records: dict[str, Any] = {}
    unreadable: dict[str | None, str] = {}
    # The row is there, but a REPEATABLE READ transaction may not see who was faster unless it looks again.
    for latest in [True] if now else [False, True]:
        wanted = [run.identity for run in runs if run.uuid not in records.keys() | unreadable.keys()]
        if wanted:
            page = export_known(connection, kind, wanted, within=within, now=latest)
            records |= {kind.identity.words_of(record): record for record in page.records}
            unreadable |= {problem.uuid: str(problem) for problem in page.problems}
    unseen = "it cannot be seen: hidden from this kind, or another client has just written it"
    found: list[Values | str] = []
    for run in runs:
        try:
            record = records.get(run.uuid or "")
            found.append(
                unreadable.get(run.uuid, unseen) if record is None else kind.table.schema.load(record)
            )
        except ValidationError as error:
            found.append(f"what is stored cannot be loaded: {error}")
    return found


def note_altered(
    connection: Connection, kind: Kind, runs: Collection[Run], *, within: Mapping[sa.Column[Any], Any]
) -> None:
    """Warn in each of *runs* of its values that are read differently from how they are stored."""
    by_uuid = {run.uuid: run for run in runs}
    table = kind.table
    own = kind.identity.sql(table.mapper.class_, apart=True)
    identity = own.among([run.identity for run in runs])
    scope = [column == value for column, value in within.items()]
    for value in altered_values(connection, kind, [identity, *scope]) if runs else ():
        run, at = by_uuid.get(value.run), value.members[0]
        if run is not None and any(table.names[member] == at for member in run.values):
            run.note(
                Fault(f"{value.text} An update goes by what is read.", "precision"),
                at,
                warning=True,
            )


def given_values(
    table: Table,
    runs: Sequence[Run],
    stored: Sequence[Values | str],
    as_stored: Callable[[Table, Sequence[Values]], Sequence[Values]],
) -> dict[Run, Values]:
    """The values of *runs*, with the slugs that an export would write, so that rows are compared, not slugs.

    Args:
        table: The table of the runs.
        runs: Well-formed runs.
        stored: The stored values of each run, as `stored_values` returns them.
        as_stored: Replaces the slugs of records by those that an export would write. It is called for runs
            that differ from the stored ones only.
    """
    pairs = zip(runs, stored, strict=True)
    differing = [
        run
        for run, there in pairs
        if not isinstance(there, str) and any(differences(table, run.values, there))
    ]
    resolved = as_stored(table, [run.values for run in differing])
    return {run: run.values for run in runs} | dict(zip(differing, resolved, strict=True))


def differences(table: Table, given: Values, stored: Values, steps: Steps = ()) -> Iterator[str]:
    """A phrase for each member that *given* has and *stored* has otherwise.

    Of slugs that are alternatives, only the one that resolves counts.
    """
    ledgers = {ledger.member: ledger for ledger in table.ledgers}
    ignored = {member for reference in table.references for member in reference.named_by(given)[1:]}
    for member, value in given.items():
        at = (*steps, table.names[member])
        if member in ledgers:
            yield from _entry_differences(ledgers[member], value, stored.get(member), at)
        elif member not in ignored and not equal(value, stored.get(member)):
            ours, theirs = (shown(table.wire(member, each)) for each in (value, stored.get(member)))
            yield f"{pointer(*at)} is {ours}, stored {theirs}"


def _entry_differences(ledger: Ledger, given: Any, stored: Any, steps: Steps) -> Iterator[str]:
    table = ledger.table
    ours, theirs = ledger.listed(given), ledger.listed(stored)
    if table.identity is None:
        yield from _by_place(ledger, ours, theirs, steps)
        return
    there = {table.identity.of(entry): entry for entry in theirs}
    here = {table.identity.of(entry): entry for entry in ours}
    for index, entry in enumerate(ours):
        at = (*steps, index) if ledger.many else steps
        other = there.get(table.identity.of(entry))
        if other is not None:
            yield from differences(table, entry, other, at)
        else:
            yield f"{pointer(*at)} is not stored"
    lacking = (table.identity.words(identity) for identity in there if identity not in here)
    yield from (f"{pointer(*steps)} lacks the stored entry {identity}" for identity in lacking)
    ours_there, theirs_here = (
        [each for each in some if each in other] for some, other in ((here, there), (there, here))
    )
    if not ledger.order and ours_there != theirs_here:
        yield f"{pointer(*steps)} is in another order"


def _by_place(ledger: Ledger, ours: list[Values], theirs: list[Values], steps: Steps) -> Iterator[str]:
    """Entries that nothing identifies are compared in their order; where a member gives it, in that."""
    if len(ours) != len(theirs):
        yield f"{pointer(*steps)} has {len(ours)} entries, stored {len(theirs)}"
    placed = list(enumerate(ours))
    if ledger.order:
        placed.sort(key=lambda each: _order(ledger, each[1]))
        theirs = sorted(theirs, key=functools.partial(_order, ledger))
    for (index, entry), other in zip(placed, theirs, strict=False):
        yield from differences(ledger.table, entry, other, (*steps, index) if ledger.many else steps)


def _order(ledger: Ledger, entry: Values) -> str:
    """What is alike for entries of the same place."""
    return repr(([ledger.table.wire(member, entry.get(member)) for member in ledger.order], entry))
