"""Find every problem of a file without writing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from histio.errors import DocumentError
from histio.files import FilePath, GiB, Limits, MiB, open_source, reading
from histio.files.decoding import describe_repeated_name, find_line_numbers, find_repeated_names
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.files.reading import Reading
from histio.history import History
from histio.importing.execute import open_look_ups
from histio.importing.options import check_catalog_option
from histio.importing.repetitions import note_repeated
from histio.importing.run import OnCatalog, Run
from histio.importing.spool import Spool
from histio.importing.windows import windows
from histio.inspecting.audit import note_audits
from histio.inspecting.run_checker import RunChecker
from histio.pointer import pointer
from histio.report import Problem


def check_file(
    path: FilePath,
    /,
    *,
    history: History | None = None,
    catalog: OnCatalog = "ignore",
    truncate_times: bool = False,
    sealed: bool = False,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Iterator[Problem]:
    """Find every problem of a file, in its order and in constant memory; nothing is written anywhere.

    The file is checked for the form of its runs and catalog rows, member names that come twice in an object,
    identities that come twice in the file, numbers that break the ``audits`` of their schemas, and damage. If
    *history* has a database, references and the limits of its columns are checked too, and the connection is
    held until the iterator is exhausted.

    Args:
        path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard input. It may
            lead to a folder with an export in parts.
        history: Defines what the file may contain. None: the bundled kinds, without a database.
        catalog: What an import would do with the catalog rows of the file. ``ignore``: runs need rows of the
            database. ``create``, ``update``: they may also need rows of the file. It has no effect without a
            database.
        truncate_times: Whether to cut times to the digits of a second that their columns keep, with a warning
            for each. False: such a time is a problem. It has no effect without a database.
        sealed: Whether a document, and a stream whose header has ``"sealed": false``, are errors.
        max_bytes: The maximum size of the uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes.
        max_depth: The maximum depth of nested objects and lists in a run.

    Yields:
        Problems and warnings. `Problem.line` is a line of the file, for documents too.

    Raises:
        OSError: The file cannot be read.
        ValueError: A limit is not a positive integer; or *catalog* has another value, or is not ``ignore``
            although *history* has no catalog kinds.
    """
    bound = (history or History()).bound
    check_catalog_option(bound, catalog)
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    try:
        with ExitStack() as stack:
            source = open_source(path, max_bytes=max_bytes)
            file = stack.enter_context(reading(source, bound.gate, bound.all_kinds, limits, sealed=sealed))
            look_ups = None
            if bound.has_database:
                opened = open_look_ups(
                    bound,
                    version=file.version,
                    truncate_times=truncate_times,
                    catalog=catalog if file.catalog else None,
                )
                look_ups = stack.enter_context(opened)
            rows = RunChecker(bound.of_catalog, file.version, look_ups and look_ups.rows)
            runs = RunChecker(bound, file.version, look_ups)
            yield from _check(file, (rows, runs), stack.enter_context(Spool()))
    except DocumentError as error:
        yield from error.problems


def _check(file: Reading, checkers: Sequence[RunChecker], seen: Spool) -> Iterator[Problem]:
    """The problems of *file*; *seen* remembers its identities."""
    yield from file.repeated
    for checker in checkers:
        if checker.needs_others:
            checker.expect(item for item in _read(file, [], again=True) if isinstance(item, RawRun))
    ends: list[Problem] = []
    for window in windows((item, None) for item in _read(file, ends)):
        items = [item for item, _ in window]
        raw_runs = [item for item in items if isinstance(item, RawRun)]
        checked = {id(run.raw): (run, checker) for checker in checkers for run in checker.check(raw_runs)}
        for item in items:
            if isinstance(item, UnreadableLine):
                yield item.problem
            else:
                yield from _check_run(*checked[id(item)], seen)
    yield from (*ends, *file.repeated_in_trailer, *file.damage)


def _check_run(run: Run, checker: RunChecker, seen: Spool) -> Iterator[Problem]:
    """The problems of *run*, and those that its text, the runs before it and its numbers have."""
    raw = run.raw
    if raw.text is not None and '"' in raw.text:
        for steps in find_repeated_names(f'{{"{raw.kind}":{raw.text}}}'):
            run.note(describe_repeated_name(steps[-1]), *steps[1:], warning=True)
    if not run.problems:  # a rejected run leaves its identities to others
        note_repeated(run, seen)
    if run.well_formed:
        note_audits(run, checker.current_record(run))
    yield from _with_lines(run, list(run.findings()))


def _with_lines(run: Run, problems: Sequence[Problem]) -> Iterator[Problem]:
    """*problems* of *run*; for a document, each with the line of the file on which its value begins."""
    first, text = run.raw.first_line, run.raw.text
    if first is None or text is None:
        yield from problems
        return
    above = pointer(*run.steps)
    within = [problem.pointer.removeprefix(above) for problem in problems]
    numbers = find_line_numbers(text, within)
    for problem, each in zip(problems, within, strict=True):
        yield replace(problem, line=first + numbers[each])


def _read(file: Reading, ends: list[Problem], *, again: bool = False) -> Iterator[RawItem]:
    """The items of *file*; if it cannot be read to its end, the reasons are added to *ends*."""
    try:
        yield from file.items(again=again)
    except DocumentError as error:
        ends += error.problems
