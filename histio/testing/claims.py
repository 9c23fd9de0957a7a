"""Assertions of the cases."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from unittest import SkipTest

from histio.extras import install_command
from histio.kinds.table import Table
from histio.report import ImportReport
from histio.testing.scene import Document

FEW, MANY = 4, 12
"""Numbers of runs; `MANY` fit into one page of an export and one batch of an import."""

_MOST_DETAILS = 8


def demand(condition: object, text: str, details: Iterable[str] = ()) -> None:
    """Raise AssertionError with *text* and the first of the *details* unless *condition* holds."""
    if not condition:
        texts = list(details)
        more = [f"… and {len(texts) - _MOST_DETAILS} more"] if len(texts) > _MOST_DETAILS else []
        raise AssertionError("\n  ".join([text, *texts[:_MOST_DETAILS], *more]))


def demand_whole(report: ImportReport, document: Document) -> None:
    """Raise AssertionError unless all runs and catalog rows in *document* were imported."""
    rows = sum(len(each) for each in document.values() if isinstance(each, list))
    what = "runs and catalog rows" if report.catalog else "runs"
    imported = report.imported + sum(counts.imported for counts in report.catalog.values())
    demand(
        imported == rows and not report.problems,
        f"Of {rows} {what} that were exported and deleted, {imported} could be imported "
        f"({report.skipped} skipped, {report.rejected} rejected).",
        tuple(map(str, report.problems)),
    )


def skip(reasons: Sequence[str]) -> None:
    """Raise SkipTest with the *reasons* why something could not be checked, if there are any."""
    if reasons:
        raise SkipTest("; ".join(reasons))


def field_at(table: Table, name: str) -> str:
    """The schema and the model of the member *name*."""
    return f"{type(table.schema).__name__}.{name} ({table.mapper.class_.__name__})"


def need_hypothesis() -> None:
    """Raise ImportError if Hypothesis is not installed."""
    if importlib.util.find_spec("hypothesis") is None:
        raise ImportError(
            "the strategies of histio.testing, and its case about the verdicts of schemas, need Hypothesis: "
            f"{install_command('testing')}"
        )
