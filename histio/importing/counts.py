"""What becomes of the runs of an import, counted as they come to their ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from histio.files.raw_runs import RawItem, UnreadableLine
from histio.importing.run import Outcome, Run
from histio.kinds.table import Kind
from histio.report import Counts, EntryCounts, ImportReport, Problem, Renaming

TallyMark: TypeAlias = tuple[dict[str, Counter[str]], Counter[str], tuple[int, int, int]]
"""The counts of a tally, and how much it kept."""

_OUTCOMES = ("imported", "updated", "skipped", "rejected")


class _Rejects(Protocol):
    def add(self, item: RawItem, problems: Sequence[Problem]) -> None: ...


class Tally:
    """Counts runs, and keeps what there is to say of them.

    Args:
        kinds: The kinds of run, in their order.
        limit: How many problems, warnings and renamings are kept of each; None: all.
        rejects: Gets what is rejected; None: nobody does.

    Attributes:
        rejected: Runs, and lines that were none, that were rejected.
        entries: What was done to the ledger entries of updated runs.
    """

    def __init__(
        self, kinds: Sequence[Kind], *, limit: int | None = None, rejects: _Rejects | None = None
    ) -> None:
        self._order = {kind.name: place for place, kind in enumerate(kinds)}
        self._limit = limit
        self._rejects = rejects
        self._ends: dict[str, Counter[str]] = {kind.name: Counter() for kind in kinds}
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._renamed: list[Renaming] = []
        self._counts: Counter[str] = Counter()
        self._unreadable = 0
        self.entries = EntryCounts()

    @property
    def rejected(self) -> int:
        return self._unreadable + sum(ends["rejected"] for ends in self._ends.values())

    @property
    def written(self) -> int:
        """Runs that were imported or updated."""
        return sum(ends["imported"] + ends["updated"] for ends in self._ends.values())

    def add(self, run: Run) -> None:
        """Count a *run* that has come to its end."""
        self._ends[run.kind.name][run.outcome or ""] += 1
        self._keep(self._problems, "problems", run.problems)
        self._keep(self._warnings, "warnings", run.warnings)
        self._keep(self._renamed, "renamed", run.renamed)
        if run.outcome == "rejected" and self._rejects is not None:
            self._rejects.add(run.raw, run.problems)

    def mark(self) -> TallyMark:
        """What there is now, for `reset`."""
        ends = {name: Counter(each) for name, each in self._ends.items()}
        kept = len(self._problems), len(self._warnings), len(self._renamed)
        return ends, Counter(self._counts), kept

    def reset(self, mark: TallyMark) -> None:
        """Forget what has been added since *mark*, of which nothing was rejected."""
        ends, counts, kept = mark
        self._ends = {name: Counter(each) for name, each in ends.items()}
        self._counts = Counter(counts)
        lists: tuple[list[Any], ...] = (self._problems, self._warnings, self._renamed)
        for values, length in zip(lists, kept, strict=True):
            del values[length:]

    def count(self, kind: str, outcome: Outcome, number: int) -> None:
        """Count a *number* of runs of which nothing is to be said."""
        self._ends[kind][outcome] += number

    def warn(self, warnings: Sequence[Problem]) -> None:
        """Keep *warnings* of a run that is counted apart."""
        self._keep(self._warnings, "warnings", warnings)

    def add_entries(self, counts: EntryCounts) -> None:
        """Count what was done to the ledger entries of updated runs."""
        so_far = self.entries
        self.entries = EntryCounts(
            so_far.added + counts.added, so_far.changed + counts.changed, so_far.removed + counts.removed
        )

    def refuse(self, line: UnreadableLine) -> None:
        """Count a *line* that is no run."""
        self._unreadable += 1
        self._keep(self._problems, "problems", [line.problem])
        if self._rejects is not None:
            self._rejects.add(line, [line.problem])

    def _keep(self, kept: list[Any], name: str, found: Sequence[Any]) -> None:
        self._counts[name] += len(found)
        kept += found if self._limit is None else found[: max(0, self._limit - len(kept))]

    def report(self, *, withheld: bool = False, **told: Any) -> ImportReport:
        """All of it; *withheld*: what was written has been taken back, because some runs were rejected."""
        if withheld:
            for ends in self._ends.values():
                ends["imported"] = ends["updated"] = 0
            self.entries = EntryCounts()
        by_kind = {
            name: Counts(**{each: ends[each] for each in _OUTCOMES}) for name, ends in self._ends.items()
        }
        return ImportReport(
            imported=sum(counts.imported for counts in by_kind.values()),
            updated=sum(counts.updated for counts in by_kind.values()),
            skipped=sum(counts.skipped for counts in by_kind.values()),
            rejected=self.rejected,
            by_kind=by_kind,
            entries=self.entries,
            problems=tuple(sorted(self._problems, key=self._place)),
            warnings=tuple(sorted(self._warnings, key=self._place)),
            problem_count=self._counts["problems"],
            warning_count=self._counts["warnings"],
            renamed=tuple(self._renamed),
            renamed_count=self._counts["renamed"],
            **told,
        )

    def _place(self, problem: Problem) -> tuple[int, int, int]:
        """Where a problem stands: runs that waited for others come to their ends late."""
        return (problem.line or 0, self._order.get(problem.kind or "", -1), problem.index or 0)
