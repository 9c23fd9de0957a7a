"""Find the alternatives and choices among the slugs of a schema."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from marshmallow.fields import Field

from histio.kinds.fields.references import Slug
from histio.report import Fault
from histio.wire import wire_name

Group = Mapping[str, Slug]
"""Slugs by their names on the wire."""


class SlugGroups:
    """The alternatives and choices among the slugs of a schema.

    A slug without alternatives becomes required, unless it may be null.

    Args:
        load_fields: By name, the fields that an import reads.
        dump_fields: By name, the fields that an export writes.

    Attributes:
        alternatives: Groups of slugs of one relationship; a record needs at least one of each group that is
            not null.
        silent: Slugs that were made required, because the schema gives them neither ``required`` nor
            ``allow_none``.
        choices: Groups of references; a record has exactly one of each group that is not null.
    """

    def __init__(self, load_fields: Mapping[str, Field[Any]], dump_fields: Mapping[str, Field[Any]]) -> None:
        self.choices: list[Group] = list(_grouped(load_fields, lambda slug: slug.choice).values())
        ways = _grouped(load_fields, lambda slug: None if slug.many else slug.relationship)
        needed = [group for group in ways.values() if _is_needed(group.values())]
        self.alternatives: list[Group] = [group for group in needed if len(group) > 1]
        alone = [slug for group in needed if len(group) == 1 for slug in group.values()]
        self.silent: list[Slug] = [slug for slug in alone if not slug.required]
        for slug in alone:
            slug.required = True
        for field in dump_fields.values():
            if isinstance(field, Slug):
                others = ways.get(field.relationship or "", {}).values()
                field.alternatives = tuple(
                    slug for slug in others if slug is not field and not slug.load_only
                )

    def faults(self, record: Mapping[str, Any]) -> dict[str, list[Fault]]:
        """The faults of the groups of a *record*, by member."""
        found = {
            next(iter(group)): [Fault(f"Missing; one of {', '.join(group)} is required.")]
            for group in self.alternatives
            if not any(_has(slug, name, record) for name, slug in group.items())
        }
        return found | {name: [fault] for name, fault in self.choice_faults(record)}

    def choice_faults(self, record: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
        """The faults of the choices of a *record*, each with its member: the last that is not null."""
        for group in self.choices:
            chosen = [name for name in group if record.get(name) is not None]
            if len(chosen) != 1:
                text = f"Exactly one of {', '.join(group)} must not be null, not {len(chosen)}."
                yield (chosen or list(group))[-1], Fault(text)


def _grouped(fields: Mapping[str, Field[Any]], group_of: Callable[[Slug], str | None]) -> dict[str, Group]:
    """The slugs among *fields*, grouped by *group_of*; those for which it returns None are left out."""
    groups: dict[str, dict[str, Slug]] = {}
    for name, field in fields.items():
        group = group_of(field) if isinstance(field, Slug) else None
        if isinstance(field, Slug) and group is not None:
            groups.setdefault(group, {})[wire_name(name, field)] = field
    return dict(groups)


def _is_needed(slugs: Collection[Slug]) -> bool:
    """Whether a record needs at least one of the *slugs* of a relationship."""
    if any(slug.choice is not None or (slug.required and not slug.allow_none) for slug in slugs):
        return False
    return not all(slug.allow_none for slug in slugs)


def _has(slug: Slug, name: str, record: Mapping[str, Any]) -> bool:
    """Whether *record* has *slug*. A null that is not allowed counts, because it is reported elsewhere."""
    return name in record and not (slug.allow_none and record[name] is None)
