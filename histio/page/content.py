"""What stands on a page, in the words and the order in which it stands there."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from histio.history import History
from histio.page.drawing import Drawing
from histio.page.figures import cut, shown_number, titled, titled_path
from histio.page.gathering import FINDINGS, Gathered, KindGathered
from histio.page.sums import Sums
from histio.report import KEPT, ImportReport, Problem

_LONGEST = 300

_LISTED = 1_000_000
"""Bytes that problems and warnings may take on a page."""

_ROW = 120  # bytes of markup


def content(found: Gathered, sums: Sums, history: History, imported: ImportReport | None) -> dict[str, Any]:
    """All that the template takes."""
    drawing = Drawing(sums)
    kinds = [_kind(kind, drawing, history) for kind in found.kinds]
    rules = [rule for kind in found.kinds for rule in _rules(kind)]
    return {
        "name": cut(found.name),
        "facts": list(_facts(found)),
        "passed_over": found.passed_over,
        "kinds": kinds,
        "rules": rules,
        "findings": sum(rule["count"] for rule in rules),
        "kept": FINDINGS,
        "imported": None if imported is None else _imported(imported),
        "charts": [figure.chart for figure in drawing.figures],
    }


def _facts(found: Gathered) -> Iterator[tuple[str, str]]:
    made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if found.exported_at is not None:
        yield "Exported", _moment(found.exported_at)
    yield "Format", found.version
    yield "Report made", made


def _moment(time: str) -> str:
    """A *time* as RFC 3339 has it, for people, to the minute; a day as it is."""
    day, _, clock = time.partition("T")
    return f"{day} {clock[: len('10:00')]} UTC" if clock else day


def _kind(kind: KindGathered, drawing: Drawing, history: History) -> dict[str, Any]:
    described = history.bound.contract.schema["$defs"][kind.kind.name]
    return {
        "title": titled(kind.kind.collection),
        "text": described.get("description", ""),
        "runs": _count(kind.runs),
        "first": None if kind.first is None else _moment(kind.first),
        "last": None if kind.last is None else _moment(kind.last),
        "untimed": kind.untimed if kind.first is not None else 0,
        "ledgers": [
            (titled_path(branch.path), _count(branch.totals.records))
            for branch in kind.root.all()
            if branch.path
        ],
        "findings": _count(sum(rule.count for branch in kind.root.all() for rule in branch.rules)),
        "parts": list(drawing.parts(kind)),
    }


def _count(number: int) -> str:
    return shown_number(Decimal(number))


def _rules(kind: KindGathered) -> Iterator[dict[str, Any]]:
    """The rules that were looked at, and what breaks them."""
    for branch in kind.root.all():
        for each in branch.rules:
            yield {
                "of": [titled(kind.kind.collection), *([titled_path(branch.path)] if branch.path else [])],
                "text": str(each.rule),
                "count": each.count,
                "shown": _count(each.count),
                "first": [
                    (cut(found.run), cut(found.place), cut(found.pointer), cut(found.text, _LONGEST))
                    for found in each.first
                ],
            }


def _imported(report: ImportReport) -> dict[str, Any]:
    names = ("imported", "updated", "skipped", "rejected")
    problems = list(_fitting(map(_problem, [*report.problems[:KEPT], *report.warnings[:KEPT]])))
    return {
        "dry_run": report.dry_run,
        "truncated": report.truncated,
        "counts": [(titled(name), _count(getattr(report, name))) for name in names],
        "by_kind": [
            [titled(kind), *(_count(getattr(counts, name)) for name in names)]
            for kind, counts in report.by_kind.items()
        ],
        "names": [titled(name) for name in names],
        "problem_count": _count(report.problem_count),
        "warning_count": _count(report.warning_count),
        "left_out": _count(report.problem_count + report.warning_count - len(problems)),
        "codes": sorted({problem["code"] for problem in problems}),
        "problems": problems,
    }


def _fitting(problems: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    """As many of the first *problems* as a page has room for."""
    taken = 0
    for problem in problems:
        taken += _ROW + sum(len(html.escape(text).encode("utf-8", "replace")) for text in problem.values())
        if taken > _LISTED:
            return
        yield problem


def _problem(problem: Problem) -> dict[str, str]:
    line = "" if problem.line is None else f"line {problem.line}"
    hint = f" ({problem.hint})" if problem.hint else ""
    return {
        "severity": problem.severity,
        "code": problem.code,
        "run": cut(" ".join(filter(None, [problem.kind, problem.uuid]))),
        "place": cut(" ".join(filter(None, [line, problem.pointer]))),
        "message": cut(f"{problem.message}{hint}", _LONGEST),
    }
