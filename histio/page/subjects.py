"""What figures show: the number of records, their amounts, and the charts that schemas declare."""

from __future__ import annotations

import functools
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


def compare_amounts(branch: Branch, chart: Compare, units: list[str]) -> Subject:
    """A planned amount beside the actual one."""
    index = branch.plan.charts[chart]
    planned, actual = to_title(chart.planned), to_title(chart.actual)
    reads = [functools.partial(Totals.sum, index=each) for each in (index, index + 1)]
    mixes = {amount.name for amount in branch.plan.amounts if amount.adds_up} >= set(chart.members)
    series = ((planned, reads[0]), (actual, reads[1]))
    views = [
        View(_with_unit("Sum", unit), _with_unit("Sum", unit), unit, series, line=True)
        for unit in _units_to_show(units, mixes=mixes)
    ]

    def share(totals: Totals) -> str:
        whole, part = totals.sums[index : index + 2]
        return f"{part / whole:.1%}" if whole else NO_NUMBER

    columns = [_column(f"{name}, sum", read, mixes=mixes) for name, read in series]
    title = f"{actual} against {planned.lower()}"
    return Subject(title, "", views, [*columns, Column("Share", share, mixes)], wide=True)


def _records(totals: Totals) -> Decimal:
    return Decimal(totals.records)


def _column(title: str, read: Read, *, mixes: bool) -> Column:
    return Column(title, lambda totals: format_number(read(totals)), mixes)


def _units_to_show(units: list[str], *, mixes: bool) -> list[str] | list[None]:
    """The units that get a view each; None: one view for all records."""
    return [None] if mixes or not units else units


def _with_unit(name: str, unit: str | None) -> str:
    return name if unit is None else f"{name} in {format_key(unit)}"
