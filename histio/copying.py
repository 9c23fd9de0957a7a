"""Copy runs from one database to another, without a file."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import sqlalchemy as sa
from marshmallow import Schema
from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.dialects import is_one_file, share_tables
from histio.errors import BindingError, NotConfiguredError
from histio.exporting.catalog import ExportedCatalog, check_choice
from histio.exporting.execute import count_selected, export_pages, with_catalog
from histio.exporting.pages import export_texts
from histio.exporting.selection import Selection, Where, select_kinds
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import FilePath, open_rejects
from histio.files.decoding import decoder_for
from histio.files.raw_runs import RawRun
from histio.history import History
from histio.importing.counts import Tally
from histio.importing.execute import import_runs
from histio.importing.options import ImportOptions, check_catalog_option, check_commits, check_receipt
from histio.importing.renames import Renames
from histio.importing.row_counts import core_tables
from histio.importing.run import OnCatalog, OnDuplicate
from histio.kinds.gate import Gate
from histio.kinds.table import Kind
from histio.progress import Meter, Report
from histio.report import KEPT, ImportReport
from histio.wire import nested_in, quote, wire_name


def copy(
    source: History,
    target: History,
    *,
    kinds: str | Sequence[str] | None = None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    changed_since: dt.date | None = None,
    where: Where | None = None,
    exact: bool = False,
    on_unreadable: OnUnreadable = "error",
    on_duplicate: OnDuplicate = "skip",
    catalog: OnCatalog = "ignore",
    whole_catalog: bool = False,
    atomic: bool = False,
    dry_run: bool = False,
    rename: Renames | None = None,
    truncate_times: bool = False,
    receipt: str | os.PathLike[str] | None = None,
    rejects: FilePath | None = None,
    commit_every: int | None = None,
    progress: Report | None = None,
) -> ImportReport:
    """Copy the runs of *source* that *target* lacks, in constant memory and without a file.

    The result is that of an export to a file and an import of that file. The source is read as of one moment,
    in a transaction of its own, and the target is written in one transaction, unless a history is bound to a
    session: that session is used, and never committed.

    Each run that is written is compared with what the target stores of it before the transaction is
    committed. A value that differs, because a trigger has changed it for example, is a ``conflict`` warning.

    Args:
        source: The history to read from.
        target: The history to write to. It has the kinds that are copied, and reads their format.
        kinds: Names of the kinds to copy; None: all that *source* has.
        since: The earliest time of a run; a naive time is UTC, a bare date its first moment. None: from the
            first run on.
        until: The latest time of a run; a naive time is UTC, a bare date includes its whole day. None: up to
            the last run.
        changed_since: Copy runs that were written at this time or later, or have a ledger entry that was,
            according to ``updated_at``. Runs that came from elsewhere with an older ``updated_at`` are
            missing, and so are those of a transaction that was open then, and removed entries. None: all
            runs, changed or not.
        where: A criterion of SQLAlchemy for the only kind copied, such as ``ProductionRun.num_batches > 1``,
            or a mapping from kind to criterion. None: all runs.
        exact: Whether to treat a value of *source* that SQLAlchemy reads differently from how it is stored as
            one that the format cannot hold. False: copy the value as read, with a ``precision`` warning.
        on_unreadable: What to do with runs of *source* that the format cannot hold: ``error``: fail.
            ``skip``: count them as rejected, with their problems in the report.
        on_duplicate: What to do with a run whose UUID exists in *target*: ``skip``: leave it alone.
            ``error``: reject it. ``update``: overwrite it with the run of *source*. ``verify``: leave it
            alone if it has the same content, otherwise reject it with a ``conflict``.
        catalog: What to do with the catalog rows of *source*, such as recipes, that the runs name,
            directly or through other rows. ``ignore``: do not copy them. ``create``: create those that
            *target* lacks, before the runs. ``update``: also overwrite those that it has.
        whole_catalog: Whether to copy all catalog rows, not only those that the runs name; *kinds* may
            be empty then.
        atomic: Whether to write nothing if a run or a catalog row is rejected; the others are ``withheld``.
        dry_run: Whether to do everything, constraints included, and then roll back.
        rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``. None: all slugs are
            read as they are.
        truncate_times: Whether to cut times to the digits of a second that the columns of *target* keep, with
            a ``precision`` warning for each. False: such a time rejects its run.
        receipt: Where to note what is written, so that `undo` can take it back: the path of a ``.jsonl``
            file. An existing receipt is continued. It is on disk before the target commits. None: nothing is
            noted.
        rejects: Where to write the runs that *target* rejects, with their problems: a path, URL, open binary
            file or ``-``. They form a stream that you can correct and import. None: they are only reported.
        commit_every: Commit after every so many runs. After an interruption, the same call continues the
            copy. With ``on_unreadable="error"``, the source is read twice, to find unreadable runs before the
            first commit. None: one transaction.
        progress: Called with a `Progress` at most ten times a second, and after the last run; its ``bytes``
            are 0. An exception that it raises rolls back what has not been committed. None: nothing is
            called.

    Returns:
        The report of the import. Pointers are those of a document with the runs copied.

    Raises:
        ExportError: The format cannot hold some rows of *source*, and *on_unreadable* is ``error``; the error
            lists them all, and nothing was written.
        BindingError: *source* and *target* are one database, or *target* lacks a kind, a member or a version
            that *source* has.
        NotConfiguredError: A history has no database.
        ReceiptError: *receipt* exists and is not a receipt, or that of another database.
        ValueError: *commit_every* is combined with *atomic*, *dry_run* or a target bound to a session,
            *receipt* with *dry_run* or such a target; *receipt* is not the path of a ``.jsonl`` file;
            *whole_catalog* is combined with ``catalog="ignore"``; or a history has no catalog kinds.
        OSError: The rejects or the receipt cannot be written. The last rejects are written after the commit.
        sqlalchemy.exc.DBAPIError: No run is at fault, as after a lost connection. A note says which of the
            databases raised it.
    """
    options = ImportOptions(
        on_duplicate=on_duplicate,
        catalog=catalog,
        atomic=atomic,
        dry_run=dry_run,
        rename=rename,
        truncate_times=truncate_times,
        receipt=receipt,
        compare=True,
    )
    exported = ExportTally(exact=exact, on_unreadable=on_unreadable)
    origin, destination = _bound(source, "source"), _bound(target, "target")
    choice = _choose_catalog(origin, destination, catalog, whole=whole_catalog)
    selection = select_kinds(
        origin,
        kinds,
        where,
        may_be_empty=whole_catalog,
        since=since,
        until=until,
        changed_since=changed_since,
    )
    chosen = _match_kinds(origin, destination, list(selection), destination.kinds)
    rows = [] if choice is None else _match_kinds(origin, destination, origin.catalog, destination.catalog)
    check_commits(destination, options, commit_every)
    check_receipt(destination, options, rejects)
    meter = Meter(progress)
    if is_one_file(origin.database.find_engine(), destination.database.find_engine()):
        raise BindingError(_ONE_DATABASE)
    with (
        _naming("source"),
        origin.database.reading(None) as connection,
        with_catalog(connection, origin, selection, choice) as everything,
        _naming("target"),
        open_rejects(
            rejects, origin.versions.current, _names(chosen), _names(rows), versions=destination.versions
        ) as rejected,
    ):
        _check_apart(connection, list(selection) or origin.catalog, destination, chosen or rows)
        imported = Tally(chosen, catalog=rows, limit=KEPT, rejects=rejected)
        with _naming("source"):
            total = None if progress is None else count_selected(connection, everything)
            if commit_every is not None and on_unreadable == "error":
                _verify(connection, everything, exact=exact, meter=meter, total=total)
        meter.begin("import", lambda: 0, total=total)
        is_current = origin.versions.current == destination.gate.version
        read = functools.partial(_decode, destination.gate, is_current=is_current)
        with closing(_read(connection, everything, exported, imported, read)) as runs:
            report = import_runs(
                destination,
                meter.count(runs),
                origin.versions.current,
                imported,
                options,
                commit_every=commit_every,
                has_catalog=bool(rows),
                sides=("source", "target"),
            )
    return replace(
        report,
        warnings=(*exported.warnings, *report.warnings)[:KEPT],
        warning_count=exported.warning_count + report.warning_count,
    )


_ONE_DATABASE = "source and target are one database: copy needs two"


def _bound(history: History, side: str) -> Bound:
    """The kinds, the format and the database of a *history*.

    Raises:
        TypeError: It is not a History.
        NotConfiguredError: It has no database.
    """
    if not isinstance(history, History):
        raise TypeError(f"{side} must be a History, not {quote(history)}")
    if not history.bound.has_database:
        raise NotConfiguredError(f"{side} has no database: create the History with a bind")
    return history.bound


def _choose_catalog(
    origin: Bound, destination: Bound, catalog: OnCatalog, *, whole: bool
) -> ExportedCatalog | None:
    """Which catalog rows are copied; None: none.

    Raises:
        ValueError: *catalog* has another value, or a history has no catalog kinds.
    """
    check_catalog_option(destination, catalog)
    if catalog == "ignore":
        if whole:
            raise ValueError('whole_catalog needs catalog="create" or catalog="update"')
        return None
    choice: ExportedCatalog = "all" if whole else "used"
    check_choice(origin, choice)
    return choice


def _names(kinds: Sequence[Kind]) -> list[str]:
    return [kind.name for kind in kinds]


def _match_kinds(
    origin: Bound, destination: Bound, kinds: Sequence[Kind], among: Sequence[Kind]
) -> list[Kind]:
    """Those *among* the kinds of *destination* that have the names of *kinds*, in their order.

    Raises:
        BindingError: It lacks one, or cannot read the records of one.
    """
    version, own = origin.versions.current, destination.versions
    if version != own.current and version not in own.upgrades:
        raise BindingError(f"source writes version {version} of the format, which target does not read")
    by_name = {kind.name: kind for kind in among}
    for kind in kinds:
        if kind.name not in by_name:
            raise BindingError(f"target has no kind {kind.name}: it has {', '.join(by_name) or 'none'}")
        if version != own.current or by_name[kind.name].is_hooked:
            continue  # the records are changed before they are read
        lacking = list(_compare(kind.table.schema, by_name[kind.name].table.schema, kind.name))
        if lacking:
            raise BindingError(f"source and target have different formats: {'; '.join(lacking)}")
    return [by_name[kind.name] for kind in kinds]


def _compare(source: Schema, target: Schema, name: str) -> Iterator[str]:
    """Describe the members of a record, or of its ledgers, that one side needs and the other lacks."""
    ours = {wire_name(each, field): field for each, field in source.dump_fields.items()}
    theirs = {wire_name(each, field): field for each, field in target.fields.items()}
    for member in ours:
        if member not in theirs:
            yield f"target has no member {member} of {name}"
    for member, field in theirs.items():
        below = nested_in(field)
        if member in ours and below is not None and (own := nested_in(ours[member])) is not None:
            yield from _compare(own.schema, below.schema, f"{name}.{member}")
        elif member not in ours and field.required:
            yield f"source has no member {member} of {name}"


def _check_apart(
    connection: Connection, kinds: Sequence[Kind], destination: Bound, chosen: Sequence[Kind]
) -> None:
    """Raise BindingError if rows of *kinds* and of those *chosen* in *destination* are in one table."""
    tables, others = ({core for kind in each for core in core_tables(kind)} for each in (kinds, chosen))
    with destination.database.reading(None) as other:
        if share_tables(connection, tables, other, others):
            raise BindingError(_ONE_DATABASE)


def _verify(
    connection: Connection, selection: Selection, *, exact: bool, meter: Meter, total: int | None
) -> None:
    """Read all runs, to know before the first commit which of them the format cannot hold.

    Raises:
        ExportError: There are some.
    """
    tally = ExportTally(exact=exact)
    meter.begin("verify", lambda: 0, total=total)
    for _ in meter.count(export_pages(connection, selection, tally), lambda page: len(page[1])):
        pass
    tally.check()


def _read(
    connection: Connection,
    selection: Selection,
    exported: ExportTally,
    imported: Tally,
    read: Callable[[Kind, str, int], RawRun],
) -> Generator[RawRun]:
    """Yield the selected runs as raw runs.

    Args:
        connection: To the source.
        selection: The kinds, and which of their runs.
        exported: Collects what the format cannot hold.
        imported: Counts such runs as rejected.
        read: Makes a raw run of the JSON of a record and its index.

    Raises:
        ExportError: After the last run: the format cannot hold some.
    """
    for kind, filters in selection.items():
        skipped, count, kept, index = exported.skipped, exported.problem_count, len(exported.problems), 0
        with _naming("source"):
            for texts in export_texts(connection, kind, filters, exported):
                for text in texts if not exported.will_fail else ():  # then only problems are of interest
                    yield read(kind, text, index)
                    index += 1
        imported.reject(
            kind.name, exported.skipped - skipped, exported.problems[kept:], exported.problem_count - count
        )
    exported.check()


def _decode(gate: Gate, kind: Kind, text: str, index: int, *, is_current: bool) -> RawRun:
    """The raw run of the JSON *text* of a record; the gate accepts most texts directly."""
    record = gate.read(kind.name, text.encode()) if is_current else None
    if record is not None:
        return RawRun(kind.name, record, index, size=len(text), text=text, accepted=True)
    record = decoder_for(gate).decode(text)
    return RawRun(kind.name, record, index, size=len(text), text=text)


_RAISED = "The error comes from the database that is the "


@contextmanager
def _naming(side: str) -> Iterator[None]:
    """Add a note to database errors in this block that says on which *side* they happened."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if not any(note.startswith(_RAISED) for note in getattr(error, "__notes__", ())):
            error.add_note(f"{_RAISED}{side}.")
        raise
