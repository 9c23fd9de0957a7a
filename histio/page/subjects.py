"""What figures can be about: how many records there are, their amounts, and charts that are declared."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal

from histio.kinds.charts import Compare
from histio.page.figures import NOTHING, Column, Read, View, label, shown_number, titled, titled_path
from histio.page.gathering import Amount, Branch
from histio.page.sums import Totals

OTHER = ""
"""Stands for the units that are not told apart."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a figure is about: the ways to look at it, and the columns of its numbers."""

    title: str
    text: str
    views: list[View]
    columns: list[Column]
    wide: bool = False

    def cells(self, totals: Totals, unit: str | None) -> list[str]:
        """A row of numbers."""
        return [each.cell(totals) if each.mixes or unit != OTHER else NOTHING for each in self.columns]


def _records(totals: Totals) -> Decimal:
    return Decimal(totals.records)


def _column(title: str, read: Read, *, mixes: bool) -> Column:
    return Column(title, lambda totals: shown_number(read(totals)), mixes)


def count(branch: Branch) -> Subject:
    """How many records there are."""
    name = "Entries" if branch.path else "Runs"
    column = _column(name, _records, mixes=True)
    title = titled_path(branch.path) if branch.path else name
    return Subject(title, "", [View(name, name, None, ((name, _records),))], [column], wide=True)


def amount_of(amount: Amount, units: list[str], *, alone: bool, means: bool) -> Subject:
    """An *amount*, added up, and with *means* also for one record; *alone* in its figure, or with others."""
    title, sums = titled(amount.name), functools.partial(Totals.sum, place=amount.place)
    reads: list[tuple[str, Read]] = [] if amount.is_rate else [("sum", sums)]
    if means or amount.is_rate:
        reads.append(("mean", functools.partial(Totals.mean, place=amount.place)))
    views = []
    for unit in _apart(units, mixes=amount.adds_up):
        for what, read in reads:
            full = f"{_in(title, unit)}, {what}"
            name = _in(what.capitalize(), unit) if alone else full
            views.append(View(name, full, unit, ((what, read),), line=what == "mean"))
    columns = [_column(f"{title}, {what}", read, mixes=amount.adds_up) for what, read in reads]
    return Subject(title, amount.description, views, columns)


def comparison(branch: Branch, chart: Compare, units: list[str]) -> Subject:
    """What was planned beside what there was."""
    place = branch.charts[chart]
    planned, actual = titled(chart.planned), titled(chart.actual)
    reads = [functools.partial(Totals.sum, place=each) for each in (place, place + 1)]
    mixes = {amount.name for amount in branch.amounts if amount.adds_up} >= set(chart.members)
    views = [
        View(_in("Sum", unit), _in("Sum", unit), unit, ((planned, reads[0]), (actual, reads[1])), line=True)
        for unit in _apart(units, mixes=mixes)
    ]

    def share(totals: Totals) -> str:
        whole, part = totals.sums[place : place + 2]
        return f"{part / whole:.1%}" if whole else NOTHING

    columns = [
        _column(f"{name}, sum", read, mixes=mixes)
        for name, read in zip((planned, actual), reads, strict=True)
    ]
    title = f"{actual} against {planned.lower()}"
    return Subject(title, "", views, [*columns, Column("Share", share, mixes)], wide=True)


def _apart(units: list[str], *, mixes: bool) -> list[str] | list[None]:
    """The *units* that something is looked at by; None: by all at once."""
    return [None] if mixes or not units else units


def _in(name: str, unit: str | None) -> str:
    return name if unit is None else f"{name} in {label(unit)}"
