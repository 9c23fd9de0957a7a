"""How the cases say what does not hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from unittest import SkipTest

from histio.kinds.table import Table
from histio.report import ImportReport
from histio.testing.scene import Document

FEW, MANY = 4, 12
"""Runs of a case; `MANY` stay within one page of an export and one batch of an import."""

_TOLD = 8


def demand(condition: object, text: str, details: Iterable[str] = ()) -> None:
    """Raise AssertionError with *text* and the first of the *details* unless *condition* holds."""
    if not condition:
        told = list(details)
        more = [f"… and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        raise AssertionError("\n  ".join([text, *told[:_TOLD], *more]))


def demand_whole(report: ImportReport, document: Document) -> None:
    """That everything in *document* was imported."""
    runs = sum(len(each) for each in document.values() if isinstance(each, list))
    demand(
        report.imported == runs and not report.problems,
        f"Of {runs} runs that were exported and deleted, {report.imported} could be imported "
        f"({report.skipped} skipped, {report.rejected} rejected).",
        tuple(map(str, report.problems)),
    )


def skip(reasons: Sequence[str]) -> None:
    """Say what could not be checked, if anything."""
    if reasons:
        raise SkipTest("; ".join(reasons))


def field_at(table: Table, name: str) -> str:
    """Where a host finds the member *name*: its schema and model."""
    return f"{type(table.schema).__name__}.{name} ({table.mapper.class_.__name__})"


def need_hypothesis() -> None:
    """Raise ImportError, with what to do about it, where Hypothesis is not installed."""
    if importlib.util.find_spec("hypothesis") is None:
        raise ImportError(
            "the strategies of histio.testing, and its case of the JSON Schema's verdict, need Hypothesis: "
            "pip install 'histio[testing]'"
        )
