"""Slugs of one record that depend on each other: alternatives and choices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from marshmallow.fields import Field

from histio.fields.references import Slug
from histio.report import Fault
from histio.wire import wire_name

Group = Mapping[str, Slug]
"""Slugs by their names on the wire."""


class SlugGroups:
    """The alternatives and choices among the slugs of a schema.

    A slug that nothing else can stand in for becomes required.

    Args:
        load_fields: By name, the fields that an import reads.
        dump_fields: By name, the fields that an export writes.

    Attributes:
        alternatives: Slugs of one relationship: of each group, a record needs one that is not null.
        choices: References of which a record has exactly one that is not null.
    """

    def __init__(self, load_fields: Mapping[str, Field[Any]], dump_fields: Mapping[str, Field[Any]]) -> None:
        self.choices = list(_grouped(load_fields, lambda slug: slug.choice).values())
        ways = _grouped(load_fields, lambda slug: None if slug.many else slug.relationship)
        needed = [group for group in ways.values() if _is_needed(group.values())]
        self.alternatives = [group for group in needed if len(group) > 1]
        for slug in (slug for group in needed if len(group) == 1 for slug in group.values()):
            slug.required = True
        for field in dump_fields.values():
            if isinstance(field, Slug):
                others = ways.get(field.relationship or "", {}).values()
                field.alternatives = tuple(
                    slug for slug in others if slug is not field and not slug.load_only
                )

    def faults(self, record: Mapping[str, Any]) -> dict[str, list[Fault]]:
        """What a *record* lacks, or has too much of, by the names of members."""
        found = {
            next(iter(group)): [Fault(f"Missing; one of {', '.join(group)} is required.")]
            for group in self.alternatives
            if not any(_is_given(slug, name, record) for name, slug in group.items())
        }
        for group in self.choices:
            given = [name for name in group if record.get(name) is not None]
            if len(given) != 1:
                text = f"Exactly one of {', '.join(group)} must not be null, not {len(given)}."
                found[(given or list(group))[-1]] = [Fault(text)]
        return found


def _grouped(fields: Mapping[str, Field[Any]], group_of: Callable[[Slug], str | None]) -> dict[str, Group]:
    """The slugs among *fields*, in groups as *group_of* says; None: in no group."""
    groups: dict[str, dict[str, Slug]] = {}
    for name, field in fields.items():
        group = group_of(field) if isinstance(field, Slug) else None
        if isinstance(field, Slug) and group is not None:
            groups.setdefault(group, {})[wire_name(name, field)] = field
    return dict(groups)


def _is_needed(slugs: Collection[Slug]) -> bool:
    """Whether a record needs one of the *slugs* of a relationship, whichever."""
    if any(slug.choice is not None or (slug.required and not slug.allow_none) for slug in slugs):
        return False
    return not all(slug.allow_none for slug in slugs)


def _is_given(slug: Slug, name: str, record: Mapping[str, Any]) -> bool:
    """Whether *record* names a row by *slug*; a null that is a fault by itself is not told twice."""
    return name in record and not (slug.allow_none and record[name] is None)
