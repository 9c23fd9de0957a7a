"""Count the outcomes of runs, and keep their problems and warnings for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeAlias

from histio.files.raw_runs import RawItem, UnreadableLine
from histio.importing.run import Outcome, Run
from histio.kinds.table import Kind
from histio.report import KEPT, OUTCOMES, Counts, EntryCounts, ImportReport, Problem, Renaming, Revision

TallyMark: TypeAlias = tuple[dict[str, Counter[str]], Counter[str], Counter[str], tuple[int, ...]]
"""The counts of a tally, its problems by code, and the number of values of each kind that it has kept."""


class _Rejects(Protocol):
    def add(self, item: RawItem, problems: Iterable[Problem]) -> None: ...

    def carry(self, rows: Iterator[RawItem]) -> Iterator[RawItem]: ...


class Tally:
    """Counts the outcomes of runs, and keeps their problems, warnings, renamings and revisions.

    Args:
        kinds: The kinds of run, in their order.
        catalog: The kinds of the catalog rows that are counted too, apart from the runs.
        limit: The number of problems, of warnings and of renamings to keep; None: all.
        rejects: Receives rejected runs and unreadable lines. None: nothing does.
        files: The names of the files, in order, if there are several.

    Attributes:
        rejected: The number of rejected runs, catalog rows and unreadable lines.
        entries: What was done to the ledger entries of updated runs.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        *,
        catalog: Sequence[Kind] = (),
        limit: int | None = None,
        rejects: _Rejects | None = None,
        files: Sequence[str] = (),
    ) -> None:
        self._files = {name: place for place, name in enumerate(files)}
        self._catalog = {kind.name for kind in catalog}
        kinds = [*catalog, *kinds]
        self._order = {kind.name: place for place, kind in enumerate(kinds)}
        self._limit = limit
        self._rejects = rejects
        self._ends: dict[str, Counter[str]] = {kind.name: Counter() for kind in kinds}
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._renamed: list[Renaming] = []
        self._revisions: list[Revision] = []
        self._counts: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._on_rejected: Callable[[Run], object] | None = None
        self._unreadable = 0
        self.entries: EntryCounts = EntryCounts()

    @property
    def rejected(self) -> int:
        return self._unreadable + sum(ends["rejected"] for ends in self._ends.values())

    @property
    def written(self) -> int:
        """The number of runs and catalog rows that were imported or updated."""
        return sum(ends["imported"] + ends["updated"] for ends in self._ends.values())

    def add(self, run: Run) -> None:
        """Count a *run* by its outcome."""
        self._ends[run.kind.name][run.outcome or ""] += 1
        self._keep_problems(run.problems, run.problems.count)
        self.warn(run)
        self._keep(self._renamed, "renamed", run.renamed, run.renamed_count, self._limit)
        self._keep(self._revisions, "revisions", run.revisions, run.revision_count, KEPT)
        if run.outcome == "rejected" and self._rejects is not None:
            self._rejects.add(run.raw, run.problems)
        if run.outcome == "rejected" and self._on_rejected is not None:
            self._on_rejected(run)

    def carry(self, rows: Iterator[RawItem]) -> Iterator[RawItem]:
        """The catalog *rows*, which rejected runs may need: they are kept where those go."""
        return rows if self._rejects is None else self._rejects.carry(rows)

    @contextmanager
    def calling(self, on_rejected: Callable[[Run], object]) -> Iterator[None]:
        """A block in which *on_rejected* is called with each rejected run."""
        self._on_rejected = on_rejected
        yield
        self._on_rejected = None

    def has_imported(self, kind: Kind) -> bool:
        """Whether rows of *kind* were imported."""
        return self._ends[kind.name]["imported"] > 0

    def mark(self) -> TallyMark:
        """The current state, for `reset`."""
        ends = {name: Counter(each) for name, each in self._ends.items()}
        return ends, Counter(self._counts), Counter(self._codes), tuple(map(len, self._lists))

    def reset(self, mark: TallyMark) -> None:
        """Forget what has been added since *mark*; no rejected run may be among it."""
        ends, counts, codes, kept = mark
        self._ends = {name: Counter(each) for name, each in ends.items()}
        self._counts = Counter(counts)
        self._codes = Counter(codes)
        for values, length in zip(self._lists, kept, strict=True):
            del values[length:]

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        return self._problems, self._warnings, self._renamed, self._revisions

    def count(self, kind: str, outcome: Outcome, number: int) -> None:
        """Count a *number* of runs without problems or warnings."""
        self._ends[kind][outcome] += number

    def warn(self, run: Run) -> None:
        """Keep the warnings of a *run*, which may be counted separately."""
        for warnings in (run.cuts, run.warnings):
            self._keep(self._warnings, "warnings", warnings, warnings.count, self._limit)

    @property
    def room(self) -> int | None:
        """How many more warnings are kept, before they are only counted; None: all."""
        return None if self._limit is None else max(0, self._limit - len(self._warnings))

    def count_warnings(self, number: int) -> None:
        """Count a *number* of warnings that are not kept."""
        self._counts["warnings"] += number

    def add_entries(self, counts: EntryCounts) -> None:
        """Count what was done to the ledger entries of updated runs."""
        if counts != EntryCounts():
            self.entries += counts

    def reject(self, kind: str, number: int, problems: Iterable[Problem], count: int) -> None:
        """Count a *number* of runs that could not be read from another database, with their *problems*.

        Args:
            kind: The kind of the runs.
            number: How many runs there are.
            problems: Why they could not be read; perhaps only the first ones.
            count: How many problems there are.
        """
        self._ends[kind]["rejected"] += number
        self._keep_problems(problems, count)

    def refuse(self, line: UnreadableLine) -> None:
        """Count a *line* that cannot be read as a run."""
        self._unreadable += 1
        self._keep_problems([line.problem], 1)
        if self._rejects is not None:
            self._rejects.add(line, [line.problem])

    def note(self, warning: Problem) -> None:
        """Keep a *warning* that is not about a single run."""
        self._keep(self._warnings, "warnings", [warning], 1, self._limit)

    def _keep_problems(self, found: Iterable[Problem], count: int) -> None:
        if count:
            found = list(found)
            for problem in found:
                self._codes[problem.code] += problem.more or 1
            self._keep(self._problems, "problems", found, count, self._limit)

    def _keep(self, kept: list[Any], name: str, found: Iterable[Any], count: int, limit: int | None) -> None:
        if count:
            self._counts[name] += count
            kept += found if limit is None else islice(found, max(0, limit - len(kept)))

    def report(
        self,
        *,
        withheld: bool = False,
        unit_of_work: Mapping[str, tuple[str, ...]] | None = None,
        **other: Any,
    ) -> ImportReport:
        """The report.

        Args:
            withheld: Whether what was written was rolled back because runs were rejected.
            unit_of_work: By name, the kinds that the unit of work writes, perhaps others too.
            other: Other fields of the report.
        """
        if withheld:
            for ends in self._ends.values():
                ends["withheld"] = ends.pop("imported", 0) + ends.pop("updated", 0)
            self.entries = EntryCounts()
            self._revisions.clear()
            self._counts["revisions"] = 0
        counted = {
            name: Counts(**{each: ends[each] for each in OUTCOMES}) for name, ends in self._ends.items()
        }
        by_kind = {name: counts for name, counts in counted.items() if name not in self._catalog}
        catalog = {name: counts for name, counts in counted.items() if name in self._catalog}
        return ImportReport(
            imported=sum(counts.imported for counts in by_kind.values()),
            updated=sum(counts.updated for counts in by_kind.values()),
            skipped=sum(counts.skipped for counts in by_kind.values()),
            rejected=self._unreadable + sum(counts.rejected for counts in by_kind.values()),
            withheld=sum(counts.withheld for counts in by_kind.values()),
            by_kind=by_kind,
            catalog=catalog if any(counts != Counts() for counts in catalog.values()) else {},
            entries=self.entries,
            problems=tuple(sorted(self._problems, key=self._place)),
            warnings=tuple(sorted(self._warnings, key=self._place)),
            problem_count=self._counts["problems"],
            problem_codes=dict(self._codes),
            warning_count=self._counts["warnings"],
            renamed=tuple(self._renamed),
            renamed_count=self._counts["renamed"],
            revisions=tuple(self._revisions),
            revision_count=self._counts["revisions"],
            unit_of_work={kind: why for kind, why in (unit_of_work or {}).items() if kind in counted},
            **other,
        )

    def _place(self, problem: Problem) -> tuple[int, int, int, int]:
        """The place of a problem in the files, to sort by: runs that wait for others are counted late."""
        file = self._files.get(problem.file or "", -1)
        return (file, problem.line or 0, self._order.get(problem.kind or "", -1), problem.index or 0)
