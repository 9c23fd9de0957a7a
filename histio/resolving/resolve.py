"""Resolve references: find the rows that the slugs of records name, and their faults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from histio.database.dialects import CharacterSets
from histio.kinds.fields.references import Key
from histio.kinds.mapping import find_column
from histio.kinds.table import Links, Reference, Snapshot, Table
from histio.kinds.walk import walk_values
from histio.report import Fault
from histio.resolving.hints import Hints, format_key
from histio.resolving.lookup import Execute, Found, KeyValue, Lookup

Values = Mapping[str, Any]


def _no_hint() -> None:
    return None


@dataclass(frozen=True, slots=True)
class MemberFault:
    """A fault of a reference.

    Attributes:
        member: The member.
        fault: The fault.
        find_hint: Finds the hint; only the first few faults of an import have one.
        warning: Whether it is a warning.
    """

    member: str
    fault: Fault
    find_hint: Callable[[], str | None] = _no_hint
    warning: bool = False

    @property
    def hint(self) -> str | None:
        """What may be meant instead; None: there is nothing to say."""
        return self.find_hint()


class Resolver:
    """Finds the rows that the slugs of records name, in one SELECT per related model, and remembers them.

    Call `collect` and `fetch` for a set of records before anything else.

    Slugs are compared again in Python, exactly, because a collation may ignore case or accents.

    Args:
        execute: The `execute` of a Connection or Session.
        character_sets: The character sets of the database.
        tables: The tables whose records will be resolved.
        entities: Load ORM objects as `Found.row`; needs a Session. Snapshots are not looked up then.
        scope: Values by attribute; of related models with these attributes, only rows with these values are
            found.
        scopes: By related model that is a kind of run itself, the values to use instead of *scope*.
        describe_in_document: Returns a hint about a row of a model that is missing in the database but is in
            the document; None: it is not there either.
        latest: Changes a SELECT so that it sees what others have committed since the transaction began; None:
            none needs to.

    Attributes:
        seen_late: The models whose rows `see_latest` is to find.
    """

    def __init__(
        self,
        execute: Execute,
        character_sets: CharacterSets,
        tables: Iterable[Table],
        *,
        entities: bool = False,
        scope: Mapping[str, Any] | None = None,
        scopes: Mapping[type[Any], Mapping[str, Any]] | None = None,
        describe_in_document: Callable[[type[Any], KeyValue], str | None] = lambda _model, _wanted: None,
        latest: Callable[[sa.Select[Any]], sa.Select[Any]] | None = None,
    ) -> None:
        self._execute = execute
        self._character_sets = character_sets
        self._entities = entities
        self._scope = scope or {}
        self._scopes = scopes or {}
        self._describe_in_document = describe_in_document
        self._latest = latest
        self.seen_late: set[type[Any]] = set()
        self._lookups: dict[type[Any], Lookup] = {}
        self._hints: dict[type[Any], Hints] = {}
        for table in tables:
            self._add_lookups(table)

    def _add_lookups(self, table: Table) -> None:
        """Add the keys and columns that the references of a table need."""
        for snapshot in () if self._entities else table.snapshots:
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

    def _lookup(self, mapper: Mapper[Any]) -> Lookup:
        model = mapper.class_
        if model not in self._lookups:
            values = self._scopes.get(model, self._scope)
            scope = {name: value for name, value in values.items() if find_column(mapper, name) is not None}
            self._lookups[model] = lookup = Lookup(mapper, scope)
            self._hints[model] = Hints(lookup, self._execute)
        return self._lookups[model]

    def collect(self, table: Table, records: Iterable[Values]) -> None:
        """Collect the slugs of *records* and their ledgers that have not been looked up yet."""
        for model, key_value in slugs_in(table, records):
            if model in self._lookups and key_value not in self._lookups[model].found:
                self._lookups[model].wanted[key_value] = None

    def fetch(self) -> None:
        """Look up the collected slugs, in one SELECT per related model and chunk."""
        for lookup in self._lookups.values():
            if lookup.wanted:
                lookup.fetch(self._execute, self._character_sets, entities=self._entities)

    def forget_missing(self, model: type[Any]) -> None:
        """Look again for rows of *model* that were missing, because some have been written since."""
        for lookup in self._lookups_of(model):
            lookup.forget_missing()

    def see_latest(self, models: Iterable[type[Any]]) -> None:
        """Look for rows of *models* that others have committed since the transaction began, too."""
        for model in models:
            self.seen_late.add(model)
            for lookup in self._lookups_of(model):
                lookup.latest = self._latest
                lookup.forget_missing()

    def forget(self, model: type[Any]) -> None:
        """Look again for all rows of *model*, because some have been rolled back since."""
        for lookup in self._lookups_of(model):
            lookup.forget()

    def _lookups_of(self, model: type[Any]) -> Iterator[Lookup]:
        """The lookups in which rows of *model* are found: its own, and those of its base classes."""
        return (lookup for base, lookup in self._lookups.items() if issubclass(model, base))

    def expect(self, model: type[Any], key_value: KeyValue) -> None:
        """Report no fault for references to a row of *model* that will be written later."""
        if model in self._lookups:
            self._lookups[model].expected.add(key_value)

    def forget_expected(self) -> None:
        """Forget all expected rows."""
        for lookup in self._lookups.values():
            lookup.expected.clear()

    def lacks(self, model: type[Any], chain: tuple[Key, ...], value: Any) -> bool:
        """Whether no row of *model* has *value* in any key of *chain*."""
        return not any(self._lookups[model].found[key, value] for key in chain)

    def trim(self) -> None:
        """Forget what was found once it takes much memory."""
        for lookup in self._lookups.values():
            lookup.trim()

    def resolve(self, reference: Reference, record: Values) -> tuple[Found | None, list[MemberFault]]:
        """Find the row that a reference of *record* names.

        Returns:
            The row, or None; and the faults of the reference. A record without any of the reference's slugs
            has no faults here.
        """
        present = reference.present_members(record)
        if not present:
            return None, []
        member, *others = present
        found, faults = self._find(reference.relation.mapper, reference.slugs[member], record[member], member)
        if found is None:
            return None, faults
        for other in others:
            keys = [found.keys[key] for key in reference.slugs[other]]
            if record[other] not in keys:
                name = f"{reference.relation.model.__name__} {format_key(record[member])}"
                text = f"{name} has {format_key(keys[0])}, not {format_key(record[other])}"
                faults.append(MemberFault(other, Fault(text, "mismatched-reference"), warning=True))
        return found, faults

    def resolve_links(self, links: Links, record: Values) -> tuple[list[Found], list[MemberFault]]:
        """Find the rows that a list of slugs names, each once, and the faults of the list."""
        results = [
            self._find(links.relation.mapper, links.chain, value, links.member)
            for value in record.get(links.member) or ()
        ]
        # Two slugs can name the same row, by different keys.
        rows = {tuple(found.columns.values()): found for found, _ in results if found}
        return list(rows.values()), [fault for _, faults in results for fault in faults]

    def find_one(self, mapper: Mapper[Any], chain: tuple[Key, ...], value: Any) -> Found | None:
        """The row with *value* in the first key of *chain* that finds any; None: no row, or several."""
        rows = self._lookups[mapper.class_].rows(chain, value)
        return rows[0] if len(rows) == 1 else None

    def _find(
        self, mapper: Mapper[Any], chain: tuple[Key, ...], value: Any, member: str
    ) -> tuple[Found | None, list[MemberFault]]:
        """The row with *value* in the first key of *chain* in which any row has it, and the faults."""
        lookup = self._lookups[mapper.class_]
        rows = lookup.rows(chain, value)
        name = mapper.class_.__name__
        if not rows and lookup.is_expected(chain, value):
            return None, []
        if not rows:
            fault = Fault(f"{name} not found: {format_key(value)}", "unknown-reference")
            find_hint = functools.partial(self._hint, mapper.class_, chain[0], value)
            return None, [MemberFault(member, fault, find_hint)]
        if len(rows) > 1:
            text = f"{name} is ambiguous: {len(rows)} rows have {format_key(value)}"
            return None, [MemberFault(member, Fault(text, "ambiguous-reference"))]
        return rows[0], []

    def find_faults(self, table: Table, record: Values) -> Iterator[MemberFault]:
        """The faults of all references and links of *record*, without its ledgers."""
        for reference in table.references:
            yield from self.resolve(reference, record)[1]
        for links in table.links:
            yield from self.resolve_links(links, record)[1]

    def check_snapshot(self, snapshot: Snapshot, record: Values) -> list[MemberFault]:
        """A warning if the row from which *snapshot* was copied does not exist."""
        slug = record.get(snapshot.member)
        lookup = self._lookups[snapshot.model]
        if slug is None or lookup.found[snapshot.key, slug] or lookup.is_expected((snapshot.key,), slug):
            return []
        fault = Fault(f"{snapshot.model.__name__} not found: {format_key(slug)}", "unknown-reference")
        find_hint = functools.partial(self._hint, snapshot.model, snapshot.key, slug)
        return [MemberFault(snapshot.member, fault, find_hint, warning=True)]

    def _hint(self, model: type[Any], key: Key, value: Any) -> str | None:
        in_document = self._describe_in_document(model, (key, value))
        return self._hints[model].find(key, value) if in_document is None else in_document


def slugs_in(table: Table, records: Iterable[Values]) -> Iterator[tuple[type[Any], KeyValue]]:
    """The slugs of *records* and their ledgers, each with its model and with every key to look in."""
    for record in records:
        for below, values, _ in walk_values(table, record):
            for model, chain, value in _own_slugs(below, values):
                yield from ((model, (key, value)) for key in chain)


def _own_slugs(table: Table, record: Values) -> Iterator[tuple[type[Any], tuple[Key, ...], Any]]:
    """The model, the keys to look in and the value of each slug of *record*, without its ledgers."""
    for snapshot in table.snapshots:
        if record.get(snapshot.member) is not None:
            yield snapshot.model, (snapshot.key,), record[snapshot.member]
    for reference in table.all_references:
        yield from ((reference.relation.model, chain, value) for chain, value in reference.lookups(record))
