"""List what an update changes, from its plan, so that the list is what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from histio.importing.run import Run
from histio.importing.update.compare import BY_CONTENT
from histio.importing.update.plan import LedgerUpdate, RowUpdate
from histio.kinds.compare import START, Mismatch, Path, list_labels
from histio.log import log_handled
from histio.report import LONGEST_VALUE, Revision
from histio.wire import quote


def note_revisions(run: Run, update: RowUpdate, room: int) -> int:
    """Note in *run* what *update* has changed: the number of changes, and at most *room* of them.

    Returns:
        How many of them are listed.
    """
    return note_changes(run, _find_changes(update), room)


def note_changes(run: Run, changes: Iterator[Mismatch], room: int) -> int:
    """Note *changes* in *run*: their number, and at most *room* of them.

    Returns:
        How many of them are listed.
    """
    run.revisions = [_revision(run, each) for each in islice(changes, room)]
    run.revision_count = len(run.revisions) + sum(1 for _ in changes)
    return len(run.revisions)


def _find_changes(update: RowUpdate, path: Path = START) -> Iterator[Mismatch]:
    """The changes to a row in the order of its members, then those to its ledgers."""
    table = update.table
    for member, name in table.names.items():
        if member in update.members:
            given, stored = (values.get(member) for values in (update.given, update.stored))
            yield Mismatch("value", table, path.to(name), given, stored, member)
    for each in update.ledgers:
        yield from _find_in_ledger(update, each, path.to(table.names[each.ledger.member]))


def _find_in_ledger(owner: RowUpdate, update: LedgerUpdate, path: Path) -> Iterator[Mismatch]:
    ledger, table = update.ledger, update.ledger.table
    given, stored = (ledger.to_list(values.get(ledger.member)) for values in (owner.given, owner.stored))
    for index, (entry, place) in enumerate(zip(update.entries, update.places, strict=True)):
        at = path.entry(ledger, index, place)
        if isinstance(entry, RowUpdate):
            yield from _find_changes(entry, at)
        else:
            yield Mismatch("only given", table, at, given=given[index])
    for place in update.removed:
        yield Mismatch("only stored", table, path.entry(ledger, None, place), stored=stored[place])
    # Entries that follow a new one are inserted again too, but their order stays.
    if update.rewritten and BY_CONTENT.is_misplaced(ledger, given, stored, update.places):
        yield Mismatch("order", table, path, list_labels(ledger, given), list_labels(ledger, stored))


def _revision(run: Run, change: Mismatch) -> Revision:
    try:
        given, stored = change.to_wire()
    except Exception as error:  # noqa: BLE001 - fields of the host may raise anything
        log_handled("a change has no JSON", error)
        given, stored = quote(change.given), quote(change.stored)
    return Revision(run.kind.name, run.uuid or "", change.path.pointer, _shorten(stored), _shorten(given))


def _shorten(value: Any) -> Any:
    """*value*, or the beginning of its text if it is too long for a report."""
    if value is None or isinstance(value, int):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
