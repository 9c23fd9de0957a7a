"""Run an import on a bound history: of a document, of a file, or only its look-ups."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.errors import DocumentError
from histio.files import (
    FilePath,
    Limits,
    Source,
    check_damage,
    check_follows,
    check_positive,
    fail_if_damaged,
    is_same_file,
    open_rejects,
    reading,
)
from histio.files.raw_runs import RawItem, iter_raw_runs, leave_out, split_items
from histio.files.reading import Reading
from histio.importing.counts import Tally
from histio.importing.destination import open_destination
from histio.importing.look_ups import LookUps
from histio.importing.parse import Reader
from histio.importing.renames import Renames
from histio.importing.run import OnDuplicate
from histio.importing.spool import Spool
from histio.importing.transaction import import_items
from histio.kinds.table import Kind
from histio.progress import Meter, Report, before_last_step
from histio.report import KEPT, ImportReport, Problem
from histio.tuning import with_pauses
from histio.typing import HistoryDocument

_log = logging.getLogger("histio")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options that imports of documents and of files have in common.

    Attributes:
        kinds: Names of the kinds to import; None: all.
        on_duplicate: What to do with runs that exist.
        catalog: What to do with catalog rows.
        atomic: Whether to write nothing if a run or a catalog row is rejected.
        dry_run: Whether to roll everything back.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
        session: To be used instead of the bound database.

    Raises:
        ValueError: *on_duplicate* or *catalog* has another value.
    """

    kinds: str | Sequence[str] | None = None
    on_duplicate: OnDuplicate = "skip"
    catalog: OnCatalog = "ignore"
    atomic: bool = False
    dry_run: bool = False
    rename: Renames | None = None
    truncate_times: bool = False
    session: BorrowedSession | None = None

    def __post_init__(self) -> None:
        check_choice(on_duplicate=self.on_duplicate, among=OnDuplicate)
        check_choice(catalog=self.catalog, among=OnCatalog)


def check_choice(among: Any, **option: str) -> None:
    """Raise ValueError unless the only *option* has one of the values of the Literal *among*."""
    [(name, value)] = option.items()
    if value not in get_args(among):
        raise ValueError(f"{name} must be one of {get_args(among)}, not {value!r}")


def import_document(
    bound: Bound, document: dict[str, Any] | HistoryDocument, options: ImportOptions
) -> ImportReport:
    """Import the runs of *document*; see `History.import_document`."""
    kinds = _choose_kinds(bound, options)
    problems = bound.gate.check_envelope(document)
    if problems:
        raise DocumentError(tuple(problems))
    items = iter_raw_runs(document, kinds)
    rows = iter_raw_runs(document, bound.catalog) if _has_catalog(bound, document) else None
    catalog = () if rows is None else bound.catalog
    return _import(bound, items, document["version"], Tally(kinds, catalog=catalog), options, rows=rows)


def _has_catalog(bound: Bound, document: Mapping[str, Any]) -> bool:
    """Whether *document* has a catalog row."""
    return any(document.get(kind.collection) for kind in bound.catalog)


def import_file(
    bound: Bound,
    path: FilePath,
    options: ImportOptions,
    *,
    rejects: FilePath | None,
    allow_truncated: bool,
    commit_every: int | None,
    follows: str | None,
    sealed: bool,
    limits: Limits,
    progress: Report | None,
) -> ImportReport:
    """Import the runs of the file at *path*; see `History.import_file`."""
    if sealed and allow_truncated:
        raise ValueError("sealed excludes allow_truncated: a truncated file has no seal")
    kinds = _choose_kinds(bound, options)
    left_out = {kind.name for kind in bound.kinds if kind not in kinds}
    _check_commits(bound, path, options, rejects=rejects, commit_every=commit_every)
    meter = Meter(progress)
    with (
        Source(path, max_bytes=limits.max_bytes) as source,
        reading(source, bound.gate, bound.kinds, limits, sealed=sealed) as file,
        open_rejects(rejects, file.version, [kind.name for kind in kinds]) as rejected,
    ):
        check_follows(file, follows)
        total = None if commit_every is None else _verify(file, source, meter, left_out)
        if not allow_truncated:
            check_damage(file)
        meter.begin("import", lambda: source.position, total=total, total_bytes=source.size)
        items = meter.count(_items(file, left_out))
        report = _import(
            bound,
            items if allow_truncated else fail_if_damaged(items, file),
            file.version,
            Tally(kinds, limit=KEPT, rejects=rejected),
            options,
            commit_every=commit_every,
        )
    return _with_damage(report, file) if file.damage else report


def _choose_kinds(bound: Bound, options: ImportOptions) -> Sequence[Kind]:
    """The kinds to import, in order.

    Raises:
        ValueError: There is no kind with one of the names.
    """
    return bound.kinds if options.kinds is None else bound.choose(options.kinds)


