"""Which catalog rows are exported with the runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.dialects import neutral_savepoint, unlimited_recursion
from histio.exporting.plan import plan_export
from histio.exporting.selection import ALL_RUNS, Filters, Selection, criteria_of
from histio.exporting.used import UsedRows
from histio.wire import quote

ExportedCatalog: TypeAlias = Literal["used", "all"]
"""Which catalog rows an export has: those that the exported runs name, also through other rows, or all."""


def check_choice(bound: Bound, choice: ExportedCatalog | None) -> None:
    """Check the option ``catalog`` of an export.

    Raises:
        ValueError: It has another value, or the history has no catalog kinds.
    """
    if choice is not None and choice not in get_args(ExportedCatalog):
        raise ValueError(f"catalog must be one of {get_args(ExportedCatalog)} or None, not {quote(choice)}")
    if choice is not None and not bound.catalog:
        raise ValueError("catalog: this history has no catalog kinds: pass their schemas to it, as catalog=")


@contextmanager
def selecting_catalog(
    connection: Connection, bound: Bound, runs: Selection, choice: ExportedCatalog
) -> Iterator[Selection]:
    """In this block: the chosen catalog rows, then *runs*."""
    if choice == "all":
        yield {**dict.fromkeys(bound.catalog, ALL_RUNS), **runs}
        return
    with neutral_savepoint(connection, *runs):
        conditions = {}
        for kind, filters in runs.items():
            criteria = criteria_of(connection, plan_export(kind, connection.dialect), filters)
            conditions[kind] = [*criteria.others, *criteria.bounds]
        used = UsedRows(connection, conditions, bound.catalog)
        rows = {kind: Filters(where=used.criterion(kind), others=tuple(runs)) for kind in bound.catalog}
    with unlimited_recursion(connection, needed=used.is_recursive):
        yield {**rows, **runs}
