"""Find charts that say nothing new, so that each picture is drawn once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from histio.page.figures import Figure

_TOLERANCE = 1e-9


def drop_repeats(figures: Iterable[Figure]) -> list[Figure]:
    """The *figures* of a section, with a sentence instead of each chart that says nothing new.

    A chart over time says nothing new if it is proportional to an earlier one, or a mean that never changes;
    charts by slug, if an earlier figure has the same values. Tables of one row that differ in the slug only
    become one.
    """
    kept: list[Figure] = []
    for figure in map(_without_constant, figures):
        alike = next((n for n, each in enumerate(kept) if _is_like(figure, each)), None)
        if alike is None:
            kept.append(figure)
        elif figure.views:
            title = f"\N{LEFT DOUBLE QUOTATION MARK}{kept[alike].title}\N{RIGHT DOUBLE QUOTATION MARK}"
            kept.append(replace(figure, views=[], instead=f"The chart looks like {title}.", wide=False))
        else:
            kept[alike] = _join(kept[alike], figure)
    return kept


def _is_like(figure: Figure, other: Figure) -> bool:
    if bool(figure.views) != bool(other.views) or figure.over_time != other.over_time or other.instead:
        return False
    if not figure.views:
        return len(figure.rows) == len(other.rows) == 1 and figure.rows[0][1:] == other.rows[0][other.slugs :]
    if figure.over_time:
        return _is_proportional(_values(figure.views[0]), _values(other.views[0]))
    return [*map(_values, figure.views)] == [*map(_values, other.views)]


def _join(figure: Figure, other: Figure) -> Figure:
    """One table of two that have a single row each, with the slugs of both."""
    at = figure.slugs
    [row], [others] = figure.rows, other.rows
    return replace(
        figure,
        title=f"{figure.title} and {other.head[0].lower()}",
        head=[*figure.head[:at], other.head[0], *figure.head[at:]],
        rows=[[*row[:at], others[0], *row[at:]]],
        labels=figure.labels + 1,
        slugs=at + 1,
    )


def _without_constant(figure: Figure) -> Figure:
    """The *figure* without its chart over time, if that shows means that never change."""
    values = [{*each} - {None} for view in figure.views for each in _values(view)]
    if figure.over_time and all(view["line"] for view in figure.views) and {*map(len, values)} == {1}:
        return replace(figure, views=[], instead="It is always the same.", wide=False)
    return figure


def _values(view: dict[str, Any]) -> list[list[float | None]]:
    return [series["values"] for series in view["series"]]


def _is_proportional(values: list[list[float | None]], others: list[list[float | None]]) -> bool:
    if len(values) != 1 or len(others) != 1:
        return False
    pairs = [(one or 0.0, other or 0.0) for one, other in zip(values[0], others[0], strict=True)]
    ratios = [one / other for one, other in pairs if other]
    return (
        all(other or not one for one, other in pairs)
        and bool(ratios)
        and all(math.isclose(ratio, ratios[0], rel_tol=_TOLERANCE) for ratio in ratios)
    )
