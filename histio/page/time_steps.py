"""Group days into weeks, months or years, so that a chart can show them all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_MONTHS = 12
_CENTURY = 100


@dataclass(frozen=True, slots=True)
class Step:
    """A period into which time is divided, such as a month.

    Attributes:
        name: Its name.
        axis: The title of a chart's axis.
        most: How many periods a chart can show.
        start: The first day of the period that contains a day.
        following: The first day of the next period, from the first day of one.
        digits: How many characters of the first day, as RFC 3339 writes it, name the period.
    """

    name: str
    axis: str
    most: int
    start: Callable[[dt.date], dt.date]
    following: Callable[[dt.date], dt.date]
    digits: int = 10

    def label(self, start: dt.date) -> str:
        """The name of the period that begins at *start*, such as ``2025-12``."""
        return start.isoformat()[: self.digits]

    def periods(self, first: dt.date, last: dt.date) -> Iterator[dt.date]:
        """The first days of all periods from that of *first* to that of *last*."""
        at = self.start(first)
        while at <= last:
            yield at
            at = self.following(at)


def _year(number: int) -> dt.date:
    return dt.date(number, 1, 1) if number <= dt.MAXYEAR else dt.date.max


def _next_month(start: dt.date) -> dt.date:
    years, month = divmod(start.month, _MONTHS)
    return dt.date(start.year + years, month + 1, 1)


STEPS = (
    Step("day", "Day", 62, lambda day: day, lambda day: day + dt.timedelta(1)),
    Step(
        "week",
        "Week from Monday",
        106,
        lambda day: day - dt.timedelta(day.weekday()),
        lambda day: day + dt.timedelta(7),
    ),
    Step("month", "Month", 240, lambda day: day.replace(day=1), _next_month, digits=7),
    Step("year", "Year", 240, lambda day: _year(day.year), lambda day: _year(day.year + 1), digits=4),
    Step(
        "century",
        "Century from",
        _CENTURY,
        lambda day: _year(day.year - day.year % _CENTURY),
        lambda day: _year(day.year + _CENTURY),
        digits=4,
    ),
)
"""All steps, from the finest."""


def choose_step(first: dt.date, last: dt.date) -> Step:
    """The finest step with which a chart can show the time from *first* to *last*."""
    return next(step for step in STEPS if _fits(step, first, last))


def _fits(step: Step, first: dt.date, last: dt.date) -> bool:
    return all(number < step.most for number, _ in enumerate(step.periods(first, last)))
