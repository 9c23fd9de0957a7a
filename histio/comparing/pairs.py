"""Pair the runs of two histories by their identity, in constant memory."""

from __future__ import annotations

import heapq
import itertools
import operator
import pickle
from collections.abc import Iterator
from typing import Any, TypeAlias

from histio.comparing.changes import Side
from histio.comparing.positions import Position
from histio.comparing.sorter import Positioned
from histio.files.scratch import Scratch

_Sided: TypeAlias = tuple[Position, Side, Any]

Pair: TypeAlias = tuple[Position, dict[Side, Any]]
"""The position of a run, and its record in each history that has it."""


def pair_runs(a: Iterator[Positioned], b: Iterator[Positioned]) -> Iterator[Pair]:
    """Pair the runs of *a* and *b*, which are both in the order of exports.

    For each kind, the runs that both have come first, at the later of their positions if their times differ;
    then the runs that only one has.
    """
    both = heapq.merge(_add_side("a", a), _add_side("b", b), key=operator.itemgetter(0))
    with _Unpaired() as unpaired:
        for _, runs in itertools.groupby(both, key=lambda run: run[0].kind):
            yield from _pair_kind(runs, unpaired)


def _add_side(side: Side, runs: Iterator[Positioned]) -> Iterator[_Sided]:
    return ((position, side, record) for position, record in runs)


def _pair_kind(runs: Iterator[_Sided], unpaired: _Unpaired) -> Iterator[Pair]:
    for position, group in itertools.groupby(runs, key=operator.itemgetter(0)):
        found: dict[Side, Any] = {side: record for _, side, record in group}
        if len(found) == 1:
            [(side, record)] = found.items()
            found |= unpaired.take_other(position, side)
            if len(found) == 1:
                unpaired.add(position, side, record)
                continue
        yield position, found
    yield from unpaired.take_all()


class _Unpaired(Scratch):
    """Runs of one kind that have not been found in the other history yet, in a temporary database."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE unpaired (kind INTEGER, time TEXT, rank TEXT, identity TEXT PRIMARY KEY, "
            "side TEXT, record BLOB);"
        )

    def add(self, position: Position, side: Side, record: Any) -> None:
        """Add a run of one history."""
        row = (*position, side, pickle.dumps(record))
        self._database.execute("INSERT OR REPLACE INTO unpaired VALUES (?, ?, ?, ?, ?, ?)", row)

    def take_other(self, position: Position, side: Side) -> dict[Side, Any]:
        """Remove the run with the same identity that the history other than *side* has, and return it."""
        among = "FROM unpaired WHERE identity = ? AND side <> ?"
        rows = self._database.execute(f"SELECT side, record {among}", (position.identity, side)).fetchall()
        if rows:
            self._database.execute(f"DELETE {among}", (position.identity, side))
        return {other: pickle.loads(record) for other, record in rows}  # noqa: S301 - written above

    def take_all(self) -> Iterator[Pair]:
        """Yield all runs that are left, in the order of exports, and remove them."""
        for *position, side, record in self._database.execute("SELECT * FROM unpaired ORDER BY time, rank"):
            yield Position(*position), {side: pickle.loads(record)}  # noqa: S301 - written above
        self._database.execute("DELETE FROM unpaired")
