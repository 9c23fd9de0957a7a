"""What a document says against what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from histio.contract import pointer
from histio.fields import shown
from histio.kinds import Table
from histio.runs import Steps, Values


def differences(table: Table, given: Values, stored: Values, steps: Steps = ()) -> Iterator[str]:
    """A phrase for each member that *given* has and *stored* has otherwise."""
    ledgers = {ledger.member: ledger.table for ledger in table.ledgers}
    for member, value in given.items():
        at = pointer(*steps, member)
        if member not in ledgers:
            if value != stored.get(member):
                yield f"{at} is {shown(_plain(value))}, stored {shown(_plain(stored.get(member)))}"
            continue
        inner = ledgers[member]
        entries = {entry[inner.uuid]: entry for entry in stored[member]}
        for index, entry in enumerate(value):
            there = entries.pop(entry[inner.uuid], None)
            if there is None:
                yield f"{pointer(*steps, member, index)} is not stored"
            else:
                yield from differences(inner, entry, there, (*steps, member, index))
        for uuid in entries:
            yield f"{at} lacks the stored entry {uuid}"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)
