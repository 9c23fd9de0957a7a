"""Find the columns and relationships whose values mean nothing in another database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper

from histio.kinds.keys import is_surrogate_key
from histio.kinds.relations import Relation
from histio.kinds.table import Ledger, Table


def column_machinery(mapper: Mapper[Any], prop: ColumnProperty[Any]) -> str | None:
    """Why the values of a column mean nothing in another database; None: they are data."""
    columns = {column for column in prop.columns if isinstance(column, sa.Column)}
    if mapper.polymorphic_on is not None and mapper.polymorphic_on in set(prop.columns):
        return "the discriminator"
    if not columns:
        return "an SQL expression"
    if mapper.version_id_col in columns:
        return "the version counter"
    if any(column.computed is not None for column in columns):
        return "computed by the database"
    if any(is_surrogate_key(column) for column in columns):
        return "a surrogate primary key"
    return None


def relationship_machinery(
    table: Table, way: Relation, used: Sequence[Relation], bound: Collection[Any]
) -> str | None:
    """Why the rows of a relationship need not be in the format; None: they are data."""
    if way.writable is None:
        return "viewonly"
    other = next((each for each in used if _is_inverse(way, each)), None)
    if other is not None:
        return f"the other side of {_owner_of(other)}{other.name}"
    if way.link is not None and way.remote[0].table in bound:
        return f"the rows of {way.remote[0].table.name} are in the format"
    same = next((each for each in table.ledgers if _has_same_rows(way, each)), None)
    return None if same is None else f"the rows of {table.names[same.member]}"


def _owner_of(way: Relation) -> str:
    return "" if way.relationship is None else f"{way.relationship.parent.class_.__name__}."


def _is_inverse(way: Relation, other: Relation) -> bool:
    """Whether *way* is the inverse of *other*."""
    if way.relationship is not None and other.relationship is not None:
        if other.relationship in way.relationship._reverse_property:  # noqa: SLF001 - no public name for it
            return True
        if way.relationship is other.relationship:
            return False
    if way.link is not None or other.link is not None:
        return (
            way.link is not None
            and other.link is not None
            and _pairs(way.remote, way.local) == _pairs(*other.link)
            and _pairs(*way.link) == _pairs(other.remote, other.local)
        )
    return _pairs(way.local, way.remote) == _pairs(other.remote, other.local)


def _has_same_rows(way: Relation, ledger: Ledger) -> bool:
    theirs = ledger.relation
    same = _pairs(way.local, way.remote) == _pairs(theirs.local, theirs.remote)
    return same and not ledger.constants and way.link is None and theirs.mapper.common_parent(way.mapper)


def _pairs(some: Iterable[Any], others: Iterable[Any]) -> set[tuple[Any, Any]]:
    return set(zip(some, others, strict=True))
