"""Figures: charts, each with a table of its numbers; and the texts that they show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from histio.page.totals import Totals

NO_NUMBER = "\N{EN DASH}"

_LONGEST = 120
_LONGEST_LABEL = 60
_DIGITS = 24

Read: TypeAlias = Callable[[Totals], Decimal | None]
"""Reads one number from totals."""


@dataclass(frozen=True, slots=True)
class View:
    """One of the charts that a figure can show.

    Attributes:
        name: Its name in the menu of views.
        axis: The title of the axis of its values.
        unit: The unit whose records it shows, as JSON; None: all records.
        series: Its series, by name. Of two, the first is planned. Charts by slug are ranked by the last.
        line: Whether it is drawn as a line if its categories are periods.
    """

    name: str
    axis: str
    unit: str | None
    series: tuple[tuple[str, Read], ...]
    line: bool = False

    def to_dict(self, labels: Sequence[str], totals: Sequence[Totals | None]) -> dict[str, Any]:
        """The view as page.js takes it.

        Args:
            labels: The categories.
            totals: The totals of each category; None: it has no records.
        """
        series = [
            {"name": name, "values": [None if each is None else _to_float(read(each)) for each in totals]}
            for name, read in self.series
        ]
        labels = [shorten(label, _LONGEST_LABEL) for label in labels]
        return {"name": self.name, "axis": self.axis, "labels": labels, "series": series, "line": self.line}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers.

    Attributes:
        title: Its heading.
        cell: Formats the number that it shows of totals.
        mixes: Whether its numbers make sense for records of different units.
    """

    title: str
    cell: Callable[[Totals], str]
    mixes: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and the table of its numbers.

    Attributes:
        title: The title.
        kind: The title of the kind of run.
        text: A description; may be empty.
        axis: The title of the axis of categories.
        views: The charts to choose from, as page.js takes them; empty: only the table is shown.
        head: The headings of the table.
        rows: The rows of the table, cell by cell.
        labels: How many of the first cells of a row are text.
        note: A remark on the numbers; may be empty.
        over_time: Whether the categories are periods.
        wide: Whether it has the full width of the page.
        slugs: How many of the first cells of a row are slugs.
        instead: A sentence instead of charts; empty: there are charts, or the table says all.
        number: Its number on the page.
    """

    title: str
    kind: str
    text: str
    axis: str
    views: list[dict[str, Any]]
    head: list[str]
    rows: list[list[str]]
    labels: int
    note: str = ""
    over_time: bool = False
    wide: bool = False
    slugs: int = 0
    instead: str = ""
    number: int = 0

    @property
    def caption(self) -> str:
        """The kind and the title."""
        return f"{self.kind}: {self.title}"

    @property
    def chart(self) -> dict[str, Any]:
        """The chart as page.js takes it."""
        return {"axis": self.axis, "overTime": self.over_time, "views": self.views}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with figures."""

    title: str
    text: str
    figures: list[Figure]


def to_title(name: str) -> str:
    """The *name* of a member, kind or ledger as a title: ``Recipe`` for ``recipe_slug``."""
    return name.removesuffix("_slug").replace("_", " ").capitalize()


def path_to_title(path: Sequence[str]) -> str:
    """The names that lead to a ledger as a title, the last one first."""
    return " of ".join(to_title(name).lower() for name in reversed(path)).capitalize()


_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, marks of direction and invisible characters, but not those that join letters."""


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Cut *text* to *longest* characters, with an ellipsis; escape what changes its surroundings."""
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def format_number(value: Decimal | None) -> str:
    """Format a number with thin spaces; exactly, unless it is very long. None becomes a dash."""
    if value is None:
        return NO_NUMBER
    text = f"{value:,f}".replace(",", "\u202f")
    return text if len(text) <= _DIGITS else f"≈ {value:.12g}"


def format_count(number: int) -> str:
    """Format a whole number with thin spaces."""
    return format_number(Decimal(number))


def format_key(text: str) -> str:
    """Format a key or unit, which is JSON."""
    value = json.loads(text)
    if isinstance(value, dict):
        return shorten(", ".join(str(part) for part in value.values()))
    return "none" if value is None else shorten(str(value))


def _to_float(value: Decimal | None) -> float | None:
    """The number as page.js takes it; None: there is none, or it is beyond a double."""
    number = None if value is None else float(value)
    return number if number is None or math.isfinite(number) else None
