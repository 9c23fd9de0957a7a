"""What the commands print with ``--json`` and ``--jsonl``.

``schemas/output-1.0.schema.json`` has the JSON Schema of each. A test holds the file equal to what
``python -m tests.support.output_schema`` derives from these classes and their docstrings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from histio import (
    Difference,
    ExportReport,
    FlattenReport,
    ImportReport,
    Inspection,
    Problem,
    ReferencedRow,
    UndoReport,
)
from histio.files.urls import is_url
from histio.kinds.account import Status
from histio.mending.survey import Group
from histio.redact import redact

Content = Literal["runs", "rejects", "receipt", "report", "table"]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that a command has written.

    Attributes:
        file: Its path, or its URL without secrets.
        content: What is in it. An export in parts is one folder with ``runs``.
        bytes: Its size, as stored; of a folder, that of its files. None: it is not known.
    """

    file: str
    content: Content
    bytes: int | None


def find_written(files: Mapping[Content, str | None]) -> list[WrittenFile]:
    """Those of the *files*, by content, that exist; the size of a file at a URL is not known."""
    found = {content: path for content, path in files.items() if path is not None and path != "-"}
    return [
        WrittenFile(name_file(path), content, None if is_url(path) else Path(path).stat().st_size)
        for content, path in found.items()
        if is_url(path) or Path(path).is_file()
    ]


def name_file(path: str) -> str:
    """The *path* of a file, or its URL without secrets."""
    return redact(path, [path])


