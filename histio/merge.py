"""Several files of history made one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable

from histio.fields import UtcTimestamp
from histio.files import FilePath, format_of, stream_header, target, write_runs
from histio.history import History
from histio.history import moment as checked_moment
from histio.ordered import Format, Together, together
from histio.report import ExportReport
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
    form = format_of(out, format)
    if follows is not None and form.name == "json":
        raise ValueError("follows: a document cannot say it, only the header of a stream")
    checked_moment(exported_at)
    of = history or History()
    kinds = tuple(of._kinds.values())  # noqa: SLF001 - part of what a history does
    rules = Format(kinds, of._contract, of._versions)  # noqa: SLF001
    with (
        target(out, compression=form.compression, overwrite=overwrite) as file,
        together(files, rules) as one,
    ):
        named = _kinds(one, rules)
        collections = {kind.name: kind.collection for kind in kinds if kind.name in named}
        moment = UtcTimestamp().to_wire(exported_at or _latest(one) or dt.datetime.now(dt.UTC))
        header = stream_header(of.version, moment, list(collections), follows=follows or _predecessor(one))
        runs = ((kinds[place.kind].name, record) for place, record in one.runs())
        seal = write_runs(form.name, file, header, collections, runs)
    return ExportReport(
        exported=seal.counts.total(),
        by_kind={name: seal.counts[name] for name in collections},
        bytes=file.stored,
        sha256=seal.sha256,
        exported_at=moment,
        version=of.version,
    )


def _several(paths: Iterable[FilePath]) -> list[FilePath]:
    if isinstance(paths, (str, os.PathLike)) or hasattr(paths, "read"):
        raise TypeError(f"merge takes a list of files, not {shown(paths)}")
    files = list(paths)
    if not files:
        raise ValueError("there are no files to merge")
    return files


def _kinds(one: Together, rules: Format) -> set[str]:
    """The names of the kinds that a file says it has, and of those that it has."""
    found = set(one.kinds)
    for header in (part.file.header for part in one.parts):
        lists = {kind.name for kind in rules.kinds if kind.collection in header}
        found.update(lists or header.get("kinds", (kind.name for kind in rules.kinds)))
    return found


def _latest(one: Together) -> dt.datetime | None:
    told = [part.file.header["exported_at"] for part in one.parts if "exported_at" in part.file.header]
    return max(map(UtcTimestamp().from_wire, told), default=None)


def _predecessor(one: Together) -> str | None:
    """What the first file follows, where that is none of the files."""
    followed: dict[str, str | None] = {}
    for part in one.parts:
        followed.setdefault(part.seal.sha256, part.file.header.get("follows"))
    found: str | None = one.parts[0].file.header.get("follows")
    while found in followed:
        found = followed.pop(found)
    return found
