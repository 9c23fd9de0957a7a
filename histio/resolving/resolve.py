"""Slugs → related rows, a set at a time."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, aliased

from histio.kinds.column_types import underlying
from histio.kinds.fields.references import Key, is_slug
from histio.kinds.mapping import NOT_EAGERLY, attribute, find_column, is_among
from histio.kinds.table import Links, Reference, Snapshot, Table
from histio.kinds.walk import walk_values
from histio.report import Fault
from histio.wire import shown

Values = Mapping[str, Any]
Sought = tuple[Key, Any]
"""A key and the value looked for in it: for a key of several columns, a tuple."""

CHUNK = 5_000
"""How many values one IN list holds: every driver takes that many parameters."""

_REMEMBERED = 50_000
_HINTED = 25
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # close matches of those mean nothing
_POPULATION = 2_000
_LONGEST_HINTED = 100  # close matches take time by the square of the length


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A related row: the columns that references need, its keys, and the ORM object if wanted."""

    columns: Mapping[sa.Column[Any], Any]
    keys: Mapping[Key, Any]
    row: Any = None


@dataclass(frozen=True, slots=True)
class MemberFault:
    """What is wrong with one reference: the member at fault, why, and what may have been meant."""

    member: str
    fault: Fault
    hint: str | None = None
    warning: bool = False


@dataclass(slots=True, eq=False)
class _Lookup:
    """All that is asked of one related model, and all that was answered."""

    mapper: Mapper[Any]
    scope: Mapping[str, Any]
    keys: dict[Key, None] = field(default_factory=dict)
    columns: dict[sa.Column[Any], None] = field(default_factory=dict)
    wanted: dict[Sought, None] = field(default_factory=dict)
    missing: set[Sought] = field(default_factory=set)
    found: dict[Sought, list[Found]] = field(default_factory=dict)
    promised: set[Sought] = field(default_factory=set)
    population: dict[Key, list[str]] = field(default_factory=dict)
    hints: dict[Sought, str | None] = field(default_factory=dict)

    def select(self) -> tuple[sa.Select[Any], dict[str, Any]]:
        """A SELECT of the columns and of what the keys are made of, and the expression of each path."""
        model = self.mapper.class_
        statement = sa.select(*(attribute(self.mapper, column) for column in self.columns)).select_from(model)
        paths: dict[str, Any] = {}
        for path in dict.fromkeys(path for key in self.keys for path in key):
            *steps, last = path.split(".")
            entity = model
            for step in steps:
                relationship = getattr(entity, step)
                entity = aliased(relationship.property.mapper.class_)
                statement = statement.outerjoin(relationship.of_type(entity))
            paths[path] = getattr(entity, last)
        within = [getattr(model, name) == value for name, value in self.scope.items()]
        return statement.add_columns(*paths.values()).where(*within), paths


