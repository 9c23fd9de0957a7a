"""The contents of a report as the template takes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from histio.history import History
from histio.page.draw import Drawing
from histio.page.figures import format_count, format_number, path_to_title, shorten, to_title
from histio.page.gather import FINDINGS, GatheredHistory, GatheredKind, database_name
from histio.page.imports import build_import
from histio.page.outcome import has_written
from histio.page.room import LONGEST_MESSAGE
from histio.page.totals import Sums
from histio.redact import redact
from histio.report import ImportReport


def build_content(
    gathered: GatheredHistory,
    sums: Sums,
    history: History,
    imported: ImportReport | None,
    rejects: str | None,
) -> dict[str, Any]:
    """All variables of the template.

    Args:
        gathered: The runs of the history.
        sums: Their totals by slug and by day.
        history: Describes the kinds.
        imported: The report of an import to show; None: none.
        rejects: The name of the file with the runs that the import has rejected; None: there is none.
    """
    drawing = Drawing(sums)
    present = [kind for kind in gathered.kinds if kind.runs]
    drawn = present if imported is None or has_written(imported) else []
    rules = [rule for kind in drawn for rule in _rules(kind)]
    return {
        "what": _what(imported),
        "name": shorten(redact(gathered.name)),
        "summary": _summary(gathered.kinds),
        "facts": list(_facts(gathered, None if imported is None else database_name(history))),
        "invalid": gathered.invalid,
        "contents": None if imported is None or not present else _contents(gathered, imported),
        "kinds": [_kind(kind, drawing, history) for kind in drawn],
        "rules": rules,
        "broken": [rule for rule in rules if rule["count"]],
        "kept_rules": [rule for rule in rules if not rule["count"]],
        "kept": FINDINGS,
        "imported": None if imported is None else build_import(imported, rejects),
        "charts": [figure.chart for figure in drawing.figures],
    }


def _what(imported: ImportReport | None) -> str:
    """What the page is."""
    if imported is None:
        return "History report"
    return "Report of a dry run" if imported.dry_run else "Report of an import"


def _summary(kinds: list[GatheredKind]) -> str:
    """How many runs of each kind there are."""
    if not any(kind.runs for kind in kinds):
        return "There are no runs"
    counts = [(kind.runs, kind.kind.name if kind.runs == 1 else kind.kind.collection) for kind in kinds]
    return ", ".join(f"{format_count(runs)} {to_title(name).lower()}" for runs, name in counts)


def _contents(gathered: GatheredHistory, report: ImportReport) -> dict[str, Any]:
    """An overview of the runs that were read from the file, and whether all of them were imported."""
    kinds = [kind for kind in gathered.kinds if kind.runs]
    went_in = {name: counts.imported + counts.updated for name, counts in report.by_kind.items()}
    is_exact = all(kind.runs == went_in.get(kind.kind.name) for kind in kinds)
    went_in_title = "What would be imported" if report.dry_run else "What was imported"
    return {
        "title": went_in_title if is_exact else "What the file contains",
        "text": " ".join([f"{_summary(kinds)}.", *([] if is_exact else _list_differences(gathered, report))]),
        "head": ["Kind", "Runs", "First", "Last"],
        "rows": [
            [
                to_title(kind.kind.collection),
                format_count(kind.runs),
                *("" if time is None else _format_time(time) for time in (kind.first, kind.last)),
            ]
            for kind in kinds
        ],
    }


def _list_differences(gathered: GatheredHistory, report: ImportReport) -> Iterator[str]:
    """How the runs that are counted differ from those that were imported."""
    left_out = gathered.rejected + gathered.invalid
    counted = [name for name in ("skipped", "withheld") if getattr(report, name)]
    counted += ["rejected"] * (report.rejected > left_out)
    if counted and has_written(report):
        yield f"Runs that were {' or '.join(counted)} are counted, too."
    if left_out:
        yield f"{format_count(left_out)} rejected {'run is' if left_out == 1 else 'runs are'} left out."


def _facts(gathered: GatheredHistory, database: str | None) -> Iterator[tuple[str, str]]:
    if database is not None:
        yield "Into", shorten(redact(database))
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if gathered.exported_at is not None:
        yield "Exported", _format_time(gathered.exported_at)
    yield "Format", gathered.version
    yield "Report made", now


def _format_time(time: str) -> str:
    """Shorten a time in RFC 3339 to the minute; a date stays as it is."""
    day, _, clock = time.partition("T")
    return f"{day} {clock[: len('10:00')]} UTC" if clock else day


def _kind(kind: GatheredKind, drawing: Drawing, history: History) -> dict[str, Any]:
    definition = history.bound.gate.schema["$defs"][kind.kind.name]
    branches = list(kind.root.all())
    findings = sum(rule.count for branch in branches for rule in branch.rules)
    sections, only = drawing.draw(kind)
    return {
        "title": to_title(kind.kind.collection),
        "text": definition.get("description", ""),
        "runs": format_count(kind.runs),
        "first": None if kind.first is None else _format_time(kind.first),
        "last": None if kind.last is None else _format_time(kind.last),
        "notes": list(_notes(kind)),
        "ledgers": [
            (path_to_title(branch.plan.path), format_count(branch.totals.records))
            for branch in branches
            if branch.plan.path
        ],
        "findings": format_count(findings) if findings else "",
        "only": only,
        "amounts": list(_amounts(kind)),
        "parts": sections,
    }


def _amounts(kind: GatheredKind) -> Iterator[tuple[str, str, str]]:
    """The amounts of all runs: title, sum, and mean; the sum is empty where it means nothing."""
    branch = kind.root
    for amount in branch.amounts_present:
        if branch.plan.unit is None or amount.adds_up:
            mean = format_number(branch.totals.mean(amount.index))
            total = "" if amount.is_rate else format_number(branch.totals.sum(amount.index))
            yield to_title(amount.name), total, mean


def _notes(kind: GatheredKind) -> Iterator[str]:
    if kind.untimed and kind.first is not None:
        are = "is" if kind.untimed == 1 else "are"
        yield f"Of these, {format_count(kind.untimed)} without a time {are} in no chart over time."


def _rules(kind: GatheredKind) -> Iterator[dict[str, Any]]:
    """The rules of a kind and of its ledgers, with the findings."""
    for branch in kind.root.all():
        path = branch.plan.path
        for rule in branch.rules:
            yield {
                "of": [to_title(kind.kind.collection), *([path_to_title(path)] if path else [])],
                "text": str(rule.rule),
                "count": rule.count,
                "shown": format_count(rule.count),
                "first": [
                    (
                        shorten(found.run),
                        shorten(found.place),
                        shorten(found.pointer),
                        shorten(found.text, LONGEST_MESSAGE),
                    )
                    for found in rule.first
                ],
            }
