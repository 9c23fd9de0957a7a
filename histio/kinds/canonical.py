"""Convert records to the form in which an export writes them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from histio.kinds.table import Table
from histio.log import log_handled
from histio.wire import WireField, wire_name

ONLY_DUMPED = ""
"""The key, which no member has, of a mapping from the names of dump-only members to their values."""


def canonicalize(table: Table, record: Any) -> Any:
    """*record* as an export writes it, but with its own slugs; *record* itself if it cannot be loaded."""
    values = load(table, record)
    return record if values is None else dump(table, values)


def load(table: Table, record: Any) -> dict[str, Any] | None:
    """The loaded values of *record*, with its `ONLY_DUMPED` members; None: it cannot be loaded."""
    try:
        values = table.schema.load(copy.deepcopy(record))
        return _with_only_dumped(table, values, record)
    except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
        log_handled("a record cannot be loaded", error)
        return None


def _with_only_dumped(table: Table, values: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    dumped = table.schema.dump_fields.items()
    names = [wire_name(name, field) for name, field in dumped if field.dump_only]
    if names:
        values[ONLY_DUMPED] = {name: record[name] for name in names if name in record}
    for ledger in table.ledgers:
        entries = ledger.to_list(values.get(ledger.member))
        below = ledger.to_list(record.get(table.names[ledger.member]))
        for pair in zip(entries, below, strict=False):  # empty if a hook has renamed the ledger
            _with_only_dumped(ledger.table, *pair)
    return values


def dump(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The record of loaded *values*."""
    record = dict(values.get(ONLY_DUMPED, {}))
    ledgers = {ledger.member: ledger for ledger in table.ledgers}
    for member, value in values.items():
        if member not in table.names:
            continue  # added by a hook of the host
        if value is not None and member in ledgers:
            entries = [dump(ledgers[member].table, entry) for entry in ledgers[member].to_list(value)]
            record[table.names[member]] = ledgers[member].collect(entries)
        else:
            record[table.names[member]] = dump_value(table, member, value)
    return record


def dump_value(table: Table, member: str, value: Any) -> Any:
    """A loaded *value* of a *member* other than a ledger, in wire form."""
    if value is None or isinstance(table.fields[member], WireField):
        return table.wire(member, value)
    return table.fields[member].serialize(member, {member: value})
