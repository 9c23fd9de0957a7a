"""Check the numbers of a history against the rules that its schemas declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from histio.bound import Bound
from histio.exporting.ownerless import find_ownerless
from histio.exporting.pages import export_runs
from histio.files import FilePath, GiB, Limits, MiB, check_damage, open_source, reading
from histio.files.raw_runs import RawRun
from histio.history import History
from histio.importing.run import Run
from histio.inspecting.run_checker import RunChecker
from histio.kinds.auditing import audit_record
from histio.pointer import pointer
from histio.report import Fault, Problem


def audit(
    source: FilePath | History,
    /,
    *,
    history: History | None = None,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Iterator[Problem]:
    """Check numbers against the rules in the ``Meta.audits`` of their schemas, in constant memory.

    In a database, rows of ledgers that belong to no run are found too: their foreign key is NULL, or names no
    row.

    Args:
        source: A file: a path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard
            input, or a folder with an export in parts; its runs of wrong form are ignored. Or a history,
            whose database is audited.
        history: Defines what a file may contain; None: the bundled kinds.
        max_bytes: The maximum size of the uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes; a longer line of a stream is ignored.
        max_depth: The maximum depth of nested objects and lists in a run; a deeper line is ignored.

    Yields:
        A warning with the code ``audit`` for each broken rule. In a database, pointers lead into the run, and
        the run has no index. The warnings about rows without run come first, and have no `Problem.uuid`.

    Raises:
        DocumentError: The file is not a history, or, after its last run, it is damaged.
        ExportError: The format cannot hold some rows; after the runs of their kind.
        NotConfiguredError: The history has no database.
        OSError: The file cannot be read.
        ValueError: A limit is not a positive integer.
    """
    if isinstance(source, History):
        yield from _audit_database(source.bound)
    else:
        limits = Limits(max_bytes, max_line_bytes, max_depth)
        yield from _audit_file(source, (history or History()).bound, limits)


def note_audits(run: Run, record: Any) -> None:
    """Add a warning to *run* for each rule that its *record*, of the current version, breaks."""
    for steps, text in audit_record(run.kind.table, record):
        run.note(Fault(text, "audit"), *steps, warning=True)


def _audit_database(bound: Bound) -> Iterator[Problem]:
    checker = RunChecker(bound, bound.versions.current, None)
    with bound.database.reading(None) as connection:
        yield from find_ownerless(connection, bound.kinds)
        for kind in bound.kinds:
            for index, record in enumerate(export_runs(connection, kind)):
                if audit_record(kind.table, record):
                    [run] = checker.check([RawRun.from_python(kind.name, record, index)])
                    note_audits(run, record)
                    yield from (_without_place(problem, run) for problem in run.warnings)


def _without_place(problem: Problem, run: Run) -> Problem:
    """*problem* of a *run* of a database, which has no place in a document."""
    return replace(problem, pointer=problem.pointer.removeprefix(pointer(*run.steps)), index=None)


def _audit_file(path: FilePath, bound: Bound, limits: Limits) -> Iterator[Problem]:
    with reading(open_source(path, max_bytes=limits.max_bytes), bound.gate, bound.kinds, limits) as file:
        checker = RunChecker(bound, file.version, None)
        for item in file.items():
            for run in checker.check([item]) if isinstance(item, RawRun) else ():
                if run.well_formed:
                    note_audits(run, checker.current_record(run))
                    yield from run.warnings
        check_damage(file)
