"""What was gathered, as figures: for each the values of its charts, and a table with the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from histio.page.sums import Totals

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""

_LONGEST = 120
_LABEL = 60
_DIGITS = 24

Read: TypeAlias = Callable[[Totals], Decimal | None]


@dataclass(frozen=True, slots=True)
class View:
    """One of the ways to look at a figure.

    Attributes:
        name: What it is called.
        axis: What its values are.
        unit: The records that it shows, by the text of their unit; None: all.
        series: What is shown of them, by name; of several, the first one was planned. The last one decides
            which slugs are shown.
        line: Over time, it is a line.
    """

    name: str
    axis: str
    unit: str | None
    series: tuple[tuple[str, Read], ...]
    line: bool = False

    def told(self, labels: Sequence[str], totals: Sequence[Totals | None]) -> dict[str, Any]:
        """The view as the script takes it."""
        series = [
            {"name": name, "values": [None if each is None else _plain(read(each)) for each in totals]}
            for name, read in self.series
        ]
        labels = [cut(each, _LABEL) for each in labels]
        return {"name": self.name, "axis": self.axis, "labels": labels, "series": series, "line": self.line}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers.

    Attributes:
        title: Its head.
        cell: What it says of totals.
        mixes: It may say it of records with different units.
    """

    title: str
    cell: Callable[[Totals], str]
    mixes: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its numbers.

    Attributes:
        title: What it shows.
        of: The kind that it is about.
        text: More about it; may be empty.
        axis: What the chart's categories are.
        views: The ways to look at it, as the script takes them; each has a ``name``.
        head: The heads of the table's columns.
        rows: Its rows, cell by cell.
        labels: How many of the first cells are no numbers.
        note: What is to be known of the numbers; may be empty.
        over_time: The categories follow each other.
        wide: It takes the whole width.
        number: That of the figure on its page.
    """

    title: str
    of: str
    text: str
    axis: str
    views: list[dict[str, Any]]
    head: list[str]
    rows: list[list[str]]
    labels: int
    note: str = ""
    over_time: bool = False
    wide: bool = False
    number: int = 0

    @property
    def caption(self) -> str:
        """What it shows, of which kind."""
        return f"{self.of}: {self.title}"

    @property
    def chart(self) -> dict[str, Any]:
        """What the script draws."""
        return {"axis": self.axis, "overTime": self.over_time, "views": self.views}


@dataclass(frozen=True, slots=True)
class Part:
    """Figures of one subject."""

    title: str
    text: str
    figures: list[Figure]


def titled(name: str) -> str:
    """The *name* of a member, kind or ledger, for people."""
    return name.removesuffix("_slug").replace("_", " ").capitalize()


def titled_path(path: Sequence[str]) -> str:
    """The names that lead to a ledger, for people."""
    return " of ".join(titled(name).lower() for name in reversed(path)).capitalize()


def cut(text: str, longest: int = _LONGEST) -> str:
    """*text*, shortened where it is longer than a page can take."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown_number(value: Decimal | None) -> str:
    """*value* for people, exactly unless it is very long; None: there is none."""
    if value is None:
        return NOTHING
    text = f"{value:,f}".replace(",", "\u202f")
    return text if len(text) <= _DIGITS else f"≈ {value:.12g}"


def label(text: str) -> str:
    """A key or unit for people, from its JSON."""
    value = json.loads(text)
    if isinstance(value, dict):
        return cut(", ".join(str(each) for each in value.values()))
    return "none" if value is None else cut(str(value))


def _plain(value: Decimal | None) -> float | None:
    """*value* as the script takes it."""
    number = None if value is None else float(value)
    return number if number is None or math.isfinite(number) else None
