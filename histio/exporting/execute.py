"""Run an export of a bound history: into a document, into a file, or as records one by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.exporting.earlier import EarlierRuns
from histio.exporting.pages import count_runs, export_runs, export_texts
from histio.exporting.selection import Filters, Selection
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import (
    FilePath,
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
    exported_at: dt.datetime | None,
    exact: bool,
    session: BorrowedSession | None,
) -> dict[str, Any]:
    """The selected runs as one document; see `History.export_document`."""
    document: dict[str, Any] = {
        "version": bound.versions.current,
        "exported_at": format_header_time(exported_at),
    }
    tally = ExportTally(exact=exact)
    with bound.database.reading(session) as connection:
        for kind, filters in selection.items():
            document[kind.collection] = list(export_runs(connection, kind, filters, tally))
        written = [kind for kind in selection if document[kind.collection]]
        tally.note(circle_warnings(written, connection.dialect))
    tally.finish()
    return document


def export_file(
    bound: Bound,
    selection: Selection,
    path: FilePath,
    *,
    exported_at: dt.datetime | None,
    follows: str | None,
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
    if follows is not None and form.name == "json":
        raise ValueError("follows: only the header of a stream can name a predecessor, a document cannot")
    tally = ExportTally(exact=exact, on_unreadable=on_unreadable)
    collections = {kind.name: kind.collection for kind in selection}
    meter = Meter(progress)
    with EarlierRuns() as earlier:
        if differs_from is not None:
            earlier.read(differs_from, bound)
        header = stream_header(
            bound.versions.current,
            format_header_time(exported_at),
            list(collections),
            follows=follows or earlier.sha256,
        )
        with (
            target(path, compression=form.compression, overwrite=overwrite) as file,
            bound.database.reading(session) as connection,
        ):
            total = None if progress is None else count_selected(connection, selection)
            meter.begin("export", lambda: file.stored, total=total)
            pages = meter.count(export_pages(connection, selection, tally), lambda page: len(page[1]))
            if differs_from is not None:
                pages = ((kind, earlier.select_others(kind, texts)) for kind, texts in pages)
            seal = write_runs(form.name, file, header, collections, pages)
            written = [kind for kind in selection if seal.counts[kind.name]]
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


def count_selected(connection: Connection, selection: Selection) -> int:
    """The number of the selected runs."""
    return sum(count_runs(connection, kind, filters) for kind, filters in selection.items())


def export_pages(
    connection: Connection, selection: Selection, tally: ExportTally
) -> Iterator[tuple[str, list[str]]]:
    """Pages of the JSON of the selected runs, each with the name of their kind."""
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