class Resolver:
    """Finds the rows that the slugs of records name, one SELECT per related model, and remembers them.

    Slugs are compared exactly in Python, whatever the database's collation finds equal.

    Args:
        execute: The `execute` of a Connection or Session.
        tables: The tables whose records will be resolved.
        entities: Whether `Found.row` should be the ORM object; needs a Session. Snapshots are left alone.
        scope: Values by attribute; related models that have the attribute are looked for among rows with
            that value.
        scopes: For these related models, which are kinds of run themselves, instead of *scope*.
        standing: Gives the hint for a row of a model that is sought and stands in the document; None: it does
            not.
    """

    def __init__(
        self,
        execute: Callable[..., Any],
        tables: Iterable[Table],
        *,
        entities: bool = False,
        scope: Mapping[str, Any] | None = None,
        scopes: Mapping[type[Any], Mapping[str, Any]] | None = None,
        standing: Callable[[type[Any], Sought], str | None] = lambda _model, _sought: None,
    ) -> None:
        self._execute = execute
        self._entities = entities
        self._scope = scope or {}
        self._scopes = scopes or {}
        self._standing = standing
        self._lookups: dict[type[Any], _Lookup] = {}
        for table in tables:
            for snapshot in () if entities else table.snapshots:
                self._lookup(sa.inspect(snapshot.model)).keys[snapshot.key] = None
            for links in table.links:
                lookup = self._lookup(links.relation.mapper)
                lookup.keys |= dict.fromkeys(links.chain)
                lookup.columns |= dict.fromkeys(links.relation.link[1] if links.relation.link else ())
            for reference in table.references:
                lookup = self._lookup(reference.relation.mapper)
                lookup.keys |= {key: None for chain in reference.slugs.values() for key in chain}
                lookup.columns |= dict.fromkeys(reference.relation.remote)
                if reference.agrees is not None:
                    other, theirs, own = reference.agrees
                    lookup.columns |= dict.fromkeys(theirs)
                    by_name = {each.relation.name: each for each in table.references}
                    self._lookup(by_name[other].relation.mapper).columns |= dict.fromkeys(own)

    def _lookup(self, mapper: Mapper[Any]) -> _Lookup:
        if mapper.class_ not in self._lookups:
            given = self._scopes.get(mapper.class_, self._scope)
            scope = {name: value for name, value in given.items() if find_column(mapper, name) is not None}
            self._lookups[mapper.class_] = _Lookup(mapper, scope)
        return self._lookups[mapper.class_]

    def collect(self, table: Table, records: Iterable[Values]) -> None:
        """Note every slug of *records* and of their ledgers that was not looked up before."""
        for model, sought in _wanted(table, records):
            if model in self._lookups and sought not in self._lookups[model].found:
                self._lookups[model].wanted[sought] = None

    def fetch(self) -> None:
        """Look up what was collected, in one SELECT per related model and chunk."""
        for lookup in self._lookups.values():
            if lookup.wanted:
                self._fetch(lookup)

    def forget_missing(self, model: type[Any]) -> None:
        """Look again for rows of *model* that were not there: some have been written since."""
        for looked_for, lookup in self._lookups.items():
            if issubclass(model, looked_for):
                for sought in lookup.missing:
                    del lookup.found[sought]
                lookup.missing.clear()

    def forget(self, model: type[Any]) -> None:
        """Look again for all rows of *model*: some have been taken back since."""
        for looked_for, lookup in self._lookups.items():
            if issubclass(model, looked_for):
                lookup.found.clear()
                lookup.missing.clear()

    def promise(self, model: type[Any], sought: Sought) -> None:
        """Take a row of *model* for found although it is not there yet."""
        if model in self._lookups:
            self._lookups[model].promised.add(sought)

    def break_promises(self) -> None:
        """Take no row for found any more that is not there."""
        for lookup in self._lookups.values():
            lookup.promised.clear()

    def lacks(self, model: type[Any], chain: tuple[Key, ...], value: Any) -> bool:
        """Whether no row of *model* has *value* in any key of *chain*; it must have been fetched."""
        return not any(self._lookups[model].found[key, value] for key in chain)

    def let_go(self) -> None:
        """Forget what was found, where that has become much."""
        for lookup in self._lookups.values():
            if len(lookup.found) > _REMEMBERED:
                lookup.found.clear()
                lookup.missing.clear()
                lookup.promised.clear()

    def _fetch(self, lookup: _Lookup) -> None:
        wanted, lookup.wanted = lookup.wanted, {}
        lookup.found |= {sought: [] for sought in wanted}
        width, remaining, seen = len(lookup.columns), iter(wanted), set()
        while chunk := list(islice(remaining, CHUNK)):
            statement, paths = lookup.select()
            places = {path: width + place for place, path in enumerate(paths)}
            among = []
            for key in lookup.keys:
                values = [value if len(key) > 1 else (value,) for at, value in chunk if at == key]
                among += [is_among([paths[path] for path in key], values)] if values else []
            statement = statement.where(sa.or_(*among))
            if self._entities:
                statement = statement.add_columns(lookup.mapper.class_).options(NOT_EAGERLY)
            for row in self._execute(statement):
                parts = {
                    key: tuple(unpadded(paths[path], row[places[path]]) for path in key)
                    for key in lookup.keys
                }
                found = Found(
                    dict(zip(lookup.columns, row, strict=False)),
                    {key: values if len(values) > 1 else values[0] for key, values in parts.items()},
                    row[-1] if self._entities else None,
                )
                for sought in found.keys.items():
                    # One row may come back in two chunks, by two of its keys.
                    once = (sought, tuple(found.columns.values()))
                    if sought in wanted and once not in seen:
                        seen.add(once)
                        lookup.found[sought].append(found)
        lookup.missing |= {sought for sought in wanted if not lookup.found[sought]}

    def resolve(self, reference: Reference, record: Values) -> tuple[Found | None, list[MemberFault]]:
        """The row that *record* names, None where it names none, and what is wrong with the reference.

        The slugs of *record* must have been fetched. A record without any of the slugs gives None and no
        finding: its form, or the choice that it has, is somebody else's matter.
        """
        present = reference.named_by(record)
        if not present:
            return None, []
        member, *others = present
        found, findings = self._find(
            reference.relation.mapper, reference.slugs[member], record[member], member
        )
        if found is not None:
            named = f"{reference.relation.model.__name__} {shown_key(record[member])}"
            for other in others:
                keys = [found.keys[key] for key in reference.slugs[other]]
                if record[other] not in keys:
                    text = f"{named} has {shown_key(keys[0])}, not {shown_key(record[other])}"
                    findings.append(MemberFault(other, Fault(text, "mismatched-reference"), warning=True))
        return found, findings

    def linked(self, links: Links, record: Values) -> tuple[list[Found], list[MemberFault]]:
        """The rows that a list of slugs names, each once, and what is wrong with it."""
        each = [
            self._find(links.relation.mapper, links.chain, value, links.member)
            for value in record.get(links.member) or ()
        ]
        # Two slugs may name one row, by different keys.
        rows = {tuple(found.columns.values()): found for found, _ in each if found}
        return list(rows.values()), [finding for _, findings in each for finding in findings]

    def one(self, mapper: Mapper[Any], chain: tuple[Key, ...], value: Any) -> Found | None:
        """The one row that has *value* in the first key of *chain* in which any has it; None: there is none.

        The value must have been fetched.
        """
        rows = self._rows(self._lookups[mapper.class_], chain, value)
        return rows[0] if len(rows) == 1 else None

    def _rows(self, lookup: _Lookup, chain: tuple[Key, ...], value: Any) -> list[Found]:
        return next(filter(None, (lookup.found[key, value] for key in chain)), [])

    def _find(
        self, mapper: Mapper[Any], chain: tuple[Key, ...], value: Any, member: str
    ) -> tuple[Found | None, list[MemberFault]]:
        """The row that has *value* in the first key of *chain* in which any row has it."""
        lookup = self._lookups[mapper.class_]
        rows = self._rows(lookup, chain, value)
        name = mapper.class_.__name__
        if not rows and any((key, value) in lookup.promised for key in chain):
            return None, []
        if not rows:
            fault = Fault(f"{name} not found: {shown_key(value)}", "unknown-reference")
            return None, [MemberFault(member, fault, self._hint(lookup, chain[0], value))]
        if len(rows) > 1:
            text = f"{name} is ambiguous: {len(rows)} rows have {shown_key(value)}"
            return None, [MemberFault(member, Fault(text, "ambiguous-reference"))]
        return rows[0], []

    def findings(self, table: Table, record: Values) -> Iterator[MemberFault]:
        """All that is wrong with the references of *record*, its ledgers aside."""
        for reference in table.references:
            yield from self.resolve(reference, record)[1]
        for links in table.links:
            yield from self.linked(links, record)[1]

    def look_after(self, snapshot: Snapshot, record: Values) -> list[MemberFault]:
        """A warning where the row that *snapshot* was copied from does not exist."""
        slug = record.get(snapshot.member)
        lookup = self._lookups[snapshot.model]
        if slug is None or lookup.found[snapshot.key, slug]:
            return []
        fault = Fault(f"{snapshot.model.__name__} not found: {shown_key(slug)}", "unknown-reference")
        return [MemberFault(snapshot.member, fault, self._hint(lookup, snapshot.key, slug), warning=True)]

    def _hint(self, lookup: _Lookup, key: Key, value: Any) -> str | None:
        """Close matches among the first keys of the table, for the first few slugs that are asked."""
        where = self._standing(lookup.mapper.class_, (key, value))
        if where is not None:
            return where
        if not isinstance(value, str) or len(value) > _LONGEST_HINTED or _UUID.fullmatch(value):
            return None
        if (key, value) not in lookup.hints and len(lookup.hints) < _HINTED:
            if key not in lookup.population:
                statement, paths = lookup.select()
                column = paths[key[0]]
                population = self._execute(statement.with_only_columns(column).distinct().limit(_POPULATION))
                lookup.population[key] = [
                    known
                    for known in population.scalars()
                    if isinstance(known, str) and len(known) <= _LONGEST_HINTED
                ]
            close = difflib.get_close_matches(value, lookup.population[key])
            lookup.hints[key, value] = (
                f"did you mean {' or '.join(map(shown_key, close))}?" if close else None
            )
        return lookup.hints.get((key, value))


