"""Draws figures of what was gathered: over time, and by slug."""

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

from histio.page.figures import NOTHING, Figure, Part, View, label, titled, titled_path
from histio.page.gathering import Branch, Grouping, KindGathered
from histio.page.subjects import OTHER, Subject, amount_of, comparison, count
from histio.page.sums import Sums, Totals
from histio.page.times import Step, step_for

TOP = 15
"""Slugs that a chart shows by themselves."""

UNITS = 6
"""Units that are told apart: those of most records."""

_DAY = len("2025-12-08")


class Drawing:
    """Makes the figures of a page, from what *sums* has.

    Attributes:
        figures: All that were made.
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self.figures: list[Figure] = []

    def parts(self, kind: KindGathered) -> Iterator[Part]:
        """The figures of a *kind*, subject by subject; none where there are no runs."""
        for branch in kind.root.all():
            drawn = _Branch(self._sums, kind, branch)
            over_time, by_slug = drawn.over_time(), drawn.by_slug()
            if branch.path:
                parts = [(titled_path(branch.path), branch.description, [*over_time, *by_slug])]
            else:
                parts = [("Over time", "", list(over_time)), ("By name", "", list(by_slug))]
            for title, text, figures in parts if branch.totals.records else ():
                numbered = [replace(each, number=n) for n, each in enumerate(figures, len(self.figures))]
                self.figures += numbered
                if numbered:
                    yield Part(title, text, numbered)


class _Branch:
    """Draws one *branch* of a *kind*."""

    def __init__(self, sums: Sums, kind: KindGathered, branch: Branch) -> None:
        self._sums = sums
        self._kind = kind
        self._branch = branch
        self._none = Totals.none(len(branch.totals.sums))
        numbers = [each.number for each in branch.groupings]
        numbers += [] if branch.by_day is None else [branch.by_day]
        units = sums.units(numbers[0]) if branch.unit else ()
        self._units = list(itertools.islice(units, UNITS))
        self._unit_head = ["Unit"] if self._units else []
        self._comparisons = [comparison(branch, chart, self._units) for chart in branch.charts]

    def over_time(self) -> Iterator[Figure]:
        """Figures over time; none where no run has a time, or where slugs say more."""
        branch, kind = self._branch, self._kind
        if branch.by_day is None or kind.first is None or kind.last is None:
            return
        first, last = (dt.date.fromisoformat(time[:_DAY]) for time in (kind.first, kind.last))
        step = step_for(first, last)
        parts = {part: step.label(part) for part in step.parts(first, last)}
        totals = _folded(self._sums.rows(branch.by_day), step, self._units)
        subjects = self._comparisons
        if not (branch.path and branch.groupings):
            amounts = [
                amount_of(each, self._units, alone=True, means=True) for each in branch.amounts_present
            ]
            subjects = [count(branch), *subjects, *amounts]
        for subject in subjects:
            yield self._figure(
                subject,
                step.name,
                axis=f"{step.axis} (UTC)" if "T" in kind.first else step.axis,
                head=[step.axis, *self._unit_head],
                views=[
                    view.told(list(parts.values()), [totals[view.unit].get(part) for part in parts])
                    for view in subject.views
                ],
                rows=[
                    [text, *_unit(unit), *subject.cells(totals[unit][part], unit)]
                    for part, text in parts.items()
                    for unit in ([*self._units, OTHER] if self._units else [None])
                    if part in totals[unit]
                ],
                over_time=True,
                wide=subject.wide,
            )

    def by_slug(self) -> Iterator[Figure]:
        """Figures by each slug."""
        branch, counted = self._branch, count(self._branch)
        amounts = [
            amount_of(each, self._units, alone=False, means=not branch.path)
            for each in branch.amounts_present
        ]
        # Of what was consumed, how much says more than how often.
        told = [*amounts, counted] if branch.path else [counted, *amounts]
        everything = Subject(
            counted.title,
            "",
            [view for each in told for view in each.views],
            [column for each in [counted, *amounts] for column in each.columns],
        )
        for grouping in branch.groupings if branch.totals.records else ():
            for subject in [*self._comparisons, everything]:
                yield self._ranked(subject, grouping)

    def _ranked(self, subject: Subject, grouping: Grouping) -> Figure:
        """The figure of a *subject* by slug: of each view the first ones, and the rest together."""
        units = self._units
        rankings = [_Ranking(view, self._none, labelled=len(units) > 1) for view in subject.views]
        rest: dict[str | None, Totals] = defaultdict(self._none.copy)
        for number, (key, unit, totals) in enumerate(self._sums.rows(grouping.number)):
            rest[_among(unit, units)].merge(totals)
            for ranking in rankings:
                ranking.add(_Item(number, key, unit, totals))
        items = {item.number: item for ranking in rankings for item in ranking.first}
        shown = sorted(items.values(), key=lambda item: (-item.totals.records, item.number))
        rows = [
            [label(item.key), *_unit(item.unit if units else None), *subject.cells(item.totals, item.unit)]
            for item in shown
        ]
        for among, totals in rest.items():
            left = totals.without([item.totals for item in shown if _among(item.unit, units) == among])
            cells = subject.cells(left, among)
            rows += [["others", *_unit(among), *cells]] if {*cells} != {NOTHING} and left.records else []
        name = titled(grouping.name)
        return self._figure(
            subject,
            name.lower(),
            axis=name,
            head=[name, *self._unit_head],
            views=[ranking.told() for ranking in rankings],
            rows=rows,
            note="A record with several of them counts for each." if grouping.many else "",
        )

    def _figure(self, subject: Subject, by: str, *, head: list[str], **parts: Any) -> Figure:
        return Figure(
            title=f"{subject.title} by {by}",
            of=titled(self._kind.kind.collection),
            text=subject.text,
            head=[*head, *(each.title for each in subject.columns)],
            labels=len(head),
            **parts,
        )


class _Item(NamedTuple):
    """The records of one slug and unit, and where they stand among all."""

    number: int
    key: str
    unit: str
    totals: Totals


class _Ranking:
    """The items that come first in a *view*, and how much all are.

    Args:
        view: Its last series decides.
        none: The totals of no records.
        labelled: Items have units.
    """

    def __init__(self, view: View, none: Totals, *, labelled: bool) -> None:
        self._view = view
        self._labelled = labelled and view.unit is None
        self._heap: list[tuple[Decimal, int, _Item]] = []
        self._others = 0
        self._rest = none.copy()

    def add(self, item: _Item) -> None:
        """Take in an *item*, if the view shows its unit and has a number for it."""
        _, read = self._view.series[-1]
        value = read(item.totals)
        if value is None or self._view.unit not in {None, item.unit}:
            return
        heapq.heappush(self._heap, (value, -item.number, item))
        if len(self._heap) > TOP:
            *_, last = heapq.heappop(self._heap)
            self._rest.merge(last.totals)
            self._others += 1

    @property
    def first(self) -> list[_Item]:
        """The items that come first, in their order."""
        return [item for _, _, item in sorted(self._heap, reverse=True)]

    def told(self) -> dict[str, Any]:
        """The view as the script takes it."""
        first = self.first
        labels = [
            ", ".join([label(item.key), *_unit(item.unit if self._labelled else None)]) for item in first
        ]
        totals = [item.totals for item in first]
        if self._others:
            labels.append(f"{self._others} others")
            totals.append(self._rest)
        return self._view.told(labels, totals)


def _unit(unit: str | None) -> list[str]:
    """The cell of a *unit*; None: there is none."""
    return [] if unit is None else ["other units" if unit == OTHER else label(unit)]


def _among(unit: str, units: list[str]) -> str | None:
    """What of the *units* that are told apart a *unit* is; None: none is told apart."""
    return None if not units else unit if unit in units else OTHER


def _folded(
    rows: Iterator[tuple[str, str, Totals]], step: Step, units: list[str]
) -> dict[str | None, dict[dt.date, Totals]]:
    """By unit, and by None for all, the totals of each part of time; *rows* are by day."""
    found: dict[str | None, dict[dt.date, Totals]] = defaultdict(dict)
    for key, unit, totals in rows:
        day = json.loads(key)
        if day is None:
            continue
        part = step.start(dt.date.fromisoformat(day))
        for among in {None, _among(unit, units)}:
            found[among].setdefault(part, Totals.none(len(totals.sums))).merge(totals)
    return found