def _check_commits(
    bound: Bound,
    path: FilePath,
    options: ImportOptions,
    *,
    rejects: FilePath | None,
    commit_every: int | None,
) -> None:
    """Raise ValueError where other options exclude that the import may be rolled back."""
    may_roll_back = options.atomic or options.dry_run or bound.database.is_borrowed(options.session)
    if commit_every is not None:
        check_positive(commit_every=commit_every)
        if may_roll_back:
            raise ValueError("commit_every excludes atomic, dry_run and a session that was handed over")
    if may_roll_back and is_same_file(path, rejects):
        raise ValueError("rejects: cannot be the file itself where the import may be rolled back")


def _verify(file: Reading, source: Source, meter: Meter, left_out: Collection[str]) -> int:
    """Read *file* through, to know its damage before the first commit; return how many items it has."""
    meter.begin("verify", lambda: source.position, total_bytes=source.size)
    return sum(1 for _ in with_pauses(meter.count(_items(file, left_out, again=True))))


def _items(file: Reading, left_out: Collection[str], *, again: bool = False) -> Iterable[RawItem]:
    """The items of *file*, apart from those of the kinds that are *left_out*."""
    items = file.items(again=again)
    return leave_out(items, left_out) if left_out else items


def _with_damage(report: ImportReport, file: Reading) -> ImportReport:
    """*report* with the damage of *file* as the first warnings."""
    damage = tuple(replace(problem, severity="warning") for problem in file.damage)
    return replace(
        report,
        truncated=True,
        warnings=(*damage, *report.warnings),
        warning_count=report.warning_count + len(damage),
    )


def _import(
    bound: Bound,
    items: Iterable[RawItem],
    version: str,
    tally: Tally,
    options: ImportOptions,
    *,
    commit_every: int | None = None,
    rows: Iterable[RawItem] | None = None,
) -> ImportReport:
    """Import *items* in one transaction, or in one for every *commit_every* of them.

    The catalog *rows* go first; None: there are none.
    """
    reader = Reader(bound, version, options.rename or {})
    values = bound.constants()  # once for each import, however many transactions it takes
    withheld = False
    unit_of_work: dict[str, tuple[str, ...]] = {}
    parts = [items] if commit_every is None else split_items(items, commit_every)
    with Spool() as spool:
        for part in parts:
            with bound.database.writing(options.session) as (connection, habits, commit):
                destination = open_destination(
                    connection,
                    bound,
                    reader=reader,
                    spool=spool,
                    values=values,
                    truncate_times=options.truncate_times,
                )
                before, unit_of_work = tally.written, destination.plan.unit_of_work(habits)
                is_last = commit_every is None or not part
                withheld = import_items(
                    destination,
                    part,
                    tally=tally,
                    habits=habits,
                    unit_of_work=unit_of_work,
                    on_duplicate=options.on_duplicate,
                    last=is_last,
                    atomic=options.atomic,
                    dry_run=options.dry_run,
                )
                for announce in before_last_step if is_last else ():
                    announce()
                if tally.written > before and not (options.dry_run or withheld):
                    commit()
    report = tally.report(withheld=withheld, dry_run=options.dry_run, unit_of_work=unit_of_work)
    _log.info(
        "%s: %d imported, %d updated, %d skipped, %d rejected, %d withheld",
        "dry run" if options.dry_run else "import",
        report.imported,
        report.updated,
        report.skipped,
        report.rejected,
        report.withheld,
    )
    return report


def check_document(
    bound: Bound,
    document: object,
    *,
    rename: Renames | None,
    truncate_times: bool,
    session: BorrowedSession | None,
) -> list[Problem]:
    """All problems and warnings of *document*; see `History.check`."""
    problems = bound.gate.check_envelope(document)
    if problems or not isinstance(document, dict):
        return problems
    with open_look_ups(
        bound, session, version=document["version"], rename=rename, truncate_times=truncate_times
    ) as look_ups:
        return look_ups.check(iter_raw_runs(document, bound.kinds))


@contextmanager
def open_look_ups(
    bound: Bound,
    session: BorrowedSession | None = None,
    *,
    version: str | None = None,
    rename: Renames | None = None,
    truncate_times: bool = False,
) -> Iterator[LookUps]:
    """Look-ups in the database of a history.

    Args:
        bound: The history.
        session: To be used instead of the bound database.
        version: The version of the records; None: the current one.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
    """
    with bound.database.reading(session) as connection, Spool() as spool:
        yield LookUps(
            open_destination(
                connection,
                bound,
                reader=Reader(bound, version or bound.versions.current, rename or {}),
                spool=spool,
                values=bound.constants(),
                truncate_times=truncate_times,
            )
        )
