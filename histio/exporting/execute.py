"""Run an export of a bound history: into a document, into a file, or as records one by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.exporting.catalog import ExportedCatalog, check_choice, selecting_catalog
from histio.exporting.earlier import EarlierRuns
from histio.exporting.pages import count_runs, export_runs, export_texts
from histio.exporting.selection import Filters, Selection
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import (
    FilePath,
    Predecessor,
    build_export_report,
    choose_format,
    format_header_time,
    stream_header,
    target,
    write_runs,
)
from histio.kinds.table import Kind
from histio.progress import Meter, Report
from histio.report import ExportReport
from histio.resolving.circles import circle_warnings


def export_document(
    bound: Bound,
    selection: Selection,
    *,
    catalog: ExportedCatalog | None,
    exported_at: dt.datetime | None,
    exact: bool,
    session: BorrowedSession | None,
) -> dict[str, Any]:
    """The selected runs as one document; see `History.export_document`."""
    if catalog is not None:
        check_choice(bound, catalog)
    document: dict[str, Any] = {
        "version": bound.versions.current,
        "exported_at": format_header_time(exported_at),
    }
    tally = ExportTally(exact=exact)
    with (
        bound.database.reading(session) as connection,
        with_catalog(connection, bound, selection, catalog) as everything,
    ):
        for kind, filters in everything.items():
            document[kind.collection] = list(export_runs(connection, kind, filters, tally))
        written = [kind for kind in everything if document[kind.collection]]
        tally.note(circle_warnings(written, connection.dialect))
    tally.finish()
    return document


def export_file(
    bound: Bound,
    selection: Selection,
    path: FilePath,
    *,
    catalog: ExportedCatalog | None,
    exported_at: dt.datetime | None,
    follows: Predecessor,
    differs_from: FilePath | None,
    format: str | None,  # noqa: A002 - the word for it
    overwrite: bool,
    exact: bool,
    on_unreadable: OnUnreadable,
    progress: Report | None,
    session: BorrowedSession | None,
) -> ExportReport:
    """Write the selected runs to *path*; see `History.export_file`."""
    form = choose_format(path, format)
    follows.check(form.name)
    if catalog is not None:
        check_choice(bound, catalog)
    tally = ExportTally(exact=exact, on_unreadable=on_unreadable)
    rows = () if catalog is None else bound.catalog
    collections = {kind.name: kind.collection for kind in (*rows, *selection)}
    meter = Meter(progress)
    with EarlierRuns() as earlier:
        if differs_from is not None:
            earlier.read(differs_from, bound)
        header = stream_header(
            bound.versions.current,
            format_header_time(exported_at),
            [kind.name for kind in selection],
            catalog=[kind.name for kind in rows],
            follows=earlier.predecessor if follows.sha256 is None else follows,
        )
        with (
            target(path, compression=form.compression, overwrite=overwrite) as file,
            bound.database.reading(session) as connection,
            with_catalog(connection, bound, selection, catalog) as everything,
        ):
            total = None if progress is None else count_selected(connection, everything)
            meter.begin("export", lambda: file.stored, total=total)
            pages = meter.count(export_pages(connection, everything, tally), lambda page: len(page[1]))
            if differs_from is not None:
                pages = ((kind, earlier.select_others(kind, texts)) for kind, texts in pages)
            seal = write_runs(form.name, file, header, collections, pages)
            written = [kind for kind in everything if seal.counts[kind.name]]
            tally.note(circle_warnings(written, connection.dialect))
            tally.check()
    return build_export_report(
        header,
        seal,
        file.stored,
        skipped=tally.skipped,
        unchanged=earlier.found,
        problems=tuple(tally.problems),
        warnings=tuple(tally.warnings),
        problem_count=tally.problem_count,
        warning_count=tally.warning_count,
    )


def with_catalog(
    connection: Connection, bound: Bound, runs: Selection, catalog: ExportedCatalog | None
) -> AbstractContextManager[Selection]:
    """In this block: the *catalog* rows to export, then the *runs*."""
    return nullcontext(runs) if catalog is None else selecting_catalog(connection, bound, runs, catalog)


def count_selected(connection: Connection, selection: Selection) -> int:
    """The number of the selected catalog rows and runs."""
    return sum(count_runs(connection, kind, filters) for kind, filters in selection.items())


def export_pages(
    connection: Connection, selection: Selection, tally: ExportTally
) -> Iterator[tuple[str, list[str]]]:
    """Pages of the JSON of the selected catalog rows and runs, each with the name of their kind."""
    for kind, filters in selection.items():
        for texts in export_texts(connection, kind, filters, tally):
            yield kind.name, texts


def iterate_runs(
    bound: Bound, kind: Kind, filters: Filters, *, exact: bool, session: BorrowedSession | None
) -> Iterator[dict[str, Any]]:
    """The records of *kind*, one after the other; see `History.iter_runs`."""
    tally = ExportTally(exact=exact)
    with bound.database.reading(session) as connection:
        yield from export_runs(connection, kind, filters, tally)
    tally.finish()
