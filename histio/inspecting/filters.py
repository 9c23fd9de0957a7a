"""Which runs name a slug."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.orm import aliased

from histio.history import History
from histio.importing.execute import open_look_ups
from histio.importing.look_ups import LookUps
from histio.kinds.fields import Slug
from histio.kinds.mapping import attribute
from histio.kinds.table import Table
from histio.wire import faults_in, shown


def naming(
    history: History, slugs: Mapping[str, str], /, *, kinds: Sequence[str] | None = None
) -> dict[str, sa.ColumnElement[bool]]:
    """A criterion for each kind whose runs may name all of *slugs*, themselves or in their ledgers.

    Slugs are compared as imports compare them: exactly, whatever the database's collation says.

    Args:
        history: With its database, in which the slugs are looked up.
        slugs: By member, such as ``{"recipe_slug": "cookies"}``.
        kinds: Names of the kinds that are asked for; None: all.

    Returns:
        What the ``where`` of an export takes.

    Raises:
        ValueError: No kind has all of the members, or none has runs that name the slugs because they do not
            exist.
    """
    chosen = history.bound.choose(kinds)
    found: dict[str, sa.ColumnElement[bool]] = {}
    missing: list[str] = []
    with open_look_ups(history.bound) as work:
        for kind in chosen:
            each = []
            for name, slug in slugs.items():
                ways = list(_criteria(kind.table, kind.table.mapper.class_, name, slug, work))
                missing += (way for way in ways if isinstance(way, str))
                each.append([way for way in ways if not isinstance(way, str)])
            if all(each):
                found[kind.name] = sa.and_(*(sa.or_(*criteria) for criteria in each))
    if found:
        return found
    names = sorted({name for kind in chosen for table in kind.table.all() for name in _slugs(table)})
    close = [each for name in slugs if name not in names for each in difflib.get_close_matches(name, names)]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    of = " or ".join(kind.name for kind in chosen)
    unknown = f"no {of} has {' and '.join(slugs)}; {meant}slugs are {', '.join(names)}"
    raise ValueError(missing[0] if missing else unknown)


def _slugs(table: Table) -> dict[str, str]:
    """By name on the wire, the members of *table* that are slugs."""
    return {table.names[member]: member for member, each in table.fields.items() if isinstance(each, Slug)}


def _criteria(
    table: Table, entity: Any, name: str, slug: str, work: LookUps
) -> Iterator[sa.ColumnElement[bool] | str]:
    """What is true of the rows of *entity* that name the *slug*, by each member; or why none do."""
    member = _slugs(table).get(name)
    if member is not None:
        yield _names(table, entity, member, slug, work)
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        for criterion in _criteria(ledger.table, below, name, slug, work):
            if isinstance(criterion, str):
                yield criterion
            else:
                yield sa.exists().where(*ledger.ties(entity, below), criterion)


def _names(table: Table, entity: Any, member: str, slug: str, work: LookUps) -> sa.ColumnElement[bool] | str:
    own: Any = table.fields[member]
    try:
        value = own.deserialize([slug] if own.many else slug)
    except ValidationError as error:
        fault = next(fault for _, fault in faults_in(error.messages))
        return f"{table.names[member]}: {shown(slug)}: {fault}"
    if member in table.columns:
        criterion: sa.ColumnElement[bool] = getattr(entity, table.attribute(member).key) == value
        return criterion
    rows, findings = work.find_related(table, {member: value})
    if findings:
        hint = f" ({findings[0].hint})" if findings[0].hint else ""
        return f"{table.names[member]}: {findings[0].fault}{hint}"
    [row] = rows
    link = next((links.relation for links in table.links if links.member == member), None)
    if link is not None and link.link is not None:
        related = [attribute(link.mapper, column) == row.columns[column] for column in link.link[1]]
        linked: sa.ColumnElement[bool] = getattr(entity, link.name).any(sa.and_(*related))
        return linked
    relation = next(each.relation for each in table.references if member in each.slugs)
    return sa.and_(
        *(
            getattr(entity, attribute(table.mapper, local).key) == row.columns[remote]
            for local, remote in zip(relation.local, relation.remote, strict=True)
        )
    )
