"""What became of the runs of an upload."""

from __future__ import annotations

from dataclasses import dataclass, field

from histio import ImportReport, Problem

from bakery_service.stream import Batch

SHOWN = 1_000
"""Problems, and warnings, that an answer lists at most; `rejected` is the true number of bad runs."""


@dataclass(slots=True)
class Upload:
    """The sum of the reports on all batches.

    Attributes:
        committed: Whether anything was written.
        imported: Runs that were new.
        skipped: Runs that were known and left alone.
        rejected: Runs with problems.
        problems: The first of them, each with the line of the stream.
        warnings: What is odd about runs that are fine otherwise, likewise.
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
        for told, all_of_them in ((report.problems, self.problems), (report.warnings, self.warnings)):
            some = told[: SHOWN - len(all_of_them)]
            all_of_them += [batch.in_stream(problem) for problem in some]
