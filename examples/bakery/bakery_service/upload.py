"""What became of the runs of an upload."""

from __future__ import annotations

from dataclasses import dataclass, field

from histio import ImportReport, Problem

from bakery_service.stream import Batch

SHOWN = 1_000
"""The maximum of problems, and of warnings, in a response; `rejected` counts all bad runs."""


@dataclass(slots=True)
class Upload:
    """The sum of the reports on all batches.

    Attributes:
        committed: Whether anything was written.
        imported: Runs that were new.
        skipped: Runs that exist already.
        rejected: Runs with problems.
        problems: The first problems, each with the line of the stream.
        warnings: The first warnings about runs, each with the line of the stream.
    """

    committed: bool = False
    imported: int = 0
    skipped: int = 0
    rejected: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def note(self, report: ImportReport, batch: Batch) -> None:
        """Add the *report* on a *batch*."""
        self.imported += report.imported
        self.skipped += report.skipped
        self.rejected += report.rejected
        for new, collected in ((report.problems, self.problems), (report.warnings, self.warnings)):
            collected += [batch.in_stream(problem) for problem in new[: SHOWN - len(collected)]]
