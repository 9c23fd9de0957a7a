"""Days put together, to as many columns as a chart can show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_MONTHS = 12
_CENTURY = 100


@dataclass(frozen=True, slots=True)
class Step:
    """A way to divide time.

    Attributes:
        name: What one part is called.
        axis: What an axis of them is called.
        most: How many parts a chart may have.
        start: The first day of the part that has a day.
        following: The first day of the next part, from that of one.
        digits: How much of a first day, as RFC 3339 writes it, names the part.
    """

    name: str
    axis: str
    most: int
    start: Callable[[dt.date], dt.date]
    following: Callable[[dt.date], dt.date]
    digits: int = 10

    def label(self, start: dt.date) -> str:
        """What the part with this *start* is called."""
        return start.isoformat()[: self.digits]

    def parts(self, first: dt.date, last: dt.date) -> Iterator[dt.date]:
        """The starts of all parts from that of *first* to that of *last*."""
        at = self.start(first)
        while at <= last:
            yield at
            at = self.following(at)


def _year(number: int) -> dt.date:
    return dt.date(number, 1, 1) if number <= dt.MAXYEAR else dt.date.max


def _next_month(start: dt.date) -> dt.date:
    later, month = divmod(start.month, _MONTHS)
    return dt.date(start.year + later, month + 1, 1)


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


def step_for(first: dt.date, last: dt.date) -> Step:
    """The finest way to divide the time from *first* to *last* that a chart can show."""
    return next(step for step in STEPS if _fits(step, first, last))


def _fits(step: Step, first: dt.date, last: dt.date) -> bool:
    return all(number < step.most for number, _ in enumerate(step.parts(first, last)))
