"""What figures show: the number of records, their amounts, and the charts that schemas declare."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from histio.kinds.charts import Compare
from histio.page.branch_plan import Amount
from histio.page.figures import (
    NO_NUMBER,
    Column,
    Read,
    View,
    format_key,
    format_number,
    path_to_title,
    to_title,
)
from histio.page.gather import Branch
from histio.page.totals import Totals

OTHER_UNITS = ""
"""The unit of records whose own unit is not shown separately."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a figure shows: its charts, and the columns of its table."""

    title: str
    text: str
    views: list[View]
    columns: list[Column]
    wide: bool = False

    def cells(self, totals: Totals, unit: str | None) -> list[str]:
        """The cells of a row; numbers that mean nothing for mixed units are left out."""
        return [
            column.cell(totals) if column.mixes or unit != OTHER_UNITS else NO_NUMBER
            for column in self.columns
        ]


def count_records(branch: Branch) -> Subject:
    """The number of records."""
    name = "Entries" if branch.plan.path else "Runs"
    title = path_to_title(branch.plan.path) if branch.plan.path else name
    column = _column(name, _records, mixes=True)
    return Subject(title, "", [View(name, name, None, ((name, _records),))], [column], wide=True)


def show_amount(amount: Amount, units: list[str], *, alone: bool, means: bool) -> Subject:
    """The sum of an *amount*, and its mean.

    Args:
        amount: The amount.
        units: The units that are shown separately, as JSON; empty: there are none.
        alone: Whether the figure shows no other amount.
        means: Whether to show the mean too; of a rate, only the mean is shown.
    """
    title, total = to_title(amount.name), functools.partial(Totals.sum, index=amount.index)
    reads: list[tuple[str, Read]] = [] if amount.is_rate else [("sum", total)]
    if means or amount.is_rate:
        reads.append(("mean", functools.partial(Totals.mean, index=amount.index)))
    views = []
    for unit in _units_to_show(units, mixes=amount.adds_up):
        for what, read in reads:
            axis = f"{_with_unit(title, unit)}, {what}"
            name = _with_unit(what.capitalize(), unit) if alone else axis
            views.append(View(name, axis, unit, ((what, read),), line=what == "mean"))
    columns = [_column(f"{title}, {what}", read, mixes=amount.adds_up) for what, read in reads]
    return Subject(title, amount.description, views, columns)


def compare_amounts(branch: Branch, chart: Compare, units: list[str], *, alone: bool) -> Subject:
    """A planned amount beside the actual one: their sums, and their means.

    Args:
        branch: The records.
        chart: The two amounts.
        units: The units that are shown separately, as JSON; empty: there are none.
        alone: Whether the figure shows nothing else.
    """
    index = branch.plan.charts[chart]
    names = [to_title(member) for member in chart.members]
    planned, actual = names
    title = f"{actual} against {planned.lower()}"
    adding_up = {amount.name for amount in branch.plan.amounts if amount.adds_up}
    mixes = adding_up >= set(chart.members)
    views, columns = [], []
    for what, read in (("sum", Totals.sum), ("mean", Totals.mean)):
        reads = [functools.partial(read, index=each) for each in (index, index + 1)]
        for unit in _units_to_show(units, mixes=mixes):
            axis = _with_unit(what.capitalize(), unit)
            name = axis if alone else f"{_with_unit(title, unit)}, {what}"
            views.append(View(name, axis, unit, tuple(zip(names, reads, strict=True)), line=True))
        columns += [
            _column(f"{name}, {what}", each, mixes=mixes) for name, each in zip(names, reads, strict=True)
        ]

    def share(totals: Totals) -> str:
        whole, part = totals.sums[index : index + 2]
        return f"{part / whole:.1%}" if whole else NO_NUMBER

    columns.insert(len(names), Column("Share", share, mixes))
    return Subject(title, "", views, columns, wide=True)


def covered_by(branch: Branch, chart: Compare) -> Iterator[str]:
    """The amounts of a *chart* that need no other one, because each record that has one has both."""
    for place, member in enumerate(chart.members):
        for amount in branch.plan.amounts:
            both = branch.totals.counts[branch.plan.charts[chart] + place]
            if amount.name == member and branch.totals.counts[amount.index] == both:
                yield member


def unit_cell(unit: str | None) -> list[str]:
    """The cell of a *unit*; no cell for None."""
    return [] if unit is None else ["other units" if unit == OTHER_UNITS else format_key(unit)]


def group_unit(unit: str, units: list[str]) -> str | None:
    """The *unit* if it is among the *units* shown separately, else `OTHER_UNITS`; None: no units."""
    return None if not units else unit if unit in units else OTHER_UNITS


def _records(totals: Totals) -> Decimal:
    return Decimal(totals.records)


def _column(title: str, read: Read, *, mixes: bool) -> Column:
    return Column(title, lambda totals: format_number(read(totals)), mixes)


def _units_to_show(units: list[str], *, mixes: bool) -> list[str] | list[None]:
    """The units that get a view each; None: one view for all records."""
    return [None] if mixes or not units else units


def _with_unit(name: str, unit: str | None) -> str:
    return name if unit is None else f"{name} in {format_key(unit)}"
