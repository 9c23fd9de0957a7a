"""The contents of a report as the template takes them."""

from __future__ import annotations

import datetime as dt
import html
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

from histio.history import History
from histio.page.draw import Drawing
from histio.page.figures import format_number, path_to_title, shorten, to_title
from histio.page.gather import FINDINGS, GatheredHistory, GatheredKind
from histio.page.totals import Sums
from histio.redact import redact
from histio.report import KEPT, ImportReport, Problem, Revision, list_outcomes

_LONGEST_MESSAGE = 300
_LIST_BYTES = 1_000_000  # for the lists of changes, which take half of it at most, and of problems
_ROW_BYTES = 120  # markup of a row


def build_content(
    gathered: GatheredHistory, sums: Sums, history: History, imported: ImportReport | None
) -> dict[str, Any]:
    """All variables of the template.

    Args:
        gathered: The runs of the history.
        sums: Their totals by slug and by day.
        history: Describes the kinds.
        imported: The report of an import to show; None: none.
    """
    drawing = Drawing(sums)
    kinds = [_kind(kind, drawing, history) for kind in gathered.kinds]
    rules = [rule for kind in gathered.kinds for rule in _rules(kind)]
    return {
        "name": shorten(redact(gathered.name)),
        "facts": list(_facts(gathered)),
        "invalid": gathered.invalid,
        "kinds": kinds,
        "rules": rules,
        "findings": sum(rule["count"] for rule in rules),
        "kept": FINDINGS,
        "imported": None if imported is None else _import(imported),
        "charts": [figure.chart for figure in drawing.figures],
    }


def _facts(gathered: GatheredHistory) -> Iterator[tuple[str, str]]:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if gathered.exported_at is not None:
        yield "Exported", _format_time(gathered.exported_at)
    yield "Format", gathered.version
    yield "Report made", now


def _format_time(time: str) -> str:
    """Shorten a time in RFC 3339 to the minute; a date stays as it is."""
    day, _, clock = time.partition("T")
    return f"{day} {clock[: len('10:00')]} UTC" if clock else day


def _format_count(number: int) -> str:
    return format_number(Decimal(number))


def _kind(kind: GatheredKind, drawing: Drawing, history: History) -> dict[str, Any]:
    definition = history.bound.gate.schema["$defs"][kind.kind.name]
    branches = list(kind.root.all())
    return {
        "title": to_title(kind.kind.collection),
        "text": definition.get("description", ""),
        "runs": _format_count(kind.runs),
        "first": None if kind.first is None else _format_time(kind.first),
        "last": None if kind.last is None else _format_time(kind.last),
        "untimed": kind.untimed if kind.first is not None else 0,
        "ledgers": [
            (path_to_title(branch.plan.path), _format_count(branch.totals.records))
            for branch in branches
            if branch.plan.path
        ],
        "findings": _format_count(sum(rule.count for branch in branches for rule in branch.rules)),
        "parts": list(drawing.sections(kind)),
    }


def _rules(kind: GatheredKind) -> Iterator[dict[str, Any]]:
    """The rules of a kind and of its ledgers, with the findings."""
    for branch in kind.root.all():
        path = branch.plan.path
        for rule in branch.rules:
            yield {
                "of": [to_title(kind.kind.collection), *([path_to_title(path)] if path else [])],
                "text": str(rule.rule),
                "count": rule.count,
                "shown": _format_count(rule.count),
                "first": [
                    (
                        shorten(found.run),
                        shorten(found.place),
                        shorten(found.pointer),
                        shorten(found.text, _LONGEST_MESSAGE),
                    )
                    for found in rule.first
                ],
            }


def _import(report: ImportReport) -> dict[str, Any]:
    outcomes = list_outcomes(report)
    changes = _fit_on_page(map(_change, report.revisions), _LIST_BYTES // 2)
    found = map(_problem, [*report.problems[:KEPT], *report.warnings[:KEPT]])
    problems = _fit_on_page(found, _LIST_BYTES - sum(map(_size, changes)))
    return {
        "advice": report.advice,
        "dry_run": report.dry_run,
        "truncated": report.truncated,
        "counts": [(to_title(name), _format_count(getattr(report, name))) for name in outcomes],
        "by_kind": [
            [to_title(kind), *(_format_count(getattr(counts, name)) for name in outcomes)]
            for kind, counts in {**report.catalog, **report.by_kind}.items()
        ],
        "names": [to_title(name) for name in outcomes],
        "problem_count": _format_count(report.problem_count),
        "warning_count": _format_count(report.warning_count),
        "left_out": _format_count(report.problem_count + report.warning_count - len(problems)),
        "codes": sorted({problem["code"] for problem in problems}),
        "problems": problems,
        "change_count": _format_count(report.revision_count),
        "unlisted_changes": _format_count(report.revision_count - len(changes)),
        "changes": [(run, list(rows)) for run, rows in groupby(changes, itemgetter("run"))],
    }


def _fit_on_page(rows: Iterable[dict[str, str]], room: int) -> list[dict[str, str]]:
    """As many of the first *rows* of a list as *room* bytes of the page hold."""
    sizes = accumulate(map(_size, rows := list(rows)))
    return [row for row, size in zip(rows, sizes, strict=True) if size <= room]


def _size(row: dict[str, str]) -> int:
    """The bytes that a *row* takes on the page."""
    return _ROW_BYTES + sum(len(html.escape(text).encode("utf-8", "replace")) for text in row.values())


def _problem(problem: Problem) -> dict[str, str]:
    line = None if problem.line is None else f"line {problem.line}"
    place = ", ".join(filter(None, [problem.file, line]))
    hint = f" ({problem.hint})" if problem.hint else ""
    return {
        "severity": problem.severity,
        "code": problem.code,
        "run": shorten(" ".join(filter(None, [problem.kind, problem.uuid]))),
        "place": shorten(" ".join(filter(None, [place, problem.pointer]))),
        "message": shorten(f"{problem.message}{hint}", _LONGEST_MESSAGE),
    }


def _change(revision: Revision) -> dict[str, str]:
    return {
        "run": shorten(f"{revision.kind} {revision.uuid}"),
        "place": shorten(revision.pointer),
        "stored": _show(revision.stored),
        "given": _show(revision.given),
    }


def _show(value: Any) -> str:
    """The JSON of *value*, shortened; None: the member is null, or there is no such entry."""
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return shorten(text, _LONGEST_MESSAGE)
