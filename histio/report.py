"""Problems, and the reports of imports and exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

Severity = Literal["error", "warning"]

Code = Literal[
    "schema",
    "precision",
    "out-of-range",
    "version",
    "unknown-reference",
    "ambiguous-reference",
    "mismatched-reference",
    "duplicate",
    "duplicate-in-document",
    "duplicate-member",
    "conflict",
    "changed",
    "referenced",
    "constraint",
    "audit",
    "truncated",
    "corrupt",
]
"""The codes of problems, which are stable. `docs/reference/problems.md` has their causes and solutions."""


KEPT = 1_000
"""The largest number of problems that a report keeps; the same for warnings, renamings and revisions."""

LISTED = 100
"""The largest number of problems of one run that are listed; the same for warnings and for renamings."""

LONGEST_VALUE = 10_000
"""The largest number of characters of a value in a revision; longer ones are cut."""


class Fault(str):
    """A marshmallow error message with a problem code.

    For marshmallow, and for hosts that use the schemas directly, it is a string.
    """

    __slots__ = ("code",)

    code: Code

    def __new__(cls, message: str, code: Code = "schema") -> Self:
        """The message *message*, with the problem code *code*."""
        fault = super().__new__(cls, message)
        fault.code = code
        return fault


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a document or run, with its place.

    Attributes:
        severity: An ``error`` rejects its run; a ``warning`` does not.
        code: The kind of problem; stable across releases.
        message: A sentence that explains it.
        pointer: RFC 6901 pointer into the document; empty for the whole of it.
        kind: The run's kind, such as ``production_run``; None for the document itself.
        uuid: The run's UUID, or its identity in a host's format; None: it could not be read.
        index: The run's 0-based index in its list; None for the document itself.
        line: The 1-based line of a stream; None in a document, unless its file was checked.
        hint: What may have been meant; None: nothing is similar.
        more: The number of further problems that this one stands for, because a run lists its first 100 only;
            None: it stands for itself.
        file: The name of the file, where several are imported in one call; None otherwise.
    """

    severity: Severity
    code: Code
    message: str
    pointer: str = ""
    kind: str | None = None
    uuid: str | None = None
    index: int | None = None
    line: int | None = None
    hint: str | None = None
    more: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        line = None if self.line is None else f"line {self.line}"
        place = ", ".join(filter(None, (self.file, line)))
        where = ": ".join(filter(None, (place, self.pointer))) or "document"
        return f"{where}: {self.message}{hint}"


def _pointer_above(problem: Problem) -> str:
    """The pointer to the run that a *problem* is about; to the document itself if it is not about a run."""
    steps = 0 if problem.kind is None else 2 if problem.line is None else 1
    return "/".join(problem.pointer.split("/")[: steps + 1])


class ProblemList:
    """The problems of one run: the first 100 of them, and the number of all.

    Iterating over it yields those that are listed; if there are more, a last one stands for the others.

    Attributes:
        count: The number of all problems.
    """

    __slots__ = ("_listed", "count")

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self._listed: list[Problem] = []
        self.count: int = 0
        for problem in problems:
            self.add(problem)

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self._listed) == LISTED

    def add(self, problem: Problem) -> None:
        """List a *problem*, or only count it."""
        if problem.more is None and not self.is_full:
            self._listed.append(problem)
        self.count += problem.more or 1

    def add_unlisted(self, number: int) -> None:
        """Count a *number* of problems that are not listed, after the first 100."""
        self.count += number

    def clear(self) -> None:
        """Remove all problems."""
        self._listed.clear()
        self.count = 0

    def copy(self) -> Self:
        """A copy, which does not change with the original."""
        other = type(self)(self._listed)
        other.count = self.count
        return other

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Problem]:
        yield from self._listed
        more = self.count - len(self._listed)
        if more:
            last, text = self._listed[-1], f"… and {more:,} more of them."
            yield replace(last, message=text, pointer=_pointer_above(last), hint=None, more=more)


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of runs by outcome.

    Attributes:
        imported: Runs written.
        updated: Runs that existed and were changed.
        skipped: Runs that existed and were not changed.
        rejected: Runs with at least one error.
        withheld: Runs without an error that were not written, because others were rejected.
    """

    imported: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    withheld: int = 0


OUTCOMES = tuple(each.name for each in fields(Counts))


@dataclass(frozen=True, slots=True)
class EntryCounts:
    """The numbers of changes to the ledger entries of updated runs.

    Attributes:
        added: Entries that the document has and the database lacked.
        changed: Entries that both have, with different values.
        removed: Entries that the document lacks.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0

    def __add__(self, other: EntryCounts) -> EntryCounts:
        return EntryCounts(
            self.added + other.added, self.changed + other.changed, self.removed + other.removed
        )


