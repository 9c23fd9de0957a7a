"""Read the join conditions of relationships."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators

from histio.errors import BindingError
from histio.kinds.relations import Relation


def constants_of(way: Relation) -> Iterator[tuple[sa.Column[Any], Any]]:
    """The columns of a ledger's entries that its join compares with constants, and those constants.

    Raises:
        BindingError: The join has a condition other than equal keys and such constants.
    """
    if way.relationship is None:
        return
    joined = way.relationship.primaryjoin
    pairs = {frozenset(pair) for pair in zip(way.local, way.remote, strict=True)}
    several = isinstance(joined, sa.BooleanClauseList) and joined.operator is operators.and_
    for clause in joined.clauses if several else [joined]:
        sides = (getattr(clause, "left", None), getattr(clause, "right", None))
        plain = frozenset(_plain(side) for side in sides if isinstance(side, sa.Column))
        if plain in pairs and getattr(clause, "operator", None) is operators.eq:
            continue
        column, value = sides
        equal = getattr(clause, "operator", None) is operators.eq and isinstance(value, sa.BindParameter)
        if not equal or not isinstance(column, sa.Column) or value.value is None:  # type: ignore[union-attr]
            raise BindingError(f"the join of {way.name} compares more than keys: {clause}")
        yield _plain(column), value.value  # type: ignore[union-attr]


def _plain(column: Any) -> Any:
    """*column* without the annotations of relationships."""
    return column._deannotate() if hasattr(column, "_deannotate") else column  # noqa: SLF001
