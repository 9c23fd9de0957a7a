"""Find runs of which an identity, their own or that of an entry, occurs in another run too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from histio.files.raw_runs import RawRun
from histio.kinds.table import Table

_UUID = len("00000000-0000-0000-0000-000000000000")
_DEPTH = 50
"""How deeply ledgers are nested at most."""


class UuidReader:
    """Reads the UUIDs that identify accepted records of a table and their entries.

    Args:
        table: The table.
    """

    def __init__(self, table: Table) -> None:
        own = table.identity
        self._names = [table.names[member] for member in table.identity_members if own and own.is_uuid]
        self._ledgers = [
            (table.names[ledger.member], ledger.many, UuidReader(ledger.table)) for ledger in table.ledgers
        ]

    def read(self, record: Mapping[str, Any]) -> list[str]:
        """The UUIDs of *record* and its entries, in lower case."""
        found = [record[name].lower() for name in self._names if record.get(name) is not None]
        for name, many, below in self._ledgers:
            value = record.get(name)
            if value is not None:
                for entry in value if many else (value,):
                    found += below.read(entry)
        return found


def possible_uuids(value: Any, depth: int = _DEPTH) -> Iterator[str]:
    """Every text of the length of a UUID in a record of any form, in lower case, down to a *depth*."""
    if isinstance(value, str) and len(value) == _UUID:
        yield value.lower()
    elif isinstance(value, dict | list | tuple) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from possible_uuids(each, depth - 1)


def find_repeated(uuids: Iterable[tuple[RawRun, Sequence[str]]]) -> set[int]:
    """The ids of the runs of which a UUID comes twice, in the same run or in two of them."""
    first: dict[str, int] = {}
    repeated: set[int] = set()
    for raw, own in uuids:
        this = id(raw)
        for uuid in own:
            other = first.setdefault(uuid, this)
            if other != this:
                repeated |= {other, this}
        if len(set(own)) < len(own):
            repeated.add(this)
    return repeated


def identity_values(table: Table, record: Mapping[str, Any]) -> dict[str, Any]:
    """The loaded values of an accepted *record* that identify it and its entries."""
    values: dict[str, Any] = {}
    for member in table.identity_members:
        field: Any = table.fields[member]
        value = record.get(table.names[member])
        values[member] = None if value is None else field.from_wire(value)
    for ledger in table.ledgers:
        entries = ledger.to_list(record.get(table.names[ledger.member]))
        values[ledger.member] = ledger.collect([identity_values(ledger.table, entry) for entry in entries])
    return values
