"""What a document says against what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from histio.contract import pointer
from histio.kinds import Table
from histio.runs import Steps, Values
from histio.wire import WireField, shown


def differences(table: Table, given: Values, stored: Values, steps: Steps = ()) -> Iterator[str]:
    """A phrase for each member that *given* has and *stored* has otherwise.

    Of slugs that are alternatives, only the one that resolves counts.
    """
    ledgers = {ledger.member: ledger.table for ledger in table.ledgers}
    ignored = {member for reference in table.references for member, _ in reference.named_by(given)[1:]}
    for member, value in given.items():
        if member in ledgers:
            yield from _entry_differences(ledgers[member], value, stored[member], (*steps, member))
        elif member not in ignored and value != stored.get(member):
            ours, theirs = (_wire(table, member, each) for each in (value, stored.get(member)))
            yield f"{pointer(*steps, member)} is {ours}, stored {theirs}"


def _entry_differences(
    table: Table, given: list[Values], stored: list[Values], steps: Steps
) -> Iterator[str]:
    there = {entry[table.uuid]: entry for entry in stored}
    here = {entry[table.uuid]: entry for entry in given}
    for index, entry in enumerate(given):
        if entry[table.uuid] in there:
            yield from differences(table, entry, there[entry[table.uuid]], (*steps, index))
        else:
            yield f"{pointer(*steps, index)} is not stored"
    yield from (f"{pointer(*steps)} lacks the stored entry {uuid}" for uuid in there if uuid not in here)
    if [uuid for uuid in here if uuid in there] != [uuid for uuid in there if uuid in here]:
        yield f"{pointer(*steps)} is in another order"


def _wire(table: Table, member: str, value: Any) -> str:
    field = table.schema.fields[member]
    return shown(value if value is None or not isinstance(field, WireField) else field.to_wire(value))