@dataclass(frozen=True, slots=True)
class ImportOutput(ImportReport):
    """The result of an import: counts, and the problems of each run that has any.

    Attributes:
        written: The files that were written; empty for a dry run without files.
    """

    written: tuple[WrittenFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportOutput(ExportReport):
    """The result of an export to a file.

    Attributes:
        written: The file that was written.
    """

    written: tuple[WrittenFile, ...] = ()


@dataclass(frozen=True, slots=True)
class InitOutput:
    """The tables of a history.

    Attributes:
        created: The names of the tables that were created.
        existing: The names of the tables that existed.
    """

    created: tuple[str, ...]
    existing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckOutput:
    """The problems of a file.

    Attributes:
        problems: All problems, in the order of the file.
        errors: The number of errors, including those that one problem stands for.
        warnings: The number of warnings, including those that one problem stands for.
    """

    problems: tuple[Problem, ...]
    errors: int
    warnings: int


@dataclass(frozen=True, slots=True)
class AuditRule:
    """A rule that an audit checks.

    Attributes:
        kind: The kind of run that it is declared for.
        member: The member that its findings are about.
        rule: What it requires.
    """

    kind: str
    member: str
    rule: str


@dataclass(frozen=True, slots=True)
class AuditOutput:
    """The findings of an audit.

    Attributes:
        problems: All findings, which are warnings, in the order of the file or of the database.
        errors: The number of errors; an audit has none.
        warnings: The number of warnings, including those that one problem stands for.
        rules: The rules that were checked; empty: none are declared.
    """

    problems: tuple[Problem, ...]
    errors: int
    warnings: int
    rules: tuple[AuditRule, ...]


@dataclass(frozen=True, slots=True)
class ReferencesOutput:
    """The rows that the runs of a file refer to.

    Attributes:
        references: The rows by member, those with most uses first.
        missing: The number of rows that the database lacks; None: no database was searched.
    """

    references: tuple[ReferencedRow, ...]
    missing: int | None


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A difference within a run, between a file and a database.

    Attributes:
        pointer: RFC 6901 pointer into the run. A ledger entry has its index in the file, or in the database
            if only the database has it. For a difference in order, the pointer leads to the ledger.
        file: The value or entry in the file; null: null, or the file does not have it. For a difference in
            order, a list with the identity of each entry.
        database: The same in the database.
    """

    pointer: str
    file: Any
    database: Any


@dataclass(frozen=True, slots=True)
class StoredDifference:
    """A run that differs between a file and a database.

    Attributes:
        kind: The name of its kind.
        uuid: Its UUID, or the text of its identity if a host's format identifies runs by other members.
        only_in: The side that has it; null: both have it.
        changes: What differs in the run; empty if only one side has it.
        more: The number of further changes.
    """

    kind: str
    uuid: str
    only_in: Literal["file", "database"] | None
    changes: tuple[StoredChange, ...]
    more: int


@dataclass(frozen=True, slots=True)
class StoredDifferences:
    """The differences between a file and a database.

    Attributes:
        file: The file.
        database: The database, without secrets.
        differences: The runs that differ.
        count: How many there are.
    """

    file: str
    database: str
    differences: tuple[StoredDifference, ...]
    count: int


@dataclass(frozen=True, slots=True)
class FileDifferences:
    """The differences between two files.

    Attributes:
        a: The first file.
        b: The second file.
        differences: The runs that differ.
        count: How many there are.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    count: int


@dataclass(frozen=True, slots=True)
class RejectsOutput:
    """What is wrong with rejects now.

    Attributes:
        file: The file of rejects.
        rejected: The number of rejected runs, catalog rows and unreadable lines.
        mended: How many of them have no problems any more.
        left: How many of them have problems.
        codes: The number of those that have problems of each code.
        groups: Problems that are alike, those of the most runs first; at most the first 1,000 groups.
        group_count: The number of all groups.
    """

    file: str
    rejected: int
    mended: int
    left: int
    codes: Mapping[str, int]
    groups: tuple[Group, ...]
    group_count: int


@dataclass(frozen=True, slots=True)
class ReportOutput:
    """An HTML report.

    Attributes:
        written: The file that was written.
    """

    written: tuple[WrittenFile, ...]


@dataclass(frozen=True, slots=True)
class FlattenOutput(FlattenReport):
    """The tables of a history, for spreadsheets and data frames.

    Attributes:
        written: The files that were written.
    """

    written: tuple[WrittenFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainedAttribute:
    """How one column or relationship of a model is accounted for.

    Attributes:
        name: Its name in the model.
        status: ``field``: it is in the format. ``excluded``: ``Meta.exclude`` names it. ``values``: the
            import fills it. ``machinery``: it means nothing in another database. ``ignored``: left out by
            ``Meta.unbound``. ``missing``: none of these.
        why: The name of its field, or the reason for the status.
    """

    name: str
    status: Status
    why: str


@dataclass(frozen=True, slots=True)
class ExplainedTable:
    """How the columns of one table are accounted for.

    Attributes:
        path: The kind, and the ledgers that lead to the table, such as ``production_run.consumptions``.
        model: The name of its model.
        attributes: Its columns and relationships.
    """

    path: str
    model: str
    attributes: tuple[ExplainedAttribute, ...]


@dataclass(frozen=True, slots=True)
class ExplainOutput:
    """Which columns are in the format, and how fast runs are exported and imported.

    Attributes:
        tables: The tables of all kinds, with their columns.
        notes: Sentences on the speed of exports and imports, on indexes, and on rows that are not moved.
    """

    tables: tuple[ExplainedTable, ...]
    notes: tuple[str, ...]


OUTPUTS: Mapping[str, tuple[type, ...]] = {
    "init": (InitOutput,),
    "export": (ExportOutput,),
    "import": (ImportOutput,),
    "undo": (UndoReport,),
    "copy": (ImportOutput,),
    "verify": (StoredDifferences,),
    "check": (CheckOutput,),
    "inspect": (Inspection,),
    "references": (ReferencesOutput,),
    "rejects": (RejectsOutput,),
    "diff": (FileDifferences, StoredDifferences),
    "merge": (ExportOutput,),
    "audit": (AuditOutput,),
    "report": (ReportOutput,),
    "flatten": (FlattenOutput,),
    "explain": (ExplainOutput,),
}
"""The object that each command prints with ``--json``; of several, one."""

LINES: Mapping[str, tuple[type, ...]] = {
    "verify": (StoredDifference,),
    "check": (Problem,),
    "references": (ReferencedRow,),
    "diff": (Difference, StoredDifference),
    "audit": (Problem,),
}
"""The object that each command prints on each line with ``--jsonl``; of several, one."""
