"""Slugs → related rows, a set at a time."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, aliased

from histio.kinds import Reference, Snapshot, Table
from histio.report import Fault

Values = Mapping[str, Any]
Key = tuple[str, str]
"""A key path and the slug looked for along it."""

CHUNK = 5_000
"""How many values one IN list holds: every driver takes that many parameters."""

_HINTED = 25
_POPULATION = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A related row: the columns that references need, its keys by path, and the ORM object if wanted."""

    columns: Mapping[sa.Column[Any], Any]
    keys: Mapping[str, str | None]
    row: Any = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one reference: the member at fault, why, and what may have been meant."""

    member: str
    fault: Fault
    hint: str | None = None
    warning: bool = False


@dataclass(slots=True, eq=False)
class _Lookup:
    """All that is asked of one related model, and all that was answered."""

    mapper: Mapper[Any]
    paths: dict[str, None] = field(default_factory=dict)
    columns: dict[sa.Column[Any], None] = field(default_factory=dict)
    wanted: set[Key] = field(default_factory=set)
    found: dict[Key, list[Found]] = field(default_factory=dict)
    population: dict[str, list[str]] = field(default_factory=dict)
    hints: dict[Key, str | None] = field(default_factory=dict)

    def select(self) -> tuple[sa.Select[Any], list[Any]]:
        """A SELECT of the columns and keys, not yet narrowed, and the expressions of the keys."""
        model = self.mapper.class_
        columns = [getattr(model, self.mapper.get_property_by_column(column).key) for column in self.columns]
        statement = sa.select(*columns).select_from(model)
        keys = []
        for path in self.paths:
            *steps, last = path.split(".")
            entity = model
            for step in steps:
                attribute = getattr(entity, step)
                entity = aliased(attribute.property.mapper.class_)
                statement = statement.outerjoin(attribute.of_type(entity))
            keys.append(getattr(entity, last))
        return statement.add_columns(*keys), keys


class Resolver:
    """Finds the rows that the slugs of records name, one SELECT per related model, and remembers them.

    Slugs are compared exactly in Python, whatever the database's collation finds equal.

    Args:
        execute: The `execute` of a Connection or Session.
        tables: The tables whose records will be resolved.
        entities: Whether `Found.row` should be the ORM object; needs a Session. Snapshots are left alone.
    """

    def __init__(
        self, execute: Callable[..., Any], tables: Iterable[Table], *, entities: bool = False
    ) -> None:
        self._execute = execute
        self._entities = entities
        self._lookups: dict[type[Any], _Lookup] = {}
        for table in tables:
            for snapshot in () if entities else table.snapshots:
                self._lookup(snapshot.model).paths[snapshot.key] = None
            for reference in table.references:
                lookup = self._lookup(reference.model)
                lookup.paths |= dict.fromkeys(reference.slugs.values())
                lookup.columns |= dict.fromkeys(reference.remote)
                if reference.agrees is not None:
                    other, theirs, own = reference.agrees
                    lookup.columns |= dict.fromkeys(theirs)
                    self._lookup(_by_relationship(table, other).model).columns |= dict.fromkeys(own)

    def _lookup(self, model: type[Any]) -> _Lookup:
        return self._lookups.setdefault(model, _Lookup(sa.inspect(model)))

    def collect(self, table: Table, records: Iterable[Values]) -> None:
        """Note every slug of *records* and of their ledgers that was not looked up before."""
        for model, key in _wanted(table, records):
            if model in self._lookups and key not in self._lookups[model].found:
                self._lookups[model].wanted.add(key)

    def fetch(self) -> None:
        """Look up what was collected, in one SELECT per related model and chunk."""
        for lookup in self._lookups.values():
            self._fetch(lookup)

    def _fetch(self, lookup: _Lookup) -> None:
        wanted = frozenset(lookup.wanted)
        lookup.wanted.clear()
        lookup.found |= {key: [] for key in wanted}
        width, remaining, seen = len(lookup.columns), iter(sorted(wanted)), set()
        while chunk := list(islice(remaining, CHUNK)):
            statement, keys = lookup.select()
            sought = [
                key.in_([slug for at, slug in chunk if at == path])
                for path, key in zip(lookup.paths, keys, strict=True)
                if any(at == path for at, _ in chunk)
            ]
            statement = statement.where(sa.or_(*sought))
            if self._entities:
                statement = statement.add_columns(lookup.mapper.class_)
            for row in self._execute(statement):
                found = Found(
                    dict(zip(lookup.columns, row, strict=False)),
                    dict(zip(lookup.paths, row[width:], strict=False)),
                    row[-1] if self._entities else None,
                )
                for path, slug in found.keys.items():
                    # One row may come back in two chunks, by two of its keys.
                    once = (path, slug, tuple(found.columns.values()))
                    if (path, slug) in wanted and once not in seen:
                        seen.add(once)
                        lookup.found[path, slug].append(found)  # type: ignore[index]

    def resolve(self, reference: Reference, record: Values) -> tuple[Found | None, list[Finding]]:
        """The row that *record* names, None where it names none, and what is wrong with the reference.

        The slugs of *record* must have been fetched. A record without any of the slugs, which its form
        does not allow, gives None and no finding.
        """
        present = reference.named_by(record)
        if not present:
            return None, []
        (member, path), *others = present
        lookup = self._lookups[reference.model]
        slug = record[member]
        rows = lookup.found[path, slug]
        name = reference.model.__name__
        if not rows:
            return None, [
                Finding(
                    member,
                    Fault(f"{name} not found: {slug}", "unknown-reference"),
                    self._hint(lookup, path, slug),
                )
            ]
        if len(rows) > 1:
            return None, [
                Finding(
                    member, Fault(f"{name} is ambiguous: {len(rows)} rows have {slug}", "ambiguous-reference")
                )
            ]
        return rows[0], [
            Finding(
                other,
                Fault(f"{name} {slug} has {rows[0].keys[at]}, not {record[other]}", "mismatched-reference"),
                warning=True,
            )
            for other, at in others
            if rows[0].keys[at] != record[other]
        ]

    def look_after(self, snapshot: Snapshot, record: Values) -> list[Finding]:
        """A warning where the row that *snapshot* was copied from does not exist."""
        slug = record.get(snapshot.member)
        lookup = self._lookups[snapshot.model]
        if slug is None or lookup.found[snapshot.key, slug]:
            return []
        fault = Fault(f"{snapshot.model.__name__} not found: {slug}", "unknown-reference")
        return [Finding(snapshot.member, fault, self._hint(lookup, snapshot.key, slug), warning=True)]

    def _hint(self, lookup: _Lookup, path: str, slug: str) -> str | None:
        """Close matches among the first keys of the table, for the first few slugs that are asked."""
        if (path, slug) not in lookup.hints and len(lookup.hints) < _HINTED:
            if path not in lookup.population:
                statement, keys = lookup.select()
                key = keys[list(lookup.paths).index(path)]
                population = self._execute(statement.with_only_columns(key).distinct().limit(_POPULATION))
                lookup.population[path] = [known for known in population.scalars() if known is not None]
            close = difflib.get_close_matches(slug, lookup.population[path])
            lookup.hints[path, slug] = f"did you mean {' or '.join(close)}?" if close else None
        return lookup.hints.get((path, slug))


def _by_relationship(table: Table, name: str) -> Reference:
    return next(reference for reference in table.references if reference.relationship.key == name)


def _wanted(table: Table, records: Iterable[Values]) -> Iterator[tuple[type[Any], Key]]:
    for record in records:
        for snapshot in table.snapshots:
            if record.get(snapshot.member) is not None:
                yield snapshot.model, (snapshot.key, record[snapshot.member])
        for reference in table.references:
            for member, path in reference.named_by(record)[:1]:
                yield reference.model, (path, record[member])
        for ledger in table.ledgers:
            yield from _wanted(ledger.table, record.get(ledger.member) or ())
