"""Select the runs that refer to given slugs."""

from __future__ import annotations

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
from histio.kinds.table import Kind, Table
from histio.resolving.lookup import Found
from histio.similar import find_similar
from histio.wire import faults_in, quote


def filter_by_slugs(
    history: History, slugs: Mapping[str, str], /, *, kinds: Sequence[str] | None = None
) -> dict[str, sa.ColumnElement[bool]]:
    """Criteria for the runs that refer to all of *slugs*, themselves or in their ledgers.

    Slugs are compared exactly, as imports compare them, whatever the database's collation says.

    Args:
        history: A history with a database, in which the slugs are looked up.
        slugs: By member, such as ``{"recipe_slug": "cookies"}``.
        kinds: Names of the kinds to consider; None: all.

    Returns:
        By kind, a criterion for the ``where`` of an export. Kinds that lack one of the members, or whose
        slugs do not exist, are left out.

    Raises:
        ValueError: No kind is left.
    """
    chosen = history.bound.choose(kinds)
    found: dict[str, sa.ColumnElement[bool]] = {}
    faults: list[str] = []
    with open_look_ups(history.bound) as look_ups:
        for kind in chosen:
            alternatives = []
            for name, slug in slugs.items():
                results = list(_find_criteria(kind.table, kind.table.mapper.class_, name, slug, look_ups))
                faults += (result for result in results if isinstance(result, str))
                alternatives.append([result for result in results if not isinstance(result, str)])
            if all(alternatives):
                found[kind.name] = sa.and_(*(sa.or_(*criteria) for criteria in alternatives))
    if not found:
        raise ValueError(faults[0] if faults else _describe_unknown(slugs, chosen))
    return found


def _describe_unknown(slugs: Mapping[str, str], kinds: Sequence[Kind]) -> str:
    """The message for *slugs* whose members no kind has."""
    names = sorted({name for kind in kinds for table in kind.table.all() for name in _slugs(table)})
    close = [match for name in slugs if name not in names for match in find_similar(name, names)]
    suggestion = f"did you mean {' or '.join(close)}? " if close else ""
    listed = " or ".join(kind.name for kind in kinds)
    return f"no {listed} has {' and '.join(slugs)}; {suggestion}slugs are {', '.join(names)}"


def _slugs(table: Table) -> dict[str, str]:
    """By name in a record, the members of *table* that are slugs."""
    return {table.names[member]: member for member, each in table.fields.items() if isinstance(each, Slug)}


def _find_criteria(
    table: Table, entity: Any, name: str, slug: str, look_ups: LookUps
) -> Iterator[sa.ColumnElement[bool] | str]:
    """By each member *name*, a criterion for rows of *entity* that refer to *slug*, or why there is none."""
    member = _slugs(table).get(name)
    if member is not None:
        yield _find_criterion(table, entity, member, slug, look_ups)
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        for result in _find_criteria(ledger.table, below, name, slug, look_ups):
            if isinstance(result, str):
                yield result
            else:
                yield sa.exists().where(*ledger.join_conditions(entity, below), result)


def _find_criterion(
    table: Table, entity: Any, member: str, slug: str, look_ups: LookUps
) -> sa.ColumnElement[bool] | str:
    field: Any = table.fields[member]
    try:
        value = field.deserialize([slug] if field.many else slug)
    except ValidationError as error:
        fault = next(fault for _, fault in faults_in(error.messages))
        return f"{table.names[member]}: {quote(slug)}: {fault}"
    if member in table.columns:
        if not look_ups.is_possible(table.columns[member], value):
            return sa.false()
        criterion: sa.ColumnElement[bool] = getattr(entity, table.attribute(member).key) == value
        return criterion
    rows, faults = look_ups.find_related(table, {member: value})
    if faults:
        hint = f" ({faults[0].hint})" if faults[0].hint else ""
        return f"{table.names[member]}: {faults[0].fault}{hint}"
    [row] = rows
    return _refers_to(row, table, entity, member)


def _refers_to(row: Found, table: Table, entity: Any, member: str) -> sa.ColumnElement[bool]:
    """The criterion for rows of *entity* whose *member* refers to *row*."""
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
