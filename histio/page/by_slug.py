"""Rank the records of a table by their slugs."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from histio.page.figures import NO_NUMBER, View, format_key
from histio.page.subjects import Subject, group_unit, unit_cell
from histio.page.totals import Totals

SLUGS = 15
"""How many slugs a chart shows separately."""


class Item(NamedTuple):
    """The records of one slug and unit, and their number among all rows."""

    number: int
    key: str
    unit: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Ranked:
    """Records by slug.

    Attributes:
        views: The charts, as page.js takes them; each shows its first slugs, and the others together.
        rows: The rows of the table.
        only: The slug, if there is only one.
    """

    views: list[dict[str, Any]]
    rows: list[list[str]]
    only: str | None


def rank(
    subject: Subject, found: Iterator[tuple[str, str, Totals]], units: list[str], empty: Totals
) -> Ranked:
    """Rank by slug what a *subject* shows.

    Args:
        subject: The charts, and the columns of the table.
        found: Slug, unit and totals of all rows.
        units: The units that are shown separately; empty: there are none.
        empty: The totals of no records.
    """
    rankings = [_Ranking(view, empty, show_units=len(units) > 1) for view in subject.views]
    totals: dict[str | None, Totals] = defaultdict(empty.copy)
    item = None
    for number, (key, unit, of_key) in enumerate(found):
        totals[group_unit(unit, units)].merge(of_key)
        item = Item(number, key, unit, of_key)
        for ranking in rankings:
            ranking.add(item)
    items = {each.number: each for ranking in rankings for each in ranking.first}
    top = sorted(items.values(), key=lambda each: (-each.totals.records, each.number))
    return Ranked(
        views=[ranking.to_dict() for ranking in rankings],
        rows=[*_rows(subject, top, units), *_other_rows(subject, top, units, totals)],
        only=format_key(item.key) if item is not None and item.number == 0 else None,
    )


def _rows(subject: Subject, top: list[Item], units: list[str]) -> Iterator[list[str]]:
    for item in top:
        unit = item.unit if units else None
        yield [format_key(item.key), *unit_cell(unit), *subject.cells(item.totals, item.unit)]


def _other_rows(
    subject: Subject, top: list[Item], units: list[str], totals: dict[str | None, Totals]
) -> Iterator[list[str]]:
    """A row for each unit, with the records that are not among the *top* items."""
    for unit, of_unit in totals.items():
        others = of_unit.without([item.totals for item in top if group_unit(item.unit, units) == unit])
        cells = subject.cells(others, unit)
        if others.records and {*cells} != {NO_NUMBER}:
            yield ["others", *unit_cell(unit), *cells]


class _Ranking:
    """The items with the highest values, and the totals of all others.

    Args:
        view: The view; its last series ranks.
        empty: The totals of no records.
        show_units: Whether to label items with their units.
    """

    def __init__(self, view: View, empty: Totals, *, show_units: bool) -> None:
        self._view = view
        self._show_units = show_units and view.unit is None
        self._heap: list[tuple[Decimal, int, Item]] = []
        self._others = 0
        self._rest = empty.copy()

    def add(self, item: Item) -> None:
        """Rank an *item*, if the view shows its unit and has a value for it."""
        _, read = self._view.series[-1]
        value = read(item.totals)
        if value is None or self._view.unit not in {None, item.unit}:
            return
        heapq.heappush(self._heap, (value, -item.number, item))
        if len(self._heap) > SLUGS:
            *_, last = heapq.heappop(self._heap)
            self._rest.merge(last.totals)
            self._others += 1

    @property
    def first(self) -> list[Item]:
        """The items with the highest values, in their order."""
        return [item for _, _, item in sorted(self._heap, reverse=True)]

    def to_dict(self) -> dict[str, Any]:
        """The view as page.js takes it."""
        first = self.first
        labels = [
            ", ".join([format_key(item.key), *unit_cell(item.unit if self._show_units else None)])
            for item in first
        ]
        totals = [item.totals for item in first]
        if self._others:
            labels.append(f"{self._others} others")
            totals.append(self._rest)
        return self._view.to_dict(labels, totals)
