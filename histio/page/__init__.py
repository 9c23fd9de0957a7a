"""HTML reports about a history."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath

from histio.files import FilePath, GiB, Limits, MiB, is_same_file, list_files, target
from histio.history import History
from histio.page.content import build_content
from histio.page.gather import gather
from histio.page.outcome import list_rejected
from histio.page.render import load_jinja, render
from histio.page.totals import Sums
from histio.report import ImportReport

__all__ = ["report_page"]


def report_page(
    source: FilePath | Iterable[FilePath] | History,
    out: FilePath,
    /,
    *,
    history: History | None = None,
    imported: ImportReport | None = None,
    rejects: str | PathLike[str] | None = None,
    overwrite: bool = False,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> None:
    """Write an HTML report about a file or a database, in constant memory.

    The report is one file that loads nothing from elsewhere. That of an import says first what was imported
    and rejected, why, and what to do next. For each kind, a report shows the number of runs over time, sums
    of their numbers over time and by slug, their ledgers, the charts that the schemas declare
    (``Meta.charts``), and the runs that break their rules (``Meta.audits``). Sums are exact. Requires
    ``histio[report]``.

    Args:
        source: A file or several files, as `History.import_file` takes them, or a history, whose database is
            read. Invalid runs of a file are counted, and otherwise left out; a run that comes several times
            is counted each time.
        out: A path, a URL (requires ``histio[urls]``), an open binary file, or ``-`` for standard output. The
            file appears once it is complete.
        history: A history with the kinds of the file; None: the bundled kinds. With *imported*, its database
            is named as that of the import.
        imported: The report of the import of the file: the report is about it. None: it is about the file.
        rejects: The file to which the import has written the rejected runs, to name it; None: there is none.
        overwrite: Whether to replace an existing file.
        max_bytes: The maximum size of each uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes; a longer line of a stream counts as invalid.
        max_depth: The maximum depth of nested objects and lists in a run; a deeper line counts as invalid.

    Raises:
        DocumentError: A file is not a history, or is damaged.
        ExportError: The format cannot hold some rows of the database.
        FileExistsError: *out* exists, and *overwrite* is false.
        ImportError: Jinja2 is not installed.
        OSError: A file cannot be read, or the report cannot be written.
        TypeError: *history* is not a History; an AsyncHistory is not either.
        ValueError: *source* and *out* are the same file, two files are the same, there are no files, or a
            limit is not a positive integer.
    """
    load_jinja()
    if not isinstance(history, History | None):
        raise TypeError(f"history: pass a History, not {history!r}")
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    contents = source if isinstance(source, History) else list_files(source)
    if not isinstance(contents, History) and any(is_same_file(path, out) for path in contents):
        raise ValueError("out: the report would replace the file that it is about")
    kinds_from = source if isinstance(source, History) else history or History()
    rejects_name = None if rejects is None else fspath(rejects)
    rejected = set() if imported is None else list_rejected(imported)
    with target(out, compression=None, overwrite=overwrite) as file, Sums() as sums:
        gathered = gather(contents, kinds_from, sums, limits, rejected)
        for piece in render(build_content(gathered, sums, kinds_from, imported, rejects_name)):
            file.write(piece)
