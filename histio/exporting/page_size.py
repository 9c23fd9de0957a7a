"""How many runs a page of an export has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.database.dialects import savepoint
from histio.kinds.table import Kind
from histio.tuning import tuning

MOST_ENTRIES = 20_000
"""The most ledger entries of a page of several runs: it bounds the memory of an export."""


def page_size(connection: Connection, kind: Kind, runs: sa.Select[Any]) -> tuple[int, bool]:
    """How many of the first *runs* make a page, and whether others may follow.

    Args:
        connection: Only read from.
        kind: The kind of run.
        runs: A SELECT of runs, in order.
    """
    counts = list(_entry_counts(kind))
    most = tuning().page
    if not counts:
        return most, True
    counting = runs.with_only_columns(*counts, maintain_column_froms=True).limit(most)
    with savepoint(connection):
        found = connection.execute(counting).all()
    totals = itertools.accumulate(map(sum, found))
    fitting = sum(1 for total in totals if total <= MOST_ENTRIES)
    size = min(max(fitting, 1), len(found))
    return size, size < len(found) or size == most


def _entry_counts(kind: Kind) -> Iterator[sa.ScalarSelect[Any]]:
    """The number of entries of a run in each of its ledgers, nested ones included."""
    model = kind.table.mapper.class_
    for (first, *further), _ in itertools.islice(kind.table.paths(), 1, None):
        entity = aliased(first.relation.model)
        entries = sa.select(sa.func.count()).select_from(entity).where(*first.join_conditions(model, entity))
        for ledger in further:
            owner, entity = entity, aliased(ledger.relation.model)
            entries = entries.join(entity, sa.and_(*ledger.join_conditions(owner, entity)))
        yield entries.correlate(model).scalar_subquery()