def unpadded(column: Any, value: Any) -> Any:
    """*value* without the spaces that a column of CHAR(n) has put behind it."""
    return (
        value.rstrip(" ")
        if isinstance(value, str) and isinstance(underlying(column.type), sa.CHAR)
        else value
    )


def shown_key(value: Any) -> str:
    """A key as a message shows it."""
    if isinstance(value, tuple):
        return " ".join(map(shown_key, value))
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return value if is_slug(value) else shown(value)
    return "none" if value is None else shown(value) if isinstance(value, bytes) else str(value)


def _wanted(table: Table, records: Iterable[Values]) -> Iterator[tuple[type[Any], Sought]]:
    for record in records:
        for below, values, _ in walk_values(table, record):
            for model, chain, value in _named(below, values):
                yield from ((model, (key, value)) for key in chain)


def _named(table: Table, record: Values) -> Iterator[tuple[type[Any], tuple[Key, ...], Any]]:
    """Each related model that *record* names, the keys to look in, and the value; its ledgers aside."""
    for snapshot in table.snapshots:
        if record.get(snapshot.member) is not None:
            yield snapshot.model, (snapshot.key,), record[snapshot.member]
    for named in table.all_references:
        yield from ((named.relation.model, chain, value) for chain, value in named.lookups(record))
