"""Records with the slugs that an export would write: rows are compared, not the slugs that name them."""

from __future__ import annotations

from typing import Any

from histio.kinds import Links, Reference, Table
from histio.resolver import Resolver, Values


def as_stored(resolver: Resolver, table: Table, record: Values, *, fill: bool = False) -> dict[str, Any]:
    """*record* and its ledgers with the slugs that an export would write of the rows they name.

    A slug that names no row, or several, stays as it is.

    Args:
        resolver: Has fetched the slugs of *record*.
        table: Of the record.
        record: Loaded values.
        fill: Whether alternatives that the record leaves out are added; otherwise only where none of those
            it has would be written.
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
    """The slugs that an export writes of the row that *record* names; none where that is not known."""
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
