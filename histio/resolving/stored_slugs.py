"""Replace slugs by those that an export would write, so that records are compared by rows, not by slugs."""

from __future__ import annotations

from typing import Any

from histio.kinds.table import Links, Reference, Table
from histio.resolving.resolve import Resolver, Values


def replace_slugs(resolver: Resolver, table: Table, record: Values, *, fill: bool = False) -> dict[str, Any]:
    """Copy *record* and its ledgers, with the slugs that an export would write for the rows that they name.

    A slug that names no row, or several, stays as it is.

    Args:
        resolver: Has fetched the slugs of *record*.
        table: The table of the record.
        record: Loaded values.
        fill: Add the alternatives that the record leaves out. Otherwise they are added only if an export
        would
            write none of those that it has.
    """
    copy = dict(record)
    for reference in table.references:
        slugs = _stored_slugs(resolver, reference, record, fill=fill)
        if slugs:
            copy = {name: copy[name] for name in copy if name not in reference.slugs} | slugs
    for links in table.links:
        if record.get(links.member):
            field: Any = table.fields[links.member]
            keys = _stored_list(resolver, links, record[links.member])
            copy[links.member] = field.from_wire(field.to_wire(keys))
    for ledger in table.ledgers:
        if record.get(ledger.member) is not None:
            below = ledger.to_list(record[ledger.member])
            entries = [replace_slugs(resolver, ledger.table, entry, fill=fill) for entry in below]
            copy[ledger.member] = ledger.collect(entries)
    return copy


def _stored_slugs(resolver: Resolver, reference: Reference, record: Values, *, fill: bool) -> dict[str, Any]:
    """The slugs that an export writes for the row that *record* names; empty unless it names one row."""
    for chain, value in reference.lookups(record):
        found = resolver.find_one(reference.relation.mapper, chain, value)
        if found is not None:
            keys = {name: found.keys[key] for name, (key, *_) in reference.slugs.items()}
            stored = {name: key for name, key in keys.items() if _is_complete(key)}
            present = {name: key for name, key in stored.items() if record.get(name) is not None}
            return stored if fill else present or stored
    return {}


def _stored_list(resolver: Resolver, links: Links, values: list[Any]) -> list[Any]:
    keys: dict[Any, None] = {}
    for value in values:
        found = resolver.find_one(links.relation.mapper, links.chain, value)
        key = None if found is None else found.keys[links.chain[0]]
        keys[key if _is_complete(key) else value] = None
    return list(keys)


def _is_complete(key: Any) -> bool:
    """Whether no part of *key* is null."""
    return key is not None and not (isinstance(key, tuple) and None in key)
