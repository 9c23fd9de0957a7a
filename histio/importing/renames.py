"""The ``rename`` option of imports: read slugs as other slugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from histio.importing.run import Run, Values
from histio.kinds.fields import Slug
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps, walk_values
from histio.wire import faults_in, quote

Renames = Mapping[str, Mapping[str, str]]
"""By member name, new slugs by old slugs."""


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


def apply_renames(run: Run, renames: Renames) -> None:
    """Replace the slugs of *run* that are to be read as others, and note each in ``run.renamed``."""
    if renames:
        for table, values, steps in walk_values(run.kind.table, run.values):
            _rename_in(run, renames, table, values, steps)


def _rename_in(run: Run, renames: Renames, table: Table, values: Values, steps: Steps) -> None:
    """Rename the slugs of one record or ledger entry."""
    for member, name in table.names.items():
        field = table.fields[member]
        if name in renames and isinstance(field, Slug) and values.get(member) is not None:
            values[member] = _rename(run, field, values[member], renames[name], (*steps, name))


def _rename(run: Run, field: Slug, value: Any, slugs: Mapping[Any, Any], steps: Steps) -> Any:
    """The *value* of *field* with its slugs renamed, or the same value if the new one is not valid."""
    old = field.to_wire(value)
    new: Any = [slugs.get(each, each) for each in old] if field.many else slugs.get(old, old)
    if new == old:
        return value
    for before, after in zip(old, new, strict=True) if field.many else [(old, new)]:
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
