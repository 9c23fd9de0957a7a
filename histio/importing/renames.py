"""The ``rename`` option of imports: read slugs as other slugs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError

from histio.importing.run import Run
from histio.kinds.fields import Slug
from histio.kinds.mapping import column_of, mapper_of
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps, walk_values
from histio.wire import WireField, faults_in, quote

Renames = Mapping[str, Mapping[str, str]]
"""By member name, new slugs by old slugs."""

RenamedKeys = Mapping[tuple[Table, str], Mapping[str, str]]
"""By table and member of catalog rows, new keys by old keys."""


def check_renames(renames: Renames, kinds: Sequence[Kind]) -> None:
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


def find_renamed_keys(renames: Renames, kinds: Sequence[Kind], catalog: Sequence[Kind]) -> RenamedKeys:
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


def apply_renames(run: Run, renames: Renames, keys: RenamedKeys) -> None:
    """Replace the slugs of *run* that are to be read as others, and note each in ``run.renamed``.

    Args:
        run: The run, or the catalog row.
        renames: By member, new slugs by old slugs.
        keys: The same for members of catalog rows, by table and member.
    """
    if renames:
        for table, values, steps in walk_values(run.kind.table, run.values):
            for member, name in table.names.items():
                field = table.fields[member]
                slugs = {**keys.get((table, member), {})}
                slugs |= renames.get(name, {}) if isinstance(field, Slug) else {}
                if slugs and values.get(member) is not None:
                    values[member] = _rename(run, field, values[member], slugs, (*steps, name))


def _rename(run: Run, field: Any, value: Any, slugs: Mapping[Any, Any], steps: Steps) -> Any:
    """The *value* of *field* with its slugs renamed, or the same value if the new one is not valid."""
    old = field.to_wire(value)
    is_list = isinstance(field, Slug) and field.many
    new: Any = [slugs.get(each, each) for each in old] if is_list else slugs.get(old, old)
    if new == old:
        return value
    for before, after in zip(old, new, strict=True) if is_list else [(old, new)]:
        if before != after:
            run.note_renaming(steps, before, after)
    try:
        field.check(new)  # two slugs of a list may have become one
    except ValidationError as error:
        for _, fault in faults_in(error.messages):
            run.note(fault, *steps)
        run.well_formed = False
        return field.from_wire(old)
    return field.from_wire(new)
