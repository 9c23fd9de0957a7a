"""Divide the runs of an export into parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import is_interruption, neutral_savepoint
from histio.exporting.ordered import OrderedRuns
from histio.exporting.pages import count_runs
from histio.exporting.plan import plan_export
from histio.exporting.selection import Filters, Part, Place, Selection, criteria_of, spans_of
from histio.kinds.table import Kind
from histio.log import log_handled

_USUAL = 16
_FEWEST, _MOST = 1_000, 100_000
"""How many parts an export has, unless they would have fewer or more runs than these."""


def plan_parts(
    connection: Connection, selection: Selection, parts: int | None
) -> tuple[dict[Kind, list[Part]], int]:
    """The parts of each kind, in order, and the number of all runs now.

    The parts have all runs, also those that are written before they are read.

    Args:
        connection: In a transaction; only read from.
        selection: The runs.
        parts: How many parts to make, at least one for each kind; None: as many as usual.
    """
    counts = {kind: count_runs(connection, kind, filters) for kind, filters in selection.items()}
    total = sum(counts.values())
    numbers = _divide(counts, total, parts or _usual_number(total))
    planned = {}
    for kind, filters in selection.items():
        size = -(-counts[kind] // numbers[kind])
        places = list(_find_places(connection, kind, filters, size, numbers[kind] - 1))
        ends: list[Place | None] = [None, *places, None]
        planned[kind] = [Part(*pair) for pair in itertools.pairwise(ends)]
    return planned, total


def _usual_number(total: int) -> int:
    size = min(max(total // _USUAL, _FEWEST), _MOST)
    return max(1, -(-total // size))


def _divide(counts: Mapping[Kind, int], total: int, parts: int) -> dict[Kind, int]:
    """How many *parts* each kind gets: at least one, and others where there are the most runs for each."""
    numbers = dict.fromkeys(counts, 1)
    for _ in range(min(parts, total) - len(counts)):
        largest = max(numbers, key=lambda kind: counts[kind] / numbers[kind])
        numbers[largest] += 1
    return numbers


def _find_places(
    connection: Connection, kind: Kind, filters: Filters, size: int, at_most: int
) -> Iterator[Place]:
    """The places after each *size* runs, found in an index where there is one for the order."""
    left = at_most
    if not left:
        return
    with neutral_savepoint(connection, kind):
        plan = plan_export(kind, connection.dialect)
        criteria = criteria_of(connection, plan, filters)
        for number, (conditions, sort_key) in enumerate(spans_of(kind, criteria.time)):
            selected = [*criteria.others, *criteria.bounds, *conditions]
            runs = OrderedRuns(connection, plan, selected, sort_key, has_instants=lambda: False)
            for keys in _keys_after_each(runs, size):
                if not left:
                    return
                left -= 1
                yield number, keys


def _keys_after_each(runs: OrderedRuns, size: int) -> Iterator[tuple[object, ...]]:
    """The sort keys of the last of each *size* runs; none from the first that cannot be read."""
    model = runs.kind.table.mapper.class_
    keys: tuple[object, ...] | None = None
    while True:
        statement = runs.select(sa.select().select_from(model), *runs.between(keys, None))
        try:
            with neutral_savepoint(runs.connection, runs.kind):
                row: Sequence[object] | None = runs.connection.execute(
                    statement.offset(size - 1).limit(1)
                ).first()
        except Exception as error:  # the part that follows has the run, and finds the reason
            if is_interruption(error):
                raise
            log_handled("a place in the order cannot be read: what follows is one part", error)
            return
        if row is None or None in row:
            return
        keys = tuple(row)
        yield keys
