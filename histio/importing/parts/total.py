"""Add up the reports of the parts of an import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from histio.report import KEPT, Counts, EntryCounts, ImportReport, Problem

_Numbers = TypeVar("_Numbers", Counts, EntryCounts)


class Total:
    """The report of an import, as the sum of the reports of its parts.

    Args:
        files: The names of the parts, in their order.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(files)}
        self.report: ImportReport = ImportReport()

    def add(self, part: ImportReport) -> None:
        """Add the report of a *part*."""
        so_far = self.report
        self.report = replace(
            so_far,
            **{name: getattr(so_far, name) + getattr(part, name) for name in _SUMS},
            by_kind=_add_by_kind(so_far.by_kind, part.by_kind),
            catalog=_add_by_kind(so_far.catalog, part.catalog),
            entries=_add(so_far.entries, part.entries),
            problem_codes=dict(Counter(so_far.problem_codes) + Counter(part.problem_codes)),
            problems=self._merge(so_far.problems, part.problems),
            warnings=self._merge(so_far.warnings, part.warnings),
            renamed=(*so_far.renamed, *part.renamed)[:KEPT],
            revisions=(*so_far.revisions, *part.revisions)[:KEPT],
            unit_of_work={**so_far.unit_of_work, **part.unit_of_work},
            truncated=so_far.truncated or part.truncated,
            advice=so_far.advice or part.advice,
        )

    def _merge(self, kept: Iterable[Problem], more: Iterable[Problem]) -> tuple[Problem, ...]:
        """The first of the problems, in the order of the parts."""
        return tuple(sorted((*kept, *more), key=self._place)[:KEPT])

    def _place(self, problem: Problem) -> tuple[int, int, int]:
        return self._places.get(problem.file or "", -1), problem.line or 0, problem.index or 0


_SUMS = (
    *("imported", "updated", "skipped", "rejected"),
    *("problem_count", "warning_count", "renamed_count", "revision_count"),
)


def _add(one: _Numbers, other: _Numbers) -> _Numbers:
    sums: dict[str, Any] = {
        each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(one)
    }
    return replace(one, **sums)


def _add_by_kind(one: Mapping[str, Counts], other: Mapping[str, Counts]) -> dict[str, Counts]:
    return {
        kind: _add(one.get(kind, Counts()), other.get(kind, Counts()))
        for kind in dict.fromkeys((*one, *other))
    }
