"""Draw the figures of a report: over time, and by slug."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from histio.page.branch_plan import Grouping
from histio.page.by_slug import Ranked, rank
from histio.page.figures import Figure, Section, format_number, path_to_title, to_title
from histio.page.gather import Branch, GatheredKind
from histio.page.repeats import drop_repeats
from histio.page.subjects import (
    OTHER_UNITS,
    Subject,
    compare_amounts,
    count_records,
    covered_by,
    group_unit,
    show_amount,
    unit_cell,
)
from histio.page.time_axis import TimeAxis, days_of, plan_axis
from histio.page.totals import Sums, Totals

FEW = 5
"""Of fewer runs, numbers are shown instead of charts."""

UNITS = 6
"""How many units are shown separately: those of most records."""


class Drawing:
    """Draws the figures of a page.

    Attributes:
        figures: All figures so far, by number.
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self.figures: list[Figure] = []

    def draw(self, kind: GatheredKind) -> tuple[list[Section], dict[str, str]]:
        """Draw the figures of a *kind* and of its ledgers.

        Returns:
            Sections with figures, and the slugs that all runs have, by the titles of their members.
        """
        only: dict[str, str] = {}
        return list(self._sections(kind, only)), only

    def _sections(self, kind: GatheredKind, only: dict[str, str]) -> Iterator[Section]:
        by_day = kind.root.plan.by_day
        axis = None if by_day is None else plan_axis(lambda: self._sums.rows(by_day))
        for branch in kind.root.all():
            if not branch.totals.records:
                continue
            drawing = _BranchDrawing(self._sums, kind, branch, axis)
            over_time, by_slug = drawing.draw_over_time(), drawing.draw_by_slug()
            if branch.plan.path:
                title, text = path_to_title(branch.plan.path), branch.plan.description
                sections = [(title, text, [*over_time, *by_slug])]
            else:
                note = axis.note if axis is not None and drawing.has_axis else ""
                sections = [
                    ("Over time" if drawing.has_axis else "Numbers", note, list(over_time)),
                    ("By name", "", list(by_slug)),
                ]
            only |= drawing.only
            for title, text, figures in sections:
                kept = enumerate(drop_repeats(figures), len(self.figures))
                numbered = [replace(each, number=number) for number, each in kept]
                self.figures += numbered
                if numbered:
                    yield Section(title, text, numbered)


