"""Read the valid records of a file or of a database, for flat tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from histio.bound import Bound
from histio.errors import DocumentError
from histio.exporting.pages import export_runs
from histio.files import FilePath, Limits, check_damage, open_source, reading
from histio.files.raw_runs import RawRun
from histio.files.reading import Reading
from histio.importing.repetitions import note_repeated
from histio.importing.run import Run
from histio.importing.spool import Spool
from histio.inspecting.run_checker import RunChecker
from histio.kinds.table import Kind
from histio.report import KEPT, Problem

Records: TypeAlias = Iterator[tuple[Kind, Any]]
"""Valid records in JSON form, each with its kind."""


@dataclass(slots=True)
class Invalid:
    """The invalid lines and records of a file.

    Attributes:
        count: Their number.
        problems: Their problems; at most the first 1,000.
        problem_count: The number of all problems.
    """

    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    def add(self, problems: Iterable[Problem]) -> None:
        """Count an invalid line or record, which has these *problems*."""
        self.count += 1
        for problem in problems:
            self.problem_count += problem.more or 1
            if len(self.problems) < KEPT:
                self.problems.append(problem)


@contextmanager
def open_database(bound: Bound, kinds: Sequence[Kind] | None) -> Iterator[tuple[Sequence[Kind], Records]]:
    """Open the database of a history to read the records of *kinds*, in their order.

    Args:
        bound: The history.
        kinds: The kinds; None: all kinds of run.

    Yields:
        The kinds, and their records.
    """
    chosen = bound.kinds if kinds is None else kinds
    with bound.database.reading(None) as connection:
        yield chosen, ((kind, record) for kind in chosen for record in export_runs(connection, kind))


@contextmanager
def open_file(
    path: FilePath,
    bound: Bound,
    kinds: Sequence[Kind] | None,
    limits: Limits,
    invalid: Invalid,
    *,
    skip: bool,
) -> Iterator[tuple[Sequence[Kind], Records]]:
    """Open a file to read the records of *kinds*, in its order.

    Args:
        path: The file.
        bound: The history that defines what it may contain.
        kinds: The kinds; None: those that the file has.
        limits: The limits for the file.
        invalid: Collects what is invalid.
        skip: Whether to leave out what is invalid. False: it is an error after the last record, and nothing
            that follows it is read.

    Yields:
        The kinds, and their records.
    """
    wanted = bound.all_kinds if kinds is None else kinds
    source = open_source(path, max_bytes=limits.max_bytes)
    with reading(source, bound.gate, wanted, limits) as file, Spool() as seen:
        check_damage(file)
        present = {*file.catalog, *file.kinds}
        chosen = [kind for kind in wanted if kind.name in present] if kinds is None else kinds
        yield chosen, _read(file, bound, invalid, seen, skip=skip)


def _read(file: Reading, bound: Bound, invalid: Invalid, seen: Spool, *, skip: bool) -> Records:
    checkers = {
        kind.name: checker
        for checked in (bound.of_catalog, bound)
        for checker in [RunChecker(checked, file.version, None)]
        for kind in checked.kinds
    }
    for item in file.items():
        if not isinstance(item, RawRun):
            invalid.add([item.problem])
        else:
            [run] = checkers[item.kind].check([item])
            problems = _find_problems(run, seen)
            if problems:
                invalid.add(problems)
            elif skip or not invalid.count:
                yield run.kind, checkers[item.kind].current_record(run)
        if not skip and len(invalid.problems) == KEPT:
            break
    else:
        check_damage(file)
    if invalid.count and not skip:
        raise DocumentError(tuple(invalid.problems))


def _find_problems(run: Run, seen: Spool) -> Sequence[Problem]:
    """The problems of *run*, or that it comes again in the file."""
    if not run.problems:
        note_repeated(run, seen)
    repeated = (
        replace(warning, severity="error")
        for warning in run.warnings
        if warning.code == "duplicate-in-document"
    )
    return [*run.problems, *repeated]
