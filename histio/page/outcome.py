"""The outcome of an import in one sentence and a few numbers, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from histio.page.figures import format_count, to_title
from histio.report import OUTCOMES, ImportReport, list_outcomes

Tone: TypeAlias = Literal["bad", "good", "neutral"]

SOLUTIONS = {
    "schema": "Correct the members that are missing, unknown or of the wrong form.",
    "precision": "Round the numbers and times that have more digits than their columns keep.",
    "out-of-range": "Correct the values that their columns cannot hold, or widen the columns.",
    "unknown-reference": (
        "Create the rows that the runs refer to (--create-catalog does, if the file has a catalog), "
        "or correct their slugs with --rename MEMBER:OLD=NEW."
    ),
    "ambiguous-reference": "Name rows by a slug that only one of them has.",
    "duplicate": (
        "Skip or update runs that exist (--on-duplicate). "
        "Give a ledger entry that was copied a UUID of its own."
    ),
    "duplicate-in-document": "Remove the second run, or combine files with histio merge.",
    "conflict": "Decide which run is right; --on-duplicate update takes that of the file.",
    "constraint": "Change the runs so that the database accepts them; the messages name its constraints.",
    "truncated": "Transfer the file again: it is incomplete.",
    "corrupt": "Transfer the file again, in binary mode: it is not as it was sealed.",
}
"""What to do about the problems of an import, by code."""

WITHOUT_REJECTS = (
    "Write the rejected runs to a file with --rejects FILE (rejects= in Python), correct them, and import "
    "that file. histio rejects FILE goes through them one at a time."
)
WITH_REJECTS = (
    "Correct the rejected runs in {}, and import that file. histio rejects goes through them one at a time."
)

_REMARKS = {
    "dry_run": "This was a dry run: nothing was written.",
    "truncated": "The file is damaged: it was imported up to the damage.",
    "withheld": "Nothing was written, because the import was atomic. Withheld runs have no errors.",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the reader of an import sees first.

    Attributes:
        tone: ``bad`` if something was rejected, ``good`` if something was imported, else ``neutral``.
        label: The outcome in a few words.
        headline: The outcome in numbers.
        remarks: Sentences that qualify it.
        numbers: The runs by outcome: its title, their number, and its name; ``none`` if there are none.
        steps: What to do next.
    """

    tone: Tone
    label: str
    headline: str
    remarks: list[str]
    numbers: list[tuple[str, str, str]]
    steps: list[str]


def describe_outcome(report: ImportReport, rejects: str | None = None) -> Outcome:
    """The outcome of the import of *report*; *rejects*: the name of the file with the rejected runs."""
    tone = _tone(report)
    return Outcome(
        tone=tone,
        label=_label(report, tone),
        headline=_headline(report),
        remarks=[text for name, text in _REMARKS.items() if getattr(report, name)],
        numbers=[
            (to_title(name), format_count(number), name if number else "none")
            for name in list_outcomes(report)
            for number in [getattr(report, name)]
        ],
        steps=list(_steps(report, rejects)),
    )


def has_written(report: ImportReport) -> bool:
    """Whether runs went in; of a dry run, whether they would."""
    return bool(report.imported or report.updated)


def list_rejected(report: ImportReport) -> set[tuple[str | None, str | None, int | None]]:
    """The file, kind and index of each rejected run, if the report lists all problems and runs went in."""
    listed = sum(problem.more or 1 for problem in report.problems)
    is_whole = has_written(report) and listed == report.problem_count
    return {(each.file, each.kind, each.index) for each in report.problems} if is_whole else set()


def _tone(report: ImportReport) -> Tone:
    if report.rejected or report.catalog_rejected or report.truncated:
        return "bad"
    return "good" if has_written(report) or _count_rows(report, "imported", "updated") else "neutral"


def _label(report: ImportReport, tone: Tone) -> str:
    if tone == "neutral":
        return "Dry run: import without changes" if report.dry_run else "Import without changes"
    what = "complete" if tone == "good" else "incomplete" if has_written(report) else "failed"
    return f"Dry run: {what} import" if report.dry_run else f"Import {what}"


def _headline(report: ImportReport) -> str:
    """Such as ``6 of 7 runs rejected, 1 imported``."""
    outcomes = ("rejected", *(name for name in OUTCOMES if name != "rejected"))
    counts = [(name, getattr(report, name)) for name in outcomes if getattr(report, name)]
    rows = [
        f"{_count(_count_rows(report, name), 'catalog row')} {name}"
        for name in (("rejected",) if counts else ("rejected", "imported", "updated"))
        if _count_rows(report, name)
    ]
    if not counts:
        return ", ".join(rows) or "The file has no runs"
    parts = [f"{format_count(number)}\N{NO-BREAK SPACE}{name}" for name, number in counts[1:]]
    if report.rejected and not has_written(report):
        parts.append("nothing imported")
    elif counts[0][0] == "skipped":
        parts.append("because they exist")
    return ", ".join([_first_count(*counts[0], sum(number for _, number in counts)), *parts, *rows])


def _first_count(outcome: str, number: int, total: int) -> str:
    """How many of all runs have an *outcome*."""
    if number == total > 1:
        return f"All {_count(total, 'run')} {outcome}"
    if outcome == "rejected" and total > 1:
        return f"{format_count(number)} of {_count(total, 'run')} {outcome}"
    return f"{_count(number, 'run')} {outcome}"


def _count_rows(report: ImportReport, *outcomes: str) -> int:
    """The number of catalog rows with one of the *outcomes*."""
    return sum(getattr(counts, name) for counts in report.catalog.values() for name in outcomes)


def _count(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def _steps(report: ImportReport, rejects: str | None) -> Iterator[str]:
    if report.advice is not None:
        yield report.advice
    elif report.problems:
        [(code, number)] = Counter(problem.code for problem in report.problems).most_common(1)
        if 2 * number > len(report.problems) and code in SOLUTIONS:
            yield SOLUTIONS[code]
        yield WITHOUT_REJECTS if rejects is None else WITH_REJECTS.format(rejects)
    if report.truncated:
        yield SOLUTIONS["truncated"]
