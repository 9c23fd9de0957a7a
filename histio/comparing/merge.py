"""Several files of history made one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable

from histio.bound import Bound
from histio.comparing.ordered import Together, together
from histio.errors import ExportError
from histio.exporting.pages import texts_of
from histio.files import (
    FilePath,
    build_export_report,
    choose_format,
    format_header_time,
    stream_header,
    target,
    write_runs,
)
from histio.history import History
from histio.kinds.fields import UtcTimestamp
from histio.report import ExportReport, Problem
from histio.wire import shown


def merge(
    paths: Iterable[FilePath],
    out: FilePath,
    /,
    *,
    history: History | None = None,
    exported_at: dt.datetime | None = None,
    follows: str | None = None,
    format: str | None = None,  # noqa: A002 - the word for it
    overwrite: bool = False,
) -> ExportReport:
    """Write the runs of several files to one, in the order of exports and sealed, in constant memory.

    Of exports of parts of a history, that makes the same bytes as the export of the whole. Of a single file,
    which need be neither sorted nor sealed, an export.

    A run that comes several times is written once: as the last of the files has it, and in that file as it
    comes last. So an export and what was exported later with ``changed_since`` make the history as it was
    then, apart from runs that have been deleted. Records are written as they stand; those of an older version
    of the format are brought up.

    Args:
        paths: Streams and documents, as `History.import_file` takes them, from the oldest to the newest. They
            are read twice.
        out: As for `History.export_file`; it may be one of *paths*, with *overwrite*.
        history: Tells what the files may hold; None: the bundled kinds.
        exported_at: Goes into the file; aware. None: the latest that one of the files says, or now.
        follows: The ``sha256`` of the file that this one continues: goes into the stream's header. None: what
            the first file says it follows, or if that is among *paths*, what that one follows, and so on.
        format: Such as ``jsonl.zst``, where no ending says it; None: a stream there.
        overwrite: Whether an existing file is replaced.

    Raises:
        DocumentError: A file is no history, is damaged, or holds what is no run; nothing was written.
        ExportError: A run has text that is no Unicode.
        FileExistsError: There is such a file, and *overwrite* was not said.
        ValueError: There are no *paths*.
    """
    files = _several(paths)
    form = choose_format(out, format)
    if follows is not None and form.name == "json":
        raise ValueError("follows: only the header of a stream can name a predecessor, a document cannot")
    given = None if exported_at is None else format_header_time(exported_at)
    of = history or History()
    bound = of.bound
    with (
        target(out, compression=form.compression, overwrite=overwrite) as file,
        together(files, bound) as one,
    ):
        named = _kinds(one, bound)
        collections = {kind.name: kind.collection for kind in bound.kinds if kind.name in named}
        at = given or _latest(one) or format_header_time(None)
        header = stream_header(of.version, at, list(collections), follows=follows or _predecessor(one))
        problems: list[Problem] = []
        runs = (
            (bound.kinds[place.kind].name, texts_of(bound.kinds[place.kind], [record], problems))
            for place, record in one.runs()
        )
        seal = write_runs(form.name, file, header, collections, runs)
        if problems:
            raise ExportError(tuple(problems))
    return build_export_report(header, seal, file.stored)


def _several(paths: Iterable[FilePath]) -> list[FilePath]:
    if isinstance(paths, (str, os.PathLike)) or hasattr(paths, "read"):
        raise TypeError(f"merge takes a list of files, not {shown(paths)}")
    files = list(paths)
    if not files:
        raise ValueError("there are no files to merge")
    return files


def _kinds(one: Together, bound: Bound) -> set[str]:
    """The names of the kinds that a file says it has, and of those that it has."""
    found = set(one.kinds)
    for header in (part.file.header for part in one.parts):
        lists = {kind.name for kind in bound.kinds if kind.collection in header}
        found.update(lists or header.get("kinds", (kind.name for kind in bound.kinds)))
    return found


def _latest(one: Together) -> str | None:
    field = UtcTimestamp()
    told = [part.file.header["exported_at"] for part in one.parts if "exported_at" in part.file.header]
    return field.to_wire(max(map(field.from_wire, told))) if told else None


def _predecessor(one: Together) -> str | None:
    """What the first file follows, where that is none of the files."""
    followed: dict[str, str | None] = {}
    for part in one.parts:
        followed.setdefault(part.seal.sha256, part.file.header.get("follows"))
    found: str | None = one.parts[0].file.header.get("follows")
    while found in followed:
        found = followed.pop(found)
    return found
