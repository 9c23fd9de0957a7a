"""Read flat tables back by other programs, and make records of them again."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal

import duckdb
import pyarrow.parquet as pq
from marshmallow.fields import String

import histio
from histio.kinds.canonical import canonicalize
from histio.wire import WireField

WITH_OTHER_TYPES = histio.Integer, histio.Number, histio.Boolean, histio.Json


def as_json(value):
    """A value of Parquet in the form that it has in JSON."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def read_parquet(path):
    """The rows of a Parquet file, with values in the form that they have in JSON."""
    rows = pq.read_table(path).to_pylist()
    return [{name: as_json(value) for name, value in row.items()} for row in rows]


def read_csv(path):
    """The rows of a CSV file, whose values are text or null, as DuckDB reads them."""
    options = "header = true, all_varchar = true, allow_quoted_nulls = false, strict_mode = true"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT * FROM read_csv(?, {options}, delim = ',', quote = '\"', escape = '\"')", [str(path)]
        )
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


READERS = {"csv": read_csv, "parquet": read_parquet}


def typed(field, value):
    """A value in JSON form, for a text of CSV or a value of Parquet."""
    if isinstance(field, histio.Slug):
        if field.many or len(field.key) > 1:
            return json.loads(value)
        return value if field.rule is field else typed(field.rule, value)
    is_json = isinstance(field, WITH_OTHER_TYPES) or not isinstance(field, WireField | String)
    return json.loads(value) if is_json and isinstance(value, str) else value


def record_of(table, row):
    """The record of a *row*, without what is null."""
    fields = {table.names[member]: field for member, field in table.fields.items()}
    return {name: typed(fields[name], value) for name, value in row if value is not None}


def rebuild(kind, folder, suffix):
    """The records of *kind*, made of its table and of those of its ledgers."""
    rows = READERS[suffix](folder / f"{kind.collection}.{suffix}")
    names = kind.identity.names
    records = {tuple(row[name] for name in names): record_of(kind.table, row.items()) for row in rows}
    _add_ledgers(kind.table, kind.collection, records, len(names), folder, suffix)
    return list(records.values())


def _add_ledgers(table, name, records, width, folder, suffix):
    for ledger in table.ledgers:
        member = table.names[ledger.member]
        entries = {}
        for row in READERS[suffix](folder / f"{name}.{member}.{suffix}"):
            keys, rest = list(row.values())[: width + ledger.many], list(row.items())[width + ledger.many :]
            entry = entries[tuple(keys)] = record_of(ledger.table, rest)
            owner = records[tuple(keys[:width])]
            owner[member] = [*owner.get(member, ()), entry] if ledger.many else entry
        _add_ledgers(ledger.table, f"{name}.{member}", entries, width + ledger.many, folder, suffix)


def expected(kind, document):
    """The records of *kind* in a document as an export writes them, without nulls and empty ledgers."""
    return [_clean(kind.table, canonicalize(kind.table, each)) for each in document.get(kind.collection, ())]


def _clean(table, record):
    record = {name: value for name, value in record.items() if value is not None}
    for ledger in table.ledgers:
        name = table.names[ledger.member]
        entries = [_clean(ledger.table, entry) for entry in ledger.to_list(record.pop(name, None))]
        record |= {name: ledger.collect(entries)} if entries else {}
    return record
