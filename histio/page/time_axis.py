"""The axis of time of a kind's charts, without the few years that lie far from all others."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from histio.page.time_steps import Step, choose_step
from histio.page.totals import Totals

_RARE = 50
"""One run of so many may be an outlier, and always one."""

_LEAST_GAP = 3
"""The least number of years between outliers and other runs."""

_NAMED = 5
"""How many outliers are named."""

BEFORE, AFTER = dt.date.min, dt.date.max


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The periods that charts over time show.

    Attributes:
        step: What a period is.
        first: The first day.
        last: The last day.
        outside: The number of runs before and after.
        outliers: The days of the first few of them.
        periods: The number of periods that have runs.
    """

    step: Step
    first: dt.date
    last: dt.date
    outside: int
    outliers: tuple[dt.date, ...]
    periods: int

    @property
    def labels(self) -> dict[dt.date, str]:
        """The label of each period, by its first day."""
        return {start: self.step.label(start) for start in self.step.periods(self.first, self.last)}

    @property
    def rows(self) -> dict[dt.date, str]:
        """The label of each period, and of the times before and after all of them."""
        before, after = {BEFORE: f"before {self.first.year}"}, {AFTER: f"after {self.last.year}"}
        return {**before, **self.labels, **after}

    @property
    def note(self) -> str:
        """Which runs are not drawn; empty: all are."""
        if not self.outside:
            return ""
        years = dict.fromkeys([self.first.year, self.last.year])
        days = ", ".join(map(dt.date.isoformat, self.outliers))
        more = ", …" if self.outside > len(self.outliers) else ""
        runs = "1 run outside {} is" if self.outside == 1 else f"{self.outside:,} runs outside {{}} are"
        span = "\N{EN DASH}".join(f"{year:04}" for year in years)
        return f"{runs.format(span)} not drawn: {days}{more}. Totals and tables include them."

    def period(self, day: dt.date) -> dt.date:
        """The first day of the period of a *day*; `BEFORE` or `AFTER` all of them."""
        return BEFORE if day < self.first else AFTER if day > self.last else self.step.start(day)


def plan_axis(rows: Callable[[], Iterator[tuple[str, str, Totals]]]) -> TimeAxis | None:
    """The axis for runs whose totals by day *rows* yields; None: no run has a time."""
    years = Counter[int]()
    for day, _, totals in days_of(rows()):
        years[day.year] += totals.records
    if not years:
        return None
    kept, first, last = range(*_main_years(years)), dt.date.max, dt.date.min
    outside, outliers = 0, list[dt.date]()
    for day, _, totals in days_of(rows()):
        if day.year in kept:
            first, last = min(first, day), max(last, day)
        else:
            outside += totals.records
            outliers += [day] * (len(outliers) < _NAMED)
    step = choose_step(first, last)
    periods = {step.start(day) for day, *_ in days_of(rows()) if day.year in kept}
    return TimeAxis(step, first, last, outside, tuple(outliers), len(periods))


def days_of(rows: Iterable[tuple[str, str, Totals]]) -> Iterator[tuple[dt.date, str, Totals]]:
    """The day, unit and totals of *rows* by day, in order, without records whose time is not known."""
    for key, unit, totals in rows:
        day = json.loads(key)
        if day is not None:
            yield dt.date.fromisoformat(day), unit, totals


def _main_years(years: Counter[int]) -> tuple[int, int]:
    """The first year that is not an outlier, and the one after the last.

    The years between which all runs lie but a few at either end are extended year by year, until the next
    one is further away than they are long.
    """
    ordered, few = sorted(years), max(1, years.total() // _RARE)
    first, last = _skip(ordered, years, few), _skip(ordered[::-1], years, few)
    for year in reversed(ordered):
        if year < first and first - year <= max(_LEAST_GAP, last - first):
            first = year
    for year in ordered:
        if year > last and year - last <= max(_LEAST_GAP, last - first):
            last = year
    return first, last + 1


def _skip(ordered: list[int], years: Counter[int], runs: int) -> int:
    """The year of the first run after so many *runs*; the first year if there are hardly more."""
    if years.total() <= 2 * runs:
        return ordered[0]
    for year in ordered:
        runs -= years[year]
        if runs < 0:
            break
    return year