@dataclass(frozen=True, slots=True)
class Renaming:
    """A use of a ``rename`` rule: the slug *old* at *pointer* was read as *new*.

    Attributes:
        pointer: RFC 6901 pointer to the member.
        old: The slug in the document.
        new: The slug that it was read as.
        line: The 1-based line of a stream that *pointer* points into; None in a document.
        file: The name of the file, where several are imported in one call; None otherwise.
    """

    pointer: str
    old: str
    new: str
    line: int | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """A change that an update makes to a member of a stored run, or to one of its ledgers.

    ``on_duplicate="update"`` updates runs. ``catalog="update"`` updates catalog rows, in the same form.

    Values are as in JSON: decimals as strings, slugs instead of row ids. Of a text of more than 10,000
    characters, only the first 10,000 are kept, followed by ``…``. Of another value with such long JSON, the
    text of its JSON is kept, cut in the same way.

    Attributes:
        kind: The name of the run's kind, or of the catalog row's.
        uuid: The run's UUID, or the text of its identity in a host's format; of a catalog row, its key.
        pointer: RFC 6901 pointer into the record of the run, such as ``/consumptions/2/total_cost``. A ledger
            entry has its index in the document; an entry that is removed, its index among the stored entries.
            For a change in the order of entries, the pointer leads to their ledger.
        stored: The value before: None is null. For an entry that is added, None; for one that is removed, the
            entry; for a change in order, a list with what identifies each entry.
        given: The value in the document, with the slugs that are written. For an entry that is added, the
            entry; for one that is removed, None.
    """

    kind: str
    uuid: str
    pointer: str
    stored: Any
    given: Any


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import: counts, and the problems of each run that has any.

    Attributes:
        imported: Runs written.
        updated: Runs that existed and were changed.
        skipped: Runs that existed and were not changed.
        rejected: Runs with at least one error, which were not written, and lines of a stream that can be read
            neither as runs nor as catalog rows.
        withheld: Runs that would have been written without the rejected ones; 0 unless ``atomic=True``.
        by_kind: The same five counts for each kind of run, without lines that cannot be read.
        catalog: The same five counts for each catalog kind; empty if the file has no catalog. With
            ``catalog="ignore"``, the rows are skipped, and rejected if their form is wrong.
        entries: The numbers of changes to the ledger entries of updated runs.
        problems: The errors, in the order of the document or of the files; of a run at most the first 100 and
            one that stands for the others, of an import of files at most the first 1,000.
        warnings: Warnings about runs that were imported, with the same limits.
        problem_count: The number of all errors, including those that are not listed.
        problem_codes: The number of errors of each code, including those that are not listed. Those of a run
            beyond its first 100 count for the code of the 100th. Of runs that a copy cannot read, only those
            that are listed are counted.
        warning_count: The number of all warnings, including those that are not listed.
        renamed: The uses of the ``rename`` option; of a run at most the first 100, of an import of files at
            most the first 1,000.
        renamed_count: The number of all uses, including those that are not listed.
        revisions: What was changed in updated catalog rows and runs, one after the other; at most the first
            1,000 changes.
        revision_count: The number of all changes, including those that are not listed.
        unit_of_work: By kind, why its rows were created as objects of the host's models; kinds
            that are absent were written in bulk.
        truncated: The file was imported although it is incomplete, or its digest or counts are wrong.
        dry_run: Nothing was written; otherwise the report is the same as without ``dry_run``.
        advice: What to do if the database has none of the catalog rows that the runs refer to; None: it has
            some, or all references were found.
    """

    imported: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    withheld: int = 0
    by_kind: Mapping[str, Counts] = field(default_factory=dict)
    catalog: Mapping[str, Counts] = field(default_factory=dict)
    entries: EntryCounts = EntryCounts()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    problem_count: int = 0
    problem_codes: Mapping[str, int] = field(default_factory=dict)
    warning_count: int = 0
    renamed: tuple[Renaming, ...] = ()
    renamed_count: int = 0
    revisions: tuple[Revision, ...] = ()
    revision_count: int = 0
    unit_of_work: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    truncated: bool = False
    dry_run: bool = False
    advice: str | None = None

    @property
    def catalog_rejected(self) -> int:
        """The number of catalog rows with at least one error."""
        return sum(counts.rejected for counts in self.catalog.values())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers, ready for JSON."""
        plain = asdict(self)
        for name in ("problems", "warnings", "renamed", "revisions"):
            plain[name] = list(plain[name])
        plain["unit_of_work"] = {kind: list(why) for kind, why in self.unit_of_work.items()}
        return plain


