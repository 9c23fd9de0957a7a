"""Hypothesis strategies for documents, derived from the fields of the kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

from histio.history import History
from histio.kinds.fields import SlugList, UtcTimestamp
from histio.kinds.keys import unique_rules
from histio.kinds.table import Kind, Table
from histio.records import RecordSchema
from histio.testing.scene import Document, all_kinds_of, kinds_of
from histio.testing.values import Values, values_of
from histio.wire import is_list, nested_in, wire_name

Slugs: TypeAlias = Mapping[str, Sequence[Any]]


def documents(history: History, *, slugs: Slugs, catalog: bool = False) -> st.SearchStrategy[Document]:
    """The strategy that `histio.testing.documents` returns."""
    kinds = all_kinds_of(history) if catalog else kinds_of(history)
    names = {name for kind in kinds for table in kind.table.all() for name in table.names.values()}
    if not names.issuperset(slugs):
        raise ValueError(f"slugs: these kinds have no member {', '.join(sorted({*slugs} - names))}")
    version = history.json_schema()["properties"]["version"]["const"]
    lists = {kind.collection: st.lists(_record(kind.table.schema, slugs), max_size=3) for kind in kinds}

    @st.composite
    def drawn(draw: st.DrawFn) -> Document:
        document = {"version": version}
        if draw(st.booleans()):
            document["exported_at"] = draw(values_of("exported_at", UtcTimestamp()))
        chosen = draw(st.sets(st.sampled_from(list(lists)), min_size=1))
        document |= {name: draw(lists[name]) for name in lists if name in chosen}
        return _remove_repetitions(kinds, document)

    return drawn()


# --- records -------------------------------------------------------------------------------------------


def _record(schema: Any, slugs: Slugs) -> st.SearchStrategy[dict[str, Any]]:
    members = {wire_name(name, field): field for name, field in schema.load_fields.items()}
    # The schema of a JSON column may be any schema.
    grouped = isinstance(schema, RecordSchema)
    alternatives, choices = (schema.alternatives(), schema.choices()) if grouped else ([], [])
    exclusive = {name for group in choices for name in group}
    values = {name: _member(name, field, slugs) for name, field in members.items()}
    nullable = {
        name: st.none() | values[name] if field.allow_none and name not in exclusive else values[name]
        for name, field in members.items()
    }

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        needed = {draw(st.sampled_from(group)) for group in alternatives}
        chosen = {draw(st.sampled_from(group)) for group in choices}
        record: dict[str, Any] = {}
        for name, field in members.items():
            if name in exclusive and name not in chosen:
                if field.required or (field.allow_none and draw(st.booleans())):
                    record[name] = None
            elif field.required or name in needed or name in chosen or draw(st.booleans()):
                record[name] = draw(values[name] if name in needed else nullable[name])
        return record

    return drawn()


def _member(name: str, field: Any, slugs: Slugs) -> Values:
    """A strategy for the values of a member, without null."""
    nested = nested_in(field)
    if name in slugs and isinstance(field, SlugList):
        return st.lists(st.sampled_from(slugs[name]), max_size=4, unique_by=json.dumps)
    if name in slugs:
        return st.sampled_from(slugs[name])
    if nested is None:
        return values_of(name, field)
    inner = _record(nested.schema, slugs)
    return st.lists(inner, max_size=3) if is_list(field) else inner


# --- what must be unique ---------------------------------------------------------------------------


def _remove_repetitions(kinds: Sequence[Kind], document: Document) -> Document:
    """Remove the runs and entries of *document* that a unique constraint would reject."""
    seen: set[tuple[Any, ...]] = set()
    for kind in kinds:
        for name in [kind.collection] if kind.collection in document else []:
            document[name] = [run for run in document[name] if _is_new(kind.table, run, (), seen)]
    return document


def _is_new(table: Table, record: Any, owned: tuple[Any, ...], seen: set[tuple[Any, ...]]) -> bool:
    """Whether no record before has the same unique value as *record*.

    Args:
        table: The table of the record.
        record: The record; repeated entries are removed from it.
        owned: The columns that its owner fills and, as the last item, its owner.
        seen: The unique values of records before; those of *record* are added.
    """
    keys = [
        key for rule in _unique(table, owned[:-1]) if (key := _key(table, rule, record, owned)) is not None
    ]
    if seen.intersection(keys):
        return False
    seen.update(keys)
    for ledger in table.ledgers:
        name, below = table.names[ledger.member], (*ledger.local, object())
        entries = record.get(name)
        if entries is None:
            continue
        if ledger.many:
            record[name] = [entry for entry in entries if _is_new(ledger.table, entry, below, seen)]
        elif not _is_new(ledger.table, entries, below, seen):
            return False
    return True


def _unique(table: Table, owned: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The sets of columns that are unique; *owned* are the columns that name the owner of an entry."""
    if table.identity is not None:
        yield table.identity.columns if table.is_shared else (*table.identity.columns, *owned)
    for rule in (table.rows.primary_key, *unique_rules(table.rows)):
        yield tuple(rule.columns)


def _key(table: Table, rule: tuple[Any, ...], record: Any, owned: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The values of *record* in the columns of *rule*; None: they are new in any case."""
    parts: list[Any] = [table.rows.fullname, *(column.name for column in rule)]
    for column in rule:
        plain = [member for member, own in table.columns.items() if own is column]
        slugs = [each for found in table.references if column in found.relation.local for each in found.slugs]
        if plain or slugs:
            values = [_canonical(table, member, record) for member in plain or slugs]
            if not any(values):
                return None
            parts += values
        elif column in owned:
            parts.append(owned[-1])
        elif column is table.rows.autoincrement_column or column.default is not None:
            return None
    return tuple(parts)


def _canonical(table: Table, member: str, record: Any) -> str | None:
    value = record.get(table.names[member])
    if value is None:
        return None
    return json.dumps(table.wire(member, table.fields[member].deserialize(value)), default=repr)