class _BranchDrawing:
    """Draws the figures of one branch.

    Attributes:
        has_axis: Whether there is enough to draw over time.
        only: The slugs that all runs have, by the titles of their members, once drawn by slug.
    """

    def __init__(self, sums: Sums, kind: GatheredKind, branch: Branch, axis: TimeAxis | None) -> None:
        self._sums = sums
        self._kind = kind
        self._kind_title = to_title(kind.kind.collection)
        self._branch = branch
        self._axis = axis
        self.has_axis = axis is not None and axis.periods > 1 and kind.runs >= FEW
        self.only: dict[str, str] = {}
        self._empty = Totals.empty(branch.plan.width)
        self._units = self._most_used_units()
        self._unit_head = ["Unit"] if self._units else []
        compared = {name for chart in branch.plan.charts for name in covered_by(branch, chart)}
        self._alone = [each for each in branch.amounts_present if each.name not in compared]

    def _most_used_units(self) -> list[str]:
        plan = self._branch.plan
        if plan.unit is None:
            return []
        numbers = [*(grouping.number for grouping in plan.groupings), plan.by_day]
        [number] = [each for each in numbers if each is not None][:1]
        return list(itertools.islice(self._sums.units(number), UNITS))

    def draw_over_time(self) -> Iterator[Figure]:
        """Draw figures over time; of a ledger with slugs, only the comparisons. Of few runs, show totals."""
        by_day, axis = self._branch.plan.by_day, self._axis
        if by_day is None:
            return
        only_compared = bool(self._branch.plan.path and self._branch.plan.groupings)
        if axis is None or not self.has_axis:
            if not only_compared and (self._branch.plan.path or self._units):
                yield from self._draw_totals(by_day)
            return
        totals = self._add_up_periods(by_day, axis)
        subjects = self._compare(alone=True)
        if not only_compared:
            amounts = [show_amount(each, self._units, alone=True, means=True) for each in self._alone]
            subjects = [count_records(self._branch), *subjects, *amounts]
        for subject in subjects:
            yield self._draw_periods(subject, axis, totals)

    def _compare(self, *, alone: bool) -> list[Subject]:
        branch = self._branch
        return [compare_amounts(branch, chart, self._units, alone=alone) for chart in branch.plan.charts]

    def _draw_periods(
        self, subject: Subject, axis: TimeAxis, totals: dict[str | None, dict[dt.date, Totals]]
    ) -> Figure:
        labels, units = axis.labels, [*self._units, OTHER_UNITS] if self._units else [None]
        return self._figure(
            subject,
            f"{subject.title} by {axis.step.name}",
            axis=f"{axis.step.axis} (UTC)" if "T" in (self._kind.first or "") else axis.step.axis,
            head=[axis.step.axis, *self._unit_head],
            views=[
                view.to_dict(list(labels.values()), [totals[view.unit].get(period) for period in labels])
                for view in subject.views
            ],
            rows=[
                [label, *unit_cell(unit), *subject.cells(totals[unit][period], unit)]
                for period, label in axis.rows.items()
                for unit in units
                if period in totals[unit]
            ],
            over_time=True,
            wide=subject.wide,
        )

    def _add_up_periods(self, by_day: int, axis: TimeAxis) -> dict[str | None, dict[dt.date, Totals]]:
        """The totals of each period; by unit, and under None for all units."""
        found: dict[str | None, dict[dt.date, Totals]] = defaultdict(dict)
        for day, unit, totals in days_of(self._sums.rows(by_day)):
            period = axis.period(day)
            for among in {None, group_unit(unit, self._units)}:
                found[among].setdefault(period, self._empty.copy()).merge(totals)
        return found

    def _draw_totals(self, by_day: int) -> Iterator[Figure]:
        """Show the totals of all records as a table, a row for each amount and unit."""
        by_unit: dict[str | None, Totals] = defaultdict(self._empty.copy)
        for _, unit, totals in self._sums.rows(by_day):
            by_unit[group_unit(unit, self._units)].merge(totals)
        rows = [
            [
                to_title(each.name),
                *unit_cell(unit),
                format_number(None if each.is_rate else totals.sum(each.index)),
                format_number(totals.mean(each.index)),
            ]
            for each in self._branch.amounts_present
            for unit, totals in by_unit.items()
        ]
        if rows:
            head = ["Number", *self._unit_head, "Sum", "Mean"]
            yield Figure("Totals", self._kind_title, "", "", [], head, rows, labels=len(head) - 2)

    def draw_by_slug(self) -> Iterator[Figure]:
        """Draw a figure by each of the slugs."""
        branch, records = self._branch, count_records(self._branch)
        amounts = [
            show_amount(each, self._units, alone=False, means=not branch.plan.path) for each in self._alone
        ]
        amounts = [*self._compare(alone=False), *amounts]
        # Of a ledger, the quantity says more than the number of entries.
        in_order = [*amounts, records] if branch.plan.path else [records, *amounts]
        subject = Subject(
            records.title,
            "",
            [view for each in in_order for view in each.views],
            [column for each in [records, *amounts] for column in each.columns],
        )
        for grouping in branch.plan.groupings:
            ranked = rank(subject, self._sums.rows(grouping.number), self._units, self._empty)
            if ranked.only is not None and not branch.plan.path:
                self.only[to_title(grouping.name)] = ranked.only  # its numbers are those of all runs
            else:
                yield self._draw_ranked(subject, grouping, ranked)

    def _draw_ranked(self, subject: Subject, grouping: Grouping, ranked: Ranked) -> Figure:
        name = to_title(grouping.name)
        is_drawn = self._kind.runs >= FEW and len(ranked.rows) > 1
        return self._figure(
            subject,
            f"{subject.title} by {name.lower()}",
            axis=name,
            head=[name, *self._unit_head],
            views=ranked.views if is_drawn else [],
            rows=ranked.rows,
            note="A record with several of them counts for each." if grouping.many else "",
            wide=not is_drawn,
            slugs=1,
        )

    def _figure(self, subject: Subject, title: str, *, head: list[str], **parts: Any) -> Figure:
        return Figure(
            title=title,
            kind=self._kind_title,
            text=subject.text,
            head=[*head, *(column.title for column in subject.columns)],
            labels=len(head),
            **parts,
        )
