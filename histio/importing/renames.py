"""The ``rename`` option of imports: read slugs as other slugs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from marshmallow import ValidationError

from histio.importing.run import Run
from histio.kinds.fields import Slug
from histio.kinds.mapping import column_of, mapper_of
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps, walk_values
from histio.report import Fault
from histio.wire import WireField, faults_in, quote

Renames = Mapping[str, Mapping[str, str]]
"""By member name, new slugs by old slugs."""

_Slugs: TypeAlias = Mapping[str, str]
_Keys: TypeAlias = Mapping[tuple[Table, str], _Slugs]

Renamed: TypeAlias = tuple[Steps, str, str]
"""The steps from a record to a slug that was renamed, the old slug, and the new one."""


class Renamer:
    """Reads slugs as other slugs.

    Args:
        renames: By member, new slugs by old slugs.
        kinds: The kinds of run.
        catalog: The kinds of catalog row. Those whose keys are renamed too are the rows that runs name.

    Raises:
        TypeError: *renames*, or a value of it, is not a mapping.
        ValueError: *renames* has a member that is not a slug, or a new slug that is not valid.
    """

    def __init__(self, renames: Renames, kinds: Sequence[Kind], catalog: Sequence[Kind]) -> None:
        _check_renames(renames, kinds)
        keys = _find_renamed_keys(renames, kinds, catalog)
        tables = [table for kind in (*catalog, *kinds) for table in kind.table.all()]
        self._members = {table: list(_members_of(table, renames, keys)) for table in tables}

    def rename(self, table: Table, record: Any) -> tuple[Any, list[Renamed]]:
        """A copy of an accepted *record* with its slugs renamed, and what was renamed.

        Returns:
            The record itself if it has none of the slugs. None if the renamed record would not be valid.
        """
        changed: dict[str, Any] = {}
        found: list[Renamed] = []
        for _, name, field, slugs in self._members[table]:
            if record.get(name) is not None:
                old, new = _rename(field, field.from_wire(record[name]), slugs)
                if new != old:
                    changed[name] = new
                    found += _changes((name,), old, new)
                    if _find_faults(field, new):
                        return None, []
        for ledger in table.ledgers:
            name = table.names[ledger.member]
            entries = ledger.to_list(record.get(name))
            renamed = [self.rename(ledger.table, entry) for entry in entries]
            if any(entry is None for entry, _ in renamed):
                return None, []
            if any(changes for _, changes in renamed):
                changed[name] = ledger.collect([entry for entry, _ in renamed])
                for index, (_, changes) in enumerate(renamed):
                    at = (name, index) if ledger.many else (name,)
                    found += [((*at, *steps), old, new) for steps, old, new in changes]
        return ({**record, **changed} if changed else record), found

    def apply(self, run: Run) -> None:
        """Rename the slugs in the values of *run*, and note each."""
        for table, values, steps in walk_values(run.kind.table, run.values):
            for member, name, field, slugs in self._members[table]:
                if values.get(member) is not None:
                    old, new = _rename(field, values[member], slugs)
                    if new != old:
                        for change in _changes((*steps, name), old, new):
                            run.note_renaming(*change)
                        faults = _find_faults(field, new)
                        for fault in faults:
                            run.note(fault, *steps, name)
                        run.well_formed = run.well_formed and not faults
                        values[member] = field.from_wire(old if faults else new)


def _members_of(table: Table, renames: Renames, keys: _Keys) -> Iterator[tuple[str, str, Any, _Slugs]]:
    """The members of *table* with slugs to rename: member, name, field, and new slugs by old ones."""
    for member, name in table.names.items():
        field = table.fields[member]
        slugs = {
            **keys.get((table, member), {}),
            **(renames.get(name, {}) if isinstance(field, Slug) else {}),
        }
        if slugs:
            yield member, name, field, slugs


def _rename(field: Any, value: Any, slugs: _Slugs) -> tuple[Any, Any]:
    """The loaded *value* of *field* in wire form, and with its slugs renamed."""
    old = field.to_wire(value)
    if isinstance(field, Slug) and field.many:
        return old, [slugs.get(each, each) for each in old]
    return old, slugs.get(old, old)


def _changes(steps: Steps, old: Any, new: Any) -> Iterator[Renamed]:
    pairs = zip(old, new, strict=True) if isinstance(old, list) else [(old, new)]
    yield from ((steps, before, after) for before, after in pairs if before != after)


def _find_faults(field: Any, new: Any) -> list[Fault]:
    """The faults of a *new* value in wire form: two slugs of a list may have become one."""
    try:
        field.check(new)
    except ValidationError as error:
        return [fault for _, fault in faults_in(error.messages)]
    return []


def _check_renames(renames: Renames, kinds: Sequence[Kind]) -> None:
    """Check that *renames* name slugs of *kinds*, and that the new slugs are valid.

    Raises:
        TypeError: *renames*, or a value of it, is not a mapping.
        ValueError: A member is not a slug, or a new slug is not valid.
    """
    if not isinstance(renames, Mapping):
        raise TypeError(f"rename is a mapping from members to mappings of slugs, not {quote(renames)}")
    fields = {
        table.names[member]: field
        for kind in kinds
        for table in kind.table.all()
        for member, field in table.fields.items()
        if isinstance(field, Slug)
    }
    for member, slugs in renames.items():
        if member not in fields:
            raise ValueError(
                f"rename: {member!r} is not a slug of these kinds; they have {', '.join(sorted(fields))}"
            )
        _check_slugs(member, fields[member], slugs)


def _check_slugs(member: str, field: Slug, slugs: Mapping[str, str]) -> None:
    if len(field.key) > 1:
        raise ValueError(f"rename: {member} is a key of several columns: change those in the document")
    if not isinstance(slugs, Mapping):
        raise TypeError(f"rename: {member} needs a mapping from old to new slugs, not {quote(slugs)}")
    for new in slugs.values():
        try:
            field.check([new] if field.many else new)
        except ValidationError as error:
            raise ValueError(f"rename: {member}: {quote(new)}: {error.messages[0]}") from None


def _find_renamed_keys(renames: Renames, kinds: Sequence[Kind], catalog: Sequence[Kind]) -> _Keys:
    """The members of *catalog* rows that have the slugs which *renames* change in records of *kinds*.

    These are the keys themselves, and references to the same rows by other names. The row that runs name by
    its old slug has to become the one that they name by the new slug.
    """
    slugs: dict[sa.Column[Any], dict[str, str]] = {}
    for table in (table for kind in kinds for table in kind.table.all()):
        for member, column in _columns_of_slugs(table):
            slugs.setdefault(column, {}).update(renames.get(table.names[member], {}))
    keys = {}
    for kind in catalog:
        own = [(kind.table, *each) for each in kind.table.columns.items()]
        named = [(table, *each) for table in kind.table.all() for each in _columns_of_slugs(table)]
        for table, member, column in (*own, *named):
            if slugs.get(column) and isinstance(table.fields[member], WireField):
                keys[table, member] = slugs[column]
    return keys


def _columns_of_slugs(table: Table) -> Iterator[tuple[str, sa.Column[Any]]]:
    """The members of *table* that name rows by one column, and that column in the related row."""
    for way in table.all_references:
        for member, (key, *_) in way.slugs.items():
            if len(key) == 1:
                yield member, column_of(way.relation.mapper, key[0])
    for snapshot in table.snapshots:
        yield snapshot.member, column_of(mapper_of(snapshot.model), snapshot.key[0])
