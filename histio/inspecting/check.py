"""All that is wrong with a file of history, told without writing anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from histio.bound import Bound
from histio.errors import DocumentError
from histio.exporting.fast.obstacles import obstacles
from histio.exporting.pages import export_runs
from histio.files import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    FilePath,
    Source,
    check_damage,
    check_positive,
    reading,
)
from histio.files.decoding import lines_before, repeated_in, repeated_name
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.files.reading import Reading
from histio.history import History
from histio.importing.execute import open_look_ups
from histio.importing.look_ups import LookUps
from histio.importing.parse import Reader, current_record
from histio.importing.repetitions import note_entries, note_repeated
from histio.importing.run import Run, Steps, Values
from histio.importing.spool import Spool
from histio.importing.windows import windows
from histio.kinds.auditing import findings
from histio.kinds.table import Kind, Ledger, Table
from histio.pointer import pointer
from histio.report import Fault, Problem

_REMEMBERED = 50_000


def check_file(
    path: FilePath,
    /,
    *,
    history: History | None = None,
    truncate_times: bool = False,
    max_bytes: int = MAX_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Iterator[Problem]:
    """All that is wrong with a file, in its order and in constant memory; nothing is written anywhere.

    Told are its form, member names that come twice in an object, UUIDs that come twice in the file, what its
    numbers should keep to (the ``audits`` of the schemas), and last whether it is whole. Where *history* has
    a database, its references and the limits of its columns are checked too; the connection is held until the
    last problem is given. `Problem.line` is a line of the file, for documents too.

    Args:
        path: As `History.import_file` takes it.
        history: Tells what files may hold. None: the bundled kinds, without a database.
        truncate_times: Whether to cut times to the digits of a second that their columns keep, and to warn of
            each. False: such a time is a problem. It has no effect without a database.
        max_bytes: As for `History.import_file`.
        max_line_bytes: Likewise.
        max_depth: Likewise.

    Raises:
        OSError: It cannot be read.
        ValueError: A limit is no number.
    """
    bound = (history or History()).bound
    limits = {"max_line_bytes": max_line_bytes, "max_depth": max_depth}
    check_positive(max_bytes=max_bytes, **limits)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(
                reading(Source(path, max_bytes=max_bytes), bound.gate, bound.kinds, **limits)
            )
            work = None
            if bound.has_database:
                looking = open_look_ups(bound, version=file.version, truncate_times=truncate_times)
                work = stack.enter_context(looking)
            yield from _problems(file, bound, stack.enter_context(Spool()), work)
    except DocumentError as error:
        yield from error.problems


def audit(given: FilePath | History, /, *, history: History | None = None) -> Iterator[Problem]:
    """What breaks the rules that the schemas declare in ``Meta.audits``, as warnings, in constant memory.

    Args:
        given: A file, as `History.import_file` takes it, whose runs of wrong form are passed over; or a
            history, which stands for its database: then pointers lead into the run, which has no index.
        history: Tells what a file may hold; None: the bundled kinds.

    Raises:
        DocumentError: The file is no history, or after its last run, it is damaged.
        ExportError: Rows that the format cannot hold, after the runs of their kind.
        NotConfiguredError: The history has no database.
        OSError: The file cannot be read.
    """
    if isinstance(given, History):
        yield from _audit_stored(given)
    else:
        yield from _audit_file(given, (history or History()).bound)


def _audit_stored(history: History) -> Iterator[Problem]:
    bound = history.bound
    runs = _Runs(bound, history.version, None)
    with bound.database.reading(None) as connection:
        for kind in bound.kinds:
            for index, record in enumerate(export_runs(connection, kind)):
                found = findings(kind.table, record)
                if not found:
                    continue
                [run] = runs.of([RawRun(kind.name, record, index)])
                _note(run, found)
                within = pointer(*run.steps)
                yield from (
                    replace(each, pointer=each.pointer.removeprefix(within), index=None)
                    for each in run.warnings
                )


def _audit_file(path: FilePath, bound: Bound) -> Iterator[Problem]:
    with reading(Source(path), bound.gate, bound.kinds) as file:
        runs = _Runs(bound, file.version, None)
        for item in file.items():
            for run in runs.of([item]) if isinstance(item, RawRun) else ():
                if run.well_formed:
                    _note(run, findings(run.kind.table, runs.current(run)))
                    yield from run.warnings
        check_damage(file)


def _note(run: Run, found: Iterable[tuple[Steps, str]]) -> None:
    for steps, text in found:
        run.note(Fault(text, "audit"), *steps, warning=True)


def _problems(file: Reading, bound: Bound, seen: Spool, work: LookUps | None) -> Iterator[Problem]:
    yield from file.repeated
    if work is not None and work.refers_to_runs:
        work.expect(item for item in _readable(file, [], again=True) if isinstance(item, RawRun))
    runs = _Runs(bound, file.version, work)
    ends: list[Problem] = []
    for window in windows((item, None) for item in _readable(file, ends)):
        found = iter(runs.of([item for item, _ in window if isinstance(item, RawRun)]))
        for item, _ in window:
            if isinstance(item, UnreadableLine):
                yield item.problem
                continue
            run = next(found)
            for steps in () if item.text is None else repeated_in(f'{{"{item.kind}":{item.text}}}'):
                run.note(repeated_name(steps[-1]), *steps[1:], warning=True)
            if not run.problems:  # otherwise it will not go in, and leaves its identities to others
                note_repeated(run, seen)
            if run.well_formed:
                _note(run, findings(run.kind.table, runs.current(run)))
            yield from (_with_line(item, problem) for problem in (*run.problems, *run.warnings))
    yield from (*ends, *file.damage)


def _with_line(raw: RawRun, problem: Problem) -> Problem:
    """*problem* of a run of a document, with the line of the file where the value begins that it is about."""
    if raw.first_line is None or raw.text is None:
        return problem
    _, _, *names = problem.pointer.removeprefix("/").split("/")  # the list and the place in it come first
    steps = [name.replace("~1", "/").replace("~0", "~") for name in names]
    within = [int(step) if step.isdecimal() else step for step in steps]
    return replace(problem, line=raw.first_line + lines_before(raw.text, within))


def _readable(file: Reading, ends: list[Problem], *, again: bool = False) -> Iterator[RawItem]:
    """What can be read of *file*, and why that *ends* where it is not all."""
    try:
        yield from file.items(again=again)
    except DocumentError as error:
        ends += error.problems


class _Runs:
    """Makes runs of raw runs, with what is wrong with their form and references.

    Most raw runs are as they should be. Those are not loaded where the gate can tell, and name nothing but
    what others named before, and rightly.

    Args:
        bound: The kinds of run and their format.
        version: In which version of the format.
        work: Knows the database; None: references are left alone.
    """

    def __init__(self, bound: Bound, version: str, work: LookUps | None) -> None:
        self._bound = bound
        self._reader = Reader(bound, version, {})
        self._work = work
        self._kinds = {kind.name: kind for kind in bound.kinds}
        careful = work is not None and (work.refers_to_runs or work.has_limits)
        self._plain = set() if careful else {kind.name for kind in bound.kinds if _is_plain(kind)}
        self._right: set[Any] = set()

    def of(self, raw_runs: Sequence[RawRun]) -> list[Run]:
        """The runs of *raw_runs*."""
        plain = {id(raw) for raw in raw_runs if raw.kind in self._plain and self._reader.accepts(raw)}
        named = {
            id(raw): set(_named(self._kinds[raw.kind].table, raw.record))
            for raw in raw_runs
            if id(raw) in plain and self._work is not None
        }
        glanced = {each for each in plain if named.get(each, set()) <= self._right}
        left = [raw for raw in raw_runs if id(raw) not in glanced]
        runs = {id(run.raw): run for run in self._looked_at(left)}
        for of, run in runs.items():
            if not (run.problems or run.warnings):
                self._right |= named.get(of, set())
        if len(self._right) > _REMEMBERED:
            self._right.clear()
        return [runs.get(id(raw)) or self._glance(raw) for raw in raw_runs]

    def _looked_at(self, raw_runs: Sequence[RawRun]) -> list[Run]:
        if self._work is not None:
            return self._work.look_up(raw_runs)
        runs = [self._reader.read(raw) for raw in raw_runs]
        for run in runs:
            note_entries(run)
        return runs

    def _glance(self, raw: RawRun) -> Run:
        kind = self._kinds[raw.kind]
        run = Run(kind, raw, _identified(kind.table, raw.record), well_formed=True)
        note_entries(run)
        return run

    def current(self, run: Run) -> Any:
        """The record of a *run*, brought up to the current version."""
        return current_record(self._bound, run.kind, run.raw.record, self._reader.version)


def _is_plain(kind: Kind) -> bool:
    """Whether the gate alone tells the form of runs, and UUIDs identify them and their entries."""
    identities = [table.identity for table in kind.table.all() if table.identity is not None]
    return all(each.is_uuid for each in identities) and not any(obstacles(kind.table, "load"))


def _identified(table: Table, record: Any) -> Values:
    """What a *record* whose form is right loads as, as far as it identifies it and its entries."""
    values: Values = {}
    for part in table.identity.parts if table.identity is not None else ():
        own: Any = part.field
        values[part.member] = own.from_wire(record[part.name])
    for ledger in table.ledgers:
        entries = [_identified(ledger.table, each) for each in _listed(table, ledger, record)]
        if entries:
            values[ledger.member] = entries if ledger.many else entries[0]
    return values


def _listed(table: Table, ledger: Ledger, record: Any) -> list[Any]:
    return ledger.listed(record.get(table.names[ledger.member]))


def _named(table: Table, record: Any) -> Iterator[Any]:
    """What a *record* and each of its entries names."""
    members = [member for reference in table.references for member in reference.slugs]
    members += [links.member for links in table.links]
    members += [snapshot.member for snapshot in table.snapshots]
    yield table, repr([record.get(table.names[member]) for member in members])
    for ledger in table.ledgers:
        for entry in _listed(table, ledger, record):
            yield from _named(ledger.table, entry)
