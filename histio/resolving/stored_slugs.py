"""Replace the slugs of a record by those that an export would write, so that rows are compared, not slugs."""

from __future__ import annotations

from typing import Any

from histio.kinds.table import Links, Reference, Table
from histio.resolving.resolve import Resolver, Values


def as_stored(resolver: Resolver, table: Table, record: Values, *, fill: bool = False) -> dict[str, Any]:
    """*record* and its ledgers, with the slugs that an export would write for the rows that they name.

    A slug that names no row, or several, stays as it is.

    Args:
        resolver: Has fetched the slugs of *record*.
        table: The record's table.
        record: Loaded values.
        fill: Whether to add alternatives that the record leaves out. False: add them only if an export would
            write none of those that it has.
    """
    stored = dict(record)
    for reference in table.references:
        named = _written(resolver, reference, record, fill=fill)
        if named:
            stored = {name: stored[name] for name in stored if name not in reference.slugs} | named
    for links in table.links:
        if record.get(links.member):
            field: Any = table.fields[links.member]
            keys = _written_list(resolver, links, record[links.member])
            stored[links.member] = field.from_wire(field.to_wire(keys))
    for ledger in table.ledgers:
        if record.get(ledger.member) is not None:
            below = ledger.listed(record[ledger.member])
            entries = [as_stored(resolver, ledger.table, entry, fill=fill) for entry in below]
            stored[ledger.member] = entries if ledger.many else entries[0]
    return stored


def _written(resolver: Resolver, reference: Reference, record: Values, *, fill: bool) -> dict[str, Any]:
    """The slugs that an export writes for the row that *record* names; empty if there is not one such row."""
    for chain, value in reference.lookups(record):
        found = resolver.one(reference.relation.mapper, chain, value)
        if found is not None:
            every = {name: found.keys[key] for name, (key, *_) in reference.slugs.items()}
            written = {name: key for name, key in every.items() if _is_whole(key)}
            given = {name: key for name, key in written.items() if record.get(name) is not None}
            return written if fill else given or written
    return {}


def _written_list(resolver: Resolver, links: Links, values: list[Any]) -> list[Any]:
    keys: dict[Any, None] = {}
    for value in values:
        found = resolver.one(links.relation.mapper, links.chain, value)
        key = None if found is None else found.keys[links.chain[0]]
        keys[key if _is_whole(key) else value] = None
    return list(keys)


def _is_whole(key: Any) -> bool:
    return key is not None and not (isinstance(key, tuple) and None in key)
