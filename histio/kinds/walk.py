"""Walk over a record and all entries of its ledgers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from histio.kinds.audits import entries_in
from histio.kinds.table import Table

Steps: TypeAlias = tuple[str | int, ...]
"""The names and indices that lead from a record to a value in it, as in a JSON pointer."""


def walk_record(table: Table, record: Any, *steps: str | int) -> Iterator[tuple[Table, Any, Steps]]:
    """Iterate over a record in JSON form and the entries of its ledgers at any depth, each after its owner.

    Args:
        table: The table of *record*.
        record: An object, which may be invalid; entries that are not objects are left out.
        steps: Where the record is.

    Yields:
        The table, the record or entry, and where it is.
    """
    yield table, record, steps
    for ledger in table.ledgers:
        name = table.names[ledger.member]
        for place, entry in entries_in(record, name):
            yield from walk_record(ledger.table, entry, *steps, name, *place)


def walk_values(
    table: Table, values: Mapping[str, Any], *steps: str | int
) -> Iterator[tuple[Table, dict[str, Any], Steps]]:
    """Iterate over the loaded values of a record and of the entries of its ledgers, each after its owner.

    Args:
        table: The table of the record.
        values: By member, as marshmallow loads them; members may be absent.
        steps: Where the record is.

    Yields:
        The table, the values, and where they are in the JSON form.
    """
    yield table, values, steps  # type: ignore[misc]
    for ledger, below, entry in table.entries(values):
        yield from walk_values(ledger.table, entry, *steps, *below)
