"""Run an import on a bound history: of a document, of a file, or only its look-ups."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.errors import DocumentError
from histio.files import (
    FilePath,
    Limits,
    Predecessor,
    is_same_file,
    list_files,
    open_rejects,
)
from histio.files.raw_runs import RawItem, RawRun, iter_raw_runs, split_items
from histio.files.several import Files, open_files
from histio.importing.catalog import CatalogImport, split_catalog
from histio.importing.counts import Tally
from histio.importing.destination import open_destination
from histio.importing.look_ups import CatalogLookUps, LookUps
from histio.importing.missing import MissingCatalog
from histio.importing.model_behavior import Creation
from histio.importing.options import (
    ImportOptions,
    check_catalog_option,
    check_commits,
    check_receipt,
    may_roll_back,
)
from histio.importing.parse import Reader
from histio.importing.receipt import Receipt
from histio.importing.renames import Renames
from histio.importing.run import OnCatalog
from histio.importing.spool import Spool
from histio.importing.transaction import import_items
from histio.kinds.compare import Sides
from histio.kinds.table import Kind
from histio.progress import Meter, Report, before_last_step
from histio.report import KEPT, ImportReport, Problem
from histio.tuning import with_pauses
from histio.typing import Document

_log = logging.getLogger("histio")


def import_document(bound: Bound, document: Document, options: ImportOptions) -> ImportReport:
    """Import the runs of *document*; see `History.import_document`."""
    kinds = choose_kinds(bound, options)
    check_receipt(bound, options)
    problems = bound.gate.check_envelope(document)
    if problems:
        raise DocumentError(tuple(problems))
    has_catalog = _has_catalog(bound, document)
    items = iter_raw_runs(document, (*bound.catalog, *kinds) if has_catalog else kinds)
    return import_runs(
        bound,
        items,
        document["version"],
        Tally(kinds, catalog=bound.catalog),
        options,
        sides=("document", "database"),
        has_catalog=has_catalog,
    )


def _has_catalog(bound: Bound, document: Mapping[str, Any]) -> bool:
    return any(document.get(kind.collection) for kind in bound.catalog)


def import_file(
    bound: Bound,
    path: FilePath | Iterable[FilePath],
    options: ImportOptions,
    *,
    rejects: FilePath | None,
    allow_truncated: bool,
    commit_every: int | None,
    follows: Predecessor,
    sealed: bool,
    limits: Limits,
    progress: Report | None,
) -> ImportReport:
    """Import the runs of the file at *path*, or of several files; see `History.import_file`."""
    if sealed and allow_truncated:
        raise ValueError("sealed excludes allow_truncated: a truncated file has no seal")
    kinds = choose_kinds(bound, options)
    paths = list_files(path)
    check_commits(bound, options, commit_every)
    if may_roll_back(bound, options) and any(is_same_file(each, rejects) for each in paths):
        raise ValueError("rejects: cannot be the file itself where the import may be rolled back")
    check_receipt(bound, options, *paths, rejects)
    meter = Meter(progress)
    with (
        open_files(
            paths,
            bound.gate,
            (*bound.catalog, *kinds),
            limits,
            sealed=sealed,
            follows=follows,
            allow_truncated=allow_truncated,
        ) as files,
        open_rejects(
            rejects, files.version, _names(kinds), files.catalog, versions=bound.versions
        ) as rejected,
    ):
        total = None if commit_every is None else verify(files, meter)
        meter.begin("import", lambda: files.position, total=total, total_bytes=files.size)
        report = import_runs(
            bound,
            meter.count(files.items()),
            files.version,
            Tally(kinds, catalog=bound.catalog, limit=KEPT, rejects=rejected, files=files.names),
            options,
            commit_every=commit_every,
            has_catalog=bool(files.catalog),
        )
    return add_damage(report, files.damage)


def _names(kinds: Iterable[Kind]) -> list[str]:
    return [kind.name for kind in kinds]


def choose_kinds(bound: Bound, options: ImportOptions) -> Sequence[Kind]:
    """The kinds of run to import, in order.

    Raises:
        ValueError: There is no kind with one of the names, or there are no catalog kinds and some are needed.
    """
    check_catalog_option(bound, options.catalog)
    return bound.kinds if options.kinds is None else bound.choose(options.kinds)


def verify(files: Files, meter: Meter) -> int:
    """Read *files* through, to know their damage before the first commit; return how many items they have."""
    meter.begin("verify", lambda: files.position, total_bytes=files.size)
    return sum(1 for _ in with_pauses(meter.count(files.items(again=True))))


def add_damage(report: ImportReport, problems: Iterable[Problem]) -> ImportReport:
    """*report* with the *problems* of damaged files as the first warnings."""
    damage = tuple(replace(problem, severity="warning") for problem in problems)
    if not damage:
        return report
    return replace(
        report,
        truncated=True,
        warnings=(*damage, *report.warnings),
        warning_count=report.warning_count + len(damage),
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """What an import has to know about other imports of the same file.

    Attributes:
        is_whole: Whether there are no others.
        has_catalog: Whether an earlier one has taken the catalog of the file.
        waiting: Receives the runs that refer to runs which are not stored, or take unique values that others
            have, for a later one; None: they are imported or rejected.
    """

    is_whole: bool = False
    has_catalog: bool = False
    waiting: list[RawRun] | None = None


_WHOLE = Piece(is_whole=True)


def import_runs(
    bound: Bound,
    items: Iterable[RawItem],
    version: str,
    tally: Tally,
    options: ImportOptions,
    *,
    commit_every: int | None = None,
    sides: Sides = ("file", "database"),
    has_catalog: bool = False,
    piece: Piece = _WHOLE,
) -> ImportReport:
    """Import *items* in one transaction, or in one for every *commit_every* of them.

    Args:
        bound: The history.
        items: If the iterator raises, what has not been committed is rolled back.
        version: The version of the format that the runs have.
        tally: Counts the outcomes, and receives the problems.
        options: The options.
        sides: What messages call the side that the items come from, and the database.
        commit_every: The number of runs in a transaction; None: all.
        has_catalog: Whether catalog rows may come before the runs. They go into the first transaction.
        piece: What to know about other imports of the same file.
    """
    reader = Reader(bound, version, options.rename or {})
    values = bound.constants()  # once for each import, however many transactions it takes
    withheld = False
    creations: Mapping[str, Creation] = {}
    rows, items = split_catalog(iter(items), _names(bound.catalog)) if has_catalog else (None, items)
    parts = [items] if commit_every is None else split_items(items, commit_every)
    if rows is not None and commit_every is not None:  # the next part begins when the rows have been read
        parts = itertools.chain([iter(())], parts)
    is_copy = sides[0] == "source"
    missing = MissingCatalog(bound.kinds, bound.catalog, values, options.catalog, is_copy=is_copy)
    missing.has_catalog = piece.has_catalog
    catalog: CatalogImport | None = None
    receipt: Receipt | None = None
    with Spool() as spool, ExitStack() as stack:
        if options.receipt is not None:
            receipt = Receipt(options.receipt, bound.all_kinds, bound.versions.current)
            stack.enter_context(receipt)
        open_one = functools.partial(
            open_destination,
            reader=reader,
            values=values,
            truncate_times=options.truncate_times,
            sides=sides,
            receipt=receipt,
        )
        if rows is not None:
            catalog = CatalogImport(
                bound.of_catalog,
                tally.carry(rows),
                options.catalog,
                reader=reader,
                tally=tally,
                compare=options.compare,
                open_one=open_one,
            )
            missing.absent = stack.enter_context(catalog).absent
        for part in parts:
            with bound.database.writing(options.session) as (connection, habits, commit):
                destination = open_one(connection, bound, spool=spool, missing=missing)
                if receipt is not None:
                    receipt.begin(connection)
                before, creations = tally.written, destination.plan.creations(habits)
                is_last = (commit_every is None or not part) and piece.waiting is None
                withheld = import_items(
                    destination,
                    part,
                    options,
                    tally=tally,
                    habits=habits,
                    creations=creations,
                    last=is_last,
                    first=None if catalog is None else functools.partial(catalog.take, connection, habits),
                )
                for announce in before_last_step if is_last and piece.is_whole else ():
                    announce()
                if tally.written > before and not (options.dry_run or withheld):
                    commit()
        if piece.waiting is not None:
            piece.waiting.extend(raw for raw, _ in spool.pop_waiting())
    if catalog is not None:
        creations = {**catalog.creations, **creations}
    report = tally.report(
        withheld=withheld,
        dry_run=options.dry_run,
        unit_of_work={name: each.reasons for name, each in creations.items() if each.reasons},
        advice=missing.advice,
    )
    _log.info(
        "%s: %d imported, %d updated, %d skipped, %d rejected, %d withheld",
        ("import", "dry run")[options.dry_run],
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
    catalog: OnCatalog,
    rename: Renames | None,
    truncate_times: bool,
    session: BorrowedSession | None,
) -> list[Problem]:
    """All problems and warnings of *document*; see `History.check`."""
    check_catalog_option(bound, catalog)
    problems = bound.gate.check_envelope(document)
    if problems or not isinstance(document, dict):
        return problems
    with open_look_ups(
        bound,
        session,
        version=document["version"],
        rename=rename,
        truncate_times=truncate_times,
        catalog=catalog if _has_catalog(bound, document) else None,
    ) as look_ups:
        problems = (
            [] if look_ups.rows is None else look_ups.rows.check(iter_raw_runs(document, bound.catalog))
        )
        return problems + look_ups.check(iter_raw_runs(document, bound.kinds))


@contextmanager
def open_look_ups(
    bound: Bound,
    session: BorrowedSession | None = None,
    *,
    version: str | None = None,
    rename: Renames | None = None,
    truncate_times: bool = False,
    catalog: OnCatalog | None = None,
) -> Iterator[LookUps]:
    """Look-ups in the database of a history.

    Args:
        bound: The history.
        session: To be used instead of the bound database.
        version: The version of the records; None: the current one.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
        catalog: What an import would do with the catalog rows of the file; None: it has none.
    """
    reader, values = Reader(bound, version or bound.versions.current, rename or {}), bound.constants()
    with bound.database.reading(session) as connection, ExitStack() as stack:
        open_one = functools.partial(
            open_destination, connection, reader=reader, values=values, truncate_times=truncate_times
        )
        rows, missing = None, None
        if catalog is not None:
            own, accepted, absent = (stack.enter_context(Spool()) for _ in range(3))
            missing = MissingCatalog(bound.kinds, bound.catalog, values, catalog, absent, is_empty=False)
            rows = CatalogLookUps(open_one(bound.of_catalog, spool=own), accepted, absent, catalog)
        spool = stack.enter_context(Spool())
        yield LookUps(open_one(bound, spool=spool, missing=missing), rows)
