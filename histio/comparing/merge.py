"""Merge several files of history."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from typing import Any

from histio.comparing.ordered import OrderedFiles, open_ordered
from histio.doubles import find_rounded
from histio.errors import ExportError
from histio.exporting.pages import texts_of
from histio.files import (
    FilePath,
    GiB,
    Limits,
    MiB,
    Predecessor,
    build_export_report,
    choose_format,
    format_header_time,
    stream_header,
    target,
    write_runs,
)
from histio.files.chain import find_predecessor
from histio.history import History
from histio.kinds.fields import UtcTimestamp
from histio.kinds.table import Kind
from histio.report import ExportReport, Problem
from histio.wire import quote


def merge(
    paths: Iterable[FilePath],
    out: FilePath,
    /,
    *,
    history: History | None = None,
    exported_at: dt.datetime | None = None,
    follows: str | None = None,
    follows_header: str | None = None,
    format: str | None = None,  # noqa: A002 - the word for it
    overwrite: bool = False,
    sealed: bool = False,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> ExportReport:
    """Write the runs of several files to one sealed file, in the order of exports; memory is constant.

    Merging the exports of parts of a history gives the same bytes as the export of the whole, and so does
    merging a folder with an export in parts. Merging a single file sorts and seals it.

    A run that comes several times is written once: as it comes last in the last file that has it. So an
    export merged with later ones made with ``changed_since`` gives the history at the time of the last,
    except that it keeps deleted runs. The same holds for the rows of catalogs. Records are written as they
    are; those of an older version of the format are upgraded.

    Args:
        paths: Streams, documents and folders with an export in parts, as `History.import_file` takes them,
            from the oldest to the newest. Each is read twice.
        out: A path, a URL, or an open binary file. With *overwrite*, it may be one of *paths*.
        history: The kinds of run that the files may hold. None: the bundled kinds.
        exported_at: The time of the export in the new file; aware. None: the latest of the files, or now.
        follows: The ``sha256`` of the file that this one continues, for the stream's header. None: the file
            that the first of *paths* follows; if that is one of *paths*, the one that it follows, and so on.
        follows_header: The ``header_sha256`` of that file, for the header too. It tells files without runs
            apart, which have the same ``sha256``. None: the header has none.
        format: The format, such as ``jsonl.zst``. None: the one that the ending of *out* names, or a stream.
        overwrite: Whether to replace an existing file.
        sealed: Whether to refuse documents, and streams whose header has ``"sealed": false``.
        max_bytes: The maximum size of each uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes.
        max_depth: The maximum depth of nested objects and lists in a run.

    Raises:
        DocumentError: A file is not a history, is damaged, or has an invalid line or record. Nothing has been
            written.
        ExportError: A run has text that is not valid Unicode, or a number in a `Json` value that a double
            cannot hold.
        FileExistsError: The file exists, and *overwrite* is false.
        ValueError: There are no *paths*, or a limit is not a positive integer.
    """
    files = _list_files(paths)
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    form = choose_format(out, format)
    predecessor = Predecessor(follows, follows_header)
    predecessor.check(form.name)
    export_time = None if exported_at is None else format_header_time(exported_at)
    history = history or History()
    bound, kinds = history.bound, history.bound.all_kinds
    with (
        target(out, compression=form.compression, overwrite=overwrite) as file,
        open_ordered(files, bound, kinds, limits, sealed=sealed) as ordered,
    ):
        names = ordered.found.union(*((*part.file.kinds, *part.file.catalog) for part in ordered.parts))
        written = [kind for kind in kinds if kind.name in names]
        at = export_time or _find_latest(ordered) or format_header_time(None)
        header = stream_header(
            history.version,
            at,
            [kind.name for kind in written if not kind.is_catalog],
            catalog=[kind.name for kind in written if kind.is_catalog],
            follows=_find_first_predecessor(ordered) if follows is None else predecessor,
        )
        problems: list[Problem] = []
        placed = ((kinds[position.kind], record) for position, record in ordered.runs())
        runs = (
            (kind.name, _encode(kind, record, problems, has_json=bound.gate.has_json))
            for kind, record in placed
        )
        collections = {kind.name: kind.collection for kind in written}
        seal = write_runs(form.name, file, header, collections, runs)
        if problems:
            raise ExportError(tuple(problems))
    return build_export_report(header, seal, file.stored)


def _encode(kind: Kind, record: Any, problems: list[Problem], *, has_json: bool) -> list[str]:
    """The JSON of *record*; if it cannot be written as it was read, nothing, and a problem is added.

    *has_json*: whether it may have numbers that a double cannot hold.
    """
    if not (has_json and any(find_rounded(record))):
        return texts_of(kind, [record], problems)
    uuid = kind.identity.format_record(record)
    text = f"{kind.name} {uuid}: has a number that a double cannot hold."
    problems.append(Problem("error", "precision", text, "", kind.name, uuid))
    return []


def _list_files(paths: Iterable[FilePath]) -> list[FilePath]:
    if isinstance(paths, (str, os.PathLike)) or hasattr(paths, "read"):
        raise TypeError(f"merge takes a list of files, not {quote(paths)}")
    files = list(paths)
    if not files:
        raise ValueError("there are no files to merge")
    return files


def _find_latest(files: OrderedFiles) -> str | None:
    field = UtcTimestamp()
    times = [part.file.header["exported_at"] for part in files.parts if "exported_at" in part.file.header]
    return field.to_wire(max(map(field.from_wire, times))) if times else None


def _find_first_predecessor(files: OrderedFiles) -> Predecessor:
    """What the first file follows, or what those before it among the *files* follow."""
    found = find_predecessor(files.parts[0].file.header)
    left = list(files.parts)
    while part := next((part for part in left if found in part.names), None):
        left.remove(part)
        found = find_predecessor(part.file.header)
    return found
