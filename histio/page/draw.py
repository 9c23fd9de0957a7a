"""Draw the figures of a report: over time, and by slug."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from histio.page.branch_plan import Grouping
from histio.page.figures import NO_NUMBER, Figure, Section, View, format_key, path_to_title, to_title
from histio.page.gather import Branch, GatheredKind
from histio.page.subjects import OTHER_UNITS, Subject, compare_amounts, count_records, show_amount
from histio.page.time_steps import Step, choose_step
from histio.page.totals import Sums, Totals

SLUGS = 15
"""How many slugs a chart shows separately."""

UNITS = 6
"""How many units are shown separately: those of most records."""

_DAY = len("2025-12-08")


class Drawing:
    """Draws the figures of a page.

    Attributes:
        figures: All figures so far, by number.
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self.figures: list[Figure] = []

    def sections(self, kind: GatheredKind) -> Iterator[Section]:
        """Draw the figures of a *kind* and of its ledgers; sections without figures are left out."""
        for branch in kind.root.all():
            if not branch.totals.records:
                continue
            drawing = _BranchDrawing(self._sums, kind, branch)
            over_time, by_slug = drawing.draw_over_time(), drawing.draw_by_slug()
            if branch.plan.path:
                title, text = path_to_title(branch.plan.path), branch.plan.description
                sections = [(title, text, [*over_time, *by_slug])]
            else:
                sections = [("Over time", "", list(over_time)), ("By name", "", list(by_slug))]
            for title, text, figures in sections:
                numbered = [replace(each, number=n) for n, each in enumerate(figures, len(self.figures))]
                self.figures += numbered
                if numbered:
                    yield Section(title, text, numbered)


class _BranchDrawing:
    """Draws the figures of one branch."""

    def __init__(self, sums: Sums, kind: GatheredKind, branch: Branch) -> None:
        self._sums = sums
        self._kind = kind
        self._branch = branch
        self._empty = Totals.empty(branch.plan.width)
        self._units = self._most_used_units()
        self._unit_head = ["Unit"] if self._units else []
        self._comparisons = [compare_amounts(branch, chart, self._units) for chart in branch.plan.charts]

    def _most_used_units(self) -> list[str]:
        plan = self._branch.plan
        if plan.unit is None:
            return []
        numbers = [*(grouping.number for grouping in plan.groupings), plan.by_day]
        [number] = [each for each in numbers if each is not None][:1]
        return list(itertools.islice(self._sums.units(number), UNITS))

    def draw_over_time(self) -> Iterator[Figure]:
        """Draw figures over time, if runs have times; of a ledger with slugs, only the comparisons."""
        branch, kind = self._branch, self._kind
        if branch.plan.by_day is None or kind.first is None or kind.last is None:
            return
        first, last = (dt.date.fromisoformat(time[:_DAY]) for time in (kind.first, kind.last))
        step = choose_step(first, last)
        labels = {period: step.label(period) for period in step.periods(first, last)}
        totals = _add_up_periods(self._sums.rows(branch.plan.by_day), step, self._units)
        subjects = self._comparisons
        if not (branch.plan.path and branch.plan.groupings):
            amounts = [
                show_amount(each, self._units, alone=True, means=True) for each in branch.amounts_present
            ]
            subjects = [count_records(branch), *subjects, *amounts]
        for subject in subjects:
            yield self._figure(
                subject,
                step.name,
                axis=f"{step.axis} (UTC)" if "T" in kind.first else step.axis,
                head=[step.axis, *self._unit_head],
                views=[
                    view.to_dict(list(labels.values()), [totals[view.unit].get(period) for period in labels])
                    for view in subject.views
                ],
                rows=[
                    [label, *_unit_cell(unit), *subject.cells(totals[unit][period], unit)]
                    for period, label in labels.items()
                    for unit in ([*self._units, OTHER_UNITS] if self._units else [None])
                    if period in totals[unit]
                ],
                over_time=True,
                wide=subject.wide,
            )

    def draw_by_slug(self) -> Iterator[Figure]:
        """Draw figures by each of the slugs."""
        branch, records = self._branch, count_records(self._branch)
        amounts = [
            show_amount(each, self._units, alone=False, means=not branch.plan.path)
            for each in branch.amounts_present
        ]
        # Of a ledger, the quantity says more than the number of entries.
        in_order = [*amounts, records] if branch.plan.path else [records, *amounts]
        everything = Subject(
            records.title,
            "",
            [view for each in in_order for view in each.views],
            [column for each in [records, *amounts] for column in each.columns],
        )
        for grouping in branch.plan.groupings:
            for subject in [*self._comparisons, everything]:
                yield self._ranked(subject, grouping)

    def _ranked(self, subject: Subject, grouping: Grouping) -> Figure:
        """Draw a *subject* by slug: each view shows the first slugs, and the others together."""
        units = self._units
        rankings = [_Ranking(view, self._empty, show_units=len(units) > 1) for view in subject.views]
        totals: dict[str | None, Totals] = defaultdict(self._empty.copy)
        for number, (key, unit, of_key) in enumerate(self._sums.rows(grouping.number)):
            totals[_group_unit(unit, units)].merge(of_key)
            for ranking in rankings:
                ranking.add(_Item(number, key, unit, of_key))
        items = {item.number: item for ranking in rankings for item in ranking.first}
        top_items = sorted(items.values(), key=lambda item: (-item.totals.records, item.number))
        name = to_title(grouping.name)
        return self._figure(
            subject,
            name.lower(),
            axis=name,
            head=[name, *self._unit_head],
            views=[ranking.to_dict() for ranking in rankings],
            rows=[*self._rows(subject, top_items), *self._other_rows(subject, top_items, totals)],
            note="A record with several of them counts for each." if grouping.many else "",
        )

    def _rows(self, subject: Subject, top_items: list[_Item]) -> Iterator[list[str]]:
        for item in top_items:
            unit = item.unit if self._units else None
            yield [format_key(item.key), *_unit_cell(unit), *subject.cells(item.totals, item.unit)]

    def _other_rows(
        self, subject: Subject, top_items: list[_Item], totals: dict[str | None, Totals]
    ) -> Iterator[list[str]]:
        """A row for each unit, with the records that are not among *top_items*."""
        for unit, of_unit in totals.items():
            others = of_unit.without(
                [item.totals for item in top_items if _group_unit(item.unit, self._units) == unit]
            )
            cells = subject.cells(others, unit)
            if others.records and {*cells} != {NO_NUMBER}:
                yield ["others", *_unit_cell(unit), *cells]

    def _figure(self, subject: Subject, by: str, *, head: list[str], **parts: Any) -> Figure:
        return Figure(
            title=f"{subject.title} by {by}",
            kind=to_title(self._kind.kind.collection),
            text=subject.text,
            head=[*head, *(column.title for column in subject.columns)],
            labels=len(head),
            **parts,
        )