@dataclass(frozen=True, slots=True)
class UndoCounts:
    """The numbers of runs, or of catalog rows, by what an undo has done to them.

    Attributes:
        removed: Runs that an import had created, and that were removed.
        restored: Runs that an import had updated, and that were put back as they were.
        gone: Runs about which there was nothing to do, because they were removed or put back before.
        left: Runs that were left as they are; the problems say why.
    """

    removed: int = 0
    restored: int = 0
    gone: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class UndoReport:
    """The result of an undo: counts, and why runs were left. Catalog rows count as runs.

    Attributes:
        removed: Runs that an import had created, and that were removed.
        restored: Runs that an import had updated, and that were put back as they were.
        gone: Runs about which there was nothing to do, because they were removed or put back before.
        left: Runs that were left as they are; the problems say why.
        by_kind: The same four counts for each kind, of catalog rows or of runs, that the receipt has.
        problems: Why runs were left, by the line of the receipt; at most the first 1,000.
        warnings: Warnings about runs that were put back; at most the first 1,000.
        problem_count: The number of all problems, including those that are not listed.
        warning_count: The number of all warnings, including those that are not listed.
        dry_run: Nothing was changed; otherwise the report is the same as without ``dry_run``.
    """

    removed: int = 0
    restored: int = 0
    gone: int = 0
    left: int = 0
    by_kind: Mapping[str, UndoCounts] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    problem_count: int = 0
    warning_count: int = 0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers, ready for JSON."""
        plain = asdict(self)
        return plain | {name: list(plain[name]) for name in ("problems", "warnings")}


def list_outcomes(report: ImportReport) -> tuple[str, ...]:
    """The names of the counts to show of *report*: ``withheld`` only if runs were."""
    return OUTCOMES if report.withheld else tuple(name for name in OUTCOMES if name != "withheld")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of an export to a file.

    Attributes:
        exported: Runs written.
        by_kind: The number of runs of each kind.
        bytes: The size of the file, as stored.
        sha256: The digest of the runs, as in the trailer of a stream. It is the same for the same rows,
            independent of the time, the database and the format of the export.
        exported_at: The time of the export, as in the file.
        version: The version of the format.
        skipped: The number of runs and catalog rows left out because the format cannot hold them; always 0
            unless ``on_unreadable="skip"``.
        problems: Why they were left out; at most the first 1,000.
        warnings: A ``precision`` warning for each value that SQLAlchemy reads differently from how it is
            stored; the value as read was exported. At most the first 1,000.
        problem_count: The number of all problems, including those beyond the first 1,000.
        warning_count: The number of all warnings, including those beyond the first 1,000.
        unchanged: The number of runs left out because the file of ``differs_from`` has them in the same form.
        catalog: The number of catalog rows of each kind; empty: the export has no catalog.
        catalog_sha256: The digest of the catalog rows, as in the trailer of a stream; None: there are none.
        header_sha256: The digest of the header, as in the trailer of a stream. It tells exports without runs
            apart. None: the file is a document.
    """

    exported: int
    by_kind: Mapping[str, int]
    bytes: int
    sha256: str
    exported_at: str
    version: str
    skipped: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    problem_count: int = 0
    warning_count: int = 0
    unchanged: int = 0
    catalog: Mapping[str, int] = field(default_factory=dict)
    catalog_sha256: str | None = None
    header_sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers, ready for JSON."""
        plain = asdict(self)
        return plain | {name: list(plain[name]) for name in ("problems", "warnings")}
