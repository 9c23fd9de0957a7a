"""Export a history in parts, all of which are as of one moment."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from histio.bound import Bound, Opening
from histio.database.dialects import Moment
from histio.errors import NotConfiguredError
from histio.exporting.catalog import ExportedCatalog, check_choice
from histio.exporting.parts.attempts import Attempts
from histio.exporting.parts.plan import plan_parts
from histio.exporting.parts.tables import find_tables
from histio.exporting.parts.write import PartsTask, PickledSelection, PlannedPart, WrittenPart
from histio.exporting.selection import Part, Selection
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import Predecessor, check_positive, format_header_time, stream_header
from histio.files.manifest import CATALOG_PART, Manifest, part_name
from histio.files.part_files import PartFiles
from histio.kinds.table import Kind
from histio.progress import Meter, Report
from histio.report import ExportReport
from histio.resolving.circles import circle_warnings
from histio.tasks import open_workers


def export_parts(
    bound: Bound,
    history: Opening,
    selection: Selection,
    folder: str | os.PathLike[str],
    *,
    catalog: ExportedCatalog | None,
    exported_at: dt.datetime | None,
    follows: Predecessor,
    overwrite: bool,
    exact: bool,
    on_unreadable: OnUnreadable,
    parts: int | None,
    jobs: int | None,
    executor: Executor | None,
    progress: Report | None,
) -> ExportReport:
    """Write the selected runs to files in *folder*; see `History.export_parts`."""
    if not bound.has_database:
        raise NotConfiguredError("this history has no database")
    if parts is not None:
        check_positive(parts=parts)
    follows.check("jsonl")
    if catalog is not None:
        check_choice(bound, catalog)
    tally = ExportTally(exact=exact, on_unreadable=on_unreadable)
    rows = () if catalog is None else bound.catalog
    header = stream_header(
        bound.versions.current,
        format_header_time(exported_at),
        [kind.name for kind in selection],
        catalog=[kind.name for kind in rows],
        follows=follows,
    )
    pickled = PickledSelection.of(selection)
    meter = Meter(progress)
    files = PartFiles.create(folder, overwrite=overwrite)
    with open_workers(executor, jobs, prepare=history.open) as workers:
        with bound.database.reading(None) as connection:
            planned, total = plan_parts(connection, selection, parts)
        named = _name_parts(planned, has_catalog=bool(rows))
        task = PartsTask(history, pickled, Moment(""), files, header, named, catalog, exact, on_unreadable)
        engine, tables = bound.database.find_engine(), find_tables(selection, rows)
        meter.begin("export", lambda: 0, total=total)
        with Attempts(engine, tables, workers, task, meter, total).written() as (done, written):
            for one in written:
                tally.add(one.tally)
            counts = sum((Counter(one.entry.counts) for one in written), Counter[str]())
            exported = [kind for kind in (*rows, *selection) if counts[kind.name]]
            tally.note(circle_warnings(exported, engine.dialect))
            tally.check()
            manifest = _build_manifest(header, written)
            done.files.publish([one.entry.name for one in written], manifest.encode())
        meter.end()
    return _build_report(manifest, written, tally)


def _name_parts(planned: Mapping[Kind, Sequence[Part]], *, has_catalog: bool) -> dict[int, PlannedPart]:
    """All parts by number, the catalog first."""
    spans = [(kind.name, part) for kind, parts in planned.items() for part in parts]
    runs = [PlannedPart(part_name(number), *span) for number, span in enumerate(spans)]
    return dict(enumerate([PlannedPart(CATALOG_PART), *runs] if has_catalog else runs))


def _build_manifest(header: Mapping[str, Any], written: Sequence[WrittenPart]) -> Manifest:
    return Manifest(
        version=header["version"],
        exported_at=header["exported_at"],
        kinds=header["kinds"],
        catalog=header.get("catalog", ()),
        parts=[one.entry for one in written],
    )


def _build_report(manifest: Manifest, written: Sequence[WrittenPart], tally: ExportTally) -> ExportReport:
    counts = manifest.counts
    by_kind = {name: counts.get(name, 0) for name in manifest.kinds}
    return ExportReport(
        exported=sum(by_kind.values()),
        by_kind=by_kind,
        bytes=sum(one.bytes for one in written),
        sha256=manifest.sha256,
        exported_at=manifest.exported_at,
        version=manifest.version,
        skipped=tally.skipped,
        problems=tuple(tally.problems),
        warnings=tuple(tally.warnings),
        problem_count=tally.problem_count,
        warning_count=tally.warning_count,
        catalog={name: counts.get(name, 0) for name in manifest.catalog},
        catalog_sha256=next(filter(None, (one.entry.catalog_sha256 for one in written)), None),
        header_sha256=written[0].entry.header_sha256,
    )