class _Item(NamedTuple):
    """The records of one slug and unit, and their number among all rows."""

    number: int
    key: str
    unit: str
    totals: Totals


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
        self._heap: list[tuple[Decimal, int, _Item]] = []
        self._others = 0
        self._rest = empty.copy()

    def add(self, item: _Item) -> None:
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
    def first(self) -> list[_Item]:
        """The items with the highest values, in their order."""
        return [item for _, _, item in sorted(self._heap, reverse=True)]

    def to_dict(self) -> dict[str, Any]:
        """The view as page.js takes it."""
        first = self.first
        labels = [
            ", ".join([format_key(item.key), *_unit_cell(item.unit if self._show_units else None)])
            for item in first
        ]
        totals = [item.totals for item in first]
        if self._others:
            labels.append(f"{self._others} others")
            totals.append(self._rest)
        return self._view.to_dict(labels, totals)


def _unit_cell(unit: str | None) -> list[str]:
    """The cell of a *unit*; no cell for None."""
    return [] if unit is None else ["other units" if unit == OTHER_UNITS else format_key(unit)]


def _group_unit(unit: str, units: list[str]) -> str | None:
    """The *unit* if it is among the *units* shown separately, else `OTHER_UNITS`; None: no units."""
    return None if not units else unit if unit in units else OTHER_UNITS


def _add_up_periods(
    rows: Iterator[tuple[str, str, Totals]], step: Step, units: list[str]
) -> dict[str | None, dict[dt.date, Totals]]:
    """The totals of each period, from *rows* by day; by unit, and under None for all units."""
    found: dict[str | None, dict[dt.date, Totals]] = defaultdict(dict)
    for key, unit, totals in rows:
        day = json.loads(key)
        if day is None:
            continue
        period = step.start(dt.date.fromisoformat(day))
        for among in {None, _group_unit(unit, units)}:
            found[among].setdefault(period, Totals.empty(len(totals.sums))).merge(totals)
    return found
