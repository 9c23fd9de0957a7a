"""The data columns of association tables, which a list of slugs would lose."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipProperty

from histio.kinds.keys import is_surrogate_key


def data_columns(relationship: RelationshipProperty[Any]) -> list[sa.Column[Any]]:
    """The columns with data, other than keys, of the association table of *relationship*."""
    if relationship.secondary is None:
        return []
    pairs = [*relationship.synchronize_pairs, *(relationship.secondary_synchronize_pairs or ())]
    linking = {column for pair in pairs for column in pair}
    return [
        column
        for column in relationship.secondary.columns
        if isinstance(column, sa.Column)
        and column not in linking
        and not is_surrogate_key(column)
        and column.computed is None
    ]


def association_model(relationship: RelationshipProperty[Any]) -> Mapper[Any] | None:
    """The mapper of the association table's model, which can be a ledger; None: it has no model."""
    mappers = relationship.parent.registry.mappers
    return next((each for each in mappers if each.local_table is relationship.secondary), None)
