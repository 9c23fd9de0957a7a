"""What a page shows of an import."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from typing import Any

from histio.page.figures import format_count, shorten, to_title
from histio.page.outcome import describe_outcome
from histio.page.problem_groups import group_problems, list_rows
from histio.page.room import LONGEST_MESSAGE, Room
from histio.redact import redact
from histio.report import KEPT, Counts, ImportReport, Revision, list_outcomes

_LIST_BYTES = 1_000_000  # for all lists; that of changes takes half of it at most
_CHANGE_BYTES = 500_000


def build_import(report: ImportReport, rejects: str | None) -> dict[str, Any]:
    """The variables of the template that are about an import.

    Args:
        report: The report of the import.
        rejects: The name of the file with the rejected runs; None: there is none.
    """
    room = Room(_LIST_BYTES - _CHANGE_BYTES)
    problems, warnings = report.problems[:KEPT], report.warnings[:KEPT]
    groups = {"problems": group_problems(problems, room), "warnings": group_problems(warnings, room)}
    is_whole = all(code.is_whole for codes in groups.values() for code in codes)
    changes = Room(_CHANGE_BYTES).take([*map(_change, report.revisions)], dict.values)
    listed = [] if is_whole else room.take([*list_rows([*problems, *warnings])], dict.values)
    return {
        "outcome": describe_outcome(report, None if rejects is None else shorten(redact(rejects))),
        **_by_kind(report),
        "problem_count": format_count(report.problem_count),
        "warning_count": format_count(report.warning_count),
        **groups,
        "cut": {
            "problems": _cut(sum(code.count for code in groups["problems"]), report.problem_count),
            "warnings": _cut(sum(code.count for code in groups["warnings"]), report.warning_count),
            "listed": _cut(len(listed), report.problem_count + report.warning_count),
            "changes": _cut(len(changes), report.revision_count),
        },
        "listed": listed,
        "codes": sorted({row["code"] for row in listed}),
        "change_count": format_count(report.revision_count),
        "changes": [(run, list(rows)) for run, rows in groupby(changes, itemgetter("run"))],
        "entries": _entries(report),
        "renamed": format_count(report.renamed_count) if report.renamed_count else "",
    }


def _by_kind(report: ImportReport) -> dict[str, Any]:
    """The table of counts by kind, without kinds of which there is nothing, or only rows that exist."""
    outcomes = list_outcomes(report)
    catalog = {
        kind: counts for kind, counts in report.catalog.items() if counts != Counts(skipped=counts.skipped)
    }
    counted = {**catalog, **report.by_kind}
    rows = [
        [to_title(kind), *(format_count(getattr(counts, name)) for name in outcomes)]
        for kind, counts in counted.items()
        if counts != Counts()
    ]
    return {"by_kind": rows, "by_kind_head": ["Kind", *map(to_title, outcomes)]}


def _cut(shown: int, count: int) -> str:
    """How many of a list are shown; empty: all of them."""
    return f"{format_count(shown)} of {format_count(count)} shown" if shown < count else ""


def _entries(report: ImportReport) -> str:
    """What was done to the ledger entries of updated runs; empty: nothing."""
    names = ("added", "changed", "removed")
    counts = [(name, getattr(report.entries, name)) for name in names]
    return ", ".join(f"{format_count(number)} {name}" for name, number in counts if number)


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
    return shorten(text, LONGEST_MESSAGE)
